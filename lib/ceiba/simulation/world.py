"""The simulated area as one whole: everything true of it, before any satellite or recorder looks at it."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ceiba.simulation import integrity, land_cover, vegetation
from ceiba.simulation.integrity import Condition
from ceiba.simulation.land_cover import REGROWTH_DAYS, Change
from ceiba.simulation.layout import CELL_M, PIXEL_M, YEARS, block_mean, grid_shape, random_stream
from ceiba.simulation.spectra import CROP, IRRIGATED_LAG_D, green_cover, mix_spectra
from ceiba.simulation.terrain import Terrain, illumination, make_terrain, smooth_field


@dataclass(frozen=True)
class World:
    """The truth. Rasters have dims ``(y, x)`` at 10 m, those of cells at 80 m.

    Attributes
    ----------
    seed
        From which everything follows.
    terrain, life_zones, parcels
        What does not change.
    first_codes, changes
        Land cover of the first year, and every change after it.
    codes
        Land-cover codes by year.
    condition
        Condition and signs by year.
    vigor, swing
        State of the vegetation by year [1].
    lag_d
        Days by which irrigated fields are later than others [d].
    texture
        Small lasting differences of brightness, mean 0 and standard deviation 1.
    """

    seed: int
    terrain: Terrain
    life_zones: np.ndarray
    parcels: np.ndarray
    first_codes: np.ndarray
    changes: tuple[Change, ...]
    codes: Mapping[int, np.ndarray]
    condition: Mapping[int, Condition]
    vigor: Mapping[int, np.ndarray]
    swing: Mapping[int, np.ndarray]
    lag_d: np.ndarray
    texture: np.ndarray


def make_world(seed: int) -> World:
    """The whole truth for a seed."""
    terrain = make_terrain(seed, water_share=land_cover.class_prior()[land_cover.WATER])
    shape = terrain.water.shape
    life_zones = land_cover.make_life_zones(terrain.elevation_m, terrain.moisture)
    parcels = land_cover.make_parcels(seed, shape)
    first_codes = land_cover.make_land_cover(seed, terrain, parcels)
    changes = land_cover.plant_changes(seed, first_codes, terrain.road_distance_m, terrain.town_distance_m)
    codes = {year: land_cover.land_cover_of_year(first_codes, changes, year) for year in YEARS}
    cell_road_m = block_mean(terrain.road_distance_m, integrity.CELL_PX)
    lag_d = _parcel_lag_d(seed, parcels)
    condition, vigor, swing = {}, {}, {}
    for year in YEARS:
        fields = vegetation.with_irrigated(codes[year], lag_d)
        usual_ndvi, usual_emad = vegetation.usual_values(fields, grid_shape(CELL_M))
        condition[year] = integrity.draw_condition(
            seed,
            year,
            integrity.given_states(codes[year], first_codes, life_zones),
            road_distance_m=cell_road_m,
            usual_ndvi=usual_ndvi,
            usual_emad=usual_emad,
        )
        fitted = vegetation.fit_vegetation(fields, condition[year].greenness_value, condition[year].variability_value)
        vigor[year], swing[year] = (vegetation.spread_to_pixels(cells, shape) for cells in fitted)
    return World(
        seed, terrain, life_zones, parcels, first_codes, tuple(changes), codes, condition, vigor, swing,
        lag_d=lag_d, texture=_texture(seed, shape),
    )  # fmt: skip


def ground_reflectance(
    world: World, date: datetime.date, *, sun_zenith_deg: float, sun_azimuth_deg: float
) -> np.ndarray:
    """Surface reflectance [1] of the ground on a day without sky or sensor, dims ``(band, y, x)`` of
    ``spectra.BANDS``.
    """
    codes = land_cover.land_cover_on(world.first_codes, world.changes, date)
    lag_d = np.where(codes == CROP, world.lag_d, 0)
    season = {"vigor": world.vigor[date.year], "swing": world.swing[date.year]}
    reflectance = mix_spectra(codes, green_cover(codes, date, lag_d=lag_d, **season))
    _blend_regrowth(world, date, reflectance, season)
    roughness = land_cover.class_traits()["texture"].reindex(range(32), fill_value=0).to_numpy(np.float32)[codes]
    reflectance *= 1 + roughness * world.texture
    lit = illumination(
        world.terrain.elevation_m, PIXEL_M, sun_zenith_deg=sun_zenith_deg, sun_azimuth_deg=sun_azimuth_deg
    )
    # Terrain correction takes out most, but never all, of the difference between lit and shaded slopes.
    return (reflectance * np.clip(1 + 0.2 * (lit - 1), 0.75, 1.15)).astype(np.float32)


def _blend_regrowth(
    world: World, date: datetime.date, reflectance: np.ndarray, season: Mapping[str, np.ndarray]
) -> None:
    for change in world.changes:
        age = (date - change.date).days
        if change.to_code != 11 or not 0 <= age < REGROWTH_DAYS:
            continue
        rows, columns = np.unravel_index(change.pixels, world.first_codes.shape)
        before = world.first_codes[rows, columns]
        here = {name: values[rows, columns] for name, values in season.items()}
        lag_d = np.where(before == CROP, world.lag_d[rows, columns], 0)
        old = mix_spectra(before, green_cover(before, date, lag_d=lag_d, **here))
        share = age / REGROWTH_DAYS
        reflectance[:, rows, columns] = share * reflectance[:, rows, columns] + (1 - share) * old


def _parcel_lag_d(seed: int, parcels: np.ndarray) -> np.ndarray:
    random = random_stream(seed, "fields")
    count = int(parcels.max()) + 1
    lag_d = np.where(random.random(count) < 1 / 3, IRRIGATED_LAG_D, 0) + random.normal(0, 12, count)
    return lag_d.astype(np.float32)[parcels]


def _texture(seed: int, shape: tuple[int, int]) -> np.ndarray:
    random = random_stream(seed, "texture")
    texture = 0.99 * smooth_field(random, shape, range_px=2.5) + 0.15 * random.standard_normal(shape, dtype=np.float32)
    return np.clip(texture, -2.5, 2.5)
