"""What the clear dates of a period say of each pixel: lowest, highest, mean, percentiles, date of the peak, number.

Minimum and maximum are those of single dates: one cloud or shadow that the mask missed sets them. The 10th and 90th
percentile are their robust kin, which one bad date in ten cannot move; compare years by these.
"""

from collections.abc import Sequence

import numba
import numpy as np
import xarray as xr

from ceiba.errors import InputError
from ceiba.mosaics.sorting_networks import sorting_network
from ceiba.mosaics.stored import (
    Encoding,
    as_lanes,
    check_grid,
    grid_attrs,
    place_of,
    read_encoding,
    reduce_blocks,
)

LANES = 32  # pixels that a kernel works on side by side
PERCENTILES = (10.0, 50.0, 90.0)
NO_DAY = 0  # day of year where there is no peak
FIXED_ROWS = ("min", "max", "mean", "peak_day", "count")
MEANINGS = {
    "min": "lowest value of the clear dates",
    "max": "highest value of the clear dates",
    "mean": "mean of the clear dates",
    "peak_day": "day of year of the highest value, the first where there are several",
    "count": "clear observations",
}
# Not fast: a result must be the same to the bit whatever lies beside it.
JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


def ndvi_of_period(
    bands: xr.Dataset,
    clear: xr.DataArray,
    *,
    percentiles: Sequence[float] = PERCENTILES,
    min_observations: int = 1,
) -> xr.Dataset:
    """Statistics of the NDVI of the clear dates of a period, from the scenes as they are stored.

    A date counts where it is clear, neither band is missing, neither reflectance is negative and one is not 0: NDVI is
    then -1 to 1. A negative reflectance is an atmospheric correction gone too far, and its NDVI would be the minimum or
    maximum of the year. No reflectance and no NDVI of all dates is ever held, only that of 32 pixels.

    Parameters
    ----------
    bands
        ``red`` and ``nir``, dims ``(time, y, x)``: integers with the attributes ``nodata``, ``scale`` and ``offset``, or
        floats in reflectance [1] with NaN.
    clear
        Whether an observation is clear, boolean, dims ``(time, y, x)``.
    percentiles
        Percentiles [%] to give, 0 to 100; linear between the two nearest dates.
    min_observations
        Pixels with fewer dates have no statistics; their count is kept.

    Returns
    -------
    xr.Dataset
        dims ``(y, x)``: ``min``, ``max``, ``mean`` and ``p<percentile>`` [1], float32, NaN where there are too few
        dates; ``peak_day`` [day of year], uint16, 1 to 366 and 0 where there are too few; ``count`` [1], uint16. Lazy
        where the bands are.

    Raises
    ------
    InputError
        A band is missing, or has other dims, no dates or no known scale; the mask does not fit; a percentile is not
        within 0 and 100.

    References
    ----------
    NDVI: Rouse et al. 1974, NASA SP-351. Percentiles: Hyndman and Fan 1996, doi:10.1080/00031305.1996.10473566, type 7.
    """
    missing = [name for name in ("red", "nir") if name not in bands]
    if missing:
        raise InputError(f"NDVI needs red and nir; missing: {', '.join(missing)}")
    red, nir = bands.red, bands.nir
    encodings = (read_encoding("red", red), read_encoding("nir", nir))
    check_grid(clear, red)
    check_grid(clear, nir)
    order, days = _order_of_dates(red)
    shares = _shares(percentiles)

    def compute(red: np.ndarray, nir: np.ndarray, clear: np.ndarray) -> np.ndarray:
        return _ndvi_statistics(red, nir, clear, encodings, order, days, shares, min_observations)

    stack = reduce_blocks(compute, (red, nir, clear), rows=len(FIXED_ROWS) + len(shares))
    return _as_dataset(stack, red, percentiles, "NDVI")


def statistics_of_dates(
    values: xr.DataArray, *, percentiles: Sequence[float] = PERCENTILES, min_observations: int = 1
) -> xr.Dataset:
    """The same statistics of any quantity.

    Parameters
    ----------
    values
        Any unit, float, dims ``(time, y, x)``; NaN is no data.
    percentiles, min_observations
        As in :func:`ndvi_of_period`.

    Returns
    -------
    xr.Dataset
        As :func:`ndvi_of_period`, in the unit of ``values``.

    Raises
    ------
    InputError
        Other dims, no dates, no floats, or a percentile that is not within 0 and 100.
    """
    read_encoding(str(values.name or "values"), values)
    if values.dtype.kind != "f":
        raise InputError(f"values are {values.dtype}; give floats with NaN where there is no data")
    order, days = _order_of_dates(values)
    shares = _shares(percentiles)

    def compute(values: np.ndarray) -> np.ndarray:
        return _value_statistics(values, order, days, shares, min_observations)

    stack = reduce_blocks(compute, (values,), rows=len(FIXED_ROWS) + len(shares))
    return _as_dataset(stack, values, percentiles, str(values.attrs.get("long_name", values.name or "value")))


def percentile_name(percentile: float) -> str:
    """Name of the variable of a percentile [%]: ``p10``."""
    return f"p{percentile:g}"


def _shares(percentiles: Sequence[float]) -> np.ndarray:
    shares = np.asarray(percentiles, np.float64) / 100
    if shares.ndim != 1 or not ((shares >= 0) & (shares <= 1)).all():
        raise InputError(f"percentiles are {list(percentiles)}; give numbers from 0 to 100")
    return shares


