"""Harmonic models of a pixel's series: their basis, and the compiled lasso fit of all bands at once."""

import numba
import numpy as np

YEAR_DAYS = 365.2425
TERMS = 8
"""Of the full model: intercept, slope and three harmonics of the year."""
COEFFICIENTS = ("intercept", "slope", "cos_1", "sin_1", "cos_2", "sin_2", "cos_3", "sin_3")
LASSO_PENALTY = 1e-4
"""Of reflectance [1]: the penalty of 1 that LCMAP's procedure puts on reflectance times 10,000."""
TOLERANCE = 1e-4
MAX_SWEEPS = 1000


def harmonic_basis(days: np.ndarray) -> np.ndarray:
    """What the coefficients but the intercept are multiplied by.

    Parameters
    ----------
    days
        Days since any day [d], dims ``(time,)``.

    Returns
    -------
    np.ndarray
        The day [d], then cosine and sine of one, two and three cycles a year of 365.2425 days, dims ``(time, 7)``, float64
        (Zhu and Woodcock 2014, doi:10.1016/j.rse.2014.01.011, equation 1).
    """
    days = np.asarray(days, np.float64)
    angle = 2 * np.pi / YEAR_DAYS * days
    columns = [days]
    for cycles in (1, 2, 3):
        columns += [np.cos(cycles * angle), np.sin(cycles * angle)]
    return np.stack(columns, axis=-1)


@numba.njit(cache=True, nogil=True)
def predict(coefficients, basis_row):
    """Value of a model on one date."""
    value = coefficients[0]
    for term in range(TERMS - 1):
        value += coefficients[term + 1] * basis_row[term]
    return value


@numba.njit(cache=True, nogil=True)
def fit_bands(basis, values, keep, first, stop, terms, penalty, coefficients, rmse, residuals):
    """Fit the observations ``keep[first:stop]`` of every band by the lasso.

    The smallest of ``1/(2n) |y - Xw|^2 + penalty |w|_1`` by cyclic coordinate descent (Friedman et al. 2010,
    doi:10.18637/jss.v033.i01), the intercept free; it ends where the duality gap is below ``TOLERANCE`` of the sum of squares,
    as scikit-learn's Lasso does. The products of the columns are made once for all bands.

    Writes ``coefficients`` ``(band, 8)``, ``rmse`` ``(band,)`` with ``n - terms`` degrees of freedom and ``residuals``
    ``(band, observation)``, observed minus fitted.
    """
    count = stop - first
    used = terms - 1
    mean = np.zeros(used)
    for position in range(first, stop):
        for term in range(used):
            mean[term] += basis[keep[position], term]
    for term in range(used):
        mean[term] /= count
    gram = np.zeros((used, used))
    centered = np.empty(used)
    for position in range(first, stop):
        for term in range(used):
            centered[term] = basis[keep[position], term] - mean[term]
        for row in range(used):
            for column in range(row + 1):
                gram[row, column] += centered[row] * centered[column]
    for row in range(used):
        for column in range(row):
            gram[column, row] = gram[row, column]
    with_values = np.empty(used)
    weights = np.empty(used)
    for band in range(values.shape[0]):
        level = 0.0
        for position in range(first, stop):
            level += values[band, keep[position]]
        level /= count
        for term in range(used):
            with_values[term] = 0.0
        square = 0.0
        for position in range(first, stop):
            value = values[band, keep[position]] - level
            square += value * value
            for term in range(used):
                with_values[term] += value * (basis[keep[position], term] - mean[term])
        _descend(gram, with_values, square, penalty * count, weights)
        intercept = level
        for term in range(used):
            coefficients[band, term + 1] = weights[term]
            intercept -= weights[term] * mean[term]
        for term in range(used, TERMS - 1):
            coefficients[band, term + 1] = 0.0
        coefficients[band, 0] = intercept
        squares = 0.0
        for position in range(first, stop):
            value = values[band, keep[position]] - predict(coefficients[band], basis[keep[position]])
            residuals[band, position - first] = value
            squares += value * value
        rmse[band] = np.sqrt(squares / max(count - terms, 1))


@numba.njit(cache=True, nogil=True)
def _descend(gram, with_values, square, penalty, weights):
    """Weights of smallest penalized squares from the products of centered columns and values."""
    used = len(weights)
    for term in range(used):
        weights[term] = 0.0
    gradient = np.zeros(used)  # gram @ weights
    for sweep in range(MAX_SWEEPS):
        largest, largest_step = 0.0, 0.0
        for term in range(used):
            norm = gram[term, term]
            if norm <= 0.0:
                continue
            old = weights[term]
            pull = with_values[term] - gradient[term] + norm * old
            new = np.sign(pull) * max(abs(pull) - penalty, 0.0) / norm
            if new != old:
                for other in range(used):
                    gradient[other] += (new - old) * gram[term, other]
                weights[term] = new
            largest_step = max(largest_step, abs(new - old))
            largest = max(largest, abs(new))
        if largest == 0.0 or largest_step < TOLERANCE * largest or sweep == MAX_SWEEPS - 1:
            if _duality_gap(with_values, gradient, square, penalty, weights) <= TOLERANCE * square:
                return


@numba.njit(cache=True, nogil=True)
def _duality_gap(with_values, gradient, square, penalty, weights):
    residual_square, with_residual, dual, size = square, square, 0.0, 0.0
    for term in range(len(weights)):
        residual_square += weights[term] * (gradient[term] - 2.0 * with_values[term])
        with_residual -= weights[term] * with_values[term]
        dual = max(dual, abs(with_values[term] - gradient[term]))
        size += abs(weights[term])
    scale = penalty / dual if dual > penalty else 1.0
    return 0.5 * residual_square * (1.0 + scale * scale) + penalty * size - scale * with_residual
