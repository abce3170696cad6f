"""Empirical-Bayes smoothing of class probabilities: a pixel borrows from neighbours that agree with each other."""

from collections.abc import Mapping

import numba
import numpy as np
import xarray as xr

from ceiba.errors import InputError

# Chosen on simulated countries that no published figure is of, by the rule of tests/benchmarks/simulated_smoothing.py.
WINDOW_PX, SHARE, SMOOTHNESS = 5, 0.5, 5.0
NEGLIGIBLE = 0.001  # classes below this probability in the whole neighborhood stay as they are, which saves most of the time
LEAST, MOST = 1e-4, 1 - 1e-4  # probabilities enter the log-odds within these limits


def smooth_probabilities(
    probabilities: xr.DataArray,
    *,
    window_px: int = WINDOW_PX,
    share: float = SHARE,
    smoothness: float | Mapping[int, float] = SMOOTHNESS,
) -> xr.DataArray:
    """Smooth class probabilities in space.

    Log-odds of each class are taken as normal around a local mean that is itself normal around the mean of the neighborhood. The
    posterior mean weighs the pixel by the variance ``v`` of its neighborhood and the neighborhood by ``smoothness``:
    ``(v x + smoothness m) / (v + smoothness)``. Only the ``share`` of neighbors with the largest log-odds of the class count, so
    that pixels on a border borrow from their own side (Camara et al. 2024, doi:10.3390/rs16234572).

    Parameters
    ----------
    probabilities
        Probabilities [1] that sum to 1 over ``class``, dims ``(class, y, x)``; NaN is no data and stays so.
    window_px
        Side of the neighborhood [pixels], odd; 1 changes nothing.
    share
        Share [1] of neighbors that count, above 0 to 1.
    smoothness
        Variance of the log-odds of a pixel around its local mean, one number or code to number; larger smooths more.

    Returns
    -------
    xr.DataArray
        Probabilities [1], same dims, float32, summing to 1. A pixel depends on those within :func:`halo_px` alone: tiles
        with such a halo give what the whole image gives. They are careful: as each class borrows from its best neighbors, the
        largest falls below the share of pixels that are right (by 7 points on simulated countries), which
        :class:`ceiba.classification.models.smoothed.SmoothedCalibration` mends.

    Raises
    ------
    InputError
        On an even window, a share or smoothness out of range, or a class without smoothness.
    """
    if window_px < 1 or window_px % 2 == 0:
        raise InputError(f"the window is {window_px} pixels; it needs an odd number, 1 or more")
    if not 0 < share <= 1:
        raise InputError(f"the share of neighbors is {share}; it must lie above 0 and at most at 1")
    codes = probabilities["class"].values.tolist()
    if isinstance(smoothness, Mapping):
        missing = [code for code in codes if code not in smoothness]
        if missing:
            raise InputError(f"no smoothness for classes {missing}; given are {list(smoothness)}")
        strength = np.array([smoothness[code] for code in codes], dtype="float32")
    else:
        strength = np.full(len(codes), smoothness, dtype="float32")
    if not (strength >= 0).all():
        raise InputError(f"the smoothness is {smoothness}; it must not be negative")
    values = probabilities.transpose("class", "y", "x")
    if window_px == 1:
        return values.astype("float32")
    given = np.ascontiguousarray(values.values, dtype="float32")
    smooth = np.empty_like(given)
    for place in range(len(codes)):
        _smooth_class(given[place], smooth[place], halo_px(window_px), share, strength[place])
    smooth /= smooth.sum(axis=0)
    return values.copy(data=smooth)


def halo_px(window_px: int) -> int:
    """Pixels around a tile that smoothing with this window needs."""
    return window_px // 2


@numba.njit(cache=True)
def _smooth_class(given, out, reach, share, strength):
    height, width = given.shape
    values = np.empty((2 * reach + 1) ** 2, np.float32)
    for row in range(height):
        for column in range(width):
            own = given[row, column]
            if np.isnan(own):
                out[row, column] = np.nan
                continue
            count = 0
            largest = np.float32(0)
            for y in range(max(0, row - reach), min(height, row + reach + 1)):
                for x in range(max(0, column - reach), min(width, column + reach + 1)):
                    value = given[y, x]
                    if not np.isnan(value):
                        values[count] = value
                        count += 1
                        largest = max(largest, value)
            kept = int(np.ceil(count * share))
            if largest < NEGLIGIBLE or kept < 2:
                out[row, column] = own
                continue
            # Log-odds rise with the probability: the largest of one are the largest of the other.
            ordered = np.sort(values[:count])
            total, squares = 0.0, 0.0
            for place in range(count - kept, count):
                odds = _log_odds(ordered[place])
                total += odds
                squares += odds * odds
            mean = total / kept
            variance = max(0.0, (squares - kept * mean * mean) / (kept - 1))
            if variance + strength <= 0:
                out[row, column] = own
                continue
            posterior = (variance * _log_odds(own) + strength * mean) / (variance + strength)
            out[row, column] = 1 / (1 + np.exp(-posterior))


@numba.njit(cache=True)
def _log_odds(value):
    inside = min(max(np.float64(value), LEAST), MOST)
    return np.log(inside / (1 - inside))
