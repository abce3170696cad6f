"""Near-real-time alerts: does what comes in still agree with a stable history? (BFAST monitor), compiled, over blocks."""

import numba
import numpy as np
import xarray as xr
from scipy.optimize import brentq
from scipy.stats import norm
from tqdm.auto import tqdm

from ceiba.change.breaks.harmonics import YEAR_DAYS
from ceiba.change.breaks.normal_equations import add_products, factorize, leverage_of, substitute, substitute_back
from ceiba.change.breaks.ordering import median_of
from ceiba.errors import InputError

CRITICAL_VALUES = {
    0.25: {0.05: 1.3418, 0.025: 1.4238, 0.01: 1.5216, 0.005: 1.5980, 0.001: 1.7455},
    0.5: {0.05: 1.9020, 0.025: 2.0444, 0.01: 2.2091, 0.005: 2.3255, 0.001: 2.5703},
    1.0: {0.05: 2.7459, 0.025: 2.9800, 0.01: 3.2769, 0.005: 3.4742, 0.001: 3.9410},
}
"""Of the moving sum of least-squares residuals, by the window's share of the history and the chance of a false alert, for
monitoring up to ten times the history: simulated for R's strucchange (Zeileis et al. 2005, doi:10.1002/jae.776)."""
LONGEST = 10  # times the history that the critical values hold for
MEMORY_DAYS = YEAR_DAYS / 2
"""How far apart observations share what is particular to a year, as a season that is late or weak: about a season."""
NO_DAY = np.iinfo(np.int32).min
BLOCK_BYTES = 64_000_000


