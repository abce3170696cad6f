"""Compiled geometric median of one pixel, for the few that the common steps of geomedian_kernel leave."""

import math

import numba
import numpy as np

from ceiba.mosaics.band_unrolling import JIT_OPTIONS, LANES

SAME = np.float32(1e-14)  # squared distance [reflectance^2] below which two spectra are the same
INFINITE = np.float32(np.inf)
ZERO, ONE = np.float32(0), np.float32(1)


@numba.njit(**JIT_OPTIONS)
def is_vertex_minimum(observations, n, start, lane, point):
    """Whether the observation nearest to ``start`` is the exact minimum of the lane; ``point`` becomes that
    observation.

    Where it is not, ``point`` is one Vardi-Zhang step away from it, towards the minimum.
    """
    band_count = point.size
    row = (band_count + 1) * LANES
    nearest, smallest = 0, INFINITE
    for t in range(n):
        at = t * row + lane
        if observations[at + band_count * LANES] > ZERO:
            squared = ZERO
            for b in range(band_count):
                d = observations[at + b * LANES] - start[b * LANES + lane]
                squared += d * d
            if squared < smallest:
                nearest, smallest = t, squared
    vertex = nearest * row + lane
    pull = np.zeros(band_count, np.float32)
    same = weights = ZERO
    for t in range(n):
        at = t * row + lane
        if observations[at + band_count * LANES] > ZERO:
            squared = ZERO
            for b in range(band_count):
                d = observations[at + b * LANES] - observations[vertex + b * LANES]
                squared += d * d
            if squared < SAME:
                same += ONE
            else:
                w = ONE / math.sqrt(squared)
                weights += w
                for b in range(band_count):
                    pull[b] += (observations[at + b * LANES] - observations[vertex + b * LANES]) * w
    length = ZERO
    for b in range(band_count):
        length += pull[b] * pull[b]
    length = math.sqrt(length)
    is_minimum = length <= same
    share = ZERO if is_minimum else (ONE - same / length) / weights
    for b in range(band_count):
        point[b] = observations[vertex + b * LANES] + share * pull[b]
    return is_minimum


@numba.njit(**JIT_OPTIONS)
def is_flat(observations, n, center, lane, band_count, share):
    """Whether the curvature at ``center`` towards the farthest observation is below ``share`` of the largest that can be.

    The sum of distances is flat in one direction only where all spectra lie on a line, and then in that one. At an
    observation, which is the proven minimum, it is not.
    """
    row = (band_count + 1) * LANES
    farthest, largest = -1, ZERO
    for t in range(n):
        at = t * row + lane
        if observations[at + band_count * LANES] > ZERO:
            squared = ZERO
            for b in range(band_count):
                d = observations[at + b * LANES] - center[b * LANES + lane]
                squared += d * d
            if squared < SAME:
                return False
            if squared > largest:
                farthest, largest = t, squared
    if farthest < 0:
        return False
    weights = curvature = ZERO
    for t in range(n):
        at = t * row + lane
        if observations[at + band_count * LANES] > ZERO:
            squared = along = ZERO
            for b in range(band_count):
                d = observations[at + b * LANES] - center[b * LANES + lane]
                squared += d * d
                along += d * (observations[farthest * row + lane + b * LANES] - center[b * LANES + lane])
            w = ONE / math.sqrt(squared)
            weights += w
            curvature += w * (ONE - along * along / (squared * largest))
    return curvature < share * weights


@numba.njit(nogil=True, error_model="numpy")
def sum_distances_float64(observations, n, lane, y, gradient, hessian):
    """Objective and sum of weights of one lane; fills gradient and upper triangle of the Hessian sums."""
    band_count = y.size
    objective = weights = 0.0
    gradient[:] = 0.0
    hessian[:, :] = 0.0
    d = np.empty(band_count)
    for t in range(n):
        at = t * (band_count + 1) * LANES + lane
        if observations[at + band_count * LANES] > ZERO:
            squared = 1e-18
            for b in range(band_count):
                d[b] = observations[at + b * LANES] - y[b]
                squared += d[b] * d[b]
            w = 1.0 / math.sqrt(squared)
            objective += squared * w
            weights += w
            for b in range(band_count):
                gradient[b] += w * d[b]
                for c in range(b, band_count):
                    hessian[b, c] += w * w * w * d[b] * d[c]
    return objective, weights


@numba.njit(nogil=True, error_model="numpy")
def solve_float64(weights, gradient, hessian):
    """Newton step by Cholesky, with ridge and floored pivots."""
    band_count = gradient.size
    upper = np.zeros((band_count, band_count))
    z = np.empty(band_count)
    for i in range(band_count):
        for j in range(i, band_count):
            element = -hessian[i, j]
            if i == j:
                element += weights * 1.000001
            for m in range(i):
                element -= upper[m, i] * upper[m, j]
            upper[i, j] = math.sqrt(max(element, weights * 1e-8)) if i == j else element / upper[i, i]
        z[i] = gradient[i]
        for m in range(i):
            z[i] -= upper[m, i] * z[m]
        z[i] /= upper[i, i]
    for i in range(band_count - 1, -1, -1):
        for m in range(i + 1, band_count):
            z[i] -= upper[i, m] * z[m]
        z[i] /= upper[i, i]
    return z


@numba.njit(nogil=True, error_model="numpy")
def polish(observations, n, lane, point, tolerance):
    """Move ``point`` to the minimum of one lane by damped Newton steps in float64 with backtracking."""
    band_count = point.size
    y = point.astype(np.float64)
    gradient = np.empty(band_count)
    hessian = np.empty((band_count, band_count))
    objective, weights = sum_distances_float64(observations, n, lane, y, gradient, hessian)
    for _ in range(200):
        z = solve_float64(weights, gradient, hessian)
        slope = np.sum(gradient * z)
        share, found = 1.0, False
        for _ in range(30):
            tried = y + share * z
            trial, weights = sum_distances_float64(observations, n, lane, tried, gradient, hessian)
            if trial <= objective - 1e-4 * share * slope + 1e-13 * objective:
                found = True
                break
            share *= 0.35
        if not found:
            break
        objective = trial
        y[:] = tried
        if share == 1.0 and np.sum(z * z) < 0.01 * tolerance * tolerance:
            break
    point[:] = y
