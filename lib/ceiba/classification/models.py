"""Land-cover models: training, calibration, prediction, and a file that knows what it may be used on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import xarray as xr
from sklearn.ensemble import ExtraTreesClassifier

import ceiba
from ceiba.classification.forest import Forest
from ceiba.classification.samples import TrainingSet
from ceiba.classification.uncertainty import calibration_error, fit_calibration, log_loss, normalized_entropy, soften
from ceiba.errors import InputError
from ceiba.legends import Legend

FOREST_FILE, CARD_FILE = "forest.npz", "card.json"
PIXELS_AT_ONCE = 65536


@dataclass(frozen=True)
class ForestShape:
    """How trees grow: features tried at a split (a share, or "sqrt" of them), and samples in the smallest leaf."""

    max_features: float | str
    min_leaf: int


# Measured with blocked folds: many alike features (series) want diverse trees, few different ones (mosaics) thorough
# trees: Mato Grosso 98.5 % against 98.1 %, simulated area 58 % against 63 %. Class weights helped neither.
SHAPES = {"diverse": ForestShape("sqrt", 1), "thorough": ForestShape(1.0, 2)}


@dataclass(frozen=True)
class LandCoverModel:
    """A forest with the schema it was trained on.

    Attributes
    ----------
    forest
        The trees.
    names
        Feature names in the forest's order.
    legend_name, legend_fingerprint
        Legend of the classes.
    temperature, floor
        Calibration of the probabilities, see :func:`ceiba.classification.uncertainty.soften`.
    card
        Facts for people: training fingerprint, library versions, metrics.
    """

    forest: Forest
    names: tuple[str, ...]
    legend_name: str
    legend_fingerprint: str
    temperature: float
    floor: float
    card: Mapping[str, object] = field(default_factory=dict)

    @property
    def codes(self) -> np.ndarray:
        """Codes of the classes the model can map, dims ``(class,)``, uint8."""
        return self.forest.classes.astype("uint8")

    def predict_samples(self, features: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [1], dims ``(sample, class)``, float32, of features in the model's order."""
        return soften(self.forest.predict_proba(features), self.temperature, self.floor)

    def check_schema(self, features: xr.Dataset, legend: Legend) -> None:
        """Raise :class:`InputError` where features or legend are not those of the training."""
        given, wanted = {str(name) for name in features.data_vars}, set(self.names)
        if given != wanted:
            missing, extra = sorted(wanted - given), sorted(given - wanted)
            raise InputError(
                f"the model was trained on {len(wanted)} other features: missing are {missing or 'none'}, "
                f"unknown are {extra or 'none'}; train again on this source"
            )
        if legend.fingerprint != self.legend_fingerprint:
            raise InputError(
                f"the model was trained on another legend ({self.legend_name}) than {legend.name}; train again"
            )

    def to_files(self) -> dict[str, bytes]:
        """File names and contents, byte for byte the same for the same model."""
        forest = self.forest.to_bytes()
        card = dict(self.card) | {
            "features": list(self.names),
            "legend": self.legend_name,
            "legend_fingerprint": self.legend_fingerprint,
            "temperature": self.temperature,
            "floor": self.floor,
            "forest_sha256": hashlib.sha256(forest).hexdigest(),
        }
        text = json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False)
        return {FOREST_FILE: forest, CARD_FILE: text.encode("utf-8")}

    @classmethod
    def read(cls, files: Mapping[str, Path]) -> "LandCoverModel":
        """Read what :meth:`to_files` gave; raises :class:`InputError` where files are missing or do not belong together."""
        missing = [name for name in (FOREST_FILE, CARD_FILE) if name not in files]
        if missing:
            raise InputError(f"the land-cover model lacks {', '.join(missing)}; it has {', '.join(files) or 'no file'}")
        card = json.loads(Path(files[CARD_FILE]).read_text("utf-8"))
        found = hashlib.sha256(Path(files[FOREST_FILE]).read_bytes()).hexdigest()
        if found != card["forest_sha256"]:
            raise InputError(
                f"{files[FOREST_FILE]} is not the forest that its card describes (SHA-256 {found[:12]}...)"
            )
        return cls(
            forest=Forest.read(Path(files[FOREST_FILE])),
            names=tuple(card["features"]),
            legend_name=card["legend"],
            legend_fingerprint=card["legend_fingerprint"],
            temperature=float(card["temperature"]),
            floor=float(card["floor"]),
            card=card,
        )


def grow_forest(features: np.ndarray, codes: np.ndarray, *, shape: str, trees: int, seed: int) -> Forest:
    """Grow extremely randomised trees (Geurts et al. 2006, doi:10.1007/s10994-006-6226-1).

    They were at least as good as a random forest on both measured sources.

    Parameters
    ----------
    features
        Dims ``(sample, feature)``, finite.
    codes
        Class codes, dims ``(sample,)``.
    shape
        One of :data:`SHAPES`.
    trees, seed
        Number of trees, and the seed that decides all of them.

    Raises
    ------
    InputError
        Where there are fewer than two classes.
    """
    codes = np.asarray(codes, dtype="int64")
    if len(np.unique(codes)) < 2:
        raise InputError(f"training needs at least two classes, the samples have {np.unique(codes).tolist()}")
    growth = SHAPES[shape]
    # One job: the runner runs notebooks side by side, and a forest grown by one thread is the same everywhere.
    ensemble = ExtraTreesClassifier(
        trees, max_features=growth.max_features, min_samples_leaf=growth.min_leaf, random_state=seed, n_jobs=1
    )
    return Forest.from_sklearn(ensemble.fit(features, codes))


