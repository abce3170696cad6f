"""Landsat-like series of a simulated country, at chosen pixels only: what a satellite and its cloud mask make of the truth.

    country = make_country(7, CountrySettings(years=tuple(range(2009, 2019))))
    samples = land_cover_series(country, rows, columns)                    # dims (time, sample)
    block = block_series(country, row=96, column=48, side_px=48)           # dims (time, y, x)
    truth = country.codes_of_year(2018)

A pixel's series is the same whichever other pixels are asked for.
"""

import datetime
from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy import ndimage

from ceiba.errors import InputError
from ceiba.simulation.clouds import Sky, look_through, make_sky
from ceiba.simulation.country import PIXEL_M, Country
from ceiba.simulation.country_change import REGROWN
from ceiba.simulation.country_spectra import LANDSAT_BANDS, Plants, alike_library, plants_of
from ceiba.simulation.layout import LEFT_M, TOP_M, random_stream
from ceiba.simulation.layout import PIXEL_M as AREA_PIXEL_M
from ceiba.simulation.pixel_noise import normal_of_pixels, uniform_of_pixels
from ceiba.simulation.scenes import sun_position_deg
from ceiba.simulation.spectra import CROP, IRRIGATED_LAG_D, green_cover
from ceiba.simulation.terrain import smooth_field

REVISIT_D, NOT_TAKEN = 16, 0.12
SKY_CELL_PX = 4
REGROWTH_DAYS = 600
FALLOW = 0.12
NEIGHBOR_SHARE = 0.2
YEAR_VIGOR = 0.06
# The cloud mask: clouds and shadows thinner than this pass as clear, and so does a share of the thicker ones by the settings.
UNSEEN_CLOUD, UNSEEN_SHADOW = 0.12, 0.15
# What atmospheric correction leaves, of the size of its specification, 0.005 + 0.05 * reflectance (Vermote et al. 2016,
# doi:10.1016/j.rse.2016.04.008): offsets [1] and gains [1] of a whole scene, gains of its parts, and noise of a pixel.
SCENE_OFFSETS = dict(zip(LANDSAT_BANDS, (0.006, 0.005, 0.004, 0.004, 0.002, 0.002), strict=True))
BAND_GAIN, REGION_GAIN = 0.03, 0.03
PIXEL_OFFSET, PIXEL_GAIN = 0.002, 0.015


def land_cover_series(
    country: Country, rows: np.ndarray, columns: np.ndarray, *, years: Sequence[int] | None = None
) -> xr.Dataset:
    """Series of reflectance at pixels, as a mask of clouds and shadows leaves them.

    Parameters
    ----------
    country
        Of :func:`ceiba.simulation.country.make_country`.
    rows, columns
        Pixels, dims ``(sample,)``.
    years
        Years to simulate, all of the country's where None.

    Returns
    -------
    xr.Dataset
        ``blue green red nir swir_1 swir_2``, surface reflectance [1], dims ``(time, sample)``, float32, NaN where masked;
        coordinates ``time``, ``row``, ``column`` and ``x``, ``y`` [m, EPSG:6372].

    Raises
    ------
    InputError
        On pixels outside the country and on years that it does not have.
    """
    rows, columns = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
    side = country.settings.side_px
    if rows.size and (min(rows.min(), columns.min()) < 0 or max(rows.max(), columns.max()) >= side):
        raise InputError(f"pixels outside the country, whose rows and columns are 0 to {side - 1}")
    strange = sorted(set(years or ()) - set(country.settings.years))
    if strange:
        raise InputError(f"the country has no scenes of {strange}; it has {list(country.settings.years)}")
    pixels = rows * side + columns
    ground = _Ground(country, pixels)
    dates = [date for year in years or country.settings.years for date in scene_dates(country.seed, year)]
    layers = np.stack([_scene(country, pixels, ground, date) for date in dates], axis=1)
    coords = {
        "time": np.array(dates, dtype="datetime64[ns]"),
        "row": ("sample", rows), "column": ("sample", columns),
        "x": ("sample", LEFT_M + (columns + 0.5) * PIXEL_M, {"units": "m"}),
        "y": ("sample", TOP_M - (rows + 0.5) * PIXEL_M, {"units": "m"}),
    }  # fmt: skip
    bands = {
        name: (("time", "sample"), layer, {"units": "1"}) for name, layer in zip(LANDSAT_BANDS, layers, strict=True)
    }
    return xr.Dataset(bands, coords)


