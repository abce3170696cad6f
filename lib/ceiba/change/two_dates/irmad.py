"""Iteratively reweighted multivariate alteration detection between two images."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

from ceiba.errors import InputError

SMALLEST_SAMPLE = 30  # complete pixels a band, below which canonical correlations mean nothing


@dataclass(frozen=True)
class Alteration:
    """What IR-MAD found.

    Attributes
    ----------
    statistic
        Sum of the squared standardised variates [1], dims ``(...)`` of the images; NaN is no data.
    no_change
        Probability of no change [1]: upper tail of chi-square at ``statistic``.
    variates
        Alteration variates, dims ``(band, ...)``, the least correlated pair first.
    correlations
        Canonical correlations [1], descending, dims ``(band,)``.
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


def irmad(
    before: np.ndarray,
    after: np.ndarray,
    *,
    max_iterations: int = 50,
    tolerance: float = 1e-3,
    ridge: float = 0.0,
) -> Alteration:
    """Find pixels whose bands changed against the image-wide linear relation of two dates.

    Nielsen 2007 (doi:10.1109/TIP.2006.888195): canonical correlation of both images, each pixel weighted by
    its probability of no change, until the correlations settle. It needs no radiometric normalisation: gains
    and offsets drop out.

    Parameters
    ----------
    before, after
        Bands of both dates, dims ``(band, ...)`` with the same shape, any units; a pixel with NaN in any band
        of either date is left out.
    max_iterations
        Iterations at most.
    tolerance
        Settled when no correlation moves by as much.
    ridge
        Share of the mean variance added to the covariances, for bands that are nearly combinations of others.

    Returns
    -------
    Alteration
        Identical images give no change everywhere.

    Raises
    ------
    InputError
        Where shapes differ, or where fewer than 30 complete pixels a band are left.
    """
    if before.shape != after.shape or before.ndim < 2:
        raise InputError(f"both images need the same dims (band, ...); got shapes {before.shape} and {after.shape}")
    bands = before.shape[0]
    first = before.reshape(bands, -1).astype("float64")
    second = after.reshape(bands, -1).astype("float64")
    seen = np.isfinite(first).all(axis=0) & np.isfinite(second).all(axis=0)
    if seen.sum() < SMALLEST_SAMPLE * bands:
        raise InputError(
            f"{int(seen.sum())} complete pixels are too few for {bands} bands; at least {SMALLEST_SAMPLE * bands}"
        )
    stacked = np.concatenate([first[:, seen], second[:, seen]])
    stacked = stacked - stacked.mean(axis=1, keepdims=True)
    weight = np.ones(stacked.shape[1])
    correlations = np.zeros(bands)
    converged = False
    iterations = 0
    while iterations < max_iterations and not converged:
        iterations += 1
        variates, found = _variates(stacked, weight, bands, ridge)
        statistic, weight = _chi_square(variates, found)
        converged = bool(np.max(np.abs(found - correlations)) < tolerance)
        correlations = found
        if converged or not weight.sum() > bands:
            break
    shape = before.shape[1:]
    full_statistic, full_weight = np.full(seen.shape, np.nan), np.full(seen.shape, np.nan)
    full_variates = np.full((bands, seen.size), np.nan)
    full_statistic[seen], full_weight[seen], full_variates[:, seen] = statistic, weight, variates
    return Alteration(
        statistic=full_statistic.reshape(shape),
        no_change=full_weight.reshape(shape),
        variates=full_variates.reshape(bands, *shape)[::-1],
        correlations=correlations,
        iterations=iterations,
        converged=converged,
    )


def _variates(stacked: np.ndarray, weight: np.ndarray, bands: int, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Alteration variates, dims ``(band, pixel)``, and canonical correlations, the most correlated first."""
    total = weight.sum()
    mean = (stacked @ weight) / total
    centered = stacked - mean[:, None]
    covariance = (centered * weight) @ centered.T / total
    top, bottom = slice(0, bands), slice(bands, 2 * bands)
    for part in (top, bottom):
        # A floor keeps bands without any variance (a constant image) from dividing by zero.
        extra = max(ridge * np.trace(covariance[part, part]) / bands, 1e-15 * np.trace(covariance), 1e-300)
        covariance[part, part] += extra * np.eye(bands)
    cross = covariance[top, bottom]
    squared, left = linalg.eigh(
        cross @ linalg.solve(covariance[bottom, bottom], cross.T, assume_a="pos"), covariance[top, top]
    )
    order = np.argsort(squared)[::-1]
    correlations = np.sqrt(np.clip(squared[order], 0.0, 1.0))
    left = left[:, order]
    right = linalg.solve(covariance[bottom, bottom], cross.T @ left, assume_a="pos")
    right /= np.sqrt(np.einsum("ij,ik,kj->j", right, covariance[bottom, bottom], right, optimize=False).clip(1e-300))
    # eigh scales ``left`` to unit variance; ``right`` has it too, and correlates positively with it by
    # construction.
    return left.T @ centered[top] - right.T @ centered[bottom], correlations


def _chi_square(variates: np.ndarray, correlations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    variance = np.clip(2 * (1 - correlations), 1e-12, None)
    statistic = (variates**2 / variance[:, None]).sum(axis=0)
    return statistic, special.chdtrc(len(correlations), statistic)