def cross_predict(
    training: TrainingSet, folds: np.ndarray, classes: np.ndarray, *, shape: str, trees: int, seed: int
) -> np.ndarray:
    """Probabilities [1] of each sample by a forest that saw no sample of its fold, dims ``(sample, class)``.

    A class that is absent from a fold's training samples has probability 0 there.
    """
    out = np.zeros((len(training), len(classes)), dtype="float32")
    for fold in np.unique(folds):
        held = folds == fold
        forest = grow_forest(training.features[~held], training.codes[~held], shape=shape, trees=trees, seed=seed)
        out[np.ix_(held, np.searchsorted(classes, forest.classes))] = forest.predict_proba(training.features[held])
    return out


def choose_shape(
    training: TrainingSet, folds: np.ndarray, classes: np.ndarray, *, trees: int, seed: int
) -> tuple[str, np.ndarray]:
    """Name of the forest shape that is right most often on held-out folds, and its held-out probabilities.

    Log-loss is no better a judge: on Mato Grosso it prefers thorough trees, whose six-year areas of soybean-cotton lie 65 %
    above the published ones; those of the diverse trees lie within the published interval.
    """
    held_out = {name: cross_predict(training, folds, classes, shape=name, trees=trees, seed=seed) for name in SHAPES}
    right = {name: (classes[share.argmax(axis=1)] == training.codes).mean() for name, share in held_out.items()}
    best = max(right, key=lambda name: right[name])
    return best, held_out[best]


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


def train_model(
    training: TrainingSet,
    legend: Legend,
    calibration: Calibration,
    *,
    shape: str,
    trees: int,
    seed: int,
    metrics: Mapping[str, object],
) -> LandCoverModel:
    """Grow the forest on all samples, with the calibration and the metrics measured by cross-validation."""
    content = hashlib.sha256()
    for array in (training.features, training.codes, training.years, training.x, training.y):
        content.update(np.ascontiguousarray(array).tobytes())
    card = {
        "method": "extremely randomised trees, temperature",
        "shape": shape,
        "trees": trees,
        "seed": seed,
        "samples": len(training),
        "training_sha256": content.hexdigest(),
        "years": [int(training.years.min()), int(training.years.max())],
        "versions": {"ceiba": ceiba.__version__, "scikit-learn": sklearn.__version__, "numpy": np.__version__},
        "metrics": dict(metrics),
    }
    return LandCoverModel(
        forest=grow_forest(training.features, training.codes, shape=shape, trees=trees, seed=seed),
        names=training.names,
        legend_name=legend.name,
        legend_fingerprint=legend.fingerprint,
        temperature=calibration.temperature,
        floor=calibration.floor,
        card=card,
    )


def predict_probabilities(model: LandCoverModel, features: xr.Dataset, legend: Legend) -> xr.DataArray:
    """Class probabilities of every pixel.

    Parameters
    ----------
    model
        A trained model.
    features
        From :func:`ceiba.classification.features.annual_features`, dims ``(y, x)``, NaN is no data.
    legend
        Legend of the map.

    Returns
    -------
    xr.DataArray
        Probabilities [1], dims ``(class, y, x)``, coordinate ``class`` holds codes, float32; NaN where a feature has no data.

    Raises
    ------
    InputError
        Where features or legend are not those the model was trained on.
    """
    model.check_schema(features, legend)
    first = features[model.names[0]]
    columns = np.stack([features[name].values.ravel() for name in model.names], axis=-1)
    seen = np.flatnonzero(np.isfinite(columns).all(axis=1))
    out = np.full((len(model.codes), columns.shape[0]), np.nan, dtype="float32")
    for start in range(0, len(seen), PIXELS_AT_ONCE):
        pixels = seen[start : start + PIXELS_AT_ONCE]
        out[:, pixels] = model.predict_samples(columns[pixels]).T
    coords = {"class": model.codes.astype("int64")} | {name: first.coords[name] for name in first.coords}
    return xr.DataArray(out.reshape(-1, *first.shape), dims=("class", *first.dims), coords=coords, attrs={"units": "1"})


def map_land_cover(probabilities: xr.DataArray) -> xr.Dataset:
    """The land-cover map of class probabilities.

    Parameters
    ----------
    probabilities
        From :func:`predict_probabilities`, dims ``(class, y, x)``.

    Returns
    -------
    xr.Dataset
        land_cover, second_class (uint8 codes, 0 no data), probability, second_probability, entropy [1] (float32, NaN no data).
    """
    values = probabilities.values
    codes = probabilities["class"].values.astype("uint8")
    seen = np.isfinite(values).all(axis=0)
    # Stable, so that a tie falls to the smaller code everywhere.
    order = np.argsort(-np.where(seen, values, 0), axis=0, kind="stable")
    bands = {}
    for rank, (name, share) in enumerate((("land_cover", "probability"), ("second_class", "second_probability"))):
        chosen = order[rank]
        bands[name] = np.where(seen, codes[chosen], 0).astype("uint8")
        bands[share] = np.where(seen, np.take_along_axis(values, chosen[None], axis=0)[0], np.nan).astype("float32")
    bands["entropy"] = normalized_entropy(probabilities).values.astype("float32")
    template = probabilities.isel({"class": 0}, drop=True)
    units = {"land_cover": "class", "second_class": "class"}
    return xr.Dataset(
        {name: template.copy(data=band).assign_attrs(units=units.get(name, "1")) for name, band in bands.items()}
    )


def label_table(legend: Legend, codes: np.ndarray) -> pd.DataFrame:
    """Code, Spanish and English name of classes, one row a code."""
    rows = [(int(code), legend.find(int(code)).name_es, legend.find(int(code)).name_en) for code in codes]
    return pd.DataFrame(rows, columns=["code", "name_es", "name_en"])
