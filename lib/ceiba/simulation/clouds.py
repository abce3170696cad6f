"""Clouds, their displaced shadows, cirrus and haze."""

from dataclasses import dataclass

import numpy as np

from ceiba.simulation.layout import PIXEL_M
from ceiba.simulation.terrain import smooth_field

CLOUD_REFLECTANCE = {
    "blue": 0.60,
    "green": 0.58,
    "red": 0.58,
    "red_edge": 0.59,
    "nir": 0.62,
    "swir_1": 0.42,
    "swir_2": 0.32,
}
HAZE_REFLECTANCE = {
    "blue": 0.20,
    "green": 0.15,
    "red": 0.12,
    "red_edge": 0.10,
    "nir": 0.08,
    "swir_1": 0.03,
    "swir_2": 0.02,
}
# Share of a pixel's light that comes from the cloud, above which it counts as thin or as thick cloud.
THIN_CLOUD, THICK_CLOUD = 0.03, 0.5
DEEP_SHADOW = 0.15


@dataclass(frozen=True)
class Sky:
    """What stands between ground and satellite, all with dims ``(y, x)`` at 10 m and values [1] from 0 to 1.

    Attributes
    ----------
    cloud
        Share of a pixel's light that comes from cloud.
    shadow
        Share of direct sunlight that clouds take from the ground.
    cirrus
        Share of a pixel's light that comes from high thin cloud.
    haze
        Share of a pixel's light scattered by haze, which no quality class tells.
    """

    cloud: np.ndarray
    shadow: np.ndarray
    cirrus: np.ndarray
    haze: np.ndarray


def shadow_shift_px(height_m: float, *, sun_zenith_deg: float, sun_azimuth_deg: float) -> tuple[int, int]:
    """Rows and columns [px] by which a cloud at ``height_m`` [m] throws its shadow, away from the sun
    (azimuth from north).
    """
    length_px = height_m * np.tan(np.radians(sun_zenith_deg)) / PIXEL_M
    azimuth = np.radians(sun_azimuth_deg)
    # North is towards lower rows; the shadow falls opposite to the sun.
    return int(round(length_px * np.cos(azimuth))), int(round(-length_px * np.sin(azimuth)))


def make_sky(
    random: np.random.Generator,
    shape: tuple[int, int],
    *,
    cloud_cover: float,
    height_m: float,
    sun_zenith_deg: float,
    sun_azimuth_deg: float,
    cirrus_cover: float = 0.0,
    haze: float = 0.0,
) -> Sky:
    """A sky in which clouds cover ``cloud_cover`` [1] of the area, thin edges included.

    Parameters
    ----------
    random
        Source of randomness.
    shape
        Rows and columns of the area at 10 m.
    cloud_cover, cirrus_cover
        Share of the area under cloud and under cirrus [1].
    height_m
        Height of the clouds above ground [m].
    sun_zenith_deg, sun_azimuth_deg
        Position of the sun [degree].
    haze
        Mean share of light from haze [1].
    """
    down, right = shadow_shift_px(height_m, sun_zenith_deg=sun_zenith_deg, sun_azimuth_deg=sun_azimuth_deg)
    wide = (shape[0] + abs(down), shape[1] + abs(right))
    field = smooth_field(random, wide, range_px=42) + 0.35 * smooth_field(random, wide, range_px=14)
    # The area is the part of the wide sky whose shadows' clouds lie in it too.
    top, left = max(down, 0), max(right, 0)
    threshold = np.quantile(field[top : top + shape[0], left : left + shape[1]], 1 - cloud_cover)
    # Just above the threshold a cloud already counts as thin; it thickens towards its middle.
    cloud_wide = np.where(field > threshold, 1 - (1 - THIN_CLOUD) * np.exp(-2.5 * np.maximum(field - threshold, 0)), 0)
    cloud = cloud_wide[top : top + shape[0], left : left + shape[1]]
    shadow = cloud_wide[top - down : top - down + shape[0], left - right : left - right + shape[1]]
    veil = smooth_field(random, shape, range_px=90)
    cirrus = np.zeros(shape)
    if cirrus_cover > 0:
        cirrus = 0.12 * np.clip((veil - np.quantile(veil, 1 - cirrus_cover)) / 0.4, 0, 1)
    mist = haze * np.clip(1 + 0.6 * smooth_field(random, shape, range_px=130), 0, None)
    return Sky(*(part.astype(np.float32) for part in (cloud, shadow, cirrus, mist)))


def look_through(ground: np.ndarray, sky: Sky, band: str) -> np.ndarray:
    """Reflectance [1] of one band as the satellite sees it, dims ``(y, x)``: shaded, hazed and covered by
    cloud.
    """
    # Skylight still reaches a shadow, more of it at short waves.
    darkening = {"blue": 0.50, "green": 0.58, "red": 0.63}.get(band, 0.70)
    seen = ground * (1 - darkening * sky.shadow)
    seen = seen * (1 - sky.haze) + sky.haze * HAZE_REFLECTANCE[band]
    seen = seen * (1 - sky.cirrus) + sky.cirrus * 0.9 * CLOUD_REFLECTANCE[band]
    return seen * (1 - sky.cloud) + sky.cloud * CLOUD_REFLECTANCE[band]
