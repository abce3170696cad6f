"""Calibration of class probabilities: temperature, even share, expected calibration error."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

TEMPERATURES = (0.2, 5.0)
FLOORS = (0.01, 0.02, 0.05, 0.1, 0.2)


def soften(probabilities: np.ndarray, temperature: float, floor: float) -> np.ndarray:
    """Calibrate probabilities by a temperature, after mixing in an even share.

    Parameters
    ----------
    probabilities
        Dims ``(sample, class)``, rows sum to 1.
    temperature
        Above 1 flattens, below 1 sharpens (Guo et al. 2017, arXiv:1706.04599, on log-probabilities in place of logits).
    floor
        Share [1] of the even distribution, so that "no tree voted for it" is not "impossible".

    Returns
    -------
    np.ndarray
        Same dims and dtype, rows sum to 1.
    """
    classes = probabilities.shape[1]
    mixed = (1 - floor) * probabilities.astype("float64") + floor / classes
    powered = mixed ** (1 / temperature)
    return (powered / powered.sum(axis=1, keepdims=True)).astype(probabilities.dtype)


def log_loss(probabilities: np.ndarray, index: np.ndarray) -> float:
    """Mean negative log-probability of the true class; ``index`` is its column, dims ``(sample,)``."""
    chosen = probabilities[np.arange(len(index)), index]
    return float(-np.log(np.clip(chosen, 1e-12, 1)).mean())


def fit_temperature(probabilities: np.ndarray, index: np.ndarray, floor: float) -> float:
    """Temperature of least log-loss on held-out probabilities, dims ``(sample, class)``, true columns ``index``."""
    found = minimize_scalar(
        lambda power: log_loss(soften(probabilities, float(np.exp(power)), floor), index),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-3},
    )
    # Four digits, so that the last bit of an optimiser does not decide the identity of a product.
    return round(float(np.exp(found.x)), 4)


def fit_calibration(probabilities: np.ndarray, index: np.ndarray, smallest_floor: float) -> tuple[float, float]:
    """Temperature and floor of least log-loss, the floor one of :data:`FLOORS` or ``smallest_floor``."""
    fits = []
    for floor in (smallest_floor, *(each for each in FLOORS if each > smallest_floor)):
        temperature = fit_temperature(probabilities, index, floor)
        fits.append((log_loss(soften(probabilities, temperature, floor), index), temperature, floor))
    _, temperature, floor = min(fits)
    return temperature, floor


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error [1] over bins of equal count.

    Parameters
    ----------
    confidence
        Probability [1] of the predicted class, dims ``(sample,)``.
    correct
        Whether the prediction was right, dims ``(sample,)``.
    bins
        Number of bins.

    Returns
    -------
    float
        Mean of \\|accuracy - confidence\\| over the bins, weighted by their count (Naeini et al. 2015).
    """
    order = np.argsort(confidence, kind="stable")
    total = 0.0
    for part in np.array_split(order, min(bins, len(order))):
        total += abs(float(np.mean(correct[part])) - float(np.mean(confidence[part]))) * len(part)
    return total / len(order)


@dataclass(frozen=True)
class Calibration:
    """Temperature and what it is worth on folds that it was not fitted on.

    ``log_loss`` and ``calibration_error`` are (before, after); ``temperature`` is 1, and ``floor`` the smallest, where
    calibration did not help.
    """

    temperature: float
    floor: float
    log_loss: tuple[float, float]
    calibration_error: tuple[float, float]
    probabilities: np.ndarray

    @property
    def best_error(self) -> float:
        """Expected calibration error [1] of what is used."""
        return self.calibration_error[1 if self.log_loss[1] < self.log_loss[0] else 0]


def calibrate(held_out: np.ndarray, index: np.ndarray, folds: np.ndarray, *, trees: int) -> Calibration:
    """Fit a temperature to held-out probabilities, and use it only where it lowers the log-loss of folds it did not see.

    An even share of all classes is mixed in as well: under a wrong label, or in a block unlike all others, every class is
    possible, and a temperature alone would pay for such samples by flattening all the rest.

    Parameters
    ----------
    held_out
        Probabilities of :func:`cross_predict`, dims ``(sample, class)``.
    index
        Column of the true class, dims ``(sample,)``.
    folds
        Fold of each sample, dims ``(sample,)``.
    trees
        Number of trees: half a vote is always shared by all classes, as a forest cannot see smaller probabilities.

    Returns
    -------
    Calibration
        With the cross-fitted probabilities.
    """
    smallest = 0.5 / trees
    before = soften(held_out, 1.0, smallest)
    after = before.copy()
    for fold in np.unique(folds):
        held = folds == fold
        after[held] = soften(held_out[held], *fit_calibration(held_out[~held], index[~held], smallest))
    losses = (log_loss(before, index), log_loss(after, index))
    errors = tuple(calibration_error(p.max(axis=1), p.argmax(axis=1) == index) for p in (before, after))
    if losses[1] >= losses[0]:
        return Calibration(1.0, smallest, losses, errors, before)
    return Calibration(*fit_calibration(held_out, index, smallest), losses, errors, after)
