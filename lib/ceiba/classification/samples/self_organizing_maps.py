"""A self-organizing map (Kohonen 1990, doi:10.1109/5.58325) in its batch form: samples on a grid where neighbors are alike."""

from dataclasses import dataclass

import numpy as np

from ceiba.errors import InputError

LARGEST_SIDE = 40
FINAL_RADIUS = 0.5
SAMPLES_AT_ONCE = 4096


@dataclass(frozen=True)
class SelfOrganizingMap:
    """Neurons on a square grid.

    Attributes
    ----------
    shape
        Rows and columns of the grid.
    weights
        Standardized features of each neuron, dims ``(neuron, feature)``, row by row of the grid.
    center, scale
        Mean and standard deviation of each feature, dims ``(feature,)``.
    """

    shape: tuple[int, int]
    weights: np.ndarray
    center: np.ndarray
    scale: np.ndarray

    def place(self, features: np.ndarray) -> np.ndarray:
        """Nearest neuron of each sample, dims ``(sample,)``; features have dims ``(sample, feature)``, finite."""
        return nearest_neurons((features - self.center) / self.scale, self.weights)

    def grid_distances(self) -> np.ndarray:
        """Steps between neurons on the grid, a diagonal step counting 1, dims ``(neuron, neuron)``."""
        row, column = np.divmod(np.arange(len(self.weights)), self.shape[1])
        return np.maximum(np.abs(row[:, None] - row), np.abs(column[:, None] - column))


def suggest_side(count: int) -> int:
    """Side of a square grid for ``count`` samples: 5 times their square root in neurons.

    The rule of Vesanto and Alhoniemi 2000, doi:10.1109/72.846731.
    """
    return int(np.clip(round(np.sqrt(5 * np.sqrt(count))), 2, LARGEST_SIDE))


def fit_map(features: np.ndarray, *, side: int | None = None, epochs: int = 30) -> SelfOrganizingMap:
    """Fit a map; the same samples give the same map, without any random draw.

    Parameters
    ----------
    features
        Dims ``(sample, feature)``, finite, any units.
    side
        Neurons along each side of the grid; :func:`suggest_side` where it is None.
    epochs
        Passes over all samples; the neighborhood shrinks from half the grid to half a step.

    Raises
    ------
    InputError
        Where there are fewer than two samples, or a value is not finite.
    """
    features = np.asarray(features, dtype="float64")
    if features.ndim != 2 or len(features) < 2 or not np.isfinite(features).all():
        raise InputError(f"a map needs two samples or more of finite features; got an array of shape {features.shape}")
    side = suggest_side(len(features)) if side is None else side
    if side < 2 or epochs < 1:
        raise InputError(f"a grid of side {side}, {epochs} epochs; at least 2 and 1")
    center, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    values = (features - center) / scale
    weights = _spread_on_plane(values, side)
    empty = SelfOrganizingMap((side, side), weights, center, scale)
    row, column = np.divmod(np.arange(side**2), side)
    squared = (row[:, None] - row) ** 2 + (column[:, None] - column) ** 2
    for radius in np.geomspace(max(side / 2, FINAL_RADIUS), FINAL_RADIUS, epochs):
        neuron = nearest_neurons(values, weights)
        counts = np.bincount(neuron, minlength=side**2)
        sums = np.zeros_like(weights)
        np.add.at(sums, neuron, values)
        nearness = np.exp(-squared / (2 * radius**2))
        total = nearness @ counts
        weights = np.where(total[:, None] > 1e-12, nearness @ sums / np.maximum(total, 1e-12)[:, None], weights)
    return SelfOrganizingMap(empty.shape, weights, center, scale)


def nearest_neurons(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Neuron at the smallest Euclidean distance of each sample, dims ``(sample,)``; a tie falls to the first."""
    squares = (weights**2).sum(axis=1)
    nearest = [
        (squares - 2 * values[start : start + SAMPLES_AT_ONCE] @ weights.T).argmin(axis=1)
        for start in range(0, len(values), SAMPLES_AT_ONCE)
    ]
    return np.concatenate(nearest) if nearest else np.array([], dtype="int64")


def _spread_on_plane(values: np.ndarray, side: int) -> np.ndarray:
    """Neurons spread over the plane of the first two principal components, one standard deviation a half grid."""
    _, lengths, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    steps = np.linspace(-1, 1, side)
    # The sign of a principal component is arbitrary: the largest loading is made positive on every machine.
    axes = axes[:2] * np.sign(np.take_along_axis(axes[:2], np.abs(axes[:2]).argmax(axis=1)[:, None], axis=1))
    spread = lengths[:2] / np.sqrt(len(values))
    grid = np.stack([part.ravel() for part in np.meshgrid(steps, steps, indexing="ij")], axis=1)[:, : len(axes)]
    return values.mean(axis=0) + (grid * spread) @ axes