def _order_of_dates(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the dates from the first to the last, and the day of year of each position."""
    times = values["time"]
    if times.dtype.kind != "M":
        raise InputError(f"the dates of the observations are {times.dtype}; give the coordinate time as datetime64")
    return np.argsort(times.values, kind="stable"), times.dt.dayofyear.values.astype(np.float32)


def _as_dataset(stack: np.ndarray, like: xr.DataArray, percentiles: Sequence[float], quantity: str) -> xr.Dataset:
    names = [*FIXED_ROWS, *(percentile_name(value) for value in percentiles)]
    result = xr.Dataset(coords=place_of(like))
    units = like.attrs.get("units", "1") if like.dtype.kind == "f" else "1"
    for position, name in enumerate(names):
        layer = stack[position]
        attrs = {"units": units, "nodata": np.nan}
        if name in ("peak_day", "count"):
            layer = layer.astype(np.uint16)
            attrs = {"units": "1" if name == "count" else "d", "nodata": NO_DAY if name == "peak_day" else 0}
        meaning = MEANINGS.get(name, f"percentile {name[1:]} of the clear dates")
        result[name] = (("y", "x"), layer, attrs | {"long_name": f"{quantity}: {meaning}"} | grid_attrs(like))
    return result


def _ndvi_statistics(
    red: np.ndarray,
    nir: np.ndarray,
    clear: np.ndarray,
    encodings: tuple[Encoding, Encoding],
    order: np.ndarray,
    days: np.ndarray,
    shares: np.ndarray,
    min_observations: int,
) -> np.ndarray:
    shape = red.shape[1:]
    flat = [as_lanes(array, LANES) for array in (red, nir, clear)]
    missing = [band.dtype.type(encoding.nodata) for band, encoding in zip(flat[:2], encodings, strict=True)]
    numbers = [np.float32(value) for encoding in encodings for value in (encoding.scale, encoding.offset)]
    result = np.empty((len(FIXED_ROWS) + len(shares), flat[0].shape[1]), np.float32)
    network = sorting_network(len(red))
    _ndvi_of_pixels(*flat, *missing, *numbers, order, days, shares, network, max(min_observations, 1), result)
    return result[:, : shape[0] * shape[1]].reshape(-1, *shape)


def _value_statistics(
    values: np.ndarray, order: np.ndarray, days: np.ndarray, shares: np.ndarray, min_observations: int
) -> np.ndarray:
    shape = values.shape[1:]
    flat = as_lanes(values, LANES)
    result = np.empty((len(FIXED_ROWS) + len(shares), flat.shape[1]), np.float32)
    network = sorting_network(len(values))
    _values_of_pixels(flat, order, days, shares, network, max(min_observations, 1), result)
    return result[:, : shape[0] * shape[1]].reshape(-1, *shape)


@numba.njit(**JIT)
def _ndvi_of_pixels(
    red, nir, clear, red_nodata, nir_nodata, red_scale, red_offset, nir_scale, nir_offset,
    order, days, shares, network, fewest, result,
):  # fmt: skip
    values = np.empty((len(order), LANES), np.float32)
    for first in range(0, red.shape[1], LANES):
        for row in range(len(order)):
            t = order[row]
            for lane in range(LANES):
                r, n = red[t, first + lane], nir[t, first + lane]
                red_value = np.float32(r) * red_scale + red_offset
                nir_value = np.float32(n) * nir_scale + nir_offset
                total = nir_value + red_value
                valid = clear[t, first + lane] & (r != red_nodata) & (n != nir_nodata)
                valid = valid & (red_value >= 0) & (nir_value >= 0) & (total > 0)
                values[row, lane] = (nir_value - red_value) / total if valid else np.float32(np.inf)
        _summarize(values, order, days, shares, network, fewest, first, result)


@numba.njit(**JIT)
def _values_of_pixels(observed, order, days, shares, network, fewest, result):
    values = np.empty((len(order), LANES), np.float32)
    for first in range(0, observed.shape[1], LANES):
        for row in range(len(order)):
            for lane in range(LANES):
                value = np.float32(observed[order[row], first + lane])
                values[row, lane] = value if abs(value) < np.inf else np.float32(np.inf)
        _summarize(values, order, days, shares, network, fewest, first, result)


@numba.njit(**JIT)
def _summarize(values, order, days, shares, network, fewest, first, result):
    """Statistics of LANES pixels whose ``values[date, lane]`` are infinite where there is none; sorts them."""
    dates = values.shape[0]
    count = np.zeros(LANES, np.int64)
    total = np.zeros(LANES, np.float64)
    highest = np.full(LANES, -np.inf, np.float32)
    peak = np.zeros(LANES, np.float32)
    for row in range(dates):
        day = days[order[row]]
        for lane in range(LANES):
            value = values[row, lane]
            seen = value < np.inf
            count[lane] += 1 if seen else 0
            total[lane] += np.float64(value) if seen else 0.0
            higher = seen & (value > highest[lane])
            highest[lane] = value if higher else highest[lane]
            peak[lane] = day if higher else peak[lane]
    for pair in range(len(network)):
        low, high = network[pair, 0], network[pair, 1]
        for lane in range(LANES):
            a, b = values[low, lane], values[high, lane]
            values[low, lane] = min(a, b)
            values[high, lane] = max(a, b)
    for lane in range(LANES):
        n = count[lane]
        enough = n >= fewest
        at = first + lane
        result[0, at] = values[0, lane] if enough else np.nan
        result[1, at] = highest[lane] if enough else np.nan
        result[2, at] = total[lane] / n if enough else np.nan
        result[3, at] = peak[lane] if enough else NO_DAY
        result[4, at] = n
        for position in range(len(shares)):
            place = shares[position] * (max(n, 1) - 1)
            below = int(place)
            above = min(below + 1, max(n, 1) - 1)
            lower, upper = np.float64(values[below, lane]), np.float64(values[above, lane])
            value = lower if above == below else lower + (place - below) * (upper - lower)
            result[5 + position, at] = value if enough else np.nan
