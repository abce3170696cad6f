"""Compiled geometric median of many pixels at once, and the three median deviations from it.

The geometric median of a pixel's spectra is the minimum of a convex function, the sum of distances. After a
few Weiszfeld (1937) steps it is found by Newton steps; every other one uses the factor of the step before.
Where it may lie on an observation, the test of Vardi and Zhang (2000, doi:10.1073/pnas.97.4.1423) decides,
and what is still left goes to a damped Newton in float64. Weiszfeld alone, as other packages use it, needs
many times more passes for the same error.

LANES pixels are worked on side by side: their observations are copied to ``observations[t, band or weight,
lane]``, which stays in the processor's cache; the weight is 1 for a valid observation and 0 else. A lane's
result depends on its own pixel only: every lane takes the same steps until it is done, and what is not there
adds an exact zero. So blocks and threads never change a bit.

Rows of the work arrays: ``center[band]``; ``sums``: 0 objective, 1 sum of weights w = 1 / distance, 2...
gradient, then the upper triangle of the sum of w^3 d d^T; ``factor``: row by row the inverse pivot, then the
rest of the Cholesky row.
"""

# Names such as BANDS and unroll belong to the kernel notation of band_unrolling.py.
# ruff: noqa: F821

import math

import numba
import numpy as np

from ceiba.mosaics.band_unrolling import JIT_OPTIONS, LANES, for_each_band_count
from ceiba.mosaics.geomedian_fallback import INFINITE, ONE, SAME, ZERO, is_vertex_minimum, polish

WEISZFELD_STEPS = 5
NEWTON_STEPS = 12
VERTEX_TESTS_FROM = 4  # Newton step from which slow lanes get the vertex test
PADDING = 4  # dates that the sums take in one go; a multiple of every UNROLL below

RIDGE = np.float32(1 + 1e-4)
PIVOT_FLOOR = np.float32(1e-3)
CERTAIN_PIVOT = np.float32(2e-3)
CONVERGED = np.float32(0.01)  # squared gradient (a sum of unit vectors) above which a short step proves nothing
ROUNDING = np.float32(1 + 4e-6)  # an objective that rises by less is equal
TINY = np.float32(1e-30)
HALF = np.float32(0.5)

# Digest of band_unrolling.py and geomedian_fallback.py, which are compiled into this module's cached
# function. Numba renews its cache only where this file changes, so a change there must change this line; a
# test compares it.
COMPILED_WITH = "c9e86eef5ce2541f"


@for_each_band_count()
def stage(bands, clear, first, nodata, scale, offset, observations, count):
    """Copy LANES pixels from ``first`` as reflectance; returns the number of dates on which any is valid."""
    for lane in range(LANES):
        count[lane] = 0.0
    n = 0
    pixels = bands[0].shape[1]
    for t in range(bands[0].shape[0]):
        total = 0.0
        for lane in range(LANES):
            valid = clear[t * pixels + first + lane] != 0
            for b in unroll(BANDS):
                x[b] = bands[b][t, first + lane]
                valid = valid & (x[b] != nodata) & (x[b] == x[b])
            for b in unroll(BANDS):
                observations[n, b, lane] = float32(x[b]) * scale + offset if valid else 0.0
            weight = 1.0 if valid else 0.0
            observations[n, BANDS, lane] = weight
            count[lane] += weight
            total += weight
        if total > 0.0:
            n += 1
    return n


@for_each_band_count()
def set_mean(bands, observations, n, count, center):
    """Start at the mean of the valid observations."""
    for b in unroll(BANDS):
        for lane in range(LANES):
            center[b, lane] = 0.0
    for t in range(n):
        for lane in range(LANES):
            for b in unroll(BANDS):
                center[b, lane] += observations[t, b, lane]
    for lane in range(LANES):
        share = 1.0 / max(count[lane], 1.0)
        for b in unroll(BANDS):
            center[b, lane] *= share


def sum_distances(bands, observations, n, center, sums):
    """Objective, weights and gradient at ``center``, and with HESSIAN the second-order sums."""
    for row in unroll(2 + BANDS + HESSIAN * pair(BANDS, BANDS)):
        for lane in range(LANES):
            sums[row, lane] = 0.0
    for start in range(0, n, UNROLL):
        for lane in range(LANES):
            objective = sums[0, lane]
            weights = sums[1, lane]
            for b in unroll(BANDS):
                y[b] = center[b, lane]
                g[b] = sums[2 + b, lane]
                for c in unroll(b, BANDS * HESSIAN):
                    h[b, c] = sums[2 + BANDS + pair(b, c), lane]
            for u in unroll(UNROLL):
                squared = SAME
                for b in unroll(BANDS):
                    d[b] = observations[start + u, b, lane] - y[b]
                    squared += d[b] * d[b]
                inverse = 1.0 / math.sqrt(squared)
                w = inverse * observations[start + u, BANDS, lane]
                objective += squared * w
                weights += w
                for b in unroll(BANDS):
                    g[b] += w * d[b]
                cubed = w * (inverse * inverse)
                for b in unroll(BANDS * HESSIAN):
                    e = cubed * d[b]
                    for c in unroll(b, BANDS):
                        h[b, c] += e * d[c]
            sums[0, lane] = objective
            sums[1, lane] = weights
            for b in unroll(BANDS):
                sums[2 + b, lane] = g[b]
                for c in unroll(b, BANDS * HESSIAN):
                    sums[2 + BANDS + pair(b, c), lane] = h[b, c]


