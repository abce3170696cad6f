"""How good posteriors are where the truth is known: ordinal scores and calibration."""

import numpy as np
import pandas as pd

from ceiba.errors import NetworkError
from ceiba.integrity.inference import MISSING

# Hemeroby where CONABIO's classes of integrity begin: 0-3 high, 4-8 medium, 9-14 low, 15-18 very low.
CLASS_EDGES = (4, 9, 15)
CALIBRATION_BINS = 15


def score(probabilities: np.ndarray, truth: np.ndarray, values: tuple[float, ...]) -> dict[str, float]:
    """Scores of posteriors on an ordinal scale.

    Parameters
    ----------
    probabilities
        Probability of each state [1], dims (pixel, state).
    truth
        Number of the true state, dims (pixel).
    values
        Hemeroby of each state.

    Returns
    -------
    dict
        ``exact`` and ``four_class`` (shares of pixels right by state and by CONABIO's classes [1]),
        ``four_class_commonest`` (what naming the commonest class everywhere would score [1]), ``qwk``
        (kappa with quadratic weights, Cohen 1968, doi:10.1037/h0026256), ``mae`` (mean absolute error of the
        most probable state, in steps of hemeroby), ``log_loss`` [nat], ``rps`` (ranked probability score,
        Epstein 1969) and ``ece`` (expected calibration error [1], Guo et al. 2017).
    """
    if not len(truth) or (truth == MISSING).any() or not np.isfinite(probabilities).all():
        raise NetworkError("scores need a true state and a posterior for every pixel")
    scale = np.asarray(values, float)
    guess = probabilities.argmax(axis=1)
    commonest = np.bincount(np.digitize(scale[truth], CLASS_EDGES)).max() / len(truth)
    seen = np.take_along_axis(probabilities, truth[:, np.newaxis].astype(int), axis=1)[:, 0]
    true_value, guessed_value = scale[truth], scale[guess]
    steps = (np.arange(scale.size) >= truth[:, np.newaxis]).astype(float)
    curve = calibration_curve(probabilities, truth)
    return {
        "exact": float((guess == truth).mean()),
        "four_class": float((np.digitize(guessed_value, CLASS_EDGES) == np.digitize(true_value, CLASS_EDGES)).mean()),
        "four_class_commonest": float(commonest),
        "qwk": quadratic_kappa(true_value, guessed_value),
        "mae": float(np.abs(guessed_value - true_value).mean()),
        "log_loss": float(-np.log(np.maximum(seen, 1e-12)).mean()),
        "rps": float(((probabilities.cumsum(axis=1) - steps) ** 2).sum(axis=1).mean() / (scale.size - 1)),
        "ece": float((curve["share"] * (curve["confidence"] - curve["accuracy"]).abs()).sum()),
    }


def quadratic_kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights [1] of two arrays of values; 1 where both are one constant."""
    observed = np.mean((first - second) ** 2)
    expected = np.mean(first**2) + np.mean(second**2) - 2 * np.mean(first) * np.mean(second)
    return float(1 - observed / expected) if expected > 0 else 1.0


def calibration_curve(probabilities: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    """How often the most probable state is right, by how probable it was said to be.

    One row a bin of equal width that holds pixels: means of ``confidence`` and ``accuracy`` [1], and their
    ``share`` of the pixels [1].
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    frame = pd.DataFrame({"bin": bins, "confidence": confidence, "accuracy": right.astype(float)})
    grouped = frame.groupby("bin")
    return grouped.mean().assign(share=grouped.size() / len(frame)).reset_index(drop=True)
