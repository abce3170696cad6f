"""From samples to a model: candidates judged on held-out blocks, calibration, label sets, area of applicability."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ceiba.classification.accuracy.validation import (
    Accuracy,
    blocked_folds,
    measure_accuracy,
    random_folds,
    spatial_blocks,
)
from ceiba.classification.features.seasons import count_dates
from ceiba.classification.models.applicability import fit_applicability, measure_importance
from ceiba.classification.models.calibration import Calibration, calibrate
from ceiba.classification.models.conformal import LabelSets, fit_label_sets
from ceiba.classification.models.land_cover_model import (
    Candidate,
    LandCoverModel,
    choose_candidate,
    cross_predict,
    cross_predict_windows,
    list_candidates,
    train_model,
)
from ceiba.classification.models.smoothed import SmoothedCalibration, calibrate_smoothed
from ceiba.classification.samples.points import TrainingSet, Windows
from ceiba.classification.samples.spacing import join_groups, near_duplicates
from ceiba.legends import Legend


@dataclass(frozen=True)
class Trial:
    """What held-out samples say of the candidates for a model.

    Attributes
    ----------
    candidate
        The one that is right most often on held-out blocks.
    blocks, folds
        What is held out whole, see :func:`join_whole`, and fold of each sample, dims ``(sample,)``.
    classes
        Codes that the samples have, dims ``(class,)``.
    calibration
        Fitted to the held-out probabilities of the candidate.
    sets
        Label sets, calibrated by blocks.
    smoothed
        Calibration of what smoothing makes of the probabilities; None where no pixels around samples were given.
    accuracy
        "blocked" and "random": the same candidate with blocks of land held out, and with samples drawn at random.
    """

    candidate: Candidate
    blocks: np.ndarray
    folds: np.ndarray
    classes: np.ndarray
    calibration: Calibration
    sets: LabelSets
    smoothed: SmoothedCalibration | None
    accuracy: Mapping[str, Accuracy]

    def metrics(self) -> dict[str, object]:
        """Figures for the card of the model and the notes of its product."""
        smoothed = {"smoothed_calibration_error": self.smoothed.error} if self.smoothed else {}
        return {split: measured.summary() for split, measured in self.accuracy.items()} | smoothed | {
            "calibration_error": round(self.calibration.best_error, 4),
            "classifier": self.candidate.name,
            "calibration": self.calibration.method,
            "set_coverage": round(self.sets.coverage, 4),
            "set_size": round(self.sets.mean_size, 2),
        }


def join_whole(training: TrainingSet, block_size_m: float) -> np.ndarray:
    """Number of what is held out whole, from 0, dims ``(sample,)``: blocks of land, joined where they share a polygon or alike samples.

    Parameters
    ----------
    training
        The samples; those of a polygon share their group.
    block_size_m
        Side of a block [m].
    """
    blocks = spatial_blocks(training.x, training.y, block_size_m)
    for groups in (training.groups, near_duplicates(training.features)):
        blocks = blocks if groups is None else join_groups(blocks, groups)
    return blocks


def try_candidates(
    training: TrainingSet,
    legend: Legend,
    *,
    classifier: str,
    trees: int,
    block_size_m: float,
    set_level: float,
    seed: int,
    windows: Windows | None = None,
) -> Trial:
    """Judge the candidates of a name by five folds of blocks of land.

    Parameters
    ----------
    training
        The samples.
    legend
        Their legend.
    classifier, trees
        As :func:`ceiba.classification.models.land_cover_model.list_candidates` takes them.
    block_size_m
        Side of a block [m], see :func:`join_whole`.
    set_level
        Share [1] of samples whose label set is to hold the true class.
    seed
        Decides folds and all that a classifier draws.
    windows
        Pixels around samples, from :func:`ceiba.classification.samples.points.extract_windows`: with them, probabilities are
        calibrated for the usual smoothing too.
    """
    blocks = join_whole(training, block_size_m)
    folds = blocked_folds(training.codes, blocks, seed=seed)
    classes = np.unique(training.codes).astype("int64")
    candidates = list_candidates(classifier, trees=trees, dates=count_dates(training.names))
    candidate, held_out = choose_candidate(training, folds, classes, candidates=candidates, seed=seed)
    column = np.searchsorted(classes, training.codes)
    calibration = calibrate(held_out, column, folds, trees=trees)
    at_random = random_folds(training.codes, seed=seed)
    of_random = cross_predict(training, at_random, classes, candidate=candidate, seed=seed)
    accuracy = {
        "blocked": measure_accuracy(classes[held_out.argmax(axis=1)], training.codes, legend.codes, blocks=blocks),
        "random": measure_accuracy(classes[of_random.argmax(axis=1)], training.codes, legend.codes),
    }
    sets = fit_label_sets(calibration.probabilities, column, blocks, level=set_level)
    smoothed = None
    if windows is not None:
        around = cross_predict_windows(training, windows, folds, classes, candidate=candidate, seed=seed)
        seen = np.isfinite(around).all(axis=2)
        around[seen] = calibration.mapping.apply(around[seen])
        smoothed = calibrate_smoothed(around, column[windows.samples], folds[windows.samples])
    return Trial(candidate, blocks, folds, classes, calibration, sets, smoothed, accuracy)


def fit_model(training: TrainingSet, legend: Legend, trial: Trial, *, seed: int) -> LandCoverModel:
    """Fit the candidate of a trial on all samples, with its calibration, label sets and area of applicability."""
    importance = measure_importance(training.features, training.codes, seed=seed)
    known = fit_applicability(training.features, trial.folds, importance, seed=seed)
    return train_model(
        training,
        legend,
        trial.calibration,
        candidate=trial.candidate,
        seed=seed,
        metrics=trial.metrics(),
        sets=trial.sets,
        applicability=known,
        smoothed=trial.smoothed,
    )
