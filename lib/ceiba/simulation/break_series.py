"""Long series of single pixels with known breaks: Landsat's dates, clouds and missed ones, seasons, years that differ."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from ceiba.errors import InputError

BANDS = ("blue", "green", "red", "nir", "swir_1", "swir_2")
# Surface reflectance [1] at the annual mean and half of its range over the year; the round numbers of textbook spectra.
COVERS = {
    "moist_forest": ((0.025, 0.045, 0.030, 0.300, 0.130, 0.055), (0.003, 0.005, 0.005, 0.030, 0.015, 0.008)),
    "dry_forest": ((0.035, 0.060, 0.060, 0.250, 0.190, 0.100), (0.006, 0.008, 0.025, 0.070, 0.040, 0.035)),
    "shrub": ((0.050, 0.075, 0.085, 0.230, 0.240, 0.150), (0.005, 0.008, 0.020, 0.040, 0.030, 0.025)),
    "pasture": ((0.050, 0.085, 0.085, 0.260, 0.270, 0.170), (0.008, 0.012, 0.030, 0.070, 0.050, 0.045)),
    "crop": ((0.055, 0.085, 0.090, 0.270, 0.240, 0.160), (0.012, 0.018, 0.045, 0.110, 0.060, 0.065)),
    "bare": ((0.090, 0.125, 0.160, 0.230, 0.330, 0.280), (0.006, 0.008, 0.010, 0.012, 0.020, 0.018)),
    "burnt": ((0.040, 0.050, 0.055, 0.110, 0.190, 0.190), (0.004, 0.005, 0.006, 0.010, 0.015, 0.015)),
    "urban": ((0.110, 0.135, 0.150, 0.220, 0.240, 0.220), (0.004, 0.005, 0.006, 0.012, 0.012, 0.012)),
}
CLOUD = np.array([0.45, 0.45, 0.46, 0.50, 0.38, 0.28])
KINDS = ("stable", "dry_years", "drift", "clearing", "partial", "fire", "building", "two_breaks")
"""Kinds of series; the first three have no break."""
LASTING = ("moist_forest", "dry_forest", "shrub", "pasture", "crop")
NOISE = np.array([0.005, 0.006, 0.007, 0.015, 0.012, 0.010])
MISSED = 0.04  # of the cloudy observations: the share that a mask takes for clear (Foga et al. 2017: some percent)
YEAR = 365.2425


@dataclass(frozen=True)
class BreakSeries:
    """Series of single pixels.

    Attributes
    ----------
    scenes
        Reflectance [1], dims ``(time, sample)``, NaN where the mask says cloud.
    covered
        Where the mask says cloud, bool, dims ``(time, sample)``.
    kinds
        One of :data:`KINDS` of each sample.
    breaks
        Days of its breaks [days since 1970-01-01] of each sample.
    """

    scenes: xr.Dataset
    covered: xr.DataArray
    kinds: tuple[str, ...]
    breaks: tuple[tuple[int, ...], ...]


def simulate_breaks(*, samples: int, seed: int, first_year: int = 2004, years: int = 12) -> BreakSeries:
    """Draw series, as many of each kind as of another.

    Two satellites pass every 16 days, 8 days apart, the second from the fourth year on. It is cloudy on 35 % of the days of the
    dry season and 75 % of the wet one. Each year its season comes up to two weeks early or late and is up to a fifth stronger
    or weaker. A break lies at least two years from both ends. What follows a break: a clearing becomes pasture, crop
    or bare soil; a partial one changes 25 to 60 % of the pixel; a fire grows back over some years; building stays; two breaks
    are a clearing and, three years or more later, another cover. Drift is a slow change of a fifth of the pixel to another
    cover over all years, and dry years lose much of their green: neither is a break.

    Raises
    ------
    InputError
        With fewer than nine years, or no samples.
    """
    if samples < 1 or years < 9:
        raise InputError(f"{samples} samples of {years} years; at least 1 of 9 years are needed for two breaks")
    random = np.random.default_rng(seed)
    start = int(np.datetime64(f"{first_year}-01-01").astype("datetime64[D]").astype(int))
    days = np.arange(start, start + int(years * YEAR), 8)
    days = days[(np.arange(len(days)) % 2 == 0) | (days > start + 3 * YEAR)]
    kinds = tuple(KINDS[position % len(KINDS)] for position in range(samples))
    values = np.empty((samples, len(BANDS), len(days)))
    cloudy = np.empty((samples, len(days)), bool)
    breaks = []
    for position, kind in enumerate(kinds):
        clean, when = _clean_series(kind, days, random)
        wet = 0.5 - 0.5 * np.cos(2 * np.pi * (days / YEAR - 0.05))
        cloudy[position] = random.random(len(days)) < 0.35 + 0.4 * wet
        noise = random.normal(size=clean.shape) * NOISE[:, None] + random.normal(size=len(days)) * NOISE[:, None] * 0.6
        values[position] = _add_missed_clouds(clean + noise, cloudy[position], random)
        breaks.append(when)
    values = np.clip(values, 0.001, 0.999)
    times = days.astype("datetime64[D]").astype("datetime64[ns]")
    scenes = xr.Dataset(
        {
            band: (("time", "sample"), np.where(cloudy, np.nan, values[:, at]).T.astype(np.float32))
            for at, band in enumerate(BANDS)
        },
        coords={"time": times},
    )
    covered = xr.DataArray(cloudy.T, dims=("time", "sample"), coords={"time": times})
    return BreakSeries(scenes=scenes, covered=covered, kinds=kinds, breaks=tuple(breaks))


def _clean_series(kind: str, days: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...]]:
    """Reflectance (band, time) without noise, and the days of its breaks."""
    first = str(random.choice(LASTING if kind in ("stable", "dry_years", "drift", "building") else LASTING[:3]))
    season = _season(days, random)
    before = _cover(first, season, random)
    if kind == "stable":
        return before, ()
    if kind == "dry_years":
        year = np.floor(days / YEAR)
        dry = np.isin(year, random.choice(np.unique(year), 2, replace=False))
        return before + 0.35 * dry * (_cover("shrub", season, random) - before), ()
    if kind == "drift":
        other = _cover(str(random.choice([name for name in LASTING if name != first])), season, random)
        return before + 0.2 * (days - days[0]) / (days[-1] - days[0]) * (other - before), ()
    span = days[-1] - days[0]
    edge = 2 * YEAR
    when = int(days[0] + random.uniform(edge, span - edge))
    if kind == "building":
        return np.where(days >= when, _cover("urban", season, random), before), (when,)
    if kind == "fire":
        share = np.exp(-(days - when) / (random.uniform(1.5, 5) * YEAR)) * (days >= when)
        return before + share * (_cover("burnt", season, random) - before), (when,)
    after = _cover(str(random.choice(("pasture", "crop", "bare"))), season, random)
    if kind == "partial":
        return before + random.uniform(0.25, 0.6) * (days >= when) * (after - before), (when,)
    if kind == "clearing":
        return np.where(days >= when, after, before), (when,)
    when = int(days[0] + random.uniform(edge, span - edge - 3 * YEAR))
    second = int(random.uniform(when + 3 * YEAR, days[-1] - edge))
    last = _cover(str(random.choice(("urban", "moist_forest", "bare"))), season, random)
    return np.where(days >= second, last, np.where(days >= when, after, before)), (when, second)


def _season(days: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Course of the year between -1 and 1, sharper than a cosine, early or late and strong or weak by year."""
    year = np.floor(days / YEAR).astype(int)
    names, place = np.unique(year, return_inverse=True)
    late = random.uniform(-14, 14, len(names))[place]
    strength = random.uniform(0.8, 1.2, len(names))[place]
    angle = 2 * np.pi * (days - 230 - late) / YEAR
    return strength * (np.cos(angle) + 0.25 * np.cos(2 * angle))


def _cover(name: str, season: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Reflectance (band, time) of one pixel of a cover, 5 % brighter or darker than another one in each band."""
    mean, half_range = (np.array(values)[:, None] for values in COVERS[name])
    green = np.array([-1, -1, -1, 1, -1, -1])[:, None]  # in the green season all but the near infrared is darker
    return (mean * random.normal(1, 0.05, (len(BANDS), 1))) + green * half_range * season


def _add_missed_clouds(values: np.ndarray, cloudy: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Let the mask miss some clouds: they count as clear, and are bright, or dark where it is their shadow."""
    missed = cloudy & (random.random(len(cloudy)) < MISSED)
    cloudy &= ~missed
    share = random.uniform(0.1, 0.9, len(cloudy)) * missed
    shadow = random.random(len(cloudy)) < 0.3
    return np.where(shadow, values * (1 - 0.7 * share), values + share * (CLOUD[:, None] - values))
