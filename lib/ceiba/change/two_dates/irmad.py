"""Iteratively reweighted multivariate alteration detection between two images."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ceiba.change.two_dates.covariances import add_products, count_and_add, pixel_blocks, write_variates
from ceiba.errors import InputError, ParameterError

SMALLEST_SAMPLE = 30  # complete pixels a band, below which canonical correlations mean nothing
SMALLEST_VARIANCE = 1e-10  # of the largest principal component; below it a band is a combination of the others
SMALLEST_DEVIATION = 1e-6  # of a variate, so that identical images do not divide by zero


@dataclass(frozen=True)
class Alteration:
    """What IR-MAD found.

    Attributes
    ----------
    statistic
        Sum of the squared standardised variates [1], dims ``(...)`` of the images; NaN is no data.
    no_change
        Probability of no change [1]: upper tail of chi-square at ``statistic``. Reweighting narrows the core that it takes for
        unchanged, so these probabilities are too small: to decide, see
        :func:`ceiba.change.two_dates.null_distribution.fit_null`.
    variates
        Alteration variates, dims ``(pair, ...)``, float32, the least correlated pair first.
    correlations
        Canonical correlations [1], descending, dims ``(pair,)``: as many pairs as bands, fewer where a band is constant or a
        combination of the others.
    iterations
        Iterations done.
    converged
        Whether correlations settled before the last iteration allowed.
    """

    statistic: np.ndarray
    no_change: np.ndarray
    variates: np.ndarray
    correlations: np.ndarray
    iterations: int
    converged: bool


@dataclass(frozen=True)
class _Pairs:
    """Standardised alteration variates as linear combinations of the bands: ``(values - center) @ directions - offsets``."""

    directions: np.ndarray
    offsets: np.ndarray
    deviations: np.ndarray
    correlations: np.ndarray


def irmad(
    before: np.ndarray,
    after: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    max_iterations: int = 50,
    tolerance: float = 1e-3,
    ridge: float = 0.0,
) -> Alteration:
    """Find pixels whose bands changed against the image-wide linear relation of two dates.

    Nielsen 2007 (doi:10.1109/TIP.2006.888195): canonical correlation of both images, each pixel weighted by
    its probability of no change, until the correlations settle. It needs no radiometric normalisation: gains
    and offsets drop out. Sums go in float64 over small blocks of the images, which may be float32 and mapped from a file.

    Parameters
    ----------
    before, after
        Bands of both dates, dims ``(band, ...)`` with the same shape, any units; a pixel with NaN in any band
        of either date is left out.
    mask
        True where a pixel takes part, dims ``(...)``; everywhere by default.
    max_iterations
        Iterations at most, 1 or more.
    tolerance
        Settled when no correlation moves by as much.
    ridge
        Share of the mean variance added to the covariances, for bands that are nearly combinations of others. Constant bands
        and exact combinations need none: they are left out.

    Returns
    -------
    Alteration
        Identical images give no change everywhere.

    Raises
    ------
    InputError
        Where shapes differ, where fewer than 30 complete pixels a band are left, or where no band of an image varies.
    ParameterError
        Without an iteration, or with a ridge below 0.
    """
    if max_iterations < 1 or ridge < 0:
        raise ParameterError(
            f"{max_iterations} iterations and a ridge of {ridge}; at least 1 and 0 are needed: without a pair nothing is told"
        )
    if before.shape != after.shape or before.ndim < 2:
        raise InputError(f"both images need the same dims (band, ...); got shapes {before.shape} and {after.shape}")
    bands, shape = before.shape[0], before.shape[1:]
    if mask is not None and mask.shape != shape:
        raise InputError(f"the mask has shape {mask.shape}, the images have {shape}")
    scene = _Scene(
        before.reshape(bands, -1), after.reshape(bands, -1), None if mask is None else mask.reshape(-1).astype(bool)
    )
    center, count = scene.mean()
    if count < SMALLEST_SAMPLE * bands:
        raise InputError(f"{count} complete pixels are too few for {bands} bands; at least {SMALLEST_SAMPLE * bands}")
    pairs = _Pairs(np.zeros((2 * bands, 0)), np.zeros(0), np.zeros(0), np.zeros(0))
    converged, iterations = False, 0
    while iterations < max_iterations and not converged:
        total, mean, covariance = scene.moments(center, pairs)
        if not total > bands:
            break
        newer = _find_pairs(mean, covariance, ridge)
        if iterations and len(newer.correlations) < len(pairs.correlations):
            # What varies only where there was change has no variance left among the rest: the pairs before know more.
            break
        iterations += 1
        moved = newer.correlations - (pairs.correlations if iterations > 1 else 0.0)
        converged = bool(np.max(np.abs(moved)) < tolerance)
        pairs = newer
    statistic, no_change, variates = scene.variates(center, pairs)
    return Alteration(
        statistic=statistic.reshape(shape),
        no_change=no_change.reshape(shape),
        variates=variates.reshape(-1, *shape)[::-1],
        correlations=pairs.correlations,
        iterations=iterations,
        converged=converged,
    )


@dataclass(frozen=True)
class _Scene:
    """Two images, dims ``(band, pixel)``, and where they count, walked block by block."""

    before: np.ndarray
    after: np.ndarray
    mask: np.ndarray | None

    def blocks(self):
        for pixels, block in pixel_blocks(self.before, self.after):
            if self.mask is not None:
                block[~self.mask[pixels]] = np.nan
            yield pixels, block

    def mean(self) -> tuple[np.ndarray, int]:
        """Mean of each band over complete pixels, and how many there are."""
        sums, count = np.zeros(2 * len(self.before)), 0
        for _, block in self.blocks():
            count += count_and_add(block, sums)
        return sums / max(count, 1), count

    def moments(self, center: np.ndarray, pairs: _Pairs) -> tuple[float, np.ndarray, np.ndarray]:
        """Sum of weights, weighted mean (from ``center``) and weighted covariance."""
        sums, products, total = np.zeros(len(center)), np.zeros((len(center), len(center))), 0.0
        for _, block in self.blocks():
            total += add_products(block, center, pairs.directions, pairs.offsets, sums, products)
        mean = sums / max(total, 1e-300)
        return total, mean, products / max(total, 1e-300) - np.outer(mean, mean)

    def variates(self, center: np.ndarray, pairs: _Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Statistic, probability of no change and variates of all pixels."""
        count = self.before.shape[1]
        statistic, no_change = np.empty(count), np.empty(count)
        variates = np.empty((len(pairs.offsets), count), dtype="float32")
        shape = (pairs.directions, pairs.offsets, pairs.deviations)
        for pixels, block in self.blocks():
            write_variates(block, center, *shape, statistic[pixels], no_change[pixels], variates[:, pixels])
        return statistic, no_change, variates


