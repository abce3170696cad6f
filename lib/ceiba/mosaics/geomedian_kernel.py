"""Compiled geometric median of many pixels at once, and the three median deviations from it.

The geometric median of a pixel's spectra is the minimum of a convex function, the sum of distances, whose
gradient is a sum of unit vectors. The step of Weiszfeld (1937) is the gradient divided by the sum of weights
1 / distance: it takes the curvature for the largest that it can be, so that it is safe but short. From the
second step on, every gradient corrects that curvature by the update of Broyden, Fletcher, Goldfarb and Shanno
(Nocedal and Wright 2006, doi:10.1007/978-0-387-40065-5, equation 6.17). A few passes then reach what Weiszfeld
alone, as other packages use it, needs many times more for. Where the minimum may lie on an observation, the
test of Vardi and Zhang (2000, doi:10.1073/pnas.97.4.1423) decides, and what is still left goes to a damped
Newton in float64.

LANES pixels are worked on side by side: their observations are copied to ``observations[t, band or weight,
lane]``, which stays in the processor's cache; the weight is 1 for a valid observation and 0 else. A lane's
result depends on its own pixel only: every lane takes the same steps until it is done, and what is not there
adds an exact zero. So blocks and threads never change a bit.

Rows of the work arrays: ``center[band]``; ``sums``: 0 objective, 1 sum of weights w = 1 / distance, 2...
gradient; ``best`` and ``best_sums`` are these where the objective was lowest; ``inverse`` is the upper
triangle of the inverse Hessian.
"""

# Names such as BANDS and unroll belong to the kernel notation of band_unrolling.py.
# ruff: noqa: F821

import math

import numba
import numpy as np

from ceiba.mosaics.band_unrolling import JIT_OPTIONS, LANES, for_each_band_count, vectorize
from ceiba.mosaics.geomedian_fallback import INFINITE, ONE, SAME, ZERO, is_flat, is_vertex_minimum, polish

STEPS = 18
VERTEX_TESTS_FROM = 7  # step from which slow lanes get the vertex test
PADDING = 4  # dates that the sums take in one go
PIECES = 16  # groups of LANES pixels that are copied together

CONVERGED = np.float32(0.01)  # squared gradient (a sum of unit vectors) above which a short step proves nothing
ROUNDING = np.float32(1 + 4e-6)  # an objective that rises by less is equal
FEW = np.float32(8.5)  # observations up to which spectra are looked at for lying on a line
FLAT = np.float32(0.02)  # curvature along a step, as a share of the largest, below which nothing is certain
MARGIN = np.float32(0.3)  # an estimated step stands for the error, and may be too short by this much
TINY = np.float32(1e-30)
HALF = np.float32(0.5)

# Digest of band_unrolling.py and geomedian_fallback.py, which are compiled into this module's cached
# function. Numba renews its cache only where this file changes, so a change there must change this line; a
# test compares it.
COMPILED_WITH = "ec950abfcf7a2c52"


@for_each_band_count()
def stage(bands, clear, first, pieces, nodata, scale, offset, observations, center, count, dates):
    """Copy ``pieces`` times LANES pixels from ``first`` as reflectance, and set ``center`` to their means.

    ``dates`` becomes the number of dates on which any pixel of the piece is valid; the others are left out.
    Several pieces of a date together are one longer read: the processor fetches what lies side by side ahead.
    """
    vectorize()
    times = bands[0].shape[0]
    pixels = bands[0].shape[1]
    for piece in range(pieces):
        dates[piece] = 0
        for lane in range(LANES):
            count[piece, lane] = 0.0
            for b in unroll(BANDS):
                center[piece * BANDS + b, lane] = 0.0
    for t in range(times):
        missing = nodata[t]
        for b in unroll(BANDS):
            share[b] = scale[t * BANDS + b]
            base[b] = offset[t * BANDS + b]
        for piece in range(pieces):
            at = min(first + piece * LANES, pixels - LANES)
            n = piece * (times + PADDING) + dates[piece]
            seen = False  # not a sum of weights, which would not be vectorized: its order counts
            for lane in range(LANES):
                valid = clear[t * pixels + at + lane] != 0
                for b in unroll(BANDS):
                    x[b] = bands[b][t, at + lane]
                    valid = valid & (x[b] != missing) & (x[b] == x[b])
                weight = 1.0 if valid else 0.0
                for b in unroll(BANDS):
                    y[b] = float32(x[b]) * share[b] + base[b] if valid else 0.0
                    observations[n, b, lane] = y[b]
                    center[piece * BANDS + b, lane] += y[b]
                observations[n, BANDS, lane] = weight
                count[piece, lane] += weight
                seen = seen | valid
            if seen:
                dates[piece] += 1
    for piece in range(pieces):
        for lane in range(LANES):
            part = 1.0 / max(count[piece, lane], 1.0)
            for b in unroll(BANDS):
                center[piece * BANDS + b, lane] *= part


