"""Which labels may be wrong: by the neighbors on a self-organizing map, and by confident learning."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ceiba.classification.samples.self_organizing_maps import SelfOrganizingMap, fit_map
from ceiba.errors import InputError

KEEP, CHECK, DROP = "keep", "check", "drop"
NEIGHBOR_WEIGHT = 4.0  # samples that the neighboring neurons together count for
THRESHOLD = 0.6
RULES = ("agreement", "contradiction")
SUM_TOLERANCE = 1e-3


def judge_by_map(
    features: np.ndarray,
    codes: np.ndarray,
    *,
    rule: str = "contradiction",
    side: int | None = None,
    prior_threshold: float = THRESHOLD,
    posterior_threshold: float = THRESHOLD,
    fitted: SelfOrganizingMap | None = None,
) -> pd.DataFrame:
    """Quality of each label by the samples that lie with it on a self-organizing map.

    The idea of sits (Santos et al. 2021, doi:10.1016/j.isprsjprs.2021.04.014), with two differences: a label does not vouch
    for itself (its own count is left out, so that a lone wrong label does not look certain), and the neighborhood enters as
    the prior counts of a Dirichlet distribution.

    Parameters
    ----------
    features
        Dims ``(sample, feature)``, finite.
    codes
        Class of each sample, dims ``(sample,)``.
    rule
        "agreement", as in sits: drop where the prior is under its threshold, else check where the posterior is under its own.
        With 31 classes that drops most of all samples. "contradiction": drop where the posterior of another class reaches its
        threshold, check where another class is more probable.
    side
        Side of the grid, see :func:`ceiba.classification.samples.self_organizing_maps.fit_map`.
    prior_threshold, posterior_threshold
        Thresholds of the rules [1].
    fitted
        A map fitted before.

    Returns
    -------
    pd.DataFrame
        One row a sample: neuron; prior, the share [1] of the others in its neuron that have its label (NaN where it is
        alone); posterior [1], that share with the neighboring neurons; suggested, the most probable other class, and its
        other_posterior [1]; verdict: keep, check or drop. A sample that is alone in its neuron is checked, never dropped.
    """
    if rule not in RULES:
        raise InputError(f"no rule {rule!r} to judge labels; there are {', '.join(RULES)}")
    som = fitted or fit_map(features, side=side)
    neuron = som.place(np.asarray(features, dtype="float64"))
    classes, column = np.unique(codes, return_inverse=True)
    column, sample = column.reshape(-1), np.arange(len(neuron))
    counts = np.zeros((len(som.weights), len(classes)))
    np.add.at(counts, (neuron, column), 1)
    around = neighbor_shares(counts, som.grid_distances() == 1)[neuron]
    weight = np.where(np.isfinite(around[:, 0]), NEIGHBOR_WEIGHT, 0.0)
    others = counts[neuron]
    others[sample, column] -= 1
    number = others.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        prior = others[sample, column] / number
        shares = (others + weight[:, None] * np.nan_to_num(around)) / (number + weight)[:, None]
    posterior = shares[sample, column]
    shares[sample, column] = -1
    suggested = shares.argmax(axis=1)
    other = shares[sample, suggested]
    if rule == "agreement":
        drop, check = prior < prior_threshold, ~(posterior >= posterior_threshold)
    else:
        drop, check = other >= posterior_threshold, ~(posterior > other)
    verdict = np.where(number == 0, CHECK, np.where(drop, DROP, np.where(check, CHECK, KEEP)))
    table = {"neuron": neuron, "prior": prior, "posterior": posterior}
    return pd.DataFrame(table | {"suggested": classes[suggested], "other_posterior": other, "verdict": verdict})


def neighbor_shares(counts: np.ndarray, touching: np.ndarray) -> np.ndarray:
    """Mean share of each class over the neurons with samples that touch a neuron.

    Parameters
    ----------
    counts
        Samples, dims ``(neuron, class)``.
    touching
        Whether two neurons are neighbors, dims ``(neuron, neuron)``.

    Returns
    -------
    np.ndarray
        Shares [1], dims ``(neuron, class)``; NaN where no neighbor has samples.
    """
    total = counts.sum(axis=1)
    shares = counts / np.maximum(total, 1)[:, None]
    occupied = (total > 0).astype("float64")
    number = touching @ occupied
    with np.errstate(invalid="ignore"):
        return np.where(
            number[:, None] > 0, touching @ (shares * occupied[:, None]) / np.maximum(number, 1)[:, None], np.nan
        )


@dataclass(frozen=True)
class ConfidentJoint:
    """How labels and true classes go together, as far as confident predictions tell.

    Attributes
    ----------
    classes
        Codes, ascending, dims ``(class,)``.
    thresholds
        Mean probability of a class over the samples labelled so, dims ``(class,)``.
    counts
        Confident joint: samples labelled ``row`` whose confident class is ``column``, dims ``(class, class)``.
    joint
        Estimated joint distribution [1] of label and true class, dims ``(class, class)``, rows sum to the share of the labels.
    confident
        Confident class of each sample, as a position in ``classes``; -1 where no class reaches its threshold.
    """

    classes: np.ndarray
    thresholds: np.ndarray
    counts: np.ndarray
    joint: np.ndarray
    confident: np.ndarray

    @property
    def noise(self) -> float:
        """Estimated share [1] of wrong labels."""
        return float(1 - np.trace(self.joint))


def estimate_joint(codes: np.ndarray, probabilities: np.ndarray, classes: np.ndarray) -> ConfidentJoint:
    """Confident joint of Northcutt et al. 2021 (doi:10.1613/jair.1.12125, equations 1 to 3).

    Parameters
    ----------
    codes
        Labels, dims ``(sample,)``.
    probabilities
        Predicted out of fold, dims ``(sample, class)``, each row sums to 1: a model must not have seen the sample it judges.
    classes
        Codes in the order of the probabilities, dims ``(class,)``.

    Raises
    ------
    InputError
        Where a label is no class, or probabilities are no probabilities.
    """
    classes, codes, shares = np.asarray(classes), np.asarray(codes), np.asarray(probabilities, dtype="float64")
    if shares.shape != (len(codes), len(classes)) or len(np.unique(classes)) != len(classes):
        raise InputError(
            f"{len(codes)} labels and {len(classes)} different classes do not fit probabilities of shape {shares.shape}"
        )
    if not (
        np.isfinite(shares).all() and (shares >= 0).all() and np.allclose(shares.sum(axis=1), 1, atol=SUM_TOLERANCE)
    ):
        raise InputError("probabilities must be finite, not negative, and sum to 1 for each sample")
    strange = sorted(set(np.unique(codes).tolist()) - set(classes.tolist()))
    if strange:
        raise InputError(f"labels {strange} are not among the classes {classes.tolist()}")
    given = np.argsort(classes)[np.searchsorted(np.sort(classes), codes)]
    labelled = np.bincount(given, minlength=len(classes))
    own = shares[np.arange(len(codes)), given]
    # A class without labels has no threshold: nothing is confidently of it.
    sums = np.bincount(given, weights=own, minlength=len(classes))
    thresholds = np.where(labelled > 0, sums / np.maximum(labelled, 1), np.inf)
    reached = shares >= thresholds - 1e-12  # a mean of equal numbers may round above them
    confident = np.where(reached.any(axis=1), np.where(reached, shares, -1).argmax(axis=1), -1)
    counts = np.zeros((len(classes), len(classes)), dtype="int64")
    sure = confident >= 0
    np.add.at(counts, (given[sure], confident[sure]), 1)
    rows = counts.sum(axis=1, keepdims=True)
    # A class none of whose samples is confident is taken at its word.
    split = np.where(rows > 0, counts / np.maximum(rows, 1), np.eye(len(classes)))
    return ConfidentJoint(classes, thresholds, counts, split * (labelled / len(codes))[:, None], confident)


def find_label_issues(
    codes: np.ndarray, probabilities: np.ndarray, classes: np.ndarray, *, by: str = "both"
) -> pd.DataFrame:
    """Labels that confident learning holds for wrong.

    Parameters
    ----------
    codes, probabilities, classes
        As :func:`estimate_joint` takes them.
    by
        "joint": all samples off the diagonal of the confident joint. "class": of each class, as many as its estimated noise,
        those with the smallest probability of their label. "noise": of each pair of classes, as many as estimated, those
        with the largest margin. "both": what "class" and "noise" agree on, the most careful.

    Returns
    -------
    pd.DataFrame
        One row a sample: own [1], probability of its label; suggested, the most probable other class (code); margin [1], by
        how much that is more probable; wrong (bool); rank, 1 for the most suspicious (largest margin) of all.
    """
    rules = ("joint", "class", "noise", "both")
    if by not in rules:
        raise InputError(f"no rule {by!r} to find wrong labels; there are {', '.join(rules)}")
    found = estimate_joint(codes, probabilities, classes)
    shares = np.asarray(probabilities, dtype="float64")
    order = np.argsort(found.classes)
    given = order[np.searchsorted(found.classes[order], codes)]
    sample = np.arange(len(given))
    own = shares[sample, given]
    rest = shares.copy()
    rest[sample, given] = -1
    suggested = rest.argmax(axis=1)
    margin = rest[sample, suggested] - own
    wanted = np.rint(found.joint * len(given)).astype("int64")
    np.fill_diagonal(wanted, 0)
    if by == "joint":
        wrong = (found.confident >= 0) & (found.confident != given)
    else:
        masks = {"class": _lowest_of_class(own, given, wanted), "noise": _largest_margins(shares, own, given, wanted)}
        wrong = masks["class"] & masks["noise"] if by == "both" else masks[by]
    rank = np.empty(len(given), dtype="int64")
    rank[np.argsort(-margin, kind="stable")] = sample + 1
    table = {"own": own, "suggested": found.classes[suggested], "margin": margin, "wrong": wrong, "rank": rank}
    return pd.DataFrame(table)


def _lowest_of_class(own: np.ndarray, given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    wrong = np.zeros(len(given), dtype=bool)
    for row, number in enumerate(wanted.sum(axis=1)):
        members = np.flatnonzero(given == row)
        wrong[members[np.argsort(own[members], kind="stable")[:number]]] = True
    return wrong


def _largest_margins(shares: np.ndarray, own: np.ndarray, given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    wrong = np.zeros(len(given), dtype=bool)
    for row, column in zip(*np.nonzero(wanted), strict=True):
        members = np.flatnonzero(given == row)
        margin = shares[members, column] - own[members]
        wrong[members[np.argsort(-margin, kind="stable")[: wanted[row, column]]]] = True
    return wrong
