"""What a series is judged by before any model of breaks: its own roughness, how dense it is, and clouds that a mask missed."""

import numba
import numpy as np

from ceiba.change.breaks.harmonics import YEAR_DAYS
from ceiba.change.breaks.normal_equations import add_products, factorize, leverage_of, substitute, substitute_back
from ceiba.change.breaks.ordering import median_of, middle_of, sort_first

GAP_DAYS = 30  # closer observations are too alike to tell the noise from
BISQUARE = 4.685  # of Tukey's weights: 95 % efficient for normal noise
TO_DEVIATION = 0.6745  # median absolute deviation of a standard normal variable
ROUNDS = 4  # of reweighting
SCREEN_FACTOR = 4.89  # times the roughness of the band beyond which an observation is taken for a missed cloud
COLUMNS = 5
DENSE_DAYS = 16  # revisit of one Landsat, for which the number of confirming observations is meant


@numba.njit(cache=True, nogil=True)
def series_roughness(days, count, values, out):
    """Median absolute step of each band, of the first ``count`` dates, between observations that lie more than 30 days apart.

    The steps are those of the smallest lag whose commonest gap is longer than 30 days, and of its pairs those farther apart
    than that; of neighbors where there is no such lag (the "variogram" of LCMAP's procedure).
    """
    steps, gaps, partners = np.empty(count), np.empty(count), np.empty(count, np.uint8)
    lag = 1
    while lag < count:
        size = count - lag
        for position in range(size):
            gaps[position] = days[position + lag] - days[position]
        sort_first(gaps, size, partners)
        if _commonest(gaps, size) > GAP_DAYS:
            break
        lag += 1
    least = GAP_DAYS
    if lag >= count:
        lag, least = 1, -1
    for band in range(values.shape[0]):
        size = 0
        for position in range(count - lag):
            if days[position + lag] - days[position] > least:
                steps[size] = abs(values[band, position + lag] - values[band, position])
                size += 1
        out[band] = median_of(steps, size)


@numba.njit(cache=True, nogil=True)
def _commonest(ordered, count):
    """Value that is there most often, the smallest of several."""
    best, best_run, run = ordered[0], 1, 1
    for position in range(1, count):
        run = run + 1 if ordered[position] == ordered[position - 1] else 1
        if run > best_run:
            best, best_run = ordered[position], run
    return best


@numba.njit(cache=True, nogil=True)
def confirming_count(days, count, peek):
    """Observations that must confirm a break: as many as ``peek`` are meant to span where observations lie closer."""
    if count < 2:
        return peek
    gaps = np.empty(count - 1)
    for position in range(count - 1):
        gaps[position] = days[position + 1] - days[position]
    return max(peek, int(round(peek * DENSE_DAYS / (median_of(gaps, count - 1) + 0.001))))


@numba.njit(cache=True, nogil=True)
def screen_window(days, basis, values, keep, first, stop, bands, roughness, outliers):
    """Mark observations far from a robust curve as missed clouds or shadows; returns how many.

    The curve of each screening band has one cycle a year and one over the whole years of the window, and is fitted by
    Tukey's bisquare weights (Tmask; Zhu and Woodcock 2014, doi:10.1016/j.rse.2014.06.012).
    """
    count = stop - first
    span = days[keep[stop - 1]] - days[keep[first]]
    cycles = np.ceil(span / YEAR_DAYS)
    columns = COLUMNS if cycles > 1 else 3  # within one year both cycles are the same
    design = np.empty((count, columns))
    angle = 2.0 * np.pi / YEAR_DAYS / cycles
    for position in range(count):
        row = keep[first + position]
        design[position, 0] = 1.0
        design[position, 1] = basis[row, 1]
        design[position, 2] = basis[row, 2]
        if columns > 3:
            design[position, 3] = np.cos(angle * days[row])
            design[position, 4] = np.sin(angle * days[row])
    for position in range(count):
        outliers[position] = False
    observed, fitted = np.empty(count), np.empty(count)
    leverage = _leverage_factors(design)
    for band in bands:
        for position in range(count):
            observed[position] = values[band, keep[first + position]]
        _robust_curve(design, observed, leverage, fitted)
        for position in range(count):
            if abs(observed[position] - fitted[position]) > SCREEN_FACTOR * roughness[band]:
                outliers[position] = True
    marked = 0
    for position in range(count):
        marked += outliers[position]
    return marked


@numba.njit(cache=True, nogil=True)
def _robust_curve(design, observed, leverage, fitted):
    count = len(observed)
    weights = np.ones(count)
    solution = np.zeros(design.shape[1])
    before = np.zeros(design.shape[1])
    distances, partners = np.empty(count), np.empty(count, np.uint8)
    ordered = np.empty(count)
    spread = _spread(observed)
    for round_number in range(ROUNDS + 1):
        for column in range(len(solution)):
            before[column] = solution[column]
        _weighted_fit(design, observed, weights, solution)
        for position in range(count):
            value = 0.0
            for column in range(design.shape[1]):
                value += design[position, column] * solution[column]
            fitted[position] = value
        moved = 0.0
        for column in range(len(solution)):
            moved = max(moved, abs(solution[column] - before[column]))
        if round_number == ROUNDS or moved <= 1e-12:
            return
        for position in range(count):
            distances[position] = abs(observed[position] - fitted[position]) * leverage[position]
            ordered[position] = distances[position]
        # a curve of five terms passes through as many points: the four smallest distances tell nothing of the scatter
        sort_first(ordered, count, partners)
        scatter = middle_of(ordered, COLUMNS - 1, count) / TO_DEVIATION
        if scatter <= 1e-12 * spread or spread == 0.0:
            return
        for position in range(count):
            share = distances[position] / scatter / BISQUARE
            weights[position] = (1.0 - share * share) ** 2 if share < 1.0 else 0.0


@numba.njit(cache=True, nogil=True)
def _spread(values):
    """Largest difference of two values."""
    lowest = highest = values[0]
    for value in values:
        lowest, highest = min(lowest, value), max(highest, value)
    return highest - lowest


@numba.njit(cache=True, nogil=True)
def _weighted_fit(design, observed, weights, solution):
    products = np.zeros((design.shape[1], design.shape[1]))
    for column in range(len(solution)):
        solution[column] = 0.0
    for position in range(len(observed)):
        weight = weights[position]
        if weight == 0.0:
            continue
        add_products(products, design[position], weight)
        for row in range(design.shape[1]):
            solution[row] += weight * design[position, row] * observed[position]
    factorize(products)
    substitute(products, solution)
    substitute_back(products, solution)


@numba.njit(cache=True, nogil=True)
def _leverage_factors(design):
    """By how much each residual of least squares is too small: ``1 / sqrt(1 - h)``."""
    products = np.zeros((design.shape[1], design.shape[1]))
    for position in range(design.shape[0]):
        add_products(products, design[position], 1.0)
    factorize(products)
    factors, line = np.empty(design.shape[0]), np.empty(design.shape[1])
    for position in range(design.shape[0]):
        for column in range(design.shape[1]):
            line[column] = design[position, column]
        substitute(products, line)
        factors[position] = 1.0 / np.sqrt(1.0 - min(0.9999, leverage_of(line)))
    return factors
