"""Radiometric normalisation of one image to another by pixels that did not change."""

import numpy as np

from ceiba.errors import InputError


def orthogonal_regression(reference: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of ``reference = slope * target + intercept`` with errors in both images alike.

    Canty et al. 2004 (doi:10.1016/j.rse.2003.10.024): major axis of the covariance of no-change pixels.

    Parameters
    ----------
    reference, target
        Values of one band at no-change pixels, dims ``(pixel,)``.

    Raises
    ------
    InputError
        Where there are fewer than three pixels, or the target does not vary.
    """
    if len(target) < 3 or not np.ptp(target) > 0:
        raise InputError(f"{len(target)} no-change pixels do not fix a line; loosen the no-change threshold")
    covariance = np.cov(target, reference)
    _, axes = np.linalg.eigh(covariance)
    slope = float(axes[1, -1] / axes[0, -1])
    return slope, float(np.mean(reference) - slope * np.mean(target))