def monitor_series(
    values: xr.DataArray,
    *,
    start: np.datetime64 | str,
    harmonics: int = 3,
    trend: bool = False,
    window: float = 0.25,
    false_alerts: float = 0.05,
    stable_history: bool = True,
    independent: bool = False,
    block_bytes: int = BLOCK_BYTES,
    progress: bool = False,
) -> xr.Dataset:
    """First day from ``start`` on at which a series leaves the course of its history.

    Harmonics of the year, and a trend, are fitted to the history by least squares. An alert is given where the moving sum of the
    residuals crosses its boundary, which a stable series does with the chance ``false_alerts``, however long it is
    watched (Verbesselt et al. 2012, doi:10.1016/j.rse.2012.02.022).

    The published boundary holds for residuals that know nothing of each other, around a constant. Years differ, so here each
    moving sum is measured by its own standard deviation: of the model that was fitted, whose trend is the less sure the farther
    it is continued, and of the long-run variance of the residuals (Newey and West 1987, doi:10.2307/1913610). A history of few
    years knows that variance badly, which Student's distribution accounts for, with three degrees of freedom a year.

    Parameters
    ----------
    values
        An index or a band, dims ``(time, ...)``; NaN is not seen or not clear. Lazy data is read by blocks.
    start
        First day that is monitored.
    harmonics, trend
        Cycles a year, 1 to 3, and whether there is a trend, which would be continued: breaks behind a history of few years
        are then rarely told.
    window
        Length of the moving sum as a share of the history: 0.25, 0.5 or 1.
    false_alerts
        0.05, 0.025, 0.01, 0.005 or 0.001.
    stable_history
        Whether only the last stable part of the history is taken, told by reversed recursive residuals (Pesaran and
        Timmermann 2002, doi:10.1016/S0927-5398(02)00007-5) at a level of 5 %.
    independent
        Whether residuals count as independent, with the boundary as published: where years differ, false alerts are then
        several times as many as asked.

    Returns
    -------
    xr.Dataset
        Dims ``(...)``: ``alert_day`` [days since 1970-01-01], int32, lowest number where there is none; ``magnitude`` [as
        values], the median of observed minus predicted of what was monitored; ``crossing`` [1], the largest ratio of the
        moving sum to its boundary; ``history_start_day``; ``history_count`` and ``monitored_count`` [1]. No numbers, and
        NaN, where the history spans less than a year, has fewer than twice as many observations as the model has terms, or
        does not fix them.

    Raises
    ------
    InputError
        An option is not one of those named, or there is no time.
    """
    if "time" not in values.dims or "time" not in values.coords or values.time.dtype.kind != "M":
        raise InputError(f"a series needs dates along time; given dims {', '.join(map(str, values.dims))}")
    if harmonics not in (1, 2, 3):
        raise InputError(f"{harmonics} harmonics; 1, 2 or 3 are possible")
    critical = _critical_value(window, false_alerts)
    values = values.sortby("time")
    days = values.time.values.astype("datetime64[D]").astype(np.int64)
    first_day = int(np.datetime64(start, "D").astype(int))
    others = [dim for dim in values.dims if dim != "time"]
    shape = tuple(values.sizes[dim] for dim in others)
    flat = (
        values.transpose(*others, "time").stack(pixel=others)
        if len(others) != 1
        else values.rename({others[0]: "pixel"})
    )
    flat = flat.reset_index("pixel", drop=True) if "pixel" in flat.indexes else flat
    design = monitoring_design(days, harmonics=harmonics, trend=trend)
    pixels = flat.sizes["pixel"]
    out_days = np.full((pixels, 2), NO_DAY, np.int32)
    out_numbers, counts = np.full((pixels, 2), np.nan, np.float32), np.zeros((pixels, 2), np.int32)
    size = max(1, block_bytes // (8 * max(len(days), 1)))
    roc = _rec_cusum_critical(0.05) if stable_history else np.inf
    for first in tqdm(range(0, pixels, size), desc="blocks", unit="block", disable=not progress):
        part = slice(first, first + size)
        block = np.ascontiguousarray(flat.isel(pixel=part).transpose("pixel", "time").values, np.float64)
        watch_block(
            days, design, block, first_day, window, critical, roc, independent,
            out_days[part], out_numbers[part], counts[part],
        )  # fmt: skip
    dated = {"units": "days since 1970-01-01", "nodata": NO_DAY}
    units = {"units": values.attrs.get("units", "1")}
    return xr.Dataset(
        {
            "alert_day": (others, out_days[:, 0].reshape(shape), dated),
            "history_start_day": (others, out_days[:, 1].reshape(shape), dated),
            "magnitude": (others, out_numbers[:, 0].reshape(shape), units),
            "crossing": (others, out_numbers[:, 1].reshape(shape), {"units": "1"}),
            "history_count": (others, counts[:, 0].reshape(shape), {"units": "1"}),
            "monitored_count": (others, counts[:, 1].reshape(shape), {"units": "1"}),
        },
        coords={name: value for name, value in values.coords.items() if "time" not in value.dims},
    )


def monitoring_design(days: np.ndarray, *, harmonics: int, trend: bool) -> np.ndarray:
    """Terms of the model of the history: 1, the year where there is a trend, and harmonics, dims ``(time, term)``."""
    years = np.asarray(days, np.float64) / YEAR_DAYS
    columns = [np.ones_like(years)]
    if trend:
        columns.append(years - years.mean())
    for cycles in range(1, harmonics + 1):
        columns += [np.cos(2 * np.pi * cycles * years), np.sin(2 * np.pi * cycles * years)]
    return np.stack(columns, axis=-1)


def _critical_value(window: float, false_alerts: float) -> float:
    if window not in CRITICAL_VALUES or false_alerts not in CRITICAL_VALUES[window]:
        levels = ", ".join(map(str, CRITICAL_VALUES[0.25]))
        raise InputError(
            f"a window of {window} and {false_alerts} of false alerts; there are windows of "
            f"{', '.join(map(str, CRITICAL_VALUES))} and shares of {levels}"
        )
    return CRITICAL_VALUES[window][false_alerts]


def _rec_cusum_critical(level: float) -> float:
    """Critical value of the cumulative sum of recursive residuals (Brown, Durbin and Evans 1975)."""

    def excess(value: float) -> float:
        tail = norm.sf(3 * value) + np.exp(-4 * value**2) * (norm.cdf(value) + norm.cdf(5 * value) - 1)
        return 2 * (tail - np.exp(-16 * value**2) * norm.sf(value)) - level

    return float(brentq(excess, 0.3, 3.0))


@numba.njit(cache=True, nogil=True)
def watch_block(days, design, values, first_day, window, critical, roc, independent, out_days, out_numbers, counts):
    """Alerts of each pixel; ``values`` have dims ``(pixel, time)``, the last three are filled as :func:`monitor_series` says."""
    terms, dates = design.shape[1], design.shape[0]
    rows, observed, residuals = np.empty(dates, np.int64), np.empty(dates), np.empty(dates)
    solution, inside, past = np.empty(terms), np.empty(terms), np.empty(terms)
    for pixel in range(values.shape[0]):
        count = history = np.int64(0)
        for date in range(dates):
            if np.isfinite(values[pixel, date]):
                rows[count], observed[count] = date, values[pixel, date]
                count += 1
                history += days[date] < first_day
        begin = stable_start(design, rows, observed, history, roc) if roc < np.inf else np.int64(0)
        size = history - begin
        counts[pixel, 0], counts[pixel, 1] = size, count - history
        length = int(np.floor(window * size))
        if size < 2 * terms or length < 1 or days[rows[history - 1]] - days[rows[begin]] < YEAR_DAYS:
            continue
        products = np.zeros((terms, terms))
        for term in range(terms):
            solution[term] = 0.0
        for position in range(begin, history):
            add_products(products, design[rows[position]], 1.0)
            for term in range(terms):
                solution[term] += design[rows[position], term] * observed[position]
        if factorize(products):
            continue
        substitute(products, solution)
        substitute_back(products, solution)
        for position in range(begin, count):
            value = observed[position]
            for term in range(terms):
                value -= design[rows[position], term] * solution[term]
            residuals[position - begin] = value
        out_days[pixel, 1] = days[rows[begin]]
        variance, freedom = long_run_variance(days[rows[begin:history]], residuals, terms, independent)
        if count == history or variance == 0.0:
            continue
        moving, largest = 0.0, 0.0
        inside[:], past[:] = 0.0, 0.0  # sums of the model's terms over the window, and over its part in the history
        for position in range(size - length, size):
            moving += residuals[position]
            for term in range(terms):
                inside[term] += design[rows[begin + position], term]
                past[term] += design[rows[begin + position], term]
        for position in range(size, min(count - begin, LONGEST * size)):
            oldest = position - length
            moving += residuals[position] - residuals[oldest]
            for term in range(terms):
                inside[term] += design[rows[begin + position], term] - design[rows[begin + oldest], term]
                past[term] -= design[rows[begin + oldest], term] if oldest < size else 0.0
            shared = max(size - oldest - 1, 0)
            expected = length - 2.0 * shared * length / size + length * length / size  # of a constant mean
            own = expected if independent else length + _variance_of_model(products, inside, past)
            distance = abs(moving) / np.sqrt(variance * own)
            if freedom < np.inf:  # as far out in the normal distribution as in Student's (Wallace 1959)
                distance = np.sqrt(freedom * np.log(1.0 + distance**2 / freedom))
                distance *= (8 * freedom + 1) / (8 * freedom + 3)
            share = (position + 1) / size
            growth = 1.0 if share <= np.e else np.log(share)
            ratio = distance * np.sqrt(expected / (2.0 * growth * size)) / critical
            largest = max(largest, ratio)
            if ratio > 1.0 and out_days[pixel, 0] == NO_DAY:
                out_days[pixel, 0] = days[rows[begin + position]]
        later = residuals[size : count - begin]
        out_numbers[pixel, 0], out_numbers[pixel, 1] = median_of(later, count - history), largest


@numba.njit(cache=True, nogil=True)
def long_run_variance(days, residuals, terms, independent):
    """Variance of a sum of residuals for each of them, and its degrees of freedom.

    Products of residuals that lie closer than the memory count by how close they are (Bartlett's weights, as Newey and West
    1987), and what the fitted mean takes from them is given back; that of independent residuals is taken where it is larger.
    Bartlett's weights leave 1.5 degrees of freedom for each memory that the history spans (Priestley 1981, chapter 6).
    """
    size = len(days)
    squares = total = 0.0
    for position in range(size):
        squares += residuals[position] ** 2
        for earlier in range(position - 1, -1, -1):
            gap = days[position] - days[earlier]
            if gap >= MEMORY_DAYS:
                break
            total += 2.0 * (1.0 - gap / MEMORY_DAYS) * residuals[position] * residuals[earlier]
    if independent:
        return squares / (size - terms), np.inf
    share = MEMORY_DAYS / (days[size - 1] - days[0])
    return max((squares + total) / (1.0 - share), squares) / (size - terms), 1.5 / share


@numba.njit(cache=True, nogil=True)
def _variance_of_model(factor, inside, past):
    """What the uncertain model adds to the variance of a moving sum, for a variance of 1; ``inside`` and ``past`` are the sums of
    its terms over the window and over its part in the history."""
    terms = len(inside)
    whole, shared = np.empty(terms), np.empty(terms)
    for term in range(terms):
        whole[term], shared[term] = inside[term], past[term]
    substitute(factor, whole)
    substitute(factor, shared)
    added = 0.0
    for term in range(terms):
        added += whole[term] * (whole[term] - 2.0 * shared[term])
    return added


@numba.njit(cache=True, nogil=True)
def stable_start(design, rows, observed, history, critical):
    """First observation of the history behind the last break in it, seen from its end."""
    terms = design.shape[1]
    count = history - terms
    if count < 2:
        return np.int64(0)
    products, factor = np.zeros((terms, terms)), np.empty((terms, terms))
    gradient, forward, solution = np.zeros(terms), np.empty(terms), np.empty(terms)
    recursive = np.empty(count)
    mean = 0.0
    for step in range(history):
        position = history - 1 - step
        row = rows[position]
        if step >= terms:
            for term in range(terms):
                forward[term], solution[term] = design[row, term], gradient[term]
                for other in range(terms):
                    factor[term, other] = products[term, other]
            factorize(factor)
            substitute(factor, solution)
            substitute_back(factor, solution)
            substitute(factor, forward)
            value = observed[position]
            for term in range(terms):
                value -= design[row, term] * solution[term]
            recursive[step - terms] = value / np.sqrt(1.0 + leverage_of(forward))
            mean += recursive[step - terms] / count
        add_products(products, design[row], 1.0)
        for term in range(terms):
            gradient[term] += design[row, term] * observed[position]
    squares = 0.0
    for value in recursive:
        squares += (value - mean) ** 2
    scatter = np.sqrt(squares / (count - 1))
    total = 0.0
    for step in range(count):
        total += recursive[step]
        if abs(total) > critical * scatter * np.sqrt(count) * (1.0 + 2.0 * (step + 1) / count):
            return np.int64(history - terms - step)
    return np.int64(0)
