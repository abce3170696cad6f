"""Confidence intervals of proportions and ratios from samples of unequal weights."""

import numpy as np
from scipy import stats

from ceiba.errors import InputError

INTERVALS = ("normal", "wilson", "logit")


def ratio_interval(
    ratio: np.ndarray, variance: np.ndarray, effective: np.ndarray, *, level: float = 0.95, method: str = "wilson"
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of ratios between 0 and 1.

    Parameters
    ----------
    ratio, variance
        Estimates [1] and their variances under the design, dims ``(quantity,)``.
    effective
        Effective number of samples for ratios without spread in the sample (all right, or none), where the variance is 0
        and would promise certainty; infinite where the whole population was measured.
    level
        Confidence level.
    method
        ``normal``: ratio plus and minus the quantile times the standard error, cut to 0..1, as the papers print it.
        ``wilson``: Wilson's score interval (doi:10.1080/01621459.1927.10502953) of as many simple random samples as have
        the same variance (Korn and Graubard 1998, Survey Methodology 24:193-201, for the effective number).
        ``logit``: the normal interval on the logit scale.

    Returns
    -------
    tuple
        Lower and upper limits, NaN where the ratio is NaN.

    Raises
    ------
    InputError
        On another method.
    """
    if method not in INTERVALS:
        raise InputError(f"no interval {method!r}; there are {', '.join(INTERVALS)}")
    ratio = np.asarray(ratio, dtype="float64")
    z = float(stats.norm.ppf(0.5 + level / 2))
    spread = ratio * (1 - ratio)
    certain = ~(variance > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        count = np.where(certain, effective, spread / variance)
        wilson = _wilson(ratio, count, z)
        if method == "wilson":
            return wilson
        error = np.sqrt(variance)
        if method == "normal":
            lower, upper = ratio - z * error, ratio + z * error
        else:
            middle, half = np.log(ratio / (1 - ratio)), z * error / spread
            lower, upper = 1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle))
            # The logit of 0 and 1 is infinite: Wilson's interval speaks there.
            lower, upper = np.where(spread > 0, lower, wilson[0]), np.where(spread > 0, upper, wilson[1])
    return np.where(np.isnan(ratio), np.nan, np.clip(lower, 0, 1)), np.where(
        np.isnan(ratio), np.nan, np.clip(upper, 0, 1)
    )


def _wilson(ratio: np.ndarray, count: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
    inverse = z**2 / count
    middle = (ratio + inverse / 2) / (1 + inverse)
    half = np.sqrt(ratio * (1 - ratio) * inverse + inverse**2 / 4) / (1 + inverse)
    lower, upper = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    return np.where(count > 0, lower, 0), np.where(count > 0, upper, 1)
