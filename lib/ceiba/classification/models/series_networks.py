"""Networks for regular series: temporal convolutions and light temporal attention, in Keras, kept as plain arrays."""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from keras import layers, ops

from ceiba.classification.models import array_files
from ceiba.classification.models.networks import standardization
from ceiba.errors import InputError

WAVELENGTH = 1000.0
SAMPLES_AT_ONCE = 4096


@dataclass(frozen=True)
class SeriesNetwork:
    """A Keras network on series of several bands.

    Attributes
    ----------
    kind
        "tempcnn" or "lighttae".
    classes
        Codes, dims ``(class,)``, ascending.
    mean, scale
        Of each band over all dates of the training, dims ``(band,)``.
    weights
        As Keras lists them.
    options
        What :func:`build_network` built it from.
    """

    kind: str
    classes: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    weights: tuple[np.ndarray, ...]
    options: Mapping[str, float]

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [1], dims ``(sample, class)``, float32."""
        network = self.__dict__.get("_network")
        if network is None:
            network = build_network(self.kind, len(self.mean), len(self.classes), self.options)
            network.set_weights(list(self.weights))
            # Building takes longer than predicting a block: it is done once.
            object.__setattr__(self, "_network", network)
        rows = ((as_series(features, int(self.options["dates"])) - self.mean) / self.scale).astype("float32")
        parts = [
            np.asarray(ops.softmax(network(rows[start : start + SAMPLES_AT_ONCE], training=False)))
            for start in range(0, len(rows), SAMPLES_AT_ONCE)
        ]
        return np.concatenate(parts)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        """What :func:`ceiba.classification.models.array_files.to_bytes` takes."""
        arrays = {"classes": self.classes, "mean": self.mean, "scale": self.scale}
        arrays |= {f"weight_{place:02d}": weight for place, weight in enumerate(self.weights)}
        return arrays, {"options": dict(self.options)}

    def to_bytes(self) -> bytes:
        """The model as a file."""
        return array_files.to_bytes(*self.to_arrays())


def fit_series_network(
    kind: str,
    features: np.ndarray,
    codes: np.ndarray,
    *,
    seed: int,
    options: Mapping[str, float],
    sample_weight: np.ndarray | None = None,
) -> SeriesNetwork:
    """Fit a network for series.

    Parameters
    ----------
    kind
        "tempcnn" (Pelletier et al. 2019, doi:10.3390/rs11050523) or "lighttae" (Garnot & Landrieu 2020,
        doi:10.1007/978-3-030-65742-0_12).
    features
        Dims ``(sample, feature)``, finite: all dates of the first band, then of the second, and so on.
    codes
        Dims ``(sample,)``.
    seed
        Of first weights, batches and dropout.
    sample_weight
        Dims ``(sample,)``, or None.
    options
        All those of the kind, see :data:`ceiba.classification.models.classifiers.DEFAULTS`; ``dates`` is the number of dates of
        each band.

    Raises
    ------
    InputError
        Where ``dates`` does not divide the number of features.
    """
    series = as_series(features, int(options["dates"]))
    mean, scale = standardization(series.reshape(-1, series.shape[2]))
    rows = ((series - mean) / scale).astype("float32")
    classes, index = np.unique(codes, return_inverse=True)
    network = _compiled_network(kind, rows.shape[2], len(classes), tuple(sorted(options.items())))
    keras.utils.set_random_seed(seed)
    fresh = build_network(kind, rows.shape[2], len(classes), options)
    for variable, start in zip(network.variables, fresh.variables, strict=True):
        variable.assign(start)
    for variable in network.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    batch, epochs, rate = min(int(options["batch"]), len(rows)), int(options["epochs"]), float(options["rate"])
    weight = np.ones(len(rows), dtype="float32") if sample_weight is None else np.asarray(sample_weight, dtype="float32")
    batches = _draw_batches((rows, index.reshape(-1), weight), batch, np.random.default_rng(seed))
    slower = keras.callbacks.LearningRateScheduler(lambda epoch, _: rate * 0.5 * (1 + np.cos(np.pi * epoch / epochs)))
    network.fit(
        batches, steps_per_epoch=len(rows) // batch, epochs=epochs, shuffle=False, verbose=0, callbacks=[slower]
    )
    return SeriesNetwork(kind, classes.astype("int64"), mean, scale, tuple(network.get_weights()), dict(options))


@functools.lru_cache(maxsize=4)
def _compiled_network(kind: str, bands: int, classes: int, options: tuple[tuple[str, float], ...]) -> keras.Model:
    """A network to be fitted: compiling takes longer than fitting a few thousand samples, and folds are alike."""
    network = build_network(kind, bands, classes, dict(options))
    network.compile(keras.optimizers.AdamW(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.optimizer.build(network.trainable_variables)
    return network


def _draw_batches(arrays: Sequence[np.ndarray], batch: int, random: np.random.Generator) -> Iterator[tuple[np.ndarray, ...]]:
    """Whole batches without end, every epoch in another order: what is left over would be compiled by itself and normalised alone."""
    while True:
        order = random.permutation(len(arrays[0]))
        for start in range(0, len(order) - batch + 1, batch):
            yield tuple(array[order[start : start + batch]] for array in arrays)


def as_series(features: np.ndarray, dates: int) -> np.ndarray:
    """Features of all dates of one band after another as dims ``(sample, date, band)``."""
    count = features.shape[1]
    if dates < 2 or count % dates:
        raise InputError(f"a network for series needs the option dates, at least 2 and a divisor of {count} features, got {dates}")
    return features.reshape(len(features), count // dates, dates).transpose(0, 2, 1)


def build_network(kind: str, bands: int, classes: int, options: Mapping[str, float]) -> keras.Model:
    """The untrained network from dims ``(sample, date, band)`` to one number a class before the softmax."""
    series = layers.Input((int(options["dates"]), bands))
    seen = _convolve(series, options) if kind == "tempcnn" else _attend(series, options)
    seen = layers.Activation("relu")(layers.BatchNormalization()(layers.Dense(int(options["dense"]))(seen)))
    return keras.Model(series, layers.Dense(classes)(layers.Dropout(float(options["dropout"]))(seen)))


def read_arrays(kind: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, object]) -> SeriesNetwork:
    """The model of :meth:`SeriesNetwork.to_arrays`."""
    weights = tuple(arrays[name] for name in sorted(arrays) if name.startswith("weight_"))
    return SeriesNetwork(kind, arrays["classes"], arrays["mean"], arrays["scale"], weights, dict(facts["options"]))


def _convolve(series, options: Mapping[str, float]):
    """Three convolutions over time, each with batch normalisation and dropout, then all dates side by side."""
    seen = series
    for _ in range(3):
        seen = layers.Conv1D(int(options["filters"]), int(options["kernel"]), padding="same")(seen)
        seen = layers.Activation("relu")(layers.BatchNormalization()(seen))
        seen = layers.Dropout(float(options["dropout"]))(seen)
    return layers.Flatten()(seen)


def _attend(series, options: Mapping[str, float]):
    """Light attention: one learned query a head, keys from all channels, and each head's own group of channels as values."""
    dates, width, heads = series.shape[1], int(options["width"]), int(options["heads"])
    keys = int(options["keys"])
    if width % heads:
        raise InputError(f"the width of lighttae is shared by its heads: {width} is no multiple of {heads}")
    values = layers.LayerNormalization()(layers.Dense(width)(series))
    values = values + encode_positions(dates, width // heads, heads)
    key = layers.Reshape((dates, heads, keys))(layers.Dense(heads * keys)(values))
    # The query is a parameter, not a function of the series: a dense layer on each head's keys, without offset.
    score = layers.EinsumDense("bthk,hk->bth", output_shape=(dates, heads))(key)
    share = layers.Softmax(axis=1)(score / np.sqrt(keys))
    grouped = layers.Reshape((dates, heads, width // heads))(values)
    return layers.Flatten()(ops.einsum("bth,bthc->bhc", share, grouped))


def encode_positions(dates: int, width: int, heads: int) -> np.ndarray:
    """Sines and cosines of the date (Vaswani et al. 2017, arXiv 1706.03762), alike for every head, dims ``(date, width x heads)``."""
    place = np.arange(dates)[:, None] / WAVELENGTH ** (2 * (np.arange(width) // 2) / width)
    waves = np.where(np.arange(width) % 2 == 0, np.sin(place), np.cos(place))
    return np.tile(waves, heads).astype("float32")
