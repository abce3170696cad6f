"""How good posteriors are on land that was not learned from: spatial blocks, ordinal scores, calibration."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.errors import NetworkError
from ceiba.integrity.evidence import gather_evidence, learn_bins, node_states
from ceiba.integrity.inference import MISSING, Inference
from ceiba.integrity.learning import fit_with_missing
from ceiba.networks import Network

# Hemeroby where CONABIO's classes of integrity begin: 0-3 high, 4-8 medium, 9-14 low, 15-18 very low.
CLASS_EDGES = (4, 9, 15)
CALIBRATION_BINS = 15


def block_folds(shape: tuple[int, int], *, block_pixels: int, folds: int, seed: int = 0) -> np.ndarray:
    """Fold of each pixel, 0 to ``folds - 1``, uint8, dims (y, x): square blocks drawn at random.

    Neighbouring pixels resemble each other, so that pixels drawn one by one would flatter what is learned
    from them (Roberts et al. 2017, doi:10.1111/ecog.02881).
    """
    rows, columns = (-(-size // block_pixels) for size in shape)
    drawn = np.random.default_rng(seed).permutation(np.arange(rows * columns) % folds).reshape(rows, columns)
    whole = np.kron(drawn, np.ones((block_pixels, block_pixels), np.uint8))
    return whole[: shape[0], : shape[1]].astype(np.uint8)


def learn_network(
    network: Network,
    opened: Mapping[str, xr.Dataset],
    where: np.ndarray,
    *,
    most_bins: int,
    prior_strength: float,
) -> Network:
    """The network with bins and tables learned from the pixels ``where`` (bool, dims (y, x)) of one grid."""
    binned = learn_bins(network, opened, where, most_bins=most_bins)
    return fit_with_missing(binned, pixel_states(binned, opened, where), prior_strength=prior_strength)


def pixel_states(network: Network, opened: Mapping[str, xr.Dataset], where: np.ndarray) -> dict[str, np.ndarray]:
    """States of every node with a source at the pixels ``where``, the query included, dims (pixel)."""
    geobox = next(iter(opened.values())).odc.geobox
    states = gather_evidence(network, opened, geobox)
    query = network.nodes[network.query]
    found = {str(name): array.values[where] for name, array in states.data_vars.items()}
    if query.source is not None:
        found[network.query] = node_states(query, opened[query.source.name], geobox).values[where]
    return found


def cross_validate(
    network: Network,
    opened: Mapping[str, xr.Dataset],
    folds: np.ndarray,
    where: np.ndarray,
    *,
    most_bins: int,
    prior_strength: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior of each labelled pixel from the folds it is not in.

    Parameters
    ----------
    folds
        Fold of each pixel, dims (y, x).
    where
        Labelled pixels, bool, dims (y, x).

    Returns
    -------
    probabilities, truth
        Probability of each state [1], dims (pixel, state), and number of the true state, dims (pixel), in the
        order of the pixels of ``where``.
    """
    probabilities = np.full((int(where.sum()), network.size(network.query)), np.nan)
    truth = np.full(len(probabilities), MISSING, np.uint8)
    for fold in np.unique(folds[where]):
        learned = learn_network(
            network, opened, where & (folds != fold), most_bins=most_bins, prior_strength=prior_strength
        )
        states = pixel_states(learned, opened, where & (folds == fold))
        held = (folds == fold)[where]
        truth[held] = states.pop(network.query)
        probabilities[held] = Inference(learned).posterior(states, probabilities=True).probabilities
    return probabilities, truth


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
        ``exact`` and ``four_class`` (shares of pixels right by state and by CONABIO's classes [1]), ``qwk``
        (kappa with quadratic weights, Cohen 1968, doi:10.1037/h0026256), ``mae`` (mean absolute error of the
        most probable state, in steps of hemeroby), ``log_loss`` [nat], ``rps`` (ranked probability score,
        Epstein 1969) and ``ece`` (expected calibration error [1], Guo et al. 2017).
    """
    if not len(truth) or (truth == MISSING).any() or not np.isfinite(probabilities).all():
        raise NetworkError("scores need a true state and a posterior for every pixel")
    scale = np.asarray(values, float)
    guess = probabilities.argmax(axis=1)
    seen = np.take_along_axis(probabilities, truth[:, np.newaxis].astype(int), axis=1)[:, 0]
    true_value, guessed_value = scale[truth], scale[guess]
    steps = (np.arange(scale.size) >= truth[:, np.newaxis]).astype(float)
    curve = calibration_curve(probabilities, truth)
    return {
        "exact": float((guess == truth).mean()),
        "four_class": float((np.digitize(guessed_value, CLASS_EDGES) == np.digitize(true_value, CLASS_EDGES)).mean()),
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
