"""Calibration of class probabilities: temperature with an even share, isotonic regression, expected calibration error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression

TEMPERATURES = (0.05, 5.0)
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
class Softening:
    """Calibration by temperature and even share, see :func:`soften`."""

    temperature: float
    floor: float

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [1], dims ``(sample, class)``."""
        return soften(probabilities, self.temperature, self.floor)

    def facts(self) -> dict[str, object]:
        """For the card of a model."""
        return {"temperature": self.temperature, "floor": self.floor}


@dataclass(frozen=True)
class Isotonic:
    """Calibration of each class by a rising step-free curve, then scaled to sum to 1 (Zadrozny & Elkan 2002, doi:10.1145/775047.775151).

    Attributes
    ----------
    curves
        For each class, in the order of the columns, the knots: given and calibrated probabilities [1], ascending.
    floor
        Even share [1] mixed in before.
    """

    curves: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    floor: float

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [1], dims ``(sample, class)``."""
        given = soften(probabilities, 1.0, self.floor)
        columns = [np.interp(given[:, k], *curve) for k, curve in enumerate(self.curves)]
        # Where no class has any probability left, the given ones stay.
        raised = np.stack(columns, axis=1) + 1e-6 * given.astype("float64")
        return (raised / raised.sum(axis=1, keepdims=True)).astype(probabilities.dtype)

    def facts(self) -> dict[str, object]:
        """For the card of a model."""
        return {"isotonic": [[list(given), list(raised)] for given, raised in self.curves], "floor": self.floor}


def fit_isotonic(probabilities: np.ndarray, index: np.ndarray, floor: float) -> Isotonic:
    """Fit a curve a class to held-out probabilities with an even share ``floor``, dims ``(sample, class)``, true columns ``index``."""
    curves, given_all = [], soften(probabilities, 1.0, floor)
    for k in range(probabilities.shape[1]):
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(given_all[:, k], index == k)
        # Six digits, so that the last bit of a regression does not decide the identity of a product.
        given, raised = (np.round(knots, 6) for knots in (fitted.X_thresholds_, fitted.y_thresholds_))
        curves.append((tuple(given.tolist()), tuple(raised.tolist())))
    return Isotonic(tuple(curves), floor)


def read_calibration(facts: Mapping[str, object]) -> Softening | Isotonic:
    """The calibration of a card: what its ``facts`` gave."""
    if "isotonic" in facts:
        curves = tuple((tuple(given), tuple(raised)) for given, raised in facts["isotonic"])
        return Isotonic(curves, float(facts["floor"]))
    return Softening(float(facts["temperature"]), float(facts["floor"]))


@dataclass(frozen=True)
class Calibration:
    """The calibration that helps most on folds that it was not fitted on, and what it is worth.

    Attributes
    ----------
    method
        "none", "temperature" or "isotonic".
    mapping
        To be applied to probabilities; for "none" the smallest even share alone.
    log_loss, calibration_error
        By method, on folds that the method was not fitted on.
    probabilities
        Held-out probabilities [1], calibrated by other folds, dims ``(sample, class)``.
    """

    method: str
    mapping: Softening | Isotonic
    log_loss: dict[str, float]
    calibration_error: dict[str, float]
    probabilities: np.ndarray

    @property
    def best_error(self) -> float:
        """Expected calibration error [1] of what is used."""
        return self.calibration_error[self.method]


def calibrate(held_out: np.ndarray, index: np.ndarray, folds: np.ndarray, *, trees: int) -> Calibration:
    """Fit a temperature and isotonic curves to held-out probabilities; the one with the least log-loss on folds it did not see is used.

    An even share of all classes is mixed in with the temperature: under a wrong label, or in a block unlike all others, every class is
    possible, and a temperature alone would pay for such samples by flattening all the rest.

    Parameters
    ----------
    held_out
        Probabilities by models that had not seen the sample, dims ``(sample, class)``.
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
    fits: dict[str, Callable[[np.ndarray, np.ndarray], Softening | Isotonic]] = {
        "none": lambda share, column: Softening(1.0, smallest),
        "temperature": lambda share, column: Softening(*fit_calibration(share, column, smallest)),
        "isotonic": lambda share, column: fit_isotonic(share, column, smallest),
    }
    cross = {name: np.empty_like(held_out) for name in fits}
    for name, fit in fits.items():
        for fold in np.unique(folds):
            held = folds == fold
            cross[name][held] = fit(held_out[~held], index[~held]).apply(held_out[held])
    losses = {name: log_loss(share, index) for name, share in cross.items()}
    errors = {name: calibration_error(p.max(axis=1), p.argmax(axis=1) == index) for name, p in cross.items()}
    method = min(losses, key=lambda name: losses[name])
    return Calibration(method, fits[method](held_out, index), losses, errors, cross[method])
