"""Geometric median of many pixels on whatever device JAX has: the same answers as the compiled one, fit for GPUs.

A block of pixels takes every step together, in float32, with masks for those that are done: Weiszfeld steps from the
mean, Newton steps with the exact Hessian, and the test of Vardi and Zhang (2000, doi:10.1073/pnas.97.4.1423) for
minima that lie on an observation. Where float32 cannot tell the curvature from 0 (spectra on a line, minima next to an
observation), pixels go to the compiled path, which ends such in float64: a few in a thousand.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ceiba.errors import CeibaError, InputError
from ceiba.mosaics.geomedian import geomedian_of_arrays

WEISZFELD_STEPS = 5
NEWTON_STEPS = 8  # before the vertex test, and again after it
REST_TOLERANCE = 0.01  # share of the tolerance that the compiled path gets for what is left to it
DATES_A_CLASS = 8  # numbers of dates are rounded up to a multiple, so that few programs are compiled
SMALLEST_BLOCK_PX = 1024
# most values (band, time, pixel) of a block: 64 MB in float32 and a few times that to work in; a processor is 7 times
# faster with what stays in its cache
BLOCK_VALUES = 2**20 if jax.default_backend() == "cpu" else 2**24

SAME = 1e-14  # squared distance [reflectance^2] below which two spectra are the same
TINY = 1e-30
RIDGE = 1 + 1e-4
PIVOT_FLOOR = 1e-3
CERTAIN_PIVOT = 1e-2  # share of the weights below which rounding of the gradient moves the minimum by 1e-6 and more
CONVERGED = 0.01  # squared gradient (a sum of unit vectors) above which a short step proves nothing
ROUNDING = 1 + 4e-6  # an objective that rises by less is equal

CHECKED_PIXELS = 64
CHECKED_TO = 1e-5  # share by which the sum of distances of a checked pixel may be above that of the compiled path


class DeviceError(CeibaError):
    """The device computes something else than the processor."""


def geomedian_jax(
    bands: list[np.ndarray],
    clear: np.ndarray,
    *,
    nodata: float | None,
    scale: float,
    offset: float,
    min_observations: int = 1,
    tolerance: float = 1e-5,
) -> np.ndarray:
    """Geomedian, three deviations and count, as :func:`ceiba.mosaics.geomedian.geomedian_of_arrays` but by JAX.

    Parameters
    ----------
    bands
        Values as stored, one array a band, all of one type, dims ``(time, y, x)``.
    clear
        Whether an observation is clear, boolean, dims ``(time, y, x)``.
    nodata
        Value of missing data; None for floats in which only NaN is missing.
    scale, offset
        Reflectance [1] is ``scale * value + offset``.
    min_observations
        Pixels with fewer observations are NaN; their count is kept.
    tolerance
        Length of the last step [1].

    Returns
    -------
    np.ndarray
        Geomedian of each band [1], emad [1], smad [1], bcmad [1] and count [1]: float32, dims ``(band + 4, y, x)``.

    Raises
    ------
    InputError
        Integers without a nodata value that their type can hold.
    DeviceError
        A sample of pixels has other geomedians or counts than the compiled path finds.
    """
    shape = bands[0].shape[1:]
    flat, flat_clear, missing = _prepare(bands, clear, nodata)
    pixels = flat_clear.shape[1]
    result = np.empty((len(bands) + 4, pixels), np.float32)
    numbers = [np.float32(number) for number in (scale, offset, tolerance)]
    undecided, waiting = [], None
    for start, block, block_clear in _blocks(flat, flat_clear, missing):
        solved = _solve(block, block_clear, missing, *numbers)
        if waiting is not None:  # the device works on this block while the one before is fetched
            undecided.append(_fetch(*waiting, result))
        waiting = start, solved
    if waiting is not None:
        undecided.append(_fetch(*waiting, result))
    left = np.concatenate(undecided) if undecided else np.empty(0, int)
    if left.size:
        result[:, left] = _compute_compiled(_pick(flat, flat_clear, left, missing, *numbers[:2]), tolerance)
    if pixels:
        sample = np.unique(np.linspace(0, pixels - 1, CHECKED_PIXELS).astype(int))
        _check(result[:, sample], _pick(flat, flat_clear, sample, missing, *numbers[:2]), tolerance)
    result[:-1, result[-1] < max(min_observations, 1)] = np.nan
    return result.reshape(len(bands) + 4, *shape)


def _pick(
    flat: list[np.ndarray],
    clear: np.ndarray,
    pixels: np.ndarray,
    missing: np.generic,
    scale: np.float32,
    offset: np.float32,
) -> np.ndarray:
    """Reflectance [1] of some pixels, NaN where not valid: float32, dims (band, time, pixel), as the device sees them."""
    some = [band[:, pixels] for band in flat]
    valid = clear[:, pixels] & np.logical_and.reduce([(band != missing) & (band == band) for band in some])
    return np.stack([np.where(valid, band.astype(np.float32) * scale + offset, np.float32(np.nan)) for band in some])


def _compute_compiled(spectra: np.ndarray, tolerance: float) -> np.ndarray:
    """Geomedian, deviations and count of spectra (band, time, pixel) by the compiled path: dims (band + 4, pixel)."""
    bands = list(spectra[:, :, np.newaxis])
    options = {"nodata": None, "scale": 1.0, "offset": 0.0, "tolerance": REST_TOLERANCE * tolerance}
    return geomedian_of_arrays(bands, np.ones(bands[0].shape, bool), **options)[:, 0]


def _check(found: np.ndarray, spectra: np.ndarray, tolerance: float) -> None:
    """Raise :class:`DeviceError` where pixels (band + 4, pixel) are no geomedians of their spectra, or count others.

    Sums of distances are compared, as between two of four spectra on a line every point is a geomedian.
    """
    expected = _compute_compiled(spectra, tolerance)
    sums = []
    for each in (expected, found):
        away = spectra - each[: len(spectra), np.newaxis].astype(float)
        sums.append(np.nan_to_num(np.sqrt((away**2).sum(axis=0))).sum(axis=0))
    wrong = (sums[1] > sums[0] * (1 + CHECKED_TO) + CHECKED_TO) | (found[-1] != expected[-1])
    if wrong.any():
        raise DeviceError(
            f"JAX on {jax.devices()[0].device_kind} finds other geomedians than the processor for {wrong.sum()} of"
            f" {wrong.size} pixels that were checked; take another version of jax, or engine='numba'"
        )


def _prepare(
    bands: list[np.ndarray], clear: np.ndarray, nodata: float | None
) -> tuple[list[np.ndarray], np.ndarray, np.generic]:
    """Bands and mask as (time, pixel), in a type that JAX has, with the value of missing data in that type."""
    dtype = np.dtype(np.float32) if bands[0].dtype.kind == "f" else bands[0].dtype
    missing = np.nan if nodata is None else nodata
    if dtype.kind in "iu" and not (missing == missing and np.iinfo(dtype).min <= missing <= np.iinfo(dtype).max):
        raise InputError(f"nodata {missing} cannot occur in {dtype} bands; correct the attribute")
    times = bands[0].shape[0]
    flat_clear = clear.reshape(times, -1).astype(bool)
    flat = [band.reshape(times, -1) for band in bands]
    if dtype.itemsize == 8:  # JAX would cut them to 32 bits without a word
        for band in flat:
            flat_clear &= band != missing
        dtype, missing = np.dtype(np.float32), np.nan
    return [band.astype(dtype, copy=False) for band in flat], flat_clear, dtype.type(missing)


def _blocks(
    flat: list[np.ndarray], clear: np.ndarray, missing: np.generic
) -> Iterator[tuple[int, list[np.ndarray], np.ndarray]]:
    """First pixel, bands (time, pixel) and mask (time, pixel) of blocks of one shape, padded with what is not clear."""
    times, pixels = clear.shape
    dates = -(-max(times, 1) // DATES_A_CLASS) * DATES_A_CLASS
    most = max(SMALLEST_BLOCK_PX, 2 ** int(np.log2(BLOCK_VALUES / (len(flat) * dates))))
    size = min(most, max(SMALLEST_BLOCK_PX, 2 ** int(np.ceil(np.log2(max(pixels, 1))))))
    for start in range(0, pixels, size):
        width = min(size, pixels - start)
        padding = ((0, dates - times), (0, size - width))
        part = slice(start, start + width)
        yield (
            start,
            [np.pad(band[:, part], padding, constant_values=missing) for band in flat],
            np.pad(clear[:, part], padding),
        )


def _fetch(start: int, solved: tuple[list[jax.Array], jax.Array, jax.Array], result: np.ndarray) -> np.ndarray:
    """Wait for a block, store it, and tell which pixels are undecided."""
    values, count, left = solved
    stop = min(start + count.size, result.shape[1])
    for row, found in zip(result, [*values, count], strict=True):
        row[start:stop] = np.asarray(found)[: stop - start]
    return start + np.flatnonzero(np.asarray(left)[: stop - start])


@jax.jit
def _solve(bands, clear, missing, scale, offset, tolerance):
    """Geomedian and deviations, rows (pixel), count (pixel), and which pixels float32 cannot decide (pixel)."""
    valid = clear
    for values in bands:
        valid = valid & (values != missing) & (values == values)
    observed = [jnp.where(valid, values.astype(jnp.float32) * scale + offset, 0.0) for values in bands]
    weight = valid.astype(jnp.float32)
    count = weight.sum(axis=0)
    center = [values.sum(axis=0) / jnp.maximum(count, 1.0) for values in observed]
    # the mean of two observations is as near to both as any point between them
    done = count < 2.5

    def step_weiszfeld(_, center):
        sums = _sum_distances(observed, weight, center)
        share = jnp.where(done, 0.0, 1.0 / jnp.maximum(sums.weights, TINY))
        return [at + share * pull for at, pull in zip(center, sums.gradient, strict=True)]

    center = lax.fori_loop(0, WEISZFELD_STEPS, step_weiszfeld, center)
    center, done = _newton(observed, weight, center, done, tolerance)
    rows = [*center, *_median_distances(observed, valid, center, count)]
    return [jnp.where(count > 0, row, jnp.nan) for row in rows], count.astype(jnp.int32), ~done


class _Sums(NamedTuple):
    """What the observations of a pixel say about a point, w = 1 / distance; all (pixel) or (time, pixel)."""

    objective: jax.Array  # sum of the distances
    weights: jax.Array  # sum of w
    gradient: list[jax.Array]  # sum of w d, a band each
    difference: list[jax.Array]  # d by date, a band each
    cubed: jax.Array  # w^3 by date


def _sum_distances(observed, weight, center) -> _Sums:
    difference = [values - at for values, at in zip(observed, center, strict=True)]
    squared = sum(d * d for d in difference) + SAME
    inverse = 1.0 / jnp.sqrt(squared)
    w = inverse * weight
    gradient = [(w * d).sum(axis=0) for d in difference]
    return _Sums((squared * w).sum(axis=0), w.sum(axis=0), gradient, difference, w * inverse * inverse)


def _newton(observed, weight, center, done, tolerance):
    """Newton steps until all pixels are done or the steps are used up, with the vertex test half-way."""

    def go_on(state):
        step, _, _, _, done = state
        return (step < 2 * NEWTON_STEPS) & ~done.all()

    def test_vertex(center, best, done):
        center = [jnp.where(done, at, kept) for at, kept in zip(center, best, strict=True)]
        center, done = _test_vertex(observed, weight, center, done)
        return center, done, jnp.full(done.shape, jnp.inf, jnp.float32)

    def take_step(state):
        step, center, best, lowest, done = state
        center, done, lowest = lax.cond(
            step == NEWTON_STEPS, test_vertex, lambda center, best, done: (center, done, lowest), center, best, done
        )
        sums = _sum_distances(observed, weight, center)
        move, smallest = _solve_newton(sums)
        accepted = ~done & (sums.objective <= lowest * ROUNDING)
        certain = accepted & (smallest >= sums.weights * CERTAIN_PIVOT) & (_squared(sums.gradient) < CONVERGED)
        finished = certain & (_squared(move) < tolerance * tolerance)
        # where the objective rose, most of the way back
        following = [
            jnp.where(done, at, jnp.where(accepted, at + way, 0.75 * kept + 0.25 * at))
            for at, way, kept in zip(center, move, best, strict=True)
        ]
        best = [jnp.where(accepted, at, kept) for at, kept in zip(center, best, strict=True)]
        return step + 1, following, best, jnp.where(accepted, sums.objective, lowest), done | finished

    start = (0, center, center, jnp.full(done.shape, jnp.inf, jnp.float32), done)
    _, center, _, _, done = lax.while_loop(go_on, take_step, start)
    return center, done


def _solve_newton(sums: _Sums):
    """Newton step, a band each (pixel), by Cholesky with floored pivots, and the smallest pivot (pixel) before that."""
    d, bands = sums.difference, len(sums.gradient)
    upper, inverse, smallest = {}, [], sums.weights
    for i in range(bands):
        curvature = sums.weights * RIDGE - (sums.cubed * d[i] * d[i]).sum(axis=0)
        pivot = curvature - sum(upper[m, i] * upper[m, i] for m in range(i))
        smallest = jnp.minimum(smallest, pivot)
        inverse.append(1.0 / jnp.sqrt(jnp.maximum(jnp.maximum(pivot, sums.weights * PIVOT_FLOOR), TINY)))
        for j in range(i + 1, bands):
            element = -(sums.cubed * d[i] * d[j]).sum(axis=0) - sum(upper[m, i] * upper[m, j] for m in range(i))
            upper[i, j] = element * inverse[i]
    z = []
    for i in range(bands):
        z.append((sums.gradient[i] - sum(upper[m, i] * z[m] for m in range(i))) * inverse[i])
    for i in reversed(range(bands)):
        z[i] = (z[i] - sum(upper[i, m] * z[m] for m in range(i + 1, bands))) * inverse[i]
    return z, smallest


def _test_vertex(observed, weight, center, done):
    """Pixels whose nearest observation is the exact minimum are done there; where leaving it lowers the objective below
    that of the center, the next steps begin one Vardi-Zhang step away from it.
    """
    here = _sum_distances(observed, weight, center)
    nearest = jnp.where(weight > 0, _squared(here.difference), jnp.inf).argmin(axis=0)
    vertex = [jnp.take_along_axis(values, nearest[None], axis=0)[0] for values in observed]
    away = [values - at for values, at in zip(observed, vertex, strict=True)]
    squared = _squared(away)
    apart = weight * (squared >= SAME)
    w = apart / jnp.sqrt(jnp.maximum(squared, SAME))
    pull = [(w * d).sum(axis=0) for d in away]
    length = jnp.sqrt(_squared(pull))
    same = (weight - apart).sum(axis=0)
    is_minimum = ~done & (length <= same)
    share = jnp.maximum(1.0 - same / jnp.maximum(length, TINY), 0.0) / jnp.maximum(w.sum(axis=0), TINY)
    outside = [at + share * way for at, way in zip(vertex, pull, strict=True)]
    lower = ~done & (_sum_distances(observed, weight, outside).objective < here.objective)
    center = [
        jnp.where(is_minimum, at, jnp.where(lower, beside, before))
        for at, beside, before in zip(vertex, outside, center, strict=True)
    ]
    return center, done | is_minimum


def _median_distances(observed, valid, center, count) -> list[jax.Array]:
    """Median over the valid dates of the Euclidean, cosine and Bray-Curtis distances to the center, each (pixel)."""
    pairs = list(zip(observed, center, strict=True))
    difference = [x - y for x, y in pairs]
    # 1 - cos as half the squared chord: the plain difference would keep no digit of a small angle
    length, middle_length = jnp.sqrt(_squared(observed) + TINY), jnp.sqrt(_squared(center) + TINY)
    distances = [
        jnp.sqrt(_squared(difference)),
        0.5 * _squared([x / length - y / middle_length for x, y in pairs]),
        sum(abs(d) for d in difference) / (sum(abs(x + y) for x, y in pairs) + TINY),
    ]
    number = jnp.maximum(count.astype(jnp.int32), 1)
    medians = []
    for each in distances:
        ordered = jnp.sort(jnp.where(valid, each, jnp.inf), axis=0)
        below = jnp.take_along_axis(ordered, ((number - 1) // 2)[None], axis=0)[0]
        above = jnp.take_along_axis(ordered, (number // 2)[None], axis=0)[0]
        medians.append(0.5 * (below + above))
    return medians


def _squared(parts: list[jax.Array]) -> jax.Array:
    """Squared length over bands."""
    return sum(part * part for part in parts)