sum_gradient = for_each_band_count(HESSIAN=0, UNROLL=4)(sum_distances)
sum_hessian = for_each_band_count(HESSIAN=1, UNROLL=4)(sum_distances)


@for_each_band_count()
def step_weiszfeld(bands, sums, center, best, best_objective, done):
    """Move every lane that is not done to its weighted mean."""
    for lane in range(LANES):
        share = (1.0 - done[lane]) / max(sums[1, lane], TINY)
        best_objective[lane] = sums[0, lane]
        for b in unroll(BANDS):
            y = center[b, lane]
            best[b, lane] = y
            center[b, lane] = y + sums[2 + b, lane] * share


@for_each_band_count()
def factorize(bands, sums, factor, uncertain):
    """Cholesky factor of the Hessian with floored pivots.

    Close to an observation, or with spectra on a line, float32 cannot tell the curvature from 0: such a lane
    is uncertain.
    """
    for lane in range(LANES):
        weights = sums[1, lane]
        smallest = weights
        for i in unroll(BANDS):
            pivot = weights * RIDGE - sums[2 + BANDS + pair(i, i), lane]
            for m in unroll(i):
                pivot -= u[m, i] * u[m, i]
            smallest = min(smallest, pivot)
            v[i] = 1.0 / math.sqrt(max(pivot, weights * PIVOT_FLOOR))
            factor[pair(i, i), lane] = v[i]
            for j in unroll(i + 1, BANDS):
                element = -sums[2 + BANDS + pair(i, j), lane]
                for m in unroll(i):
                    element -= u[m, i] * u[m, j]
                u[i, j] = element * v[i]
                factor[pair(i, j), lane] = u[i, j]
        uncertain[lane] = 1.0 if smallest < weights * CERTAIN_PIVOT else 0.0


@for_each_band_count()
def step_newton(bands, sums, factor, uncertain, center, best, best_objective, done, squared_tolerance):
    """Take the step, or go most of the way back where the objective rose; returns how many lanes are left."""
    left = 0.0
    for lane in range(LANES):
        for i in unroll(BANDS):
            for j in unroll(i, BANDS):
                u[i, j] = factor[pair(i, j), lane]
        for i in unroll(BANDS):
            z[i] = sums[2 + i, lane]
            for m in unroll(i):
                z[i] -= u[m, i] * z[m]
            z[i] *= u[i, i]
        for i in unroll(BANDS - 1, -1, -1):
            for m in unroll(i + 1, BANDS):
                z[i] -= u[i, m] * z[m]
            z[i] *= u[i, i]
        squared_step = 0.0
        squared_gradient = 0.0
        for b in unroll(BANDS):
            squared_step += z[b] * z[b]
            squared_gradient += sums[2 + b, lane] * sums[2 + b, lane]
        objective = sums[0, lane]
        lowest = best_objective[lane]
        was_done = done[lane]
        live = 1.0 - was_done
        accepted = live if objective <= lowest * ROUNDING else 0.0
        best_objective[lane] = objective if accepted > 0.0 else lowest
        for b in unroll(BANDS):
            y = center[b, lane]
            kept = best[b, lane]
            moved = y + z[b] if accepted > 0.0 else 0.75 * kept + 0.25 * y
            center[b, lane] = moved if live > 0.0 else y
            best[b, lane] = y if accepted > 0.0 else kept
        certain = accepted * (1.0 - uncertain[lane]) if squared_gradient < CONVERGED else 0.0
        finished = certain if squared_step < squared_tolerance else 0.0
        done[lane] = was_done + finished
        left += live - finished
    return left


@for_each_band_count()
def set_distances(bands, observations, n, center, euclidean, cosine, bray_curtis):
    """Distances of every observation to the center, infinite where it is not valid."""
    for t in range(n):
        for lane in range(LANES):
            squared = 0.0
            observed = TINY
            central = TINY
            absolute = 0.0
            total = TINY
            for b in unroll(BANDS):
                x[b] = observations[t, b, lane]
                y[b] = center[b, lane]
                d[b] = x[b] - y[b]
                squared += d[b] * d[b]
                observed += x[b] * x[b]
                central += y[b] * y[b]
                absolute += abs(d[b])
                total += abs(x[b] + y[b])
            # 1 - cos as half the squared chord: the plain difference would keep no digit of a small angle
            x_share = 1.0 / math.sqrt(observed)
            y_share = 1.0 / math.sqrt(central)
            chord = 0.0
            for b in unroll(BANDS):
                e = x[b] * x_share - y[b] * y_share
                chord += e * e
            penalty = INFINITE if observations[t, BANDS, lane] == 0.0 else 0.0
            euclidean[t, lane] = math.sqrt(squared) + penalty
            cosine[t, lane] = 0.5 * chord + penalty
            bray_curtis[t, lane] = absolute / total + penalty


