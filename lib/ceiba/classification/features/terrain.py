"""Terrain as features: height, slope, and aspect in a form that does not jump at north."""

import numpy as np
import xarray as xr

from ceiba.ard.topography import slope_and_aspect_deg
from ceiba.classification.features.pixel_blocks import PixelBlock
from ceiba.classification.features.schemas import Part


def describe_terrain(elevation_m: xr.DataArray) -> xr.Dataset:
    """The layers that recipes read of the ground, made once for a whole map: a slope needs the neighbours.

    Parameters
    ----------
    elevation_m
        Height [m], dims ``(y, x)``, coordinates in metres; NaN is unknown.

    Returns
    -------
    xr.Dataset
        ``elevation`` [m], ``slope`` [degree] and ``aspect`` [degree clockwise from grid north, 0 where flat], float32, dims
        ``(y, x)``. Samples take theirs from here, by their pixel.

    Raises
    ------
    SceneError
        Where the grid is too small, uneven or in degrees.

    References
    ----------
    Horn 1981, doi:10.1109/PROC.1981.11918.
    """
    slope, aspect = slope_and_aspect_deg(elevation_m)
    elevation = elevation_m.transpose("y", "x").astype("float32").assign_attrs(units="m")
    return xr.Dataset({"elevation": elevation, "slope": slope, "aspect": aspect})


def terrain_with_direction(block: PixelBlock, part: Part) -> np.ndarray:
    """Height [m], slope [degree], sine and cosine of the aspect [1], both 0 on flat ground, which faces nowhere.

    Dims ``(feature, pixel)``, float32.
    """
    layers = {name: np.asarray(values, np.float32) for name, values in block.ground.items()}
    turned = np.radians(layers["aspect"])
    sloping = np.where(np.isnan(layers["slope"]), np.float32(np.nan), (layers["slope"] > 0).astype(np.float32))
    layers |= {"aspect_sin": np.sin(turned) * sloping, "aspect_cos": np.cos(turned) * sloping}
    return np.stack([layers[feature.quantity] for feature in part.features]).astype(np.float32)