def block_series(
    country: Country, *, row: int, column: int, side_px: int, years: Sequence[int] | None = None
) -> xr.Dataset:
    """:func:`land_cover_series` of a whole square of pixels, dims ``(time, y, x)``, from its upper left corner."""
    rows, columns = (part.ravel() for part in np.mgrid[row : row + side_px, column : column + side_px])
    flat = land_cover_series(country, rows, columns, years=years)
    layers = {
        name: (("time", "y", "x"), values.values.reshape(-1, side_px, side_px), values.attrs)
        for name, values in flat.data_vars.items()
    }
    coords = {
        "time": flat.time,
        "y": ("y", flat.y.values[::side_px], {"units": "m"}),
        "x": ("x", flat.x.values[:side_px], {"units": "m"}),
    }
    return xr.Dataset(layers, coords)


def scene_dates(seed: int, year: int) -> list[datetime.date]:
    """Days of a year on which the satellite took the country: every 16 days but for some that were never taken."""
    random = random_stream(seed, f"country dates {year}")
    first = datetime.date(year, 1, 1) + datetime.timedelta(days=int(random.integers(0, REVISIT_D)))
    dates = [first + datetime.timedelta(days=REVISIT_D * step) for step in range(23)]
    return [date for date in dates if date.year == year and random.random() > NOT_TAKEN]


class _Ground:
    """Reflectance of chosen pixels and of one neighbor of each, on any day."""

    def __init__(self, country: Country, pixels: np.ndarray):
        side = country.settings.side_px
        steps = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])
        chosen = steps[(4 * uniform_of_pixels(country.seed, "neighbor", pixels)).astype(int)]
        row, column = np.clip(np.stack(np.divmod(pixels, side)) + chosen.T, 0, side - 1)
        neighbors = row * side + column
        self.country = country
        self.pixels, places = np.unique(np.r_[pixels, neighbors], return_inverse=True)
        self.own, self.neighbor = places[: pixels.size], places[pixels.size :]
        self.library = alike_library(country.settings.sister_distance, country.settings.cousin_distance)
        self.changing = np.flatnonzero(country.change_number.flat[self.pixels] > 0)
        self.before = self._plants(country.first_codes.flat[self.pixels], self.pixels)
        self.after = self._plants(
            country.change_to.flat[self.pixels[self.changing]], self.pixels[self.changing]
        )

    def on(self, date: datetime.date) -> np.ndarray:
        """Reflectance [1] on a day, dims ``(band, pixel)``, a little of it that of a neighbor: pixels are never pure."""
        reflectance = self._season(self.before, self.pixels, date)
        day = (date - datetime.date(1970, 1, 1)).days
        age = day - self.country.change_day.flat[self.pixels[self.changing]].astype(np.int64)
        grown = np.where(self.after.codes == REGROWN, np.clip(age / REGROWTH_DAYS, 0, 1), age >= 0).astype(np.float32)
        if (grown > 0).any():
            after = self._season(self.after, self.pixels[self.changing], date)
            reflectance[:, self.changing] += grown * (after - reflectance[:, self.changing])
        return (1 - NEIGHBOR_SHARE) * reflectance[:, self.own] + NEIGHBOR_SHARE * reflectance[:, self.neighbor]

    def _plants(self, codes: np.ndarray, pixels: np.ndarray) -> Plants:
        country = self.country
        return plants_of(
            codes,
            seed=country.seed,
            regions=country.regions.reshape(len(country.regions), -1)[:, pixels],
            variations={name: field.flat[pixels] for name, field in country.variations.items()},
            variation=country.settings.variation,
            library=self.library,
        )

    def _season(self, plants: Plants, pixels: np.ndarray, date: datetime.date) -> np.ndarray:
        seed = self.country.seed
        parcels = self.country.parcels.flat[pixels]
        crop = plants.codes == CROP
        irrigated = uniform_of_pixels(seed, "irrigated", parcels) < 1 / 3
        sown_d = 12 * normal_of_pixels(seed, f"sown {date.year}", parcels)
        fallow = uniform_of_pixels(seed, f"fallow {date.year}", parcels) < FALLOW
        vigor = plants.vigor + YEAR_VIGOR * _coarse_field(self.country, f"vigor {date.year}", 25, pixels)
        cover = green_cover(
            plants.codes,
            date,
            vigor=vigor * np.where(crop & fallow, 0.45, 1),
            lag_d=plants.lag_d + np.where(crop, irrigated * IRRIGATED_LAG_D + sown_d, 0),
            library=self.library,
        )
        return plants.ground + cover * (plants.canopy - plants.ground)


def _coarse_field(country: Country, name: str, range_cells: float, pixels: np.ndarray) -> np.ndarray:
    """Smooth random field on cells of 120 m, read at pixels, dims ``(pixel,)``."""
    random = random_stream(country.seed, f"country {name}")
    return _at_pixels(smooth_field(random, _cells(country), range_px=range_cells), country, pixels)