@numba.njit(**JIT_OPTIONS)
def set_median(distances, n, comparators, count, medians):
    """Median over dates of every lane, by a sorting network; NaN without observations."""
    for k in range(comparators.shape[0]):
        low = numba.uintp(comparators[k, 0] * LANES)
        high = numba.uintp(comparators[k, 1] * LANES)
        for lane in range(LANES):
            a = distances[low + numba.uintp(lane)]
            b = distances[high + numba.uintp(lane)]
            distances[low + numba.uintp(lane)] = min(a, b)
            distances[high + numba.uintp(lane)] = max(a, b)
    for lane in range(LANES):
        valid = int(count[lane])
        if valid == 0:
            medians[lane] = np.nan
        else:
            below = distances[(valid - 1) // 2 * LANES + lane]
            medians[lane] = HALF * (below + distances[valid // 2 * LANES + lane])


@numba.njit(**JIT_OPTIONS)
def find_geomedian(
    bands, observations, n, count, center, best, sums, factor, uncertain, best_objective, done, tolerance
):
    """Geometric median of LANES staged pixels, into ``center``."""
    band_count = len(bands)
    while n % PADDING:
        observations[n * (band_count + 1) * LANES : (n + 1) * (band_count + 1) * LANES] = ZERO
        n += 1
    set_mean(bands, observations, n, count, center)
    for lane in range(LANES):
        # the mean of two observations is as near to both as any point between them
        done[lane] = ONE if count[lane] < np.float32(2.5) else ZERO
    for _ in range(WEISZFELD_STEPS):
        sum_gradient(bands, observations, n, center, sums)
        step_weiszfeld(bands, sums, center, best, best_objective, done)
    point = np.empty(band_count, np.float32)
    for step in range(NEWTON_STEPS):
        if step % 2 == 0:
            sum_hessian(bands, observations, n, center, sums)
            factorize(bands, sums, factor, uncertain)
        else:
            sum_gradient(bands, observations, n, center, sums)
        left = step_newton(bands, sums, factor, uncertain, center, best, best_objective, done, tolerance * tolerance)
        if left < HALF:
            return
        if step >= VERTEX_TESTS_FROM:
            for lane in range(LANES):
                if done[lane] == ZERO and is_vertex_minimum(observations, n, center, lane, point):
                    for b in range(band_count):
                        center[b * LANES + lane] = point[b]
                    done[lane] = ONE
                    left -= ONE
            if left < HALF:
                return
    for lane in range(LANES):
        if done[lane] == ZERO:
            if not is_vertex_minimum(observations, n, best, lane, point):
                polish(observations, n, lane, point, tolerance)
            for b in range(band_count):
                center[b * LANES + lane] = point[b]


@numba.njit(cache=True, **JIT_OPTIONS)
def geomedian_of_pixels(
    bands,
    clear,
    start,
    stop,
    nodata,
    scale,
    offset,
    tolerance,
    comparators,
    comparators_before,
    result,
    count_of_pixels,
):
    """Geomedian, MADs and count of the pixels from ``start`` to ``stop``, which may be written a little
    beyond.

    ``bands`` is a tuple of (time, pixel) arrays of one type, ``clear`` (time * pixel) uint8, ``result`` (band
    + 3, pixel).
    """
    band_count = len(bands)
    times, pixels = bands[0].shape
    observations = np.empty((times + PADDING) * (band_count + 1) * LANES, np.float32)
    center = np.empty(band_count * LANES, np.float32)
    best = np.empty(band_count * LANES, np.float32)
    triangle = band_count * (band_count + 1) // 2
    sums = np.empty((2 + band_count + triangle) * LANES, np.float32)
    factor = np.empty(triangle * LANES, np.float32)
    uncertain = np.empty(LANES, np.float32)
    best_objective = np.empty(LANES, np.float32)
    done = np.empty(LANES, np.float32)
    count = np.empty(LANES, np.float32)
    euclidean = np.empty(times * LANES, np.float32)
    cosine = np.empty(times * LANES, np.float32)
    bray_curtis = np.empty(times * LANES, np.float32)
    for first in range(start, stop, LANES):
        at = min(first, pixels - LANES)
        n = stage(bands, clear, at, nodata, scale, offset, observations, count)
        if n > 0:
            find_geomedian(
                bands,
                observations,
                n,
                count,
                center,
                best,
                sums,
                factor,
                uncertain,
                best_objective,
                done,
                tolerance,
            )
            set_distances(bands, observations, n, center, euclidean, cosine, bray_curtis)
        network = comparators[comparators_before[n] : comparators_before[n + 1]]
        set_median(euclidean, n, network, count, result[band_count, at : at + LANES])
        set_median(cosine, n, network, count, result[band_count + 1, at : at + LANES])
        set_median(bray_curtis, n, network, count, result[band_count + 2, at : at + LANES])
        for lane in range(LANES):
            count_of_pixels[at + lane] = int(count[lane])
            for b in range(band_count):
                result[b, at + lane] = center[b * LANES + lane] if count[lane] > ZERO else np.nan
