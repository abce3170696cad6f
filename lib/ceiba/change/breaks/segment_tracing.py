"""The compiled procedure that walks along a pixel's series and cuts it where its models break.

Written from Zhu and Woodcock 2014 (doi:10.1016/j.rse.2014.01.011) and the procedure of the United States' LCMAP, whose steps are:
find a year that one model describes, look back from it, then forward until so many observations in a row disagree that
the land must have changed, and begin again behind the break.
"""

import numba
import numpy as np

from ceiba.change.breaks.harmonics import fit_bands, predict
from ceiba.change.breaks.ordering import median_of, sort_first
from ceiba.change.breaks.screening import screen_window

LEAST = 12  # observations that a model needs
YEAR = 365  # days that the first model of a segment must span
FEW = (
    24  # observations up to which a model is fitted anew with each one, and that the scatter of a season is taken from
)
REFIT_SPAN = 1.33  # times the span of the last fit after which a model is fitted anew
SEASON_DAYS = 365.25
LEAST_SCATTER = 1e-6

SIMPLE = np.int64(4)  # terms of a model of few observations
STANDARD, AT_START, AT_END, INSUFFICIENT, SNOW = 1, 2, 3, 4, 5


@numba.njit(cache=True, nogil=True)
def trace_series(days, basis, values, keep, count, bands, screening, roughness, peek, limits, penalty, out):
    """Segments of one series; ``keep[:count]`` are its observations, of which outliers get lost. Returns their number.

    ``limits`` are those of change and of an outlier; ``out`` are the arrays that :func:`write_segment` fills.
    """
    # numbers in a call compile a function anew for each of them, typed ones do not
    segments, start, stop, previous = np.int64(0), np.int64(0), np.int64(LEAST), np.int64(0)
    models = np.empty((values.shape[0], basis.shape[1] + 1))
    rmse = np.empty(values.shape[0])
    residuals = np.empty((values.shape[0], count))
    work = (models, rmse, residuals)
    while stop <= count - LEAST:
        found, start, stop, count = _initialize(
            days, basis, values, keep, count, start, stop, bands, screening, roughness, limits[0], penalty, work
        )
        if not found:
            break
        if start > previous:
            start, stop, count = _look_back(
                days, basis, values, keep, count, start, stop, previous, bands, roughness, peek, limits, work
            )
        if start - previous > peek and segments == 0:
            _fit_rest(
                days, basis, values, keep, previous, start, count, np.int64(AT_START), penalty, work, segments, out
            )
            segments += 1
        if stop + peek > count:
            break
        stop, count = _look_forward(
            days, basis, values, keep, count, start, stop, bands, roughness, peek, limits, penalty, work, segments, out
        )
        segments += 1
        previous = start = stop
        stop = start + LEAST
    if previous + peek < count:
        _fit_rest(days, basis, values, keep, previous, count, count, np.int64(AT_END), penalty, work, segments, out)
        segments += 1
    return segments


@numba.njit(cache=True, nogil=True)
def write_segment(out, segment, dates, kind, observations, probability, models, rmse):
    """Fill row ``segment`` of the arrays for days, facts, probability, coefficients and rmse."""
    days, facts, probabilities, coefficients, scatters, magnitudes = out
    days[segment, 0], days[segment, 1], days[segment, 2] = dates
    facts[segment, 0], facts[segment, 1] = kind, observations
    probabilities[segment] = probability
    for band in range(models.shape[0]):
        for term in range(models.shape[1]):
            coefficients[segment, band, term] = models[band, term]
        scatters[segment, band] = rmse[band]
        magnitudes[segment, band] = np.nan