def _cells(country: Country) -> tuple[int, int]:
    cells = -(-country.settings.side_px // SKY_CELL_PX) + 1
    return cells, cells


def _at_pixels(field: np.ndarray, country: Country, pixels: np.ndarray) -> np.ndarray:
    places = np.stack(np.divmod(pixels, country.settings.side_px)) / SKY_CELL_PX
    return ndimage.map_coordinates(field, places, order=1, mode="nearest").astype(np.float32)


def _scene(country: Country, pixels: np.ndarray, ground: _Ground, date: datetime.date) -> np.ndarray:
    """One date, dims ``(band, sample)``."""
    seed = country.seed
    random = random_stream(seed, f"country scene {date}")
    zenith, azimuth = sun_position_deg(date)
    reflectance = ground.on(date) * _slope_light(country, pixels, zenith, azimuth)
    sky, masked = _sky(country, random, pixels, date)
    gain = 1 + REGION_GAIN * _coarse_field(country, f"air {date}", 40, pixels)
    for position, band in enumerate(LANDSAT_BANDS):
        seen = look_through(reflectance[position], sky, band)
        seen = seen * gain * (1 + BAND_GAIN * random.standard_normal())
        seen = seen + SCENE_OFFSETS[band] * random.standard_normal()
        noise = normal_of_pixels(seed, f"noise {date} {band}", pixels)
        reflectance[position] = seen + noise * (PIXEL_OFFSET + PIXEL_GAIN * seen)
    # Products store positive reflectance only.
    return np.where(masked, np.float32(np.nan), reflectance.clip(0.0005, 1))


def _slope_light(country: Country, pixels: np.ndarray, sun_zenith_deg: float, sun_azimuth_deg: float) -> np.ndarray:
    """What terrain correction leaves of the light on slopes [1], as in :mod:`ceiba.simulation.world`."""
    side = country.settings.side_px
    row, column = np.divmod(pixels, side)
    heights = country.terrain.elevation_m
    down = (heights[np.minimum(row + 1, side - 1), column] - heights[np.maximum(row - 1, 0), column]) / (2 * PIXEL_M)
    right = (heights[row, np.minimum(column + 1, side - 1)] - heights[row, np.maximum(column - 1, 0)]) / (2 * PIXEL_M)
    zenith, azimuth = np.radians(sun_zenith_deg), np.radians(sun_azimuth_deg)
    toward = -right * np.sin(azimuth) * np.sin(zenith) + down * np.cos(azimuth) * np.sin(zenith) + np.cos(zenith)
    lit = np.maximum(toward / np.sqrt(1 + down**2 + right**2), 0) / np.cos(zenith)
    return np.clip(1 + 0.2 * (lit - 1), 0.75, 1.15).astype(np.float32)


def _sky(
    country: Country, random: np.random.Generator, pixels: np.ndarray, date: datetime.date
) -> tuple[Sky, np.ndarray]:
    """The sky over the pixels, and which of them the mask takes out."""
    rains = 6 <= date.month <= 10
    zenith, azimuth = sun_position_deg(date)
    whole = make_sky(
        random,
        _cells(country),
        cloud_cover=random.beta(2.2, 2.0) if rains else random.beta(1.5, 2.6),
        # The shift of shadows counts in pixels of the area; a cell here is larger.
        height_m=random.uniform(800, 2500) * AREA_PIXEL_M / (SKY_CELL_PX * PIXEL_M),
        sun_zenith_deg=zenith,
        sun_azimuth_deg=azimuth,
        cirrus_cover=random.uniform(0.05, 0.2) if random.random() < 0.25 else 0.0,
        haze=0.02 * random.beta(1.5, 5),
    )
    parts = {name: _at_pixels(getattr(whole, name), country, pixels) for name in ("cloud", "shadow", "cirrus", "haze")}
    sky = Sky(**parts)
    missed = {}
    for name, share in (("clouds", country.settings.missed_clouds), ("shadows", country.settings.missed_shadows)):
        field = smooth_field(random, _cells(country), range_px=10)
        missed[name] = _at_pixels((field > np.quantile(field, 1 - share)).astype(np.float32), country, pixels) > 0.5
    masked = (sky.cloud > UNSEEN_CLOUD) & ~missed["clouds"]
    masked |= (sky.shadow > UNSEEN_SHADOW) & ~missed["shadows"]
    # Cirrus has its own band and is found well.
    masked |= sky.cirrus > 0.02
    return sky, masked
