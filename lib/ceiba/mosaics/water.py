"""Surface water: the WOfS decision tree, and how often a pixel was water in a year."""

import numpy as np
import xarray as xr

from ceiba.errors import InputError
from ceiba.spectral_indices import ndwi, normalized_difference

WOFS_BANDS = ("blue", "green", "red", "nir", "swir_1", "swir_2")


def wofs_water(bands: xr.Dataset) -> xr.DataArray:
    """Water by the decision tree of Water Observations from Space, for Landsat-like bands.

    The thresholds are Landsat counts as published (reflectance times 10 000).

    Parameters
    ----------
    bands
        ``blue green red nir swir_1 swir_2`` as surface reflectance [1], dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        1 for water, 0 for dry, NaN where a band is missing or a ratio undefined [1], dims ``(..., y, x)``.

    Raises
    ------
    InputError
        A band is missing.

    References
    ----------
    Mueller et al. 2016, doi:10.1016/j.rse.2015.11.003, figure 3.
    """
    missing = missing_wofs_bands(bands)
    if missing:
        raise InputError(f"the WOfS tree needs {', '.join(WOFS_BANDS)}; missing: {', '.join(missing)}")
    # rounded, because the thresholds are counts: 0.0379 in float32 must not be more than 379
    counts = (bands[list(WOFS_BANDS)].astype(np.float64) * 1e4).round(2)
    tm1, tm3, tm7 = counts.blue, counts.red, counts.swir_2
    ndi_52 = normalized_difference(counts.swir_1, counts.green)
    ndi_43 = normalized_difference(counts.nir, counts.red)
    ndi_72 = normalized_difference(counts.swir_2, counts.green)

    dark_swir = tm7 <= 323.5
    bright_swir_dark_blue = xr.where(ndi_72 <= -0.23, (ndi_43 <= 0.22) | (tm1 <= 473), tm1 <= 379)
    bright_swir = xr.where(tm1 <= 1400.5, bright_swir_dark_blue, ndi_43 <= -0.01)
    low_ndi_52 = (tm1 <= 2083.5) & xr.where(dark_swir, ndi_43 <= 0.61, bright_swir)

    middle = (tm1 <= 334.5) & (ndi_43 <= 0.54)
    middle &= (ndi_52 <= 0.12) | xr.where(tm3 <= 364.5, tm1 <= 129.5, tm1 <= 300.5)
    high = (ndi_52 <= 0.34) & (tm1 <= 249.5) & (ndi_43 <= 0.45) & (tm3 <= 364.5) & (tm1 <= 129.5)

    water = xr.where(ndi_52 <= -0.01, low_ndi_52, xr.where(ndi_52 <= 0.23, middle, high))
    known = ndi_52.notnull() & ndi_43.notnull() & ndi_72.notnull() & tm1.notnull()
    return water.where(known).astype(np.float32).rename("water").assign_attrs(units="1", long_name="water")


def missing_wofs_bands(bands: xr.Dataset) -> list[str]:
    """Names of the bands that the WOfS tree needs and ``bands`` lacks."""
    return [name for name in WOFS_BANDS if name not in bands]


def annual_water(bands: xr.Dataset, *, min_observations: int = 1) -> xr.Dataset:
    """How often each pixel was water among its clear observations of a period.

    By the WOfS tree where all its bands are there, else by NDWI > 0 (McFeeters 1996), which is coarser:
    turbid water is missed, and dark roofs and shadows are taken for water.

    Parameters
    ----------
    bands
        Clear surface reflectance [1], dims ``(time, y, x)``, NaN where not clear; at least ``green`` and
        ``nir``.
    min_observations
        Pixels with fewer clear observations have no frequency.

    Returns
    -------
    xr.Dataset
        ``water_frequency`` [1], 0 to 1, float32, and ``clear_count`` [1], uint16, dims ``(y, x)``. The
        attribute ``method`` is "wofs" or "ndwi", ``missing_bands`` names the bands that the WOfS tree lacked.

    Raises
    ------
    InputError
        Not even green and nir are there, or there is no observation.
    """
    missing = missing_wofs_bands(bands)
    if not missing:
        method, water = "wofs", wofs_water(bands)
    elif "green" in bands and "nir" in bands:
        index = ndwi(bands.green, bands.nir)
        method, water = "ndwi", (index > 0).where(index.notnull()).astype(np.float32)
    else:
        raise InputError(f"water needs at least green and nir; missing of all that WOfS needs: {', '.join(missing)}")
    if water.sizes["time"] == 0:
        raise InputError("water needs observations, and there is none in this period")
    count = water.notnull().sum("time")
    frequency = water.mean("time").where(count >= min_observations).astype(np.float32)
    result = xr.Dataset({"water_frequency": frequency, "clear_count": count.astype(np.uint16)})
    result.water_frequency.attrs = {"units": "1", "long_name": "share of clear observations with water"}
    result.clear_count.attrs = {"units": "1", "long_name": "clear observations"}
    return result.assign_attrs(method=method, missing_bands=", ".join(missing))