def _find_pairs(mean: np.ndarray, covariance: np.ndarray, ridge: float) -> _Pairs:
    """Pairs of combinations of both images, the most correlated first, by a singular value decomposition of whitened bands."""
    bands = len(mean) // 2
    top, bottom = slice(0, bands), slice(bands, 2 * bands)
    left = _whitening(covariance[top, top], ridge, "first")
    right = _whitening(covariance[bottom, bottom], ridge, "second")
    rotation, correlations, other = linalg.svd(left.T @ covariance[top, bottom] @ right, full_matrices=False)
    correlations = np.clip(correlations, 0.0, 1.0)
    # Unit variance in both images and a positive correlation make the variance of their difference 2 (1 - correlation).
    deviations = np.sqrt(2 * (1 - correlations)).clip(SMALLEST_DEVIATION)
    directions = np.concatenate([left @ rotation, -(right @ other.T)]) / deviations
    return _Pairs(directions, mean @ directions, deviations, correlations)


def _whitening(covariance: np.ndarray, ridge: float, which: str) -> np.ndarray:
    """Combinations of bands with unit variance and without correlation, dims ``(band, component)``."""
    bands = len(covariance)
    covariance = covariance + ridge * np.trace(covariance) / bands * np.eye(bands)
    deviation = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    varies = deviation > SMALLEST_VARIANCE * max(deviation.max(), 1e-300)
    if not varies.any():
        raise InputError(f"no band of the {which} image varies: there is nothing to compare")
    scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
    variance, axes = linalg.eigh(covariance * np.outer(scale, scale))
    kept = variance > SMALLEST_VARIANCE * variance.max()
    return scale[:, None] * axes[:, kept] / np.sqrt(variance[kept])
