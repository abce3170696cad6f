"""A larger simulated country at 30 m for benchmarks of land cover: regions, 31 classes, several years, planted change.

The simulated area (:mod:`ceiba.simulation.world`) is a few kilometres wide and feeds every product; this country is wide
enough for blocks that lie apart, and nothing but tests and benchmarks reads it. Every class has its national share, its
niche and its patches as in the area; beyond that spectra, vigor and season differ from region to region, so that points
near the training points are easier than points in a block without any.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage

from ceiba.errors import InputError
from ceiba.simulation.country_change import NEVER, plant_yearly_changes
from ceiba.simulation.country_spectra import LATENT, VARIATIONS
from ceiba.simulation.land_cover import WATER, class_prior, make_land_cover, make_life_zones, make_parcels
from ceiba.simulation.layout import LEFT_M, TOP_M, random_stream
from ceiba.simulation.terrain import TOP_ELEVATION_M, Terrain, rank_uniform, smooth_field

PIXEL_M = 30.0
SMALLEST_SIDE_PX = 192
REGION_PX = 180
STAND_PX, DETAIL_PX = 10, 1.2


@dataclass(frozen=True)
class CountrySettings:
    """What can be chosen of a country.

    Attributes
    ----------
    side_px
        Rows and columns of 30 m.
    years
        Calendar years of its scenes, ascending.
    variation
        Factor on the differences between plants of one class [1]: the noise level of the benchmark.
    sister_distance, cousin_distance
        Factors on how far classes of one of the 17 lie apart, and the 17 within one of the 8, in spectrum and season [1].
    change_share_a_year
        Share of the land that changes its class in a year [1].
    missed_clouds, missed_shadows
        Shares of clouds and of their shadows that the mask misses [1]. CFMask misses few clouds and many shadows (Foga et al. 2017,
        doi:10.1016/j.rse.2017.03.026). Thin clouds and shadows pass any mask.

    Notes
    -----
    The defaults of the noise and the two distances are those at which antares3's recipe 002 with a random forest reaches the
    accuracy that it had in Mexico, 69 / 74 / 80 % of 31 / 17 / 8 classes, on the mean of the seeds 11 to 22 (69.4 / 74.0 / 79.7 %;
    ``tests/benchmarks/simulated_noise.py`` finds them from that baseline alone). A single country lies some 3 % above or below.
    """

    side_px: int = 768
    years: tuple[int, ...] = (2017, 2018)
    variation: float = 3.4
    sister_distance: float = 1.7
    cousin_distance: float = 1.5
    change_share_a_year: float = 0.006
    missed_clouds: float = 0.04
    missed_shadows: float = 0.25

    def __post_init__(self):
        if self.side_px < SMALLEST_SIDE_PX:
            raise InputError(f"a country of {self.side_px} px a side has no regions; give {SMALLEST_SIDE_PX} or more")
        if not self.years or list(self.years) != sorted(set(self.years)):
            raise InputError(f"years must ascend and differ, got {self.years}")
        missed = self.missed_clouds, self.missed_shadows
        if not all(0 <= share <= 1 for share in missed):
            raise InputError(f"shares of missed clouds and shadows lie between 0 and 1, got {missed}")


@dataclass(frozen=True)
class Country:
    """The truth. Rasters have dims ``(y, x)`` at 30 m.

    Attributes
    ----------
    seed, settings
        From which everything follows.
    terrain, parcels
        What does not change; distances in meters.
    life_zones
        Codes of ``catalogs/legends/simulated_life_zones.csv``.
    first_codes
        Class codes before any change.
    changes
        One row a planted change: ``number, date, from_code, to_code, pixels``.
    change_number, change_day, change_to
        Of every pixel: number of its change (0 is none), its day [days since 1970-01-01] and the class after it.
    regions
        Lasting differences between regions, dims ``(latent, y, x)``, mean 0, standard deviation 1.
    variations
        Lasting differences between plants of one class by kind, mean 0, standard deviation 1.
    """

    seed: int
    settings: CountrySettings
    terrain: Terrain
    life_zones: np.ndarray
    parcels: np.ndarray
    first_codes: np.ndarray
    changes: pd.DataFrame
    change_number: np.ndarray
    change_day: np.ndarray
    change_to: np.ndarray
    regions: np.ndarray
    variations: Mapping[str, np.ndarray]

    def codes_on(self, date: datetime.date) -> np.ndarray:
        """Class codes on a day, after every change up to and including it, dims ``(y, x)``, uint8."""
        day = (date - datetime.date(1970, 1, 1)).days
        return np.where(self.change_day <= day, self.change_to, self.first_codes)

    def codes_of_year(self, year: int) -> np.ndarray:
        """Class codes of a year: those of 1 July; planted changes happen between October and March."""
        return self.codes_on(datetime.date(year, 7, 1))

    def elevation(self) -> xr.DataArray:
        """Height [m], dims ``(y, x)``, with coordinates of pixel centers [m, EPSG:6372]."""
        steps = (np.arange(self.settings.side_px) + 0.5) * PIXEL_M
        coords = {"y": TOP_M - steps, "x": LEFT_M + steps}
        return xr.DataArray(self.terrain.elevation_m, coords, ("y", "x"), "elevation", {"units": "m"})


def make_country(seed: int, settings: CountrySettings | None = None) -> Country:
    """The whole truth for a seed; the same seed and settings give the same country.

    Parameters
    ----------
    seed
        Any integer from 0.
    settings
        :class:`CountrySettings`; its defaults where None.
    """
    settings = settings or CountrySettings()
    shape = (settings.side_px, settings.side_px)
    terrain = make_country_terrain(seed, shape)
    parcels = make_parcels(seed, shape)
    first_codes = make_land_cover(seed, terrain, parcels)
    changes, number = plant_yearly_changes(
        seed,
        first_codes,
        terrain,
        years=settings.years,
        share_a_year=settings.change_share_a_year,
    )
    days = np.r_[NEVER, [(date - datetime.date(1970, 1, 1)).days for date in changes["date"]]].astype(np.int32)
    to_codes = np.r_[0, changes["to_code"]].astype(np.uint8)
    random = random_stream(seed, "country regions")
    regions = np.stack([smooth_field(random, shape, range_px=REGION_PX) for _ in range(LATENT)])
    return Country(
        seed, settings, terrain,
        life_zones=make_life_zones(terrain.elevation_m, terrain.moisture),
        parcels=parcels, first_codes=first_codes, changes=changes,
        change_number=number, change_day=days[number], change_to=to_codes[number],
        regions=regions,
        variations={name: _variation(seed, name, shape) for name in VARIATIONS},
    )  # fmt: skip


def make_country_terrain(seed: int, shape: tuple[int, int]) -> Terrain:
    """Heights from coast to mountains, moisture, rivers and lakes, roads and towns, dims ``(y, x)`` at 30 m."""
    random = random_stream(seed, "country terrain")
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    ridges = ((200, 0.8), (60, 0.25), (18, 0.06))
    relief = sum(weight * smooth_field(random, shape, range_px=size) for size, weight in ridges)
    relative = rank_uniform(0.8 * (1 - y) + 0.6 * x + relief)
    elevation = TOP_ELEVATION_M * (0.06 * relative + 0.94 * relative**1.8)
    # Lakes lie where the land is lower than around it, by whatever makes the national share of water.
    hollow = elevation - ndimage.gaussian_filter(elevation, 12) + 0.05 * elevation
    water = hollow <= np.quantile(hollow, class_prior()[WATER])
    moisture = rank_uniform(smooth_field(random, shape, range_px=170) + 0.6 * (1 - 2 * x) + 0.4 * relative)
    road, towns = _roads_and_towns(random, water)
    return Terrain(
        elevation_m=elevation.astype(np.float32),
        moisture=moisture.astype(np.float32),
        water=water,
        road=road,
        water_distance_m=_distance_m(water),
        road_distance_m=_distance_m(road),
        town_distance_m=_distance_m(towns),
    )


def _distance_m(mask: np.ndarray) -> np.ndarray:
    return (ndimage.distance_transform_edt(~mask) * PIXEL_M).astype(np.float32)


def _roads_and_towns(random: np.random.Generator, water: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    side = water.shape[0]
    along = np.arange(side)
    road, towns = np.zeros(water.shape, dtype=bool), np.zeros(water.shape, dtype=bool)
    for number in range(max(2, side // 190)):
        middle = side * (number + 0.5) / max(2, side // 190)
        across = np.clip(middle + 22 * smooth_field(random, (1, side), range_px=90)[0], 0, side - 1).round().astype(int)
        road[across, along] = True
        down = np.clip(middle + 22 * smooth_field(random, (1, side), range_px=90)[0], 0, side - 1).round().astype(int)
        road[along, down] = True
        places = random.choice(side, size=4, replace=False)
        towns[across[places], places] = True
    return road & ~water, towns


def _variation(seed: int, name: str, shape: tuple[int, int]) -> np.ndarray:
    random = random_stream(seed, f"country variation {name}")
    # Half of the variance between stands of 300 m, half between neighbouring pixels.
    stands, details = (smooth_field(random, shape, range_px=size) for size in (STAND_PX, DETAIL_PX))
    return ((stands + details) / np.sqrt(2)).clip(-3, 3)
