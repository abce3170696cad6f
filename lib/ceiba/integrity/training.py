"""Learning a network for a place, and judging it on blocks of land that it was not learned from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ceiba.errors import InputError, NetworkError
from ceiba.integrity.evidence import learn_bins, measurement_of, value_states
from ceiba.integrity.inference import MISSING, Inference
from ceiba.integrity.learning import fit_with_missing
from ceiba.networks import Network

if TYPE_CHECKING:
    from ceiba.tasks import Task


@dataclass(frozen=True)
class Training:
    """Pixels with a label.

    Attributes
    ----------
    values
        Measurement of each node, in the unit of its bins or as class codes, NaN missing, dims (pixel).
    where
        Which pixels of the grid these are, bool, dims (y, x).
    """

    values: Mapping[str, np.ndarray]
    where: np.ndarray


def open_training(task: "Task", network: Network) -> Training:
    """Measurements of all nodes where the query has a label, on the tile's grid at the network's resolution.

    Raises :class:`InputError` where a source has no data, :class:`NetworkError` where a node has no source or no
    pixel has a label.
    """
    nodes = network.nodes.values()
    unsourced = [node.name for node in nodes if node.source is None]
    if unsourced:
        raise NetworkError(f"network {network.name}: {', '.join(unsourced)} have no source to learn from")
    names = {node.source.name for node in nodes}
    missing = sorted(name for name in names if not task.has(name))
    if missing:
        raise InputError(
            f"network {network.name} is learned from {', '.join(missing)}, which {task.unit} does not have"
        )
    opened = {name: task.open(name, resolution_m=network.resolution_m) for name in names}
    rasters = {node.name: measurement_of(node, opened[node.source.name]) for node in nodes}
    where = value_states(network.nodes[network.query], rasters[network.query]) != MISSING
    if not where.any():
        raise NetworkError(f"network {network.name}: no pixel of {task.unit} has a label of {network.query}")
    return Training({name: raster[where] for name, raster in rasters.items()}, where)


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
    network: Network, values: Mapping[str, np.ndarray], *, most_bins: int, prior_strength: float
) -> Network:
    """The network with bins and tables learned from the values of its nodes, dims (pixel)."""
    binned = learn_bins(network, values, most_bins=most_bins)
    states = {name: value_states(node, values[name]) for name, node in binned.nodes.items()}
    return fit_with_missing(binned, states, prior_strength=prior_strength)


def cross_validate(
    network: Network, values: Mapping[str, np.ndarray], folds: np.ndarray, *, most_bins: int, prior_strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior of each pixel from a network learned from the folds that the pixel is not in.

    Parameters
    ----------
    values
        Measurement of each node, dims (pixel).
    folds
        Fold of each pixel, dims (pixel).

    Returns
    -------
    probabilities, truth
        Probability of each state [1], dims (pixel, state), and number of the true state, dims (pixel).
    """
    truth = value_states(network.nodes[network.query], values[network.query])
    probabilities = np.full((folds.size, network.size(network.query)), np.nan)
    for fold in np.unique(folds):
        held = folds == fold
        kept = {name: column[~held] for name, column in values.items()}
        learned = learn_network(network, kept, most_bins=most_bins, prior_strength=prior_strength)
        states = {name: value_states(learned.nodes[name], values[name][held]) for name in learned.evidence_nodes}
        probabilities[held] = Inference(learned).posterior(states, probabilities=True).probabilities
    return probabilities, truth
