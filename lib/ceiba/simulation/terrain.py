"""Terrain of the simulated area: a country in miniature, from a coastal plain to mountains within five
kilometres.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from ceiba.simulation.layout import PIXEL_M, grid_shape, random_stream

TOP_ELEVATION_M = 900.0


@dataclass(frozen=True)
class Terrain:
    """What the land is before anything grows on it, all with dims ``(y, x)`` at 10 m.

    Attributes
    ----------
    elevation_m
        Height above sea level [m].
    moisture
        Available moisture [1], 0 driest to 1 wettest.
    water, road
        Open water and roads (bool).
    water_distance_m, road_distance_m
        Distance to the nearest of them [m].
    town_distance_m
        Distance to the nearest town centre [m].
    """

    elevation_m: np.ndarray
    moisture: np.ndarray
    water: np.ndarray
    road: np.ndarray
    water_distance_m: np.ndarray
    road_distance_m: np.ndarray
    town_distance_m: np.ndarray


def smooth_field(random: np.random.Generator, shape: tuple[int, int], *, range_px: float) -> np.ndarray:
    """Gaussian random field with mean 0 and standard deviation 1, dims ``(y, x)``.

    The autocorrelation is ``exp(-(d / range_px)**2)`` at distance ``d`` [px]: white noise smoothed by a
    Gaussian kernel of standard deviation ``range_px / 2`` in the Fourier domain. A margin keeps opposite
    edges independent.
    """
    margin = int(np.ceil(2 * range_px))
    padded = [fft.next_fast_len(size + margin, real=True) for size in shape]
    noise = random.standard_normal(padded, dtype=np.float32)
    sigma = range_px / 2
    frequency_y, frequency_x = np.fft.fftfreq(padded[0])[:, None], np.fft.rfftfreq(padded[1])[None, :]
    kernel = np.exp(-2 * (np.pi * sigma) ** 2 * (frequency_y**2 + frequency_x**2)).astype(np.float32)
    field = fft.irfft2(fft.rfft2(noise) * kernel, s=padded)[: shape[0], : shape[1]]
    return ((field - field.mean()) / field.std()).astype(np.float32)


def rank_uniform(values: np.ndarray) -> np.ndarray:
    """Ranks of ``values`` as numbers spread evenly in 0 to 1 (both excluded), the same shape."""
    order = np.argsort(values, axis=None, kind="stable")
    ranks = np.empty(values.size, dtype=np.float64)
    ranks[order] = (np.arange(values.size) + 0.5) / values.size
    return ranks.reshape(values.shape)


def make_terrain(seed: int, *, water_share: float) -> Terrain:
    """Heights, moisture, a river to a lagoon, roads and towns; ``water_share`` [1] of it is open water."""
    shape = grid_shape(PIXEL_M)
    elevation = _elevation_m(seed, shape)
    river = _river(seed, shape, elevation)
    # The river cuts its valley; the lagoon fills the lowest land until the asked share is water.
    valley = np.exp(-ndimage.distance_transform_edt(~river) / 12)
    elevation = ndimage.gaussian_filter(elevation * (1 - 0.25 * valley), 2)
    water = river.copy()
    lowest = np.argsort(np.where(water, np.inf, elevation), axis=None, kind="stable")
    missing = max(0, round(water_share * water.size) - int(water.sum()))
    water.flat[lowest[:missing]] = True
    elevation = np.where(water & ~river, elevation[water].min(), elevation)

    random = random_stream(seed, "moisture")
    relative = elevation / TOP_ELEVATION_M
    west = np.linspace(1, -1, shape[1])[None, :]
    moisture = rank_uniform(smooth_field(random, shape, range_px=110) + 0.9 * west + 0.5 * relative)
    road, towns = _roads(seed, shape, water)
    return Terrain(
        elevation_m=elevation.astype(np.float32),
        moisture=moisture.astype(np.float32),
        water=water,
        road=road,
        water_distance_m=(ndimage.distance_transform_edt(~water) * PIXEL_M).astype(np.float32),
        road_distance_m=(ndimage.distance_transform_edt(~road) * PIXEL_M).astype(np.float32),
        town_distance_m=(ndimage.distance_transform_edt(~towns) * PIXEL_M).astype(np.float32),
    )


def slope_deg(elevation_m: np.ndarray, pixel_m: float) -> np.ndarray:
    """Steepness [degree] by central differences of heights [m], dims ``(y, x)``."""
    down, right = np.gradient(elevation_m, pixel_m)
    return np.degrees(np.arctan(np.hypot(down, right)))


def illumination(
    elevation_m: np.ndarray, pixel_m: float, *, sun_zenith_deg: float, sun_azimuth_deg: float
) -> np.ndarray:
    """Cosine of the angle between the sun and the ground, over that of flat ground [1], dims ``(y, x)``.

    Azimuth clockwise from north. Flat ground gives 1; see Teillet et al. 1982,
    doi:10.1080/07038992.1982.10855028.
    """
    down, right = np.gradient(elevation_m, pixel_m)
    zenith, azimuth = np.radians(sun_zenith_deg), np.radians(sun_azimuth_deg)
    # The normal of the surface z(x east, y north) is (-dz/dx, -dz/dy, 1); rows run southwards.
    toward_sun = -right * np.sin(azimuth) * np.sin(zenith) + down * np.cos(azimuth) * np.sin(zenith) + np.cos(zenith)
    return np.maximum(toward_sun / np.sqrt(1 + down**2 + right**2), 0) / np.cos(zenith)


def _elevation_m(seed: int, shape: tuple[int, int]) -> np.ndarray:
    random = random_stream(seed, "terrain")
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    trend = 1.5 * (1 - y) + 1.3 * x
    ridges = sum(
        weight * smooth_field(random, shape, range_px=size) for size, weight in ((150, 0.55), (60, 0.2), (22, 0.05))
    )
    relative = rank_uniform(trend + ridges)
    return TOP_ELEVATION_M * (0.06 * relative + 0.94 * relative**1.8)


def _river(seed: int, shape: tuple[int, int], elevation_m: np.ndarray) -> np.ndarray:
    random = random_stream(seed, "river")
    columns = np.arange(shape[1])
    wiggle = (
        smooth_field(random, (1, shape[1]), range_px=70)[0] * 12
        + smooth_field(random, (1, shape[1]), range_px=24)[0] * 3
    )
    # The river follows the low south of the area and leaves the mountains in the east.
    rows = np.clip(shape[0] * 0.66 + (0.5 - columns / shape[1]) * 50 + wiggle, 4, shape[0] - 5)
    river = np.zeros(shape, dtype=bool)
    for offset in (-1, 0, 1):
        river[np.round(rows).astype(int) + offset, columns] = True
    return river


def _roads(seed: int, shape: tuple[int, int], water: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    random = random_stream(seed, "roads")
    columns, rows = np.arange(shape[1]), np.arange(shape[0])
    main = np.clip(shape[0] * 0.5 + smooth_field(random, (1, shape[1]), range_px=120)[0] * 16, 2, shape[0] - 3)
    branch = np.clip(shape[1] * 0.62 + smooth_field(random, (1, shape[0]), range_px=90)[0] * 14, 2, shape[1] - 3)
    road = np.zeros(shape, dtype=bool)
    road[np.round(main).astype(int), columns] = True
    road[rows, np.round(branch).astype(int)] = True
    towns = np.zeros(shape, dtype=bool)
    for column in (int(shape[1] * 0.16), int(branch[shape[0] // 2]), int(shape[1] * 0.85)):
        towns[int(round(main[column])), column] = True
    return road & ~water, towns
