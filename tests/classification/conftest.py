"""Mato Grosso as the classification stage sees it."""

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr


@pytest.fixture(scope="session")
def mato_grosso(sample_folder):
    """``(series, samples)``: the six-year series of six variables, and the table of labelled points."""
    folder = sample_folder / "eo" / "modis_timeseries_mato_grosso_2007_2013"
    dates = pd.to_datetime((folder / "timeline.txt").read_text().split())
    layers = {}
    for name in ("blue", "red", "nir", "mir", "ndvi", "evi"):
        with rasterio.open(folder / f"{name}.tif") as source:
            values = source.read()
            geobox = GeoBox(source.shape, source.transform, source.crs.to_wkt())
        values = np.where(values < -1e300, np.nan, values).astype("float32")
        layers[name] = wrap_xr(values, geobox, time=dates.to_numpy())
    return xr.Dataset(layers), pd.read_csv(folder / "samples.csv")
