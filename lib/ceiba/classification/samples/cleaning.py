"""Samples proposed to be left out of training, so that no test sample ever is.

antares3's own figures were measured after the most atypical quarter of each class had been deleted from the test set too.
Here a proposer is handed the training part of a fold and nothing else, and every test sample is predicted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import IsolationForest

from ceiba.classification.samples.label_quality import DROP, find_label_issues, judge_by_map
from ceiba.classification.samples.points import TrainingSet
from ceiba.errors import InputError

Proposer = Callable[[TrainingSet], np.ndarray]
"""From the training part of a fold to a mask of what to leave out, dims ``(sample,)``."""
Predictor = Callable[[TrainingSet, np.ndarray], np.ndarray]
"""From training samples and features of other samples to probabilities, dims ``(sample, class)``."""


@dataclass(frozen=True)
class CleanFold:
    """One fold: what is trained on, what was proposed to be left out, and the test samples, all of them.

    Attributes
    ----------
    number
        Number of the fold.
    train, dropped, test
        Positions in the whole set, each dims ``(sample,)``; together they are the set.
    """

    number: int
    train: np.ndarray
    dropped: np.ndarray
    test: np.ndarray


def clean_folds(training: TrainingSet, folds: np.ndarray, propose: Proposer) -> Iterator[CleanFold]:
    """Folds whose training part is cleaned and whose test part is not.

    Parameters
    ----------
    training
        All samples.
    folds
        Fold of each sample, dims ``(sample,)``.
    propose
        Is given the samples of the other folds alone; it cannot see the test samples, and what it says of them does not count.

    Raises
    ------
    InputError
        Where there are fewer than two folds, or a proposal does not fit its samples, or leaves a class with no sample.
    """
    folds = np.asarray(folds)
    if folds.shape != (len(training),) or len(np.unique(folds)) < 2:
        raise InputError(f"{len(training)} samples need a fold each and two folds at least; got shape {folds.shape}")
    for number in np.unique(folds):
        learn, test = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        part = training.take(learn)
        out = np.asarray(propose(part))
        if out.shape != (len(learn),) or out.dtype != bool:
            raise InputError(f"a proposal is a mask of {len(learn)} samples; got {out.dtype} of shape {out.shape}")
        lost = sorted(set(part.codes.tolist()) - set(part.codes[~out].tolist()))
        if lost:
            raise InputError(f"the proposal leaves no training sample of classes {lost} in fold {number}")
        yield CleanFold(int(number), learn[~out], learn[out], test)


def cross_predict_cleaned(
    training: TrainingSet, folds: np.ndarray, propose: Proposer, predict: Predictor, classes: np.ndarray
) -> tuple[np.ndarray, int]:
    """Probabilities of every sample by models that were cleaned on, and trained on, the other folds.

    Parameters
    ----------
    training, folds, propose
        As :func:`clean_folds` takes them.
    predict
        Trains on the samples it is given and predicts features, in the order of ``classes``.
    classes
        Codes, dims ``(class,)``.

    Returns
    -------
    tuple
        Probabilities [1], dims ``(sample, class)``, and how many samples were left out, as a mean over the folds.
    """
    out = np.full((len(training), len(classes)), np.nan, dtype="float32")
    dropped = []
    for fold in clean_folds(training, folds, propose):
        out[fold.test] = predict(training.take(fold.train), training.features[fold.test])
        dropped.append(len(fold.dropped))
    return out, round(float(np.mean(dropped)))


def keep_all(part: TrainingSet) -> np.ndarray:
    """Leave nothing out: the default, until another is shown to help."""
    return np.zeros(len(part), dtype=bool)


def isolation_outliers(part: TrainingSet, *, share: float = 0.1, smallest_class: int = 10, seed: int = 0) -> np.ndarray:
    """The most atypical ``share`` [1] of each class by an isolation forest, as antares3 does (Liu et al. 2008, doi:10.1109/ICDM.2008.17).

    Classes with fewer than ``smallest_class`` samples are left alone. Dims ``(sample,)``, bool.
    """
    if not 0 < share < 0.5:
        raise InputError(f"a share of {share} of each class; it is over 0 and under 0.5")
    out = np.zeros(len(part), dtype=bool)
    for code in np.unique(part.codes):
        members = np.flatnonzero(part.codes == code)
        number = int(share * len(members))
        if len(members) >= smallest_class and number:
            forest = IsolationForest(n_estimators=100, max_samples=min(256, len(members)), random_state=seed, n_jobs=1)
            score = forest.fit(part.features[members]).score_samples(part.features[members])
            out[members[np.argsort(score, kind="stable")[:number]]] = True
    return out


def map_outliers(part: TrainingSet, *, rule: str = "contradiction") -> np.ndarray:
    """What :func:`ceiba.classification.samples.label_quality.judge_by_map` proposes to drop; a class is never emptied."""
    found = judge_by_map(part.features, part.codes, rule=rule)
    return spare_classes((found["verdict"] == DROP).to_numpy(), part.codes, found["posterior"].to_numpy())


def confident_outliers(
    part: TrainingSet, inner_folds: np.ndarray, predict: Predictor, *, by: str = "both"
) -> np.ndarray:
    """What confident learning holds for wrong, by models of inner folds of the training part; a class is never emptied.

    Parameters
    ----------
    part
        Training part of a fold.
    inner_folds
        Inner fold of each of its samples, dims ``(sample,)``. Random folds find single wrong labels better, because the right
        ones nearby give them away (simulated area: 32 % of what is flagged is wrong, 9 % by blocks); a cluster that is wrong as
        a whole is found by blocks only.
    predict
        As :func:`cross_predict_cleaned` takes it, in the order of the ascending codes of ``part``.
    by
        Rule of :func:`ceiba.classification.samples.label_quality.find_label_issues`.
    """
    classes = np.unique(part.codes)
    shares, _ = cross_predict_cleaned(part, inner_folds, keep_all, predict, classes)
    found = find_label_issues(part.codes, shares, classes, by=by)
    return spare_classes(found["wrong"].to_numpy(), part.codes, found["own"].to_numpy())


def spare_classes(out: np.ndarray, codes: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """The proposal without the best sample of each class that it would empty."""
    out = out.copy()
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        if out[members].all():
            out[members[worth[members].argmax()]] = False
    return out
