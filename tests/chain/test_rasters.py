"""Cloud-optimised GeoTIFF files."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from ceiba.errors import ProductError
from ceiba.rasters import write_cog

BOX = GeoBox((1300, 700), Affine(10, 0, 500_000, 0, -10, 2_000_000), "EPSG:6372")


def test_values_grid_and_nodata_are_read_back_by_gdal(tmp_path):
    values = np.random.default_rng(0).normal(size=BOX.shape).astype("float32")
    values[5, 7] = np.nan
    write_cog(tmp_path / "a.tif", xr.DataArray(values, dims=("y", "x")), BOX, dtype="float32", nodata=np.nan)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert np.array_equal(file.read(1), values, equal_nan=True)
        assert file.transform == BOX.affine and file.crs.to_epsg() == 6372 and np.isnan(file.nodata)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and file.overviews(1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_nan_becomes_nodata_in_integer_files(tmp_path):
    values = xr.DataArray(np.array([[1.0, np.nan]]), dims=("y", "x"))
    write_cog(
        tmp_path / "a.tif", values, GeoBox((1, 2), Affine(1, 0, 0, 0, -1, 1), "EPSG:6372"), dtype="uint8", nodata=255
    )
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.read(1).tolist() == [[1, 255]]


@pytest.mark.parametrize(("value", "message"), [(1.5, "fractions"), (300, "do not fit"), (-1, "do not fit")])
def test_values_that_do_not_fit_are_refused_not_wrapped(tmp_path, value, message):
    values = xr.DataArray(np.full((1, 2), value), dims=("y", "x"))
    with pytest.raises(ProductError, match=message):
        write_cog(
            tmp_path / "a.tif",
            values,
            GeoBox((1, 2), Affine(1, 0, 0, 0, -1, 1), "EPSG:6372"),
            dtype="uint8",
            nodata=255,
        )
    assert not list(tmp_path.iterdir())


def test_another_shape_is_refused(tmp_path):
    with pytest.raises(ProductError, match="grid is"):
        write_cog(tmp_path / "a.tif", xr.DataArray(np.zeros((2, 2)), dims=("y", "x")), BOX, dtype="uint8", nodata=255)
