"""Small networks of dense layers as plain arrays: fitted by Adam, answering by matrix products in blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ceiba.classification.models import array_files

NETWORK_DEFAULTS = {"hidden": (192,), "steps": 1500, "rate": 2e-3, "decay": 1e-4, "mixing": 0.2}
SAMPLES_AT_ONCE = 2048
BATCH = 128
MOMENTUM, SPREAD, TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Network:
    """Dense layers with ramps (ReLU) between them and a softmax at the end, of standardised features.

    Attributes
    ----------
    classes
        Codes, dims ``(class,)``, ascending.
    weights, offsets
        One a layer, dims ``(input, output)`` and ``(output,)``, float32; the first layer holds the standardisation.
    """

    classes: np.ndarray
    weights: tuple[np.ndarray, ...]
    offsets: tuple[np.ndarray, ...]

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [1], dims ``(sample, class)``, float32; blocks keep what lies between the layers in the cache."""
        out = np.empty((len(features), len(self.classes)), dtype="float32")
        for start in range(0, len(features), SAMPLES_AT_ONCE):
            rows = features[start : start + SAMPLES_AT_ONCE]
            values = rows @ self.weights[0] + self.offsets[0]
            for weight, offset in zip(self.weights[1:], self.offsets[1:], strict=True):
                np.maximum(values, 0, out=values)
                values = values @ weight
                values += offset
            out[start : start + len(rows)] = _softmax(values)
        return out

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        """What :func:`ceiba.classification.models.array_files.to_bytes` takes."""
        arrays = {"classes": self.classes}
        for layer, (weight, offset) in enumerate(zip(self.weights, self.offsets, strict=True)):
            arrays |= {f"weight_{layer}": weight, f"offset_{layer}": offset}
        return arrays, {"layers": len(self.weights)}

    def to_bytes(self) -> bytes:
        """The model as a file."""
        return array_files.to_bytes(*self.to_arrays())


def fit_network(
    features: np.ndarray,
    codes: np.ndarray,
    *,
    seed: int,
    sample_weight: np.ndarray | None = None,
    options: Mapping[str, object] | None = None,
) -> Network:
    """Fit a network to samples mixed in pairs (mixup, Zhang et al. 2018, arXiv 1710.09412).

    Parameters
    ----------
    features, codes
        Dims ``(sample, feature)``, finite, and ``(sample,)``.
    seed
        Of first weights, batches and mixing.
    sample_weight
        Chance of a sample to be drawn, dims ``(sample,)``; all alike where it is None.
    options
        Replaces some of :data:`NETWORK_DEFAULTS`: ``mixing`` is the parameter of the beta distribution of the mixture.
    """
    chosen = NETWORK_DEFAULTS | dict(options or {})
    random = np.random.default_rng(seed)
    classes, index = np.unique(codes, return_inverse=True)
    targets = np.eye(len(classes), dtype="float32")[index.reshape(-1)]
    chance = None if sample_weight is None else np.asarray(sample_weight, dtype="float64") / np.sum(sample_weight)
    mean, scale = standardization(features)
    rows = ((features - mean) / scale).astype("float32")
    mixing = float(chosen["mixing"])

    def draw() -> tuple[np.ndarray, np.ndarray]:
        first, second = random.choice(len(rows), (2, BATCH), p=chance)
        if not mixing:
            return rows[first], targets[first]
        share = random.beta(mixing, mixing, (BATCH, 1)).astype("float32")
        return (
            share * rows[first] + (1 - share) * rows[second],
            share * targets[first] + (1 - share) * targets[second],
        )

    weights, offsets = train(draw, hidden_sizes(rows, chosen["hidden"], classes), random, chosen)
    return unstandardized(classes, weights, offsets, mean, scale)


def standardization(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature, dims ``(feature,)``; 1 for a feature that never changes."""
    scale = features.std(axis=0, dtype="float64")
    return features.mean(axis=0, dtype="float64"), np.where(scale > 0, scale, 1.0)


def hidden_sizes(rows: np.ndarray, hidden: Sequence[int] | int, classes: np.ndarray) -> tuple[int, ...]:
    """Width of each layer from the features to the classes."""
    return (rows.shape[1], *(int(width) for width in np.atleast_1d(hidden)), len(classes))


def train(draw, sizes: Sequence[int], random: np.random.Generator, options: Mapping[str, object]):
    """Weights and offsets after ``steps`` of Adam (Kingma & Ba 2015, arXiv 1412.6980) down to a rate of zero on cross-entropy.

    ``draw()`` gives a batch: standardised features and the probability of each class.
    """
    parts = []
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        parts.append((random.normal(size=(before, after)) * np.sqrt(2 / before)).astype("float32"))
        parts.append(np.zeros(after, dtype="float32"))
    means, squares = [np.zeros_like(part) for part in parts], [np.zeros_like(part) for part in parts]
    steps, rate, decay = int(options["steps"]), float(options["rate"]), float(options["decay"])
    for step in range(1, steps + 1):
        rows, targets = draw()
        now = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
        # The corrections of both moments for their start at zero, in one factor.
        now *= np.sqrt(1 - SPREAD**step) / (1 - MOMENTUM**step)
        for place, slope in enumerate(_slopes(parts, rows, targets)):
            if place % 2 == 0:
                slope += decay * parts[place]
            means[place] += (1 - MOMENTUM) * (slope - means[place])
            squares[place] += (1 - SPREAD) * (slope * slope - squares[place])
            parts[place] -= np.float32(now) * means[place] / (np.sqrt(squares[place]) + TINY)
    return parts[0::2], parts[1::2]


def unstandardized(classes, weights, offsets, mean, scale) -> Network:
    """The network on features as they come: the standardisation goes into the first layer."""
    first = weights[0].astype("float64") / scale[:, None]
    start = offsets[0].astype("float64") - mean @ first
    return Network(
        np.asarray(classes, dtype="int64"),
        (first.astype("float32"), *weights[1:]),
        (start.astype("float32"), *offsets[1:]),
    )


def read_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, object]) -> Network:
    """The model of :meth:`Network.to_arrays`."""
    layers = range(int(facts["layers"]))
    return Network(
        arrays["classes"],
        tuple(arrays[f"weight_{layer}"] for layer in layers),
        tuple(arrays[f"offset_{layer}"] for layer in layers),
    )


def _slopes(parts: Sequence[np.ndarray], rows: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
    values = [rows]
    layers = len(parts) // 2
    for layer in range(layers):
        out = values[-1] @ parts[2 * layer] + parts[2 * layer + 1]
        values.append(np.maximum(out, 0) if layer < layers - 1 else out)
    error = (_softmax(values.pop()) - targets) / np.float32(len(rows))
    slopes: list[np.ndarray] = []
    for layer in reversed(range(layers)):
        slopes = [values[layer].T @ error, error.sum(axis=0), *slopes]
        if layer:
            error = (error @ parts[2 * layer].T) * (values[layer] > 0)
    return slopes


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
