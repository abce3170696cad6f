"""Compiled walks of a hidden Markov model over the years of many pixels: smoothing, best path, expected transitions.

The state of a pixel is its class; what is seen in a year is the likelihood of each class. The recursions are those of
Rabiner 1989 (doi:10.1109/5.18626), scaled year by year.
"""

import numba
import numpy as np


@numba.njit(cache=True)
def pass_forward(likelihood, start, moves, forward, scales):
    """Fill ``forward``, dims ``(year, class)``, and ``scales``, dims ``(year,)``; returns False where no path is possible."""
    years, classes = likelihood.shape
    for year in range(years):
        total = 0.0
        for to in range(classes):
            if year == 0:
                reached = start[to]
            else:
                reached = 0.0
                for origin in range(classes):
                    reached += forward[year - 1, origin] * moves[year - 1, origin, to]
            forward[year, to] = reached * likelihood[year, to]
            total += forward[year, to]
        if not total > 0.0:
            return False
        scales[year] = total
        for to in range(classes):
            forward[year, to] /= total
    return True


@numba.njit(cache=True)
def step_back(likelihood, moves, scale, later, earlier, weighted):
    """Fill ``earlier``, the backward values of a year, from those of the next; ``weighted`` is left as likelihood times later."""
    classes = likelihood.size
    for to in range(classes):
        weighted[to] = likelihood[to] * later[to] / scale
    for origin in range(classes):
        total = 0.0
        for to in range(classes):
            total += moves[origin, to] * weighted[to]
        earlier[origin] = total


@numba.njit(cache=True)
def expect_transitions(likelihoods, start, moves, starts, counts):
    """Add the expected first classes and transitions of pixels to ``starts``, dims ``(class,)``, and ``counts``, dims
    ``(step, class, class)``; returns the sum of the log-likelihoods.
    """
    pixels, years, classes = likelihoods.shape
    forward, scales = np.empty((years, classes)), np.empty(years)
    later, earlier, weighted = np.empty(classes), np.empty(classes), np.empty(classes)
    surprise = 0.0
    for pixel in range(pixels):
        likelihood = likelihoods[pixel]
        if not pass_forward(likelihood, start, moves, forward, scales):
            continue
        surprise += np.log(scales).sum()
        later[:] = 1.0
        for step in range(years - 2, -1, -1):
            step_back(likelihood[step + 1], moves[step], scales[step + 1], later, earlier, weighted)
            for origin in range(classes):
                for to in range(classes):
                    counts[step, origin, to] += forward[step, origin] * moves[step, origin, to] * weighted[to]
            later[:] = earlier
        for first in range(classes):
            starts[first] += forward[0, first] * later[first]
    return surprise


@numba.njit(cache=True)
def smooth_pixels(likelihoods, start, moves, marginals, stays, steps, pairs):
    """Posteriors of pixels.

    ``marginals``, dims ``(pixel, year, class)``; ``stays``, dims ``(pixel, class)``: probability of that class in every year;
    ``steps``, dims ``(pixel, step)``: probability of a change in that step; ``pairs``, dims ``(pixel, 2)``: most probable
    classes before and after the most probable step. Where no path is possible: NaN, and pairs of -1.
    """
    pixels, years, classes = likelihoods.shape
    forward, scales = np.empty((years, classes)), np.empty(years)
    later, earlier, weighted = np.empty(classes), np.empty(classes), np.empty(classes)
    for pixel in range(pixels):
        likelihood = likelihoods[pixel]
        pairs[pixel] = -1
        if not pass_forward(likelihood, start, moves, forward, scales):
            marginals[pixel], stays[pixel], steps[pixel] = np.nan, np.nan, np.nan
            continue
        for same in range(classes):
            chance = start[same] * likelihood[0, same] / scales[0]
            for step in range(years - 1):
                chance *= moves[step, same, same] * likelihood[step + 1, same] / scales[step + 1]
            stays[pixel, same] = chance
        later[:] = 1.0
        marginals[pixel, years - 1] = forward[years - 1]
        largest = 0.0
        for step in range(years - 2, -1, -1):
            step_back(likelihood[step + 1], moves[step], scales[step + 1], later, earlier, weighted)
            kept = 0.0
            for same in range(classes):
                kept += forward[step, same] * moves[step, same, same] * weighted[same]
                marginals[pixel, step, same] = forward[step, same] * earlier[same]
            steps[pixel, step] = min(max(1.0 - kept, 0.0), 1.0)
            # The earlier of two equally probable steps, as every tie falls to the smaller number.
            if steps[pixel, step] >= largest and steps[pixel, step] > 0.0:
                largest, best = steps[pixel, step], -1.0
                for origin in range(classes):
                    for to in range(classes):
                        chance = forward[step, origin] * moves[step, origin, to] * weighted[to]
                        if origin != to and chance > best:
                            best = chance
                            pairs[pixel, 0], pairs[pixel, 1] = origin, to
            later[:] = earlier


@numba.njit(cache=True)
def best_paths(log_likelihoods, log_start, log_moves, paths):
    """Most probable classes of each pixel in all years together (Viterbi 1967), dims ``(pixel, year)``; -1 where none is possible."""
    pixels, years, classes = log_likelihoods.shape
    score, newer = np.empty(classes), np.empty(classes)
    origins = np.empty((years, classes), dtype=np.int64)
    for pixel in range(pixels):
        for first in range(classes):
            score[first] = log_start[first] + log_likelihoods[pixel, 0, first]
        for year in range(1, years):
            for to in range(classes):
                best, origin = -np.inf, 0
                for candidate in range(classes):
                    chance = score[candidate] + log_moves[year - 1, candidate, to]
                    if chance > best:
                        best, origin = chance, candidate
                origins[year, to] = origin
                newer[to] = best + log_likelihoods[pixel, year, to]
            score[:] = newer
        last = int(np.argmax(score))
        if not score[last] > -np.inf:
            paths[pixel] = -1
            continue
        paths[pixel, years - 1] = last
        for year in range(years - 1, 0, -1):
            paths[pixel, year - 1] = origins[year, paths[pixel, year]]
