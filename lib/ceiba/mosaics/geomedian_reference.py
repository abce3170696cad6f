"""Slow float64 geomedian with a certificate, to hold the fast one against."""

import numpy as np

SAME = 1e-12  # distance [1] below which two spectra are the same


def geomedian_float64(
    spectra: np.ndarray, *, tolerance: float = 1e-12, steps: int = 100_000
) -> tuple[np.ndarray, float]:
    """Geometric median of one pixel by the exact vertex test, else the Weiszfeld iteration of Vardi and
    Zhang.

    Parameters
    ----------
    spectra
        Observations in reflectance [1], dims ``(time, band)``; one with a NaN does not count.
    tolerance
        Length of the last step [1].
    steps
        Steps after which it gives up; the certificate then tells how far it got.

    Returns
    -------
    tuple[np.ndarray, float]
        The geomedian [1], dims ``(band,)``, NaN without observations; and the norm of the sum of unit vectors
        beyond the number of observations that lie on it, which is 0 at the exact minimum.

    References
    ----------
    Vardi and Zhang 2000, doi:10.1073/pnas.97.4.1423.
    """
    observed = spectra[np.isfinite(spectra).all(axis=1)].astype(np.float64)
    if len(observed) == 0:
        return np.full(spectra.shape[1], np.nan), 0.0
    if len(observed) <= 2:
        return observed.mean(axis=0), 0.0
    for vertex in observed:
        pull, same, _ = _pull(observed, vertex)
        if np.linalg.norm(pull) <= same:
            return vertex.copy(), 0.0
    center = observed.mean(axis=0)
    for _ in range(steps):
        pull, same, weights = _pull(observed, center)
        step = max(0.0, 1 - same / np.linalg.norm(pull)) * pull / weights if np.any(pull) else np.zeros_like(center)
        center = center + step
        if np.linalg.norm(step) < tolerance:
            break
    pull, same, _ = _pull(observed, center)
    return center, max(float(np.linalg.norm(pull)) - same, 0.0)


def _pull(observed: np.ndarray, center: np.ndarray) -> tuple[np.ndarray, int, float]:
    """Sum of unit vectors to the observations, number of those at the center, sum of inverse distances."""
    difference = observed - center
    distance = np.linalg.norm(difference, axis=1)
    apart = distance > SAME
    weights = 1 / distance[apart]
    return weights @ difference[apart], int((~apart).sum()), float(weights.sum())
