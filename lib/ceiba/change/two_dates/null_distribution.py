"""What unchanged land really shows: a null distribution fitted to the bulk of an image, and change told against it."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from ceiba.errors import InputError, ParameterError

BINS = 200
SMALLEST_CORE = 1000  # pixels, below which scale and tail of the bulk cannot be told apart
HEAVIEST_TAIL, LIGHTEST_TAIL = 1.0, 1e4  # degrees of freedom; above ten thousand it is a chi-square


@dataclass(frozen=True)
class EmpiricalNull:
    """Distribution of the statistic over unchanged land: ``scale * degrees`` times an F distribution.

    Attributes
    ----------
    degrees
        Number of variates in the statistic.
    scale
        Size of the noise against what the statistic was standardised by [1]; 1 where that was right.
    tail
        Degrees of freedom of the noise: small where it is uneven, ten thousand where it is normal.
    unchanged_share
        Share of unchanged pixels [1], 0 to 1.
    """

    degrees: int
    scale: float
    tail: float
    unchanged_share: float

    def no_change(self, statistic: np.ndarray) -> np.ndarray:
        """Probability [1] that unchanged land shows at least ``statistic``; any dims, NaN is no data."""
        return special.fdtrc(self.degrees, self.tail, np.asarray(statistic) / (self.scale * self.degrees))


def no_change_by_stratum(statistic: np.ndarray, degrees: int, strata: np.ndarray) -> np.ndarray:
    """Probability of no change, each pixel against the null distribution of its own stratum.

    Noise differs from land to land; one null for all would call quiet land unchanged and restless land changed (Efron 2008,
    doi:10.1214/07-AOAS141).

    Parameters
    ----------
    statistic
        As of :func:`ceiba.change.two_dates.irmad.irmad` [1], any dims, NaN is no data.
    degrees
        Number of variates in it.
    strata
        Stratum of each pixel, integers, same dims; strata should hold some thousand pixels.

    Returns
    -------
    np.ndarray
        0 to 1 [1], same dims; NaN is no data.

    Raises
    ------
    InputError
        Where shapes differ, or where a stratum shows no null distribution, see :func:`fit_null`.
    """
    if strata.shape != statistic.shape:
        raise InputError(f"the strata have shape {strata.shape}, the statistic has {statistic.shape}")
    probability = np.full(statistic.shape, np.nan)
    seen = np.isfinite(statistic)
    for stratum in np.unique(strata[seen]):
        members = seen & (strata == stratum)
        probability[members] = fit_null(statistic[members], degrees).no_change(statistic[members])
    return probability


def fit_null(statistic: np.ndarray, degrees: int, *, core: float = 0.8) -> EmpiricalNull:
    """Null distribution of a sum of squared variates, from the bulk of the image.

    Efron 2004 (doi:10.1198/016214504000000089): with many tests, most of them null, their own bulk shows the null
    distribution better than theory. Here the theory (chi-square) gets a free scale, because reweighting narrows the core by
    which variates are standardised, and a free tail, because noise is not the same everywhere. Both have the largest
    likelihood of the smallest statistics, cut off at a quantile that change hardly reaches; the tail is free only where the
    information criterion of Schwarz 1978 (doi:10.1214/aos/1176344136) prefers it.

    Parameters
    ----------
    statistic
        As of :func:`ceiba.change.two_dates.irmad.irmad` [1], any dims, NaN is no data.
    degrees
        Number of variates in it.
    core
        Share of the pixels [1] taken for the bulk, 0.3 to 0.95: less than what surely did not change.

    Raises
    ------
    ParameterError
        On another share.
    InputError
        Where the bulk has fewer than 1,000 pixels or does not vary.
    """
    if not 0.3 <= core <= 0.95:
        raise ParameterError(f"core is {core}; allowed are 0.3 to 0.95")
    values = statistic[np.isfinite(statistic)]
    edge = float(np.quantile(values, core)) if values.size else 0.0
    inside = int((values <= edge).sum())
    if inside < SMALLEST_CORE or not edge > 0:
        raise InputError(
            f"{inside} pixels up to {edge:g} do not show a null distribution; at least {SMALLEST_CORE} that vary are needed"
        )
    edges = np.linspace(0.0, edge, BINS + 1)
    counts = np.histogram(values, edges)[0]

    def cumulated(parameters: np.ndarray) -> np.ndarray:
        scale, tail = np.exp(parameters)
        return special.fdtr(degrees, tail, edges / (scale * degrees))

    def surprise(parameters: np.ndarray) -> float:
        below = cumulated(parameters)
        share = np.diff(below) / max(below[-1], 1e-300)
        return -float((counts * np.log(np.maximum(share, 1e-300))).sum()) / inside

    middle = float(np.median(values)) / special.chdtri(degrees, 0.5)
    size = (np.log(middle) - 5, np.log(middle) + 5)
    heaviest, lightest = np.log(HEAVIEST_TAIL), np.log(LIGHTEST_TAIL)

    def fit(tail: float, limits: tuple[float, float]):
        return optimize.minimize(surprise, [np.log(middle), tail], method="L-BFGS-B", bounds=[size, limits])

    normal = fit(lightest, (lightest, lightest))
    uneven = min((fit(np.log(tail), (heaviest, lightest)) for tail in (5.0, 50.0)), key=lambda found: found.fun)
    # A second number is believed where it tells more than it costs (Schwarz 1978): few pixels hardly show their tail.
    best = (uneven if (normal.fun - uneven.fun) * inside > 0.5 * np.log(inside) else normal).x
    scale, tail = (float(value) for value in np.exp(best))
    share = inside / values.size / float(cumulated(best)[-1])
    return EmpiricalNull(degrees, scale, tail, min(share, 1.0))
