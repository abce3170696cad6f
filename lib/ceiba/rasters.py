"""Cloud-optimised GeoTIFF files, written in strips and read back before they count."""

from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from ceiba.errors import ProductError, StoreError

STRIP_ROWS = 1024
BLOCK_PX = 512


def write_cog(
    path: Path,
    data: xr.DataArray,
    geobox: GeoBox,
    *,
    dtype: str,
    nodata: float,
    categorical: bool = False,
    threads: int = 1,
) -> None:
    """Write one band as a Cloud-Optimised GeoTIFF (OGC 21-026) with overviews, by Zstandard as GDAL reads it from 2.3 on.

    Parameters
    ----------
    data
        Dims ``(y, x)`` of the shape of ``geobox``; lazy data are computed strip by strip.
    dtype, nodata
        Type in the file and its no-data value; NaN in float data meets an integer ``dtype`` as ``nodata``.
    categorical
        Overviews take the commonest class instead of the mean.
    threads
        Threads that compress; the file is the same.

    Raises
    ------
    ProductError
        Where the shape differs, or a value does not fit ``dtype``.
    StoreError
        Where the file read back differs from what was written (a full disk does not always raise by itself).
    """
    if data.dims != ("y", "x") or data.shape != tuple(geobox.shape):
        raise ProductError(
            f"{path.name}: got dims {data.dims} of shape {data.shape}, the grid is (y, x) of {tuple(geobox.shape)}"
        )
    strips = path.with_suffix(".strips.tif")
    height, width = geobox.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": dtype,
        "nodata": nodata,
        "crs": rasterio.crs.CRS.from_user_input(str(geobox.crs)),
        "transform": geobox.affine,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "bigtiff": "if_safer",
    }
    try:
        with rasterio.open(strips, "w", **profile) as file:
            for row in range(0, height, STRIP_ROWS):
                rows = min(STRIP_ROWS, height - row)
                strip = _as_dtype(data[row : row + rows].values, dtype, nodata, path.name)
                file.write(strip, 1, window=Window(0, row, width, rows))
        rasterio.shutil.copy(
            strips,
            path,
            driver="COG",
            # as small as deflate and written in half the time, which else is most of what a mosaic takes
            compress="zstd",
            level=1,
            num_threads=threads,
            blocksize=BLOCK_PX,
            bigtiff="if_safer",
            predictor="yes",
            overview_resampling="mode" if categorical else "average",
            overviews="auto",
        )
        _compare(strips, path)
    except rasterio.errors.RasterioError as error:
        raise StoreError(f"{path} cannot be written: {error}") from error
    finally:
        strips.unlink(missing_ok=True)


def _as_dtype(values: np.ndarray, dtype: str, nodata: float, name: str) -> np.ndarray:
    target = np.dtype(dtype)
    if target.kind == "f":
        return values.astype(target, copy=False)
    if values.dtype.kind == "b":
        return values.astype(target)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), nodata, values)
        if not np.array_equal(values, np.rint(values)):
            raise ProductError(f"{name}: fractions do not fit {dtype}; round them where that is meant")
    limits = np.iinfo(target)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise ProductError(f"{name}: values {values.min()} to {values.max()} do not fit {dtype}")
    return values.astype(target)


def _compare(written: Path, copy: Path) -> None:
    with rasterio.open(written) as first, rasterio.open(copy) as second:
        for row in range(0, first.height, STRIP_ROWS):
            window = Window(0, row, first.width, min(STRIP_ROWS, first.height - row))
            # by bytes, so that NaN equals NaN
            if not np.array_equal(first.read(1, window=window).view("u1"), second.read(1, window=window).view("u1")):
                raise StoreError(f"{copy} read back differs from what was written; is the disk full?")
