"""How sure a map is of a pixel: entropy, margin, calibration."""

import numpy as np
import xarray as xr
from scipy.optimize import minimize_scalar

TEMPERATURES = (0.2, 5.0)
FLOORS = (0.01, 0.02, 0.05, 0.1, 0.2)


def normalized_entropy(probabilities: xr.DataArray, dim: str = "class") -> xr.DataArray:
    """Shannon entropy of class probabilities over its largest value.

    Parameters
    ----------
    probabilities
        Probabilities [1] that sum to 1 over ``dim``; NaN is no data.
    dim
        Dim of the classes.

    Returns
    -------
    xr.DataArray
        0 (one class is certain) to 1 (all are equally likely) [1], dims without ``dim``; NaN where a probability is.
    """
    count = probabilities.sizes[dim]
    if count < 2:
        return probabilities.isel({dim: 0}, drop=True) * 0.0
    # xlogy would keep this shorter, but p log p at 0 must be 0 while NaN stays NaN.
    terms = probabilities * np.log(probabilities.where(probabilities != 0, 1.0))
    entropy = -terms.sum(dim, skipna=False) / np.log(count)
    return entropy.clip(0, 1).assign_attrs(units="1")


def margin(probabilities: xr.DataArray, dim: str = "class") -> xr.DataArray:
    """Difference of the two largest probabilities [1], 0 (a tie) to 1 (certain), dims without ``dim``."""
    ordered = np.sort(probabilities.transpose(dim, ...).values, axis=0)
    first = probabilities.isel({dim: 0}, drop=True)
    if len(ordered) < 2:
        return first
    return first.copy(data=ordered[-1] - ordered[-2]).assign_attrs(units="1")


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
