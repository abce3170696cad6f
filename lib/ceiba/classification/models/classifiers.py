"""Every kind of classifier behind one ``fit`` and one ``predict_proba``."""

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from ceiba.classification.models import array_files, boosting, distillation, networks, svm
from ceiba.classification.models.forest import Forest
from ceiba.errors import InputError

TREES = {"random_forest": RandomForestClassifier, "extra_trees": ExtraTreesClassifier}
TREE_DEFAULTS = {"trees": 200, "max_features": "sqrt", "min_leaf": 1, "max_depth": 0}
SVM_DEFAULTS = {"cost": 10.0, "width": 1.0}
SERIES_DEFAULTS = {"dates": 0, "epochs": 40, "batch": 64, "rate": 2e-3, "dropout": 0.3, "dense": 64}
TEMPCNN_DEFAULTS = SERIES_DEFAULTS | {"batch": 128, "filters": 32, "kernel": 5}
LIGHTTAE_DEFAULTS = SERIES_DEFAULTS | {"width": 64, "heads": 8, "keys": 8}
MEMBERS = ("extra_trees", "svm", "network")
ENSEMBLE_DEFAULTS = {"members": (), "dates": 0}
SERIES = ("tempcnn", "lighttae")
DEFAULTS: dict[str, Mapping[str, object]] = {
    "extra_trees": TREE_DEFAULTS,
    "random_forest": TREE_DEFAULTS,
    "lightgbm": boosting.LIGHTGBM_DEFAULTS,
    "xgboost": boosting.XGBOOST_DEFAULTS,
    "svm": SVM_DEFAULTS,
    "network": networks.NETWORK_DEFAULTS,
    "tempcnn": TEMPCNN_DEFAULTS,
    "lighttae": LIGHTTAE_DEFAULTS,
    "ensemble": ENSEMBLE_DEFAULTS,
    "distilled": distillation.DISTILLED_DEFAULTS,
}
KINDS = tuple(DEFAULTS)


class Classifier(Protocol):
    """What every kind offers; features are dims ``(sample, feature)``, float32, finite, in the order of the training."""

    classes: np.ndarray

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [1], dims ``(sample, class)``, float32; rows sum to 1."""

    def to_bytes(self) -> bytes:
        """The model as a file for :func:`read_classifier`, the same bytes for the same model, without pickle."""


class Model(Protocol):
    """What stands behind a kind."""

    classes: np.ndarray

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [1], dims ``(sample, class)``, float32."""

    def to_bytes(self) -> bytes:
        """The model as a file."""


@dataclass(frozen=True)
class Trained:
    """A fitted model that knows its kind and how many features it takes, and checks what it is given."""

    kind: str
    feature_count: int
    model: Model

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


@dataclass(frozen=True)
class Ensemble:
    """Classifiers of the same classes whose probabilities are averaged.

    Attributes
    ----------
    members
        The classifiers.
    dates
        Where the features are series of so many dates, one band after another, members that do not know of time are also given
        each date's change since the date before; 0 where they are no series.
    """

    members: tuple[Trained, ...]
    dates: int = 0

    @property
    def classes(self) -> np.ndarray:
        """Codes, dims ``(class,)``, ascending."""
        return self.members[0].classes

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Mean probabilities [1], dims ``(sample, class)``, float32."""
        shares = [member.predict_proba(_features_of(member.kind, features, self.dates)) for member in self.members]
        return np.mean(shares, axis=0, dtype="float32")

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        """The file of each member."""
        files = {f"member_{place:02d}": member.to_bytes() for place, member in enumerate(self.members)}
        return {name: np.frombuffer(content, dtype="uint8") for name, content in files.items()}, {"dates": self.dates}

    def to_bytes(self) -> bytes:
        """The model as a file."""
        return array_files.to_bytes(*self.to_arrays())


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
        Replaces some of :data:`DEFAULTS` of the kind. Members of an ensemble are kinds, or pairs of a kind and its options;
        without any they are :data:`MEMBERS`, and temporal convolutions where ``dates`` says that features are series of so many
        dates, one band after another.

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
        model = _fit_trees(kind, features, codes, seed, sample_weight, chosen)
    elif kind == "ensemble":
        model = _fit_members(features, codes, seed, sample_weight, chosen)
    elif kind == "distilled":
        teacher = _fit_teacher(features, codes, seed, sample_weight, chosen)
        model = distillation.teach(
            teacher.predict_proba, features, codes, seed=seed, sample_weight=sample_weight, options=chosen
        )
    elif kind == "network":
        model = networks.fit_network(features, codes, seed=seed, sample_weight=sample_weight, options=chosen)
    elif kind in SERIES:
        fit = _series_networks().fit_series_network
        model = fit(kind, features, codes, seed=seed, sample_weight=sample_weight, options=chosen)
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
        elif kind in ("network", "distilled"):
            model = networks.read_arrays(arrays, facts)
        elif kind in SERIES:
            model = _series_networks().read_arrays(kind, arrays, facts)
        elif kind == "ensemble":
            model = Ensemble(tuple(read_classifier(content.tobytes()) for content in arrays.values()), int(facts["dates"]))
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


def _fit_trees(kind, features, codes, seed, sample_weight, options) -> Forest:
    trees = TREES[kind](
        int(options["trees"]),
        max_features=options["max_features"],
        min_samples_leaf=int(options["min_leaf"]),
        max_depth=int(options["max_depth"]) or None,
        random_state=seed,
        n_jobs=1,
    )
    return Forest.from_sklearn(trees.fit(features, codes, sample_weight))


def _fit_members(features, codes, seed, sample_weight, options) -> Ensemble:
    """Members are kinds, or pairs of a kind and its options."""
    members, dates = options["members"], int(options["dates"])
    if dates and (dates < 2 or features.shape[1] % dates):
        raise InputError(f"series of {dates} dates do not make {features.shape[1]} features")
    if not members:
        members = (*MEMBERS, "tempcnn") if dates else MEMBERS
    pairs = [(member, None) if isinstance(member, str) else tuple(member) for member in members]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError(f"members of an ensemble are kinds, or pairs of a kind and its options; got {members!r}")
    fitted = []
    for kind, own in pairs:
        given = {"dates": dates} | dict(own or {}) if kind in SERIES else own
        rows = _features_of(kind, features, dates)
        fitted.append(fit_classifier(kind, rows, codes, seed=seed, sample_weight=sample_weight, options=given))
    return Ensemble(tuple(fitted), dates)


def _features_of(kind: str, features: np.ndarray, dates: int) -> np.ndarray:
    if not dates or kind in SERIES:
        return features
    changes = np.diff(features.reshape(len(features), -1, dates), axis=2)
    return np.concatenate([features, changes.reshape(len(features), -1)], axis=1)


def _fit_teacher(features, codes, seed, sample_weight, options) -> Trained:
    teacher = options["teacher"]
    if teacher in ("distilled", *SERIES) or teacher not in DEFAULTS:
        raise InputError(f"no teacher {teacher!r}; there are {', '.join(sorted(set(DEFAULTS) - {'distilled', *SERIES}))}")
    given = {"trees": options["trees"]} if teacher in TREES else None
    return fit_classifier(teacher, features, codes, seed=seed, sample_weight=sample_weight, options=given)


def _series_networks():
    """Keras and JAX take seconds to load: only who asks for their kinds waits for them."""
    return importlib.import_module("ceiba.classification.models.series_networks")
