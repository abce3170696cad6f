"""Label sets that hold the true class with a chosen probability: the honest form of "one of these three"."""

from dataclasses import dataclass

import numpy as np

from ceiba.errors import InputError

METHODS = ("least_ambiguous", "adaptive")
# Groups are left out one at a time, or in this many parts where there are more; quantiles are tried in steps of a thousandth.
PARTS, QUANTILES = 20, np.arange(1, 1001) / 1000


@dataclass(frozen=True)
class LabelSets:
    """How probabilities become sets of classes.

    Attributes
    ----------
    method
        "least_ambiguous": all classes above a probability (Sadinle et al. 2019, doi:10.1080/01621459.2017.1395341), the smallest sets
        on average. "adaptive": the most probable classes until their sum is large enough (Romano et al. 2020, arXiv:2006.02544),
        larger sets where a pixel is difficult.
    level
        Share [1] of samples whose set is to hold the true class.
    threshold
        Largest score [1] of a class that enters a set.
    coverage, mean_size
        Share [1] of calibration samples whose set held their class, and mean number of classes in it, both on folds that the threshold
        was not fitted on.
    """

    method: str
    level: float
    threshold: float
    coverage: float = float("nan")
    mean_size: float = float("nan")

    def contains(self, probabilities: np.ndarray) -> np.ndarray:
        """Whether each class is in the set, dims ``(sample, class)``, of probabilities with the same dims.

        The most probable class always is: a set without any class would say nothing about a pixel.
        """
        inside = class_scores(probabilities, method=self.method) <= self.threshold
        inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
        return inside


def class_scores(probabilities: np.ndarray, *, method: str) -> np.ndarray:
    """How strange each class would be as the true one [1], 0 to 1, dims ``(sample, class)``.

    Raises :class:`InputError` on an unknown method.
    """
    if method not in METHODS:
        raise InputError(f"no method {method!r} for label sets; there are {', '.join(METHODS)}")
    share = np.asarray(probabilities, dtype="float64")
    if method == "least_ambiguous":
        return 1 - share
    order = np.argsort(-share, axis=1, kind="stable")
    summed = np.cumsum(np.take_along_axis(share, order, axis=1), axis=1)
    scores = np.empty_like(share)
    np.put_along_axis(scores, order, summed, axis=1)
    # Half of a class's own probability is taken off, in place of the random share of the original: sets are the same each time.
    return np.clip(scores - share / 2, 0, 1)


def conformal_threshold(scores: np.ndarray, groups: np.ndarray, level: float) -> float:
    """Score that samples of a new group stay below in a share ``level`` of cases, by groups left out in turn.

    Neighbouring samples resemble each other, so it is groups (blocks of land) that are exchangeable, and every group counts alike
    (Dunn et al. 2023, doi:10.1080/01621459.2022.2060112, pooled distribution of groups). A quantile of the groups at hand at the level
    itself covers less on a new one; room for one more group as strange as any covers more, by ``1 / groups`` at most. A group left out
    stands for the new one, as in the jackknife+ (Barber et al. 2021, doi:10.1214/20-AOS1965): the smallest quantile is taken whose
    thresholds, each without some groups, cover ``level`` of those groups on average, and of its thresholds the median.

    Parameters
    ----------
    scores
        Score of the true class of each calibration sample [1], dims ``(sample,)``.
    groups
        Group of each sample, dims ``(sample,)``.
    level
        Wanted coverage [1].

    Returns
    -------
    float
        The threshold [1]; infinity where no threshold of the other groups covers this much of those left out: too few groups.
    """
    if not 0 < level < 1:
        raise InputError(f"the level is {level}; it must lie between 0 and 1")
    names, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 2:
        return float("inf")
    order = np.argsort(scores, kind="stable")
    ascending, index = np.asarray(scores)[order], index.reshape(-1)[order]
    weight, part = 1.0 / counts[index], index % PARTS
    thresholds, covered = [], np.zeros(len(QUANTILES))
    for left in np.unique(part):
        held = part == left
        reached = np.cumsum(weight[~held])
        place = np.searchsorted(reached / reached[-1], QUANTILES - 1e-9)
        thresholds.append(ascending[~held][place])
        below = np.searchsorted(ascending[held], thresholds[-1], side="right")
        covered += np.r_[0.0, np.cumsum(weight[held])][below] / len(names)
    enough = np.flatnonzero(covered >= level - 1e-9)
    return float(np.median(thresholds, axis=0)[enough[0]]) if len(enough) else float("inf")


def fit_label_sets(
    probabilities: np.ndarray, index: np.ndarray, groups: np.ndarray, *, level: float = 0.9, method: str = ""
) -> LabelSets:
    """Fit label sets to held-out probabilities.

    Parameters
    ----------
    probabilities
        Calibrated probabilities [1] of samples by models that had not seen them, dims ``(sample, class)``.
    index
        Column of the true class, dims ``(sample,)``.
    groups
        Block of land of each sample, dims ``(sample,)``: a whole block is new at once when a map is made.
    level
        Wanted coverage [1].
    method
        One of :data:`METHODS`; empty for the one with smaller sets among those that reach the level within a standard error on groups
        left out.

    Returns
    -------
    LabelSets
        The promise (:func:`conformal_threshold`) holds for samples of land that is drawn like the calibration blocks, on average over
        all of it. It does not hold for each class or place by itself, nor for land unlike the training (see the area of applicability).
    """
    tried = []
    for each in (method,) if method else METHODS:
        scores = class_scores(probabilities, method=each)[np.arange(len(index)), index]
        covered, sizes = _cross_check(probabilities, index, groups, scores, level=level, method=each)
        found = LabelSets(each, level, conformal_threshold(scores, groups, level), float(covered.mean()), float(sizes.mean()))
        error = np.sqrt(level * (1 - level) / len(np.unique(groups)))
        tried.append((found.coverage < level - error, found.mean_size, found))
    return min(tried, key=lambda entry: entry[:2])[2]


def _cross_check(
    probabilities: np.ndarray, index: np.ndarray, groups: np.ndarray, scores: np.ndarray, *, level: float, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each sample's set holds its class, and its size, with thresholds of other groups; dims ``(sample,)``."""
    names, number = np.unique(groups, return_inverse=True)
    fold = np.arange(len(names)) % min(10, len(names))
    of_sample = fold[number.reshape(-1)]
    covered, sizes = np.zeros(len(index), dtype=bool), np.zeros(len(index), dtype="int64")
    for each in np.unique(of_sample):
        held = of_sample == each
        rest = ~held if not held.all() else held
        sets = LabelSets(method, level, conformal_threshold(scores[rest], groups[rest], level))
        inside = sets.contains(probabilities[held])
        covered[held] = inside[np.arange(held.sum()), index[held]]
        sizes[held] = inside.sum(axis=1)
    return covered, sizes
