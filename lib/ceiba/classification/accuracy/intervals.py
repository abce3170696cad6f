"""Confidence intervals of proportions and ratios from samples of unequal weights."""

import math

import numba
import numpy as np
from scipy import special, stats

from ceiba.errors import InputError

INTERVALS = ("strata", "wilson", "logit", "normal")
STEPS = 34  # halvings of 0..1: limits to 1e-10
FARTHEST = 1e6  # of saddlepoints, in 1 / standard deviation
EPSILON = 1e-15  # a standard deviation of nothing, of areas that sum to 1


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
    """Interval of a ratio of totals, between quantiles of its posterior distribution.

    The ratio is R = sum(w area right) / sum(area (w right + wrong)). The shares of each stratum have a Dirichlet posterior:
    its samples, and half a sample in all that is right and half a sample in all that is wrong, each spread over the strata
    that can hold such units, in proportion to their area that was not found to be so: there it may hide. In one stratum
    that is Jeffreys' interval (Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286). In several, R lies below r where
    D = sum(area (w (1 - r) right - r wrong)) is negative; that probability is the saddlepoint approximation
    (:func:`_below_zero`) from three cumulants of D in each stratum.

    Where a class is missed once or never among the samples of a large stratum, as rare change is, the variance of that
    stratum is mostly 0 and all intervals built on it are far too short. Half a sample in each stratum, on the other hand,
    would be more errors than there are where there are many strata.

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
        Lower and upper limits, dims ``(quantity,)``; 0 and 1 at the least where nothing, or everything, was right.
    """
    area = area[:, None] / area.sum()
    open_stratum = np.isfinite(count)[:, None]
    count = np.where(open_stratum, count[:, None], 1)
    top = count * right + _half_sample(area * (right_possible & open_stratum), right)
    rest = count * wrong + _half_sample(area * (wrong_possible & open_stratum), wrong)
    neither = count * np.clip(1 - right - wrong, 0, None)
    total = np.maximum(top + rest + neither, np.finfo(float).tiny)
    share, other = top / total, rest / total
    second = np.where(open_stratum, area**2 / (total + 1), 0)
    third = np.where(open_stratum, 2 * area**3 / ((total + 1) * (total + 2)), 0)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    limits = _quantiles(share, other, np.ravel(area), second, third, weight, tails)
    # The share of what is right has a beta distribution where one stratum holds all of it.
    alone = (((top + rest) > 0).sum(axis=0) == 1) & open_stratum.all()
    beta = special.betaincinv(*(np.where(alone, part.sum(axis=0), 1) for part in (top, rest)), tails[:, None])
    lower, upper = np.where(alone, weight * beta / (1 + (weight - 1) * beta), limits)
    found = weight * (area * right).sum(axis=0)
    missed = (area * wrong).sum(axis=0)
    return np.where(found > 0, lower, 0), np.where(missed > 0, upper, 1)


def _half_sample(area: np.ndarray, share: np.ndarray) -> np.ndarray:
    hidden = area * (1 - share)
    hidden = np.where(hidden.sum(axis=0) > 0, hidden, area)
    return hidden / (2 * np.maximum(hidden.sum(axis=0), np.finfo(float).tiny))


@numba.njit(cache=True)
def _quantiles(share, other, area, second, third, weight, tails):
    """Ratios below which the posterior has each of the tails, dims ``(tail, quantity)``, by halving."""
    strata, quantities = share.shape
    found = np.empty((tails.size, quantities))
    variance, scale = np.empty(strata), np.empty(strata)
    for quantity in range(quantities):
        for number, tail in enumerate(tails):
            low, high = 0.0, 1.0
            for _ in range(STEPS):
                ratio = (low + high) / 2
                gain = weight[quantity] * (1 - ratio)
                total, cumulant = 0.0, 0.0
                for h in range(strata):
                    right, wrong = share[h, quantity], other[h, quantity]
                    mean = gain * right - ratio * wrong
                    squares = gain**2 * right + ratio**2 * wrong
                    cubes = gain**3 * right - ratio**3 * wrong
                    skewed = third[h, quantity] * (cubes - 3 * mean * squares + 2 * mean**3)
                    variance[h] = second[h, quantity] * max(squares - mean**2, 0.0)
                    scale[h] = skewed / (2 * variance[h]) if variance[h] > 0 else 0.0
                    total += area[h] * mean
                    cumulant += skewed
                if _below_zero(total, variance, scale, cumulant) < tail:
                    low = ratio
                else:
                    high = ratio
            found[number, quantity] = (low + high) / 2
    return found


@numba.njit(cache=True)
def _below_zero(mean, variance, scale, cumulant):
    """Probability that a sum of independent gamma variables, each shifted and either way up, is negative.

    Barndorff-Nielsen's form of the saddlepoint approximation (1986, doi:10.1093/biomet/73.2.307). A gamma variable of
    variance v and third cumulant 2 v s has K(t) = v (-s t - log(1 - s t)) / s^2 about its mean. ``mean`` and ``cumulant`` are
    the first and third cumulants of the sum, ``variance`` and ``scale`` are v and s of its terms, dims ``(term,)``.
    """
    deviation = math.sqrt(variance.sum())
    if deviation < EPSILON:
        return 1.0 if mean < 0 else 0.0
    # The saddlepoint lies on the side away from the mean, before 1 - s t is 0 for a term: K(t) ends there.
    side = -1.0 if mean > 0 else 1.0
    end = FARTHEST / deviation
    for s in scale:
        if side * s * end >= 1:
            end = (1 - 1e-9) / (side * s)
    near, far = 0.0, 1.0
    for _ in range(STEPS):
        middle = (near + far) / 2
        # Cubed, for most saddlepoints lie close to 0.
        point = side * end * middle**3
        slope = mean
        for h in range(scale.size):
            slope += point * variance[h] / (1 - scale[h] * point)
        if side * slope < 0:
            near = middle
        else:
            far = middle
    height, curvature = point * mean, 0.0
    for h in range(scale.size):
        step = scale[h] * point
        curve = (-step - math.log1p(-step)) / step**2 if abs(step) > 1e-4 else 0.5 + step / 3
        height += point**2 * variance[h] * curve
        curvature += variance[h] / (1 - step) ** 2
    root = side * math.sqrt(max(-2 * height, 0.0))
    other = point * math.sqrt(curvature)
    # Next to the mean both roots vanish, and what corrects them tends to a sixth of the skewness.
    correction = math.log(other / root) / root if abs(root) > 1e-3 else cumulant / deviation**3 / 6
    return 0.5 * math.erfc(-(root + correction) / math.sqrt(2.0))
