"""What a classifier sees of a pixel: one function for training samples and for maps."""

import datetime
import re
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from ceiba.errors import InputError, NoDateError

SEASON_PARTS = 12
POINTS_PER_PART = 2


def annual_features(
    source: xr.Dataset, year: int, *, season_start_month: int = 1, years: Sequence[int] = ()
) -> xr.Dataset:
    """Features of one year, or the mean of those of several, computed pixel by pixel.

    A source without ``time`` (a stack of annual products) is used as it is. A source with at most one date a year (annual
    stacks of several years) gives the layer of ``year``. Anything denser is a series: it becomes season profiles, see
    :func:`season_profile`.

    Parameters
    ----------
    source
        Variables with dims ``(y, x)``, ``(time, y, x)``, or samples in place of ``y, x``; any units, NaN is no data.
    year
        Calendar year in which the season ends, as in "agricultural year 2009": September 2008 to August 2009.
    season_start_month
        First month of a season; 1 makes seasons calendar years.
    years
        Where a map is made of several input years, all of them: features are then the mean of those years that have
        any, pixel by pixel. ``year`` alone where empty.

    Returns
    -------
    xr.Dataset
        One float32 variable a feature, dims of the source without ``time``. No neighbour enters a pixel's value, so a
        sample has the very features that its pixel has in the map.

    Raises
    ------
    NoDateError
        Where the source has no date in ``year``.
    """
    if "time" not in source.dims:
        return source.astype("float32")
    if years and tuple(years) != (year,):
        return _mean_of_years(source, years, year, season_start_month=season_start_month)
    start, end = season_bounds(year, season_start_month)
    inside = (source.time.values >= np.datetime64(start)) & (source.time.values < np.datetime64(end))
    if not inside.any():
        dates = (
            f"{str(source.time.values.min())[:10]} to {str(source.time.values.max())[:10]}"
            if source.sizes["time"]
            else "no date"
        )
        raise NoDateError(f"no date of {start} to {end} among the land-cover features, which have {dates}")
    season = source.isel(time=np.flatnonzero(inside))
    if is_annual(source):
        return season.isel(time=0, drop=True).astype("float32")
    return season_profile(season, start=start, end=end)


def _mean_of_years(source: xr.Dataset, years: Sequence[int], year: int, *, season_start_month: int) -> xr.Dataset:
    layers = []
    for each in years:
        start, end = season_bounds(each, season_start_month)
        if ((source.time.values >= np.datetime64(start)) & (source.time.values < np.datetime64(end))).any():
            layers.append(annual_features(source, each, season_start_month=season_start_month))
    if not layers:
        return annual_features(source, year, season_start_month=season_start_month)  # says which dates there are
    # One year at a time: a stack of all would need the memory of all.
    total = layers[0].fillna(0)
    count = layers[0].notnull().astype("float32")
    for layer in layers[1:]:
        total, count = total + layer.fillna(0), count + layer.notnull()
    return (total / count.where(count > 0)).astype("float32").assign_attrs(source.attrs)


def make_map_features(
    map_years: Callable[[int], Sequence[int]], *, season_start_month: int = 1
) -> Callable[[xr.Dataset, int], xr.Dataset]:
    """A function of a source and a year that gives the features of the map of that year, for samples and maps alike.

    Parameters
    ----------
    map_years
        Year of a map to its input years, as :meth:`ceiba.tasks.Task.map_years` tells them of an input.
    season_start_month
        As in :func:`annual_features`.
    """

    def make(source: xr.Dataset, year: int) -> xr.Dataset:
        return annual_features(source, year, season_start_month=season_start_month, years=map_years(year))

    return make


def is_annual(source: xr.Dataset) -> bool:
    """Whether every calendar year of the source has one date at most: it holds annual products, not a series."""
    years = source.time.dt.year.values
    return len(np.unique(years)) == len(years)


def season_bounds(year: int, season_start_month: int = 1) -> tuple[datetime.date, datetime.date]:
    """First day of the season that ends in ``year``, and the day after its last."""
    if season_start_month == 1:
        return datetime.date(year, 1, 1), datetime.date(year + 1, 1, 1)
    return datetime.date(year - 1, season_start_month, 1), datetime.date(year, season_start_month, 1)


