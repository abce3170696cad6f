"""Phenology as the harmonics of a year, by least squares with gaps, pixel by pixel in one pass of compiled code."""

import numba
import numpy as np

from ceiba.classification.features.pixel_blocks import PixelBlock, index_of
from ceiba.classification.features.schemas import Part

HARMONICS = 2
PARAMETERS = 1 + 2 * HARMONICS
MIN_DATES = 8
# A pivot below this share of its column: the dates lie so that the error of a coefficient is over 10 times that of a full year.
SMALLEST_PIVOT = 0.01
FLAT = 1e-4  # a curve that moves less [unit of the series] has no peak
ROWS = ("level", "amplitude_1", "phase_1", "cosine_1", "sine_1", "amplitude_2", "phase_2", "peak_day", "residual")
# Not fast: a result must be the same to the bit whatever lies beside it.
JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


def phenology(block: PixelBlock, part: Part) -> np.ndarray:
    """Level, amplitudes, phases, peak and residual of the yearly curve of indices, dims ``(feature, pixel)``, float32.

    A negative reflectance counts as 0, see :func:`fit_harmonics` for the rest.
    """
    light = {name: np.maximum(values, np.float32(0)) for name, values in block.bands.items()}
    found = {
        source: fit_harmonics(index_of(source, light), block.times)
        for source in dict.fromkeys(feature.source for feature in part.features)
    }
    return np.stack([found[feature.source][ROWS.index(feature.statistic)] for feature in part.features])


def fit_harmonics(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A year and a half-year wave fitted to each series, by ordinary least squares over the dates that it has.

    ``level + cosine_1 cos(a) + sine_1 sin(a) + cosine_2 cos(2a) + sine_2 sin(2a)`` with the angle ``a`` of the date in its
    year, 0 at its first moment. Several years give one curve.

    Parameters
    ----------
    values
        Series, any unit, dims ``(time, pixel)``; what is not finite is a gap.
    times
        Dates, datetime64, dims ``(time,)``, in any order.

    Returns
    -------
    np.ndarray
        dims ``(9, pixel)``, float32, in the order of :data:`ROWS`: ``level``; ``amplitude_1`` and ``phase_1`` of the year's
        wave, which is highest at the angle ``phase_1`` [rad, -pi to pi]; its coefficients ``cosine_1`` and ``sine_1``, which
        unlike the phase do not jump; ``amplitude_2`` and ``phase_2`` of the half-year's wave; ``peak_day``, the day of year (1
        to 365) on which the curve is highest, NaN where it is flat; ``residual``, the standard deviation from the curve with
        five degrees of freedom taken off. NaN where a pixel has fewer than 8 dates, or they lie too close together in the year
        to tell the waves apart.

    References
    ----------
    Jakubauskas et al. 2001, Photogrammetric Engineering and Remote Sensing 67(4), 461-470.
    """
    basis = _waves(year_angles(times))
    days = _waves(2 * np.pi * np.arange(365) / 365)
    result = np.empty((len(ROWS), values.shape[1]), np.float32)
    _fit_pixels(np.ascontiguousarray(values, np.float32), basis, days, result)
    return result


def year_angles(times: np.ndarray) -> np.ndarray:
    """Where in its year each date lies, as an angle [rad] from 0 at its first moment to 2 pi at its end."""
    moments = times.astype("datetime64[s]")
    starts = moments.astype("datetime64[Y]")
    passed = (moments - starts.astype("datetime64[s]")).astype(float)
    return 2 * np.pi * passed / ((starts + 1).astype("datetime64[s]") - starts.astype("datetime64[s]")).astype(float)


def _waves(angles: np.ndarray) -> np.ndarray:
    """Columns of the fit, dims ``(time, 5)``."""
    columns = [np.ones(len(angles))]
    for harmonic in range(1, HARMONICS + 1):
        columns += [np.cos(harmonic * angles), np.sin(harmonic * angles)]
    return np.ascontiguousarray(np.stack(columns, axis=1))


@numba.njit(**JIT)
def _fit_pixels(values, basis, days, result):
    normal = np.empty((PARAMETERS, PARAMETERS), np.float64)
    fitted = np.empty(PARAMETERS, np.float64)
    for pixel in range(values.shape[1]):
        normal[:] = 0.0
        fitted[:] = 0.0
        dates = 0
        for date in range(values.shape[0]):
            value = np.float64(values[date, pixel])
            if abs(value) < np.inf:
                dates += 1
                for row in range(PARAMETERS):
                    fitted[row] += basis[date, row] * value
                    for column in range(row + 1):
                        normal[row, column] += basis[date, row] * basis[date, column]
        if dates < MIN_DATES or not _solve(normal, fitted):
            result[:, pixel] = np.nan
            continue
        squares = 0.0
        for date in range(values.shape[0]):
            value = np.float64(values[date, pixel])
            if abs(value) < np.inf:
                away = value - _height(fitted, basis, date)
                squares += away * away
        result[0, pixel] = fitted[0]
        result[1, pixel] = np.hypot(fitted[1], fitted[2])
        result[2, pixel] = np.arctan2(fitted[2], fitted[1])
        result[3, pixel] = fitted[1]
        result[4, pixel] = fitted[2]
        result[5, pixel] = np.hypot(fitted[3], fitted[4])
        result[6, pixel] = np.arctan2(fitted[4], fitted[3])
        result[7, pixel] = _peak_day(fitted, days)
        result[8, pixel] = np.sqrt(squares / (dates - PARAMETERS))


@numba.njit(**JIT)
def _height(fitted, basis, row):
    height = 0.0
    for column in range(PARAMETERS):
        height += fitted[column] * basis[row, column]
    return height


@numba.njit(**JIT)
def _peak_day(fitted, days):
    highest, lowest, peak = -np.inf, np.inf, 0
    for day in range(days.shape[0]):
        height = _height(fitted, days, day)
        lowest = min(lowest, height)
        if height > highest:
            highest, peak = height, day
    return peak + 1.0 if highest - lowest > FLAT else np.nan


@numba.njit(**JIT)
def _solve(normal, fitted):
    """Solve in place by Cholesky's method; False where the columns cannot be told apart."""
    for column in range(PARAMETERS):
        whole = normal[column, column]
        for row in range(column, PARAMETERS):
            for before in range(column):
                normal[row, column] -= normal[row, before] * normal[column, before]
        if not normal[column, column] > SMALLEST_PIVOT * whole:
            return False
        pivot = np.sqrt(normal[column, column])
        for row in range(column, PARAMETERS):
            normal[row, column] /= pivot
    for row in range(PARAMETERS):
        for before in range(row):
            fitted[row] -= normal[row, before] * fitted[before]
        fitted[row] /= normal[row, row]
    for row in range(PARAMETERS - 1, -1, -1):
        for after in range(row + 1, PARAMETERS):
            fitted[row] -= normal[after, row] * fitted[after]
        fitted[row] /= normal[row, row]
    return True