@numba.njit(cache=True, nogil=True)
def _initialize(days, basis, values, keep, count, start, stop, bands, screening, roughness, limit, penalty, work):
    """Move on to the first window of a year or more that is free of outliers and that one model describes."""
    outliers = np.empty(count, np.bool_)
    models, rmse, residuals = work
    while stop + LEAST < count:
        if days[keep[stop - 1]] - days[keep[start]] < YEAR:
            stop += 1
            continue
        marked = screen_window(days, basis, values, keep, start, stop, screening, roughness, outliers)
        left = stop - start - marked
        if left < LEAST or _span_left(days, keep, start, stop, outliers) < YEAR:
            stop += 1
            continue
        if marked:
            count = _drop_marked(keep, count, start, stop, outliers)
            stop -= marked
        fit_bands(basis, values, keep, start, stop, SIMPLE, penalty, models, rmse, residuals)
        span = days[keep[stop - 1]] - days[keep[start]]
        total = 0.0
        for band in bands:
            scatter = max(roughness[band], rmse[band], LEAST_SCATTER)
            ends = abs(residuals[band, 0]) + abs(residuals[band, stop - start - 1])
            total += ((abs(models[band, 1] * span) + ends) / scatter) ** 2
        if total < limit:
            return True, start, stop, count
        start += 1
        stop += 1
    return False, start, stop, count


@numba.njit(cache=True, nogil=True)
def _span_left(days, keep, start, stop, outliers):
    first, last = start, stop - 1
    while outliers[first - start]:
        first += 1
    while outliers[last - start]:
        last -= 1
    return days[keep[last]] - days[keep[first]]


@numba.njit(cache=True, nogil=True)
def _drop_marked(keep, count, start, stop, outliers):
    place = start
    for position in range(start, count):
        if position >= stop or not outliers[position - start]:
            keep[place] = keep[position]
            place += 1
    return place


@numba.njit(cache=True, nogil=True)
def _drop_one(keep, count, position):
    for place in range(position, count - 1):
        keep[place] = keep[place + 1]
    return count - 1


@numba.njit(cache=True, nogil=True)
def _disagreement(basis, values, models, row, bands, scatter):
    """Sum of squared residuals over the bands, each in units of its scatter: chi-square of unchanged land."""
    total = 0.0
    for position in range(len(bands)):
        band = bands[position]
        difference = (values[band, row] - predict(models[band], basis[row])) / scatter[position]
        total += difference * difference
    return total


@numba.njit(cache=True, nogil=True)
def _look_back(days, basis, values, keep, count, start, stop, previous, bands, roughness, peek, limits, work):
    """Take observations before the window in, as long as its model holds for them."""
    models, rmse, residuals = work
    scatter = np.empty(len(bands))
    for position in range(len(bands)):
        scatter[position] = max(roughness[bands[position]], rmse[bands[position]], LEAST_SCATTER)
    while start > previous:
        # one observation fewer is asked for than forward, as LCMAP does
        last = start - peek + 1 if start - previous > peek else previous
        smallest = np.inf
        for position in range(start - 1, last - 1, -1):
            smallest = min(smallest, _disagreement(basis, values, models, keep[position], bands, scatter))
        if smallest > limits[0]:
            break
        if _disagreement(basis, values, models, keep[start - 1], bands, scatter) > limits[1]:
            count = _drop_one(keep, count, start - 1)
            start -= 1
            stop -= 1
        else:
            start -= 1
    return start, stop, count