@for_each_band_count(UNROLL=4)
def sum_distances(bands, observations, n, center, sums):
    """Objective, weights and gradient at ``center``."""
    vectorize()
    for row in unroll(2 + BANDS):
        for lane in range(LANES):
            sums[row, lane] = 0.0
    for start in range(0, n, UNROLL):
        for lane in range(LANES):
            objective = sums[0, lane]
            weights = sums[1, lane]
            for b in unroll(BANDS):
                y[b] = center[b, lane]
                g[b] = sums[2 + b, lane]
            for u in unroll(UNROLL):
                squared = SAME
                for b in unroll(BANDS):
                    d[b] = observations[start + u, b, lane] - y[b]
                    squared += d[b] * d[b]
                w = observations[start + u, BANDS, lane] / math.sqrt(squared)
                objective += squared * w
                weights += w
                for b in unroll(BANDS):
                    g[b] += w * d[b]
            sums[0, lane] = objective
            sums[1, lane] = weights
            for b in unroll(BANDS):
                sums[2 + b, lane] = g[b]


@for_each_band_count()
def step_weiszfeld(bands, sums, center, best, best_sums, inverse, done):
    """Move every lane that is not done to its weighted mean, and take the curvature for its upper bound."""
    vectorize()
    for lane in range(LANES):
        largest = 1.0 / max(sums[1, lane], TINY)
        share = (1.0 - done[lane]) * largest
        best_sums[0, lane] = sums[0, lane]
        for i in unroll(BANDS):
            best_sums[2 + i, lane] = sums[2 + i, lane]
            inverse[pair(i, i), lane] = largest
            for j in unroll(i + 1, BANDS):
                inverse[pair(i, j), lane] = 0.0
            y = center[i, lane]
            best[i, lane] = y
            center[i, lane] = y + sums[2 + i, lane] * share


@for_each_band_count()
def step_quasi_newton(bands, sums, center, best, best_sums, inverse, done, squared_tolerance):
    """Learn the curvature from the last step and take the next, or go most of the way back where the
    objective rose; returns how many lanes are left."""
    vectorize()
    for lane in range(LANES):
        was_done = done[lane]
        live = 1.0 - was_done
        objective = sums[0, lane]
        accepted = live if objective <= best_sums[0, lane] * ROUNDING else 0.0
        curvature = 0.0
        squared_last = TINY
        squared_gradient = 0.0
        for b in unroll(BANDS):
            s[b] = center[b, lane] - best[b, lane]
            g[b] = sums[2 + b, lane]
            y[b] = best_sums[2 + b, lane] - g[b]
            curvature += s[b] * y[b]
            squared_last += s[b] * s[b]
            squared_gradient += g[b] * g[b]
        for i in unroll(BANDS):
            for j in unroll(i, BANDS):
                h[i, j] = inverse[pair(i, j), lane]
        for i in unroll(BANDS):
            v[i] = 0.0
            for j in unroll(i):
                v[i] += h[j, i] * y[j]
            for j in unroll(i, BANDS):
                v[i] += h[i, j] * y[j]
        spread = 0.0
        for b in unroll(BANDS):
            spread += y[b] * v[b]
        relative = curvature / (squared_last * max(sums[1, lane], TINY))
        learns = accepted if curvature > TINY else 0.0
        share = learns / max(curvature, TINY)
        weight = (1.0 + spread * share) * share
        for i in unroll(BANDS):
            for j in unroll(i, BANDS):
                h[i, j] += weight * s[i] * s[j] - share * (v[i] * s[j] + s[i] * v[j])
                inverse[pair(i, j), lane] = h[i, j]
        squared_step = 0.0
        for i in unroll(BANDS):
            z[i] = 0.0
            for j in unroll(i):
                z[i] += h[j, i] * g[j]
            for j in unroll(i, BANDS):
                z[i] += h[i, j] * g[j]
            squared_step += z[i] * z[i]
        best_sums[0, lane] = objective if accepted > 0.0 else best_sums[0, lane]
        for b in unroll(BANDS):
            here = center[b, lane]
            kept = best[b, lane]
            moved = here + z[b] if accepted > 0.0 else 0.75 * kept + 0.25 * here
            center[b, lane] = moved if live > 0.0 else here
            best[b, lane] = here if accepted > 0.0 else kept
            best_sums[2 + b, lane] = g[b] if accepted > 0.0 else best_sums[2 + b, lane]
        certain = accepted if relative > FLAT else 0.0
        certain = certain if squared_gradient < CONVERGED else 0.0
        finished = certain if squared_step < squared_tolerance else 0.0
        done[lane] = was_done + finished
    left = 0
    for lane in range(LANES):
        left += done[lane] == 0.0
    return left


