"""Land-cover models: training, calibration, prediction, and a file that knows what it may be used on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sklearn
import xarray as xr
from sklearn.ensemble import ExtraTreesClassifier

import ceiba
from ceiba.classification.models.calibration import Calibration, soften
from ceiba.classification.models.forest import Forest
from ceiba.classification.samples.points import TrainingSet
from ceiba.errors import InputError
from ceiba.legends import Legend

FOREST_FILE, CARD_FILE = "forest.npz", "card.json"


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
        Calibration of the probabilities, see :func:`ceiba.classification.models.calibration.soften`.
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