@numba.njit(cache=True, nogil=True)
def _look_forward(
    days, basis, values, keep, count, start, stop, bands, roughness, peek, limits, penalty, work, segment, out
):
    """Move on until ``peek`` observations in a row disagree, and write the segment."""
    models, rmse, residuals = work
    scatter = np.empty(len(bands))
    fit_first, fit_count, fit_span = start, 0, 0
    order, phases = np.empty(count, np.int64), np.empty(count)
    changed = False
    while stop + peek <= count:
        span = days[keep[stop - 1]] - days[keep[start]]
        if fit_count == 0 or stop - start < FEW or span >= REFIT_SPAN * fit_span:
            terms = SIMPLE if stop - start < 18 else (6 if stop - start < 24 else 8)
            fit_bands(basis, values, keep, start, stop, terms, penalty, models, rmse, residuals)
            fit_first, fit_count, fit_span = start, stop - start, span
            if fit_count >= FEW - 1:
                _order_by_season(days, keep, fit_first, fit_count, order, phases)
        if stop - start <= FEW:
            for position in range(len(bands)):
                scatter[position] = rmse[bands[position]]
        else:
            _scatter_of_season(days[keep[stop + peek - 1]], order, phases, fit_count, residuals, bands, scatter)
        for position in range(len(bands)):
            scatter[position] = max(scatter[position], roughness[bands[position]], LEAST_SCATTER)
        first = _disagreement(basis, values, models, keep[stop], bands, scatter)
        if first > limits[0]:
            agreeing = stop + 1
            while agreeing < stop + peek:
                if _disagreement(basis, values, models, keep[agreeing], bands, scatter) <= limits[0]:
                    break
                agreeing += 1
            changed = agreeing == stop + peek
            if changed:
                break
            if first > limits[1]:
                count = _drop_one(keep, count, stop)
                continue
        stop += 1
    ahead, probability = stop, 1.0
    if not changed:
        ahead = count
        while ahead > stop and _disagreement(basis, values, models, keep[ahead - 1], bands, scatter) > limits[0]:
            ahead -= 1
        probability = (count - ahead) / peek
    break_day = days[keep[min(ahead, count - 1)]]
    dates = (days[keep[start]], days[keep[stop - 1]], break_day)
    write_segment(out, segment, dates, np.int64(STANDARD), stop - start, probability, models, rmse)
    if probability > 0:
        disagreeing = min(peek, count - ahead)
        differences = np.empty(disagreeing)
        for band in range(values.shape[0]):
            for position in range(disagreeing):
                row = keep[ahead + position]
                differences[position] = values[band, row] - predict(models[band], basis[row])
            out[5][segment, band] = median_of(differences, disagreeing)
    return stop, count


@numba.njit(cache=True, nogil=True)
def _order_by_season(days, keep, first, count, order, phases):
    """Observations of a fit by day of the year, so that those nearest to a season lie side by side."""
    for position in range(count):
        phases[position] = days[keep[first + position]] % SEASON_DAYS
        order[position] = position
    sort_first(phases, count, order)


@numba.njit(cache=True, nogil=True)
def _scatter_of_season(day, order, phases, count, residuals, bands, scatter):
    """Root of the mean square of the 24 residuals nearest in season, with eight degrees of freedom less."""
    phase = day % SEASON_DAYS
    right, beyond = 0, count
    while right < beyond:
        middle = (right + beyond) // 2
        if phases[middle] < phase:
            right = middle + 1
        else:
            beyond = middle
    left = right - 1
    for position in range(len(bands)):
        scatter[position] = 0.0
    for _ in range(min(FEW, count)):
        after = phases[right % count] - phase
        before = phase - phases[left % count]
        after = after if right < count else after + SEASON_DAYS
        before = before if left >= 0 else before + SEASON_DAYS
        if before <= after:
            chosen = order[left % count]
            left -= 1
        else:
            chosen = order[right % count]
            right += 1
        for position in range(len(bands)):
            scatter[position] += residuals[bands[position], chosen] ** 2
    for position in range(len(bands)):
        scatter[position] = np.sqrt(scatter[position] / (FEW - 8))


@numba.njit(cache=True, nogil=True)
def _fit_rest(days, basis, values, keep, start, stop, count, kind, penalty, work, segment, out):
    """A simple model for observations that no stable one was found for."""
    models, rmse, residuals = work
    fit_bands(basis, values, keep, start, stop, SIMPLE, penalty, models, rmse, residuals)
    dates = (days[keep[start]], days[keep[stop - 1]], days[keep[min(stop, count - 1)]])
    write_segment(out, segment, dates, kind, stop - start, 0.0, models, rmse)