@for_each_band_count()
def set_distances(bands, observations, n, center, euclidean, cosine, bray_curtis):
    """Distances of every observation to the center, infinite where it is not valid."""
    vectorize()
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
    vectorize()
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
def iterate(bands, observations, n, count, center, best, sums, best_sums, inverse, done, tolerance):
    """Steps of all lanes together until each is done, and the fallback for what is left."""
    band_count = len(bands)
    while n % PADDING:
        observations[n * (band_count + 1) * LANES : (n + 1) * (band_count + 1) * LANES] = ZERO
        n += 1
    left = 0
    for lane in range(LANES):
        # the mean of two observations is as near to both as any point between them
        done[lane] = ONE if count[lane] < np.float32(2.5) else ZERO
        left += done[lane] == ZERO
    if left == 0:
        return
    # the first step from the mean goes far: the curvature over it says little about the minimum
    for _ in range(2):
        sum_distances(bands, observations, n, center, sums)
        step_weiszfeld(bands, sums, center, best, best_sums, inverse, done)
    squared_tolerance = (MARGIN * tolerance) * (MARGIN * tolerance)
    point = np.empty(band_count, np.float32)
    for step in range(STEPS):
        sum_distances(bands, observations, n, center, sums)
        left = step_quasi_newton(bands, sums, center, best, best_sums, inverse, done, squared_tolerance)
        if left == 0:
            return
        if step >= VERTEX_TESTS_FROM:
            for lane in range(LANES):
                if done[lane] == ZERO and is_vertex_minimum(observations, n, center, lane, point):
                    for b in range(band_count):
                        center[b * LANES + lane] = point[b]
                    done[lane] = ONE
                    left -= 1
            if left == 0:
                return
    for lane in range(LANES):
        if done[lane] == ZERO:
            if not is_vertex_minimum(observations, n, best, lane, point):
                polish(observations, n, lane, point, tolerance)
            for b in range(band_count):
                center[b * LANES + lane] = point[b]


@numba.njit(**JIT_OPTIONS)
def find_geomedian(bands, observations, n, count, center, best, sums, best_sums, inverse, done, tolerance):
    """Geometric median of LANES staged pixels, into ``center``, which is their mean before."""
    iterate(bands, observations, n, count, center, best, sums, best_sums, inverse, done, tolerance)
    # Few spectra may lie nearly on a line, along which the sum of distances hardly changes: a step that float32
    # takes for short proves nothing then.
    band_count = len(bands)
    point = np.empty(band_count, np.float32)
    for lane in range(LANES):
        if 2.5 < count[lane] < FEW and is_flat(observations, n, center, lane, band_count, FLAT):
            for b in range(band_count):
                point[b] = center[b * LANES + lane]
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
    deviations,
    comparators,
    comparators_before,
    result,
    count_of_pixels,
):
    """Geomedian, MADs and count of the pixels from ``start`` to ``stop``, which may be written a little
    beyond.

    ``bands`` is a tuple of (time, pixel) arrays of one type, ``clear`` (time * pixel) uint8, ``nodata``
    (time,), ``scale`` and ``offset`` (time * band); ``result`` (band + 3, pixel), or (band, pixel) without
    ``deviations``.
    """
    vectorize()
    band_count = len(bands)
    times, pixels = bands[0].shape
    row = (band_count + 1) * LANES
    all_observations = np.empty(PIECES * (times + PADDING) * row, np.float32)
    centers = np.empty(PIECES * band_count * LANES, np.float32)
    counts = np.empty(PIECES * LANES, np.float32)
    dates = np.empty(PIECES, np.int64)
    best = np.empty(band_count * LANES, np.float32)
    sums = np.empty((2 + band_count) * LANES, np.float32)
    best_sums = np.empty((2 + band_count) * LANES, np.float32)
    inverse = np.empty(band_count * (band_count + 1) // 2 * LANES, np.float32)
    done = np.empty(LANES, np.float32)
    distances = times * LANES if deviations else 0
    euclidean = np.empty(distances, np.float32)
    cosine = np.empty(distances, np.float32)
    bray_curtis = np.empty(distances, np.float32)
    for first in range(start, stop, PIECES * LANES):
        pieces = min(PIECES, (stop - first + LANES - 1) // LANES)
        stage(bands, clear, first, pieces, nodata, scale, offset, all_observations, centers, counts, dates)
        for piece in range(pieces):
            at = min(first + piece * LANES, pixels - LANES)
            observations = all_observations[piece * (times + PADDING) * row : (piece + 1) * (times + PADDING) * row]
            center = centers[piece * band_count * LANES : (piece + 1) * band_count * LANES]
            count = counts[piece * LANES : (piece + 1) * LANES]
            n = dates[piece]
            if n > 0:
                find_geomedian(
                    bands, observations, n, count, center, best, sums, best_sums, inverse, done, tolerance
                )
            if deviations:
                set_distances(bands, observations, n, center, euclidean, cosine, bray_curtis)
                network = comparators[comparators_before[n] : comparators_before[n + 1]]
                set_median(euclidean, n, network, count, result[band_count, at : at + LANES])
                set_median(cosine, n, network, count, result[band_count + 1, at : at + LANES])
                set_median(bray_curtis, n, network, count, result[band_count + 2, at : at + LANES])
            for lane in range(LANES):
                count_of_pixels[at + lane] = int(count[lane])
                for b in range(band_count):
                    result[b, at + lane] = center[b * LANES + lane] if count[lane] > ZERO else np.nan
