"""Every kind of classifier behind one ``fit`` and one ``predict_proba``."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from ceiba.classification.models import array_files, boosting, svm
from ceiba.classification.models.forest import Forest
from ceiba.errors import InputError

TREES = {"random_forest": RandomForestClassifier, "extra_trees": ExtraTreesClassifier}
TREE_DEFAULTS = {"trees": 200, "max_features": "sqrt", "min_leaf": 1, "max_depth": 0}
SVM_DEFAULTS = {"cost": 10.0, "width": 1.0}
DEFAULTS: dict[str, Mapping[str, object]] = {
    "extra_trees": TREE_DEFAULTS,
    "random_forest": TREE_DEFAULTS,
    "lightgbm": boosting.LIGHTGBM_DEFAULTS,
    "xgboost": boosting.XGBOOST_DEFAULTS,
    "svm": SVM_DEFAULTS,
}
KINDS = tuple(DEFAULTS)


class Classifier(Protocol):
    """What every kind offers; features are dims ``(sample, feature)``, float32, finite, in the order of the training."""

    classes: np.ndarray

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [1], dims ``(sample, class)``, float32; rows sum to 1."""

    def to_bytes(self) -> bytes:
        """The model as a file for :func:`read_classifier`, the same bytes for the same model, without pickle."""


@dataclass(frozen=True)
class Trained:
    """A fitted model that knows its kind and how many features it takes, and checks what it is given."""

    kind: str
    feature_count: int
    model: Forest | boosting.Boosted | svm.SupportVectors

    @property
    def classes(self) -> np.ndarray:
        """Codes, dims ``(class,)``, ascending."""
        return self.model.classes

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [1], dims ``(sample, class)``, float32; raises :class:`InputError` on another number of features."""
        if features.ndim != 2 or features.shape[1] != self.feature_count:
            raise InputError(f"the {self.kind} takes {self.feature_count} features a sample, got shape {features.shape}")
        if not len(features):
            return np.zeros((0, len(self.classes)), dtype="float32")
        return self.model.predict_proba(np.asarray(features, dtype="float32"))

    def to_bytes(self) -> bytes:
        """The model as a file for :func:`read_classifier`."""
        facts = {"kind": self.kind, "feature_count": self.feature_count}
        if isinstance(self.model, Forest):
            return array_files.to_bytes({"forest": np.frombuffer(self.model.to_bytes(), dtype="uint8")}, facts)
        arrays, more = self.model.to_arrays()
        return array_files.to_bytes(arrays, facts | more)


def fit_classifier(
    kind: str,
    features: np.ndarray,
    codes: np.ndarray,
    *,
    seed: int,
    sample_weight: np.ndarray | None = None,
    options: Mapping[str, object] | None = None,
) -> Trained:
    """Fit a classifier; one thread, so that the same samples and seed give the same model everywhere.

    Parameters
    ----------
    kind
        One of :data:`KINDS`.
    features
        Dims ``(sample, feature)``, finite.
    codes
        Class codes, dims ``(sample,)``.
    seed
        Decides all that is drawn.
    sample_weight
        Weight of each sample, dims ``(sample,)``, see :func:`balance_weights`; all alike where it is None.
    options
        Replaces some of :data:`DEFAULTS` of the kind.

    Raises
    ------
    InputError
        On an unknown kind or option, features that are not finite, or fewer than two classes.
    """
    if kind not in DEFAULTS:
        raise InputError(f"no classifier {kind!r}; there are {', '.join(KINDS)}")
    unknown = sorted(set(options or {}) - set(DEFAULTS[kind]))
    if unknown:
        raise InputError(f"{kind} has no option {', '.join(unknown)}; it has {', '.join(DEFAULTS[kind])}")
    features, codes = np.asarray(features, dtype="float32"), np.asarray(codes, dtype="int64")
    if features.ndim != 2 or len(features) != len(codes):
        raise InputError(f"features need dims (sample, feature), one row a code: got {features.shape} and {codes.shape}")
    if not np.isfinite(features).all():
        raise InputError(f"{int((~np.isfinite(features).all(axis=1)).sum())} samples have a feature without data")
    if len(np.unique(codes)) < 2:
        raise InputError(f"training needs at least two classes, the samples have {np.unique(codes).tolist()}")
    chosen = dict(DEFAULTS[kind]) | dict(options or {})
    if kind in TREES:
        ensemble = TREES[kind](
            int(chosen["trees"]),
            max_features=chosen["max_features"],
            min_samples_leaf=int(chosen["min_leaf"]),
            max_depth=int(chosen["max_depth"]) or None,
            random_state=seed,
            n_jobs=1,
        )
        model = Forest.from_sklearn(ensemble.fit(features, codes, sample_weight))
    elif kind == "lightgbm":
        model = boosting.fit_lightgbm(features, codes, seed=seed, sample_weight=sample_weight, options=chosen)
    elif kind == "xgboost":
        model = boosting.fit_xgboost(features, codes, seed=seed, sample_weight=sample_weight, options=chosen)
    else:
        cost, width = float(chosen["cost"]), float(chosen["width"])
        model = svm.fit_svm(features, codes, seed=seed, sample_weight=sample_weight, cost=cost, width=width)
    return Trained(kind, features.shape[1], model)


def read_classifier(content: bytes) -> Trained:
    """Read what :meth:`Trained.to_bytes` gave; raises :class:`InputError` on anything else."""
    arrays, facts = array_files.from_bytes(content)
    kind = facts.get("kind")
    try:
        if kind in TREES:
            model = Forest.read(io.BytesIO(arrays["forest"].tobytes()))
        elif kind in ("lightgbm", "xgboost"):
            model = boosting.read_arrays(kind, arrays)
        elif kind == "svm":
            model = svm.read_arrays(arrays, facts)
        else:
            raise InputError(f"a model of kind {kind!r}, which this version does not have; it has {', '.join(KINDS)}")
        return Trained(kind, int(facts["feature_count"]), model)
    except (KeyError, TypeError) as error:
        raise InputError(f"the {kind} model lacks {error}") from error


def balance_weights(codes: np.ndarray, *, power: float = 1.0) -> np.ndarray:
    """Weight of each sample by the frequency of its class, mean 1, dims ``(sample,)``.

    ``power`` 1 gives every class the same total weight, 0 every sample the same, 0.5 lies between (the square root).
    """
    _, index, counts = np.unique(codes, return_inverse=True, return_counts=True)
    weight = (1.0 / counts[index.reshape(-1)]) ** power
    return weight / weight.mean()