def season_profile(season: xr.Dataset, *, start: datetime.date, end: datetime.date) -> xr.Dataset:
    """Mean of each twelfth of a season, whatever the number of dates.

    Gaps are filled linearly in time, so a season of 22 layers gives the same features as one of 23. On the 100 training
    partitions of dtwSat these profiles and extra-trees beat percentiles with harmonics (98.4 % against 98.1 %).

    Parameters
    ----------
    season
        Variables with dims ``(time, ...)``, any units, NaN is no data.
    start, end
        First day of the season, and the day after its last.

    Returns
    -------
    xr.Dataset
        Variables ``<name>_01`` to ``<name>_12``, float32, units of the source; NaN where a pixel has no date at all.
    """
    points = SEASON_PARTS * POINTS_PER_PART
    days = (season.time.values - np.datetime64(start)) / np.timedelta64(1, "D")
    wanted = (np.arange(points) + 0.5) / points * (end - start).days
    features = {}
    for name, variable in season.data_vars.items():
        values = variable.transpose("time", ...)
        regular = interpolate_series(values.values.astype("float64"), days, wanted)
        for part in range(SEASON_PARTS):
            first = part * POINTS_PER_PART
            mean = regular[first : first + POINTS_PER_PART].mean(axis=0).astype("float32")
            features[f"{name}_{part + 1:02d}"] = values.isel(time=0, drop=True).copy(data=mean)
    return xr.Dataset(features, attrs=season.attrs)


def count_dates(names: Sequence[str]) -> int:
    """Dates of features that are regular series: ``<band>_01`` to the last date, one band after another; 0 where they are none."""
    parts = [re.fullmatch(r"(.+)_(\d\d)", name) for name in names]
    if not all(parts):
        return 0
    bands = [part[1] for part in parts]
    dates = bands.count(bands[0]) if bands else 0
    regular = [f"{band}_{date + 1:02d}" for band in dict.fromkeys(bands) for date in range(dates)]
    return dates if dates > 1 and regular == list(names) else 0


def interpolate_series(values: np.ndarray, days: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Linear interpolation in time, over gaps too; held constant before the first and after the last valid date.

    Parameters
    ----------
    values
        Series, dims ``(time, ...)``, NaN is no data.
    days, wanted
        Dates of the series (ascending) and dates asked for [days since any day].

    Returns
    -------
    np.ndarray
        Dims ``(wanted, ...)``; NaN where a series has no valid date. Equal to :func:`numpy.interp` for each pixel.
    """
    if np.any(np.diff(days) <= 0):
        raise InputError("the dates of a series must ascend and differ")
    out = np.full((len(wanted), *values.shape[1:]), np.nan)
    valid = np.isfinite(values)
    steps = np.arange(len(days)).reshape(-1, *[1] * (values.ndim - 1))
    # Nearest valid layer before and after each layer, for all pixels at once.
    before = np.maximum.accumulate(np.where(valid, steps, -1), axis=0)
    after = np.minimum.accumulate(np.where(valid, steps, len(days))[::-1], axis=0)[::-1]
    some = valid.any(axis=0)
    for number, day in enumerate(wanted):
        position = int(np.searchsorted(days, day, side="right"))
        low = before[position - 1] if position > 0 else np.full(some.shape, -1)
        high = after[position] if position < len(days) else np.full(some.shape, len(days))
        low = np.where(low < 0, np.minimum(high, len(days) - 1), low)
        high = np.where(high >= len(days), low, high)
        value_low = np.take_along_axis(values, low[None], axis=0)[0]
        value_high = np.take_along_axis(values, high[None], axis=0)[0]
        span = days[high] - days[low]
        weight = np.clip((day - days[low]) / np.where(span > 0, span, 1.0), 0.0, 1.0) * (span > 0)
        out[number] = np.where(some, value_low + weight * (value_high - value_low), np.nan)
    return out
