"""Heights of the ground on the grid of a scene."""

import numpy as np
import odc.geo.xr
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from ceiba.errors import SceneError


def read_heights(address: str, geobox: GeoBox) -> xr.DataArray:
    """Heights of a GeoTIFF on a scene's grid, bilinear.

    Parameters
    ----------
    address
        Of the GeoTIFF.
    geobox
        The scene's grid.

    Returns
    -------
    xr.DataArray
        [m], float32, dims ``(y, x)``, NaN where there are none.

    Raises
    ------
    SceneError
        Where the file cannot be read, or has no height on the grid.
    """
    try:
        with (
            rasterio.open(address) as file,
            WarpedVRT(
                file,
                crs=str(geobox.crs),
                transform=geobox.affine,
                height=geobox.height,
                width=geobox.width,
                resampling=Resampling.bilinear,
                dtype="float32",
                nodata=np.nan,
            ) as warped,
        ):
            heights = warped.read(1)
    except rasterio.errors.RasterioError as error:
        raise SceneError(f"heights {address} cannot be read: {error}") from error
    if not np.isfinite(heights).any():
        raise SceneError(f"heights {address} do not cover the scene's grid {geobox.boundingbox}")
    return odc.geo.xr.wrap_xr(heights, geobox).assign_attrs(units="m")
