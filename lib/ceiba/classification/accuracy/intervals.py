"""Confidence intervals of proportions and ratios from samples of unequal weights."""

import numpy as np
from scipy import special, stats

from ceiba.errors import InputError

INTERVALS = ("strata", "wider", "wilson", "logit", "normal")
STEPS = 40  # halvings of 0..1: limits to 1e-12


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
    """
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


def check_method(method: str) -> None:
    """Raise :class:`InputError` on the name of an interval that does not exist."""
    if method not in INTERVALS:
        raise InputError(f"no interval {method!r}; there are {', '.join(INTERVALS)}")


def strata_interval(
    right: np.ndarray,
    wrong: np.ndarray,
    count: np.ndarray,
    area: np.ndarray,
    weight: np.ndarray,
    *,
    right_possible: np.ndarray,
    wrong_possible: np.ndarray,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a ratio of totals, recovered from the intervals of its proportions in each stratum.

    The ratio is R = sum(w area right) / sum(area (w right + wrong)). Each proportion gets Jeffreys limits in its stratum
    (Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286), also where none or all of the samples are right, and the
    limits are combined as Zou, Huang and Zhang 2009 do (MOVER, doi:10.1016/j.csda.2008.09.033) with the correlation of two
    shares of one sample, for the R at which the combination just allows 0 (as Fieller's theorem does). Where a class is
    missed once or never among the samples of a large stratum, as rare change is, the variance of that stratum is mostly
    0 and all intervals built on it are far too short; this one is not.

    Parameters
    ----------
    right, wrong
        Share [1] of each stratum in the numerator, and in the denominator alone, dims ``(stratum, quantity)``.
    count
        Effective number of samples in each stratum, infinite where it was measured whole, dims ``(stratum,)``.
    area
        Area of each stratum, dims ``(stratum,)``.
    weight
        How often the numerator counts what is right: 2 for F1, else 1, dims ``(quantity,)``.
    right_possible, wrong_possible
        Whether the stratum can hold such units at all, dims ``(stratum, quantity)``: a stratum without pixels mapped as
        forest holds no wrongly mapped forest, however few of it were visited.
    level
        Confidence level.

    Returns
    -------
    tuple
        Lower and upper limits, dims ``(quantity,)``.
    """
    tail = (1 - level) / 2
    right_low, right_high = _jeffreys(right, count[:, None], tail)
    wrong_low, wrong_high = _jeffreys(wrong, count[:, None], tail)
    area = area[:, None]
    below = [np.where(possible, area * (share - low), 0) for possible, share, low in
             ((right_possible, right, right_low), (wrong_possible, wrong, wrong_low))]  # fmt: skip
    above = [np.where(possible, area * (high - share), 0) for possible, share, high in
             ((right_possible, right, right_high), (wrong_possible, wrong, wrong_high))]  # fmt: skip
    odds = (1 - right) * (1 - wrong)
    # Shares of one sample: the more of the one, the less of the other; all the less where there is nothing else.
    full = right + wrong > 1 - 1e-12
    correlation = np.where(full, 1, np.sqrt(right * wrong / np.where(full, 1, odds)))
    top, rest = (area * right).sum(axis=0), (area * wrong).sum(axis=0)
    lower = _solve(top, rest, below[0], above[1], correlation, weight, -1)
    upper = _solve(top, rest, above[0], below[1], correlation, weight, 1)
    return lower, upper


def _jeffreys(share: np.ndarray, count: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray]:
    share, count = np.broadcast_arrays(share, count)
    finite = np.isfinite(count)
    number = np.where(finite, count, 1)
    hits = np.clip(share * number, 0, number)
    low = np.where(hits > 0, special.betaincinv(hits + 0.5, number - hits + 0.5, tail), 0)
    high = np.where(hits < number, special.betaincinv(hits + 0.5, number - hits + 0.5, 1 - tail), 1)
    # Far from 0 and 1 the limits enclose the share; next to them Jeffreys' may not.
    return np.where(finite, np.minimum(low, share), share), np.where(finite, np.maximum(high, share), share)


def _solve(top, rest, right_margin, wrong_margin, correlation, weight, side: int) -> np.ndarray:
    """Ratio at which the limit of ``weight (1 - R) top - R rest`` on one side is 0, by halving."""
    right_squares, wrong_squares = (right_margin**2).sum(axis=0), (wrong_margin**2).sum(axis=0)
    product = (correlation * right_margin * wrong_margin).sum(axis=0)
    low, high = np.zeros_like(top), np.ones_like(top)
    for _ in range(STEPS):
        ratio = (low + high) / 2
        gain = weight * (1 - ratio)
        margin = np.sqrt(gain**2 * right_squares + ratio**2 * wrong_squares + 2 * gain * ratio * product)
        positive = gain * top - ratio * rest + side * margin > 0
        low, high = np.where(positive, ratio, low), np.where(positive, high, ratio)
    return (low + high) / 2
