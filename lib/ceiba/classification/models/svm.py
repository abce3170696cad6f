"""A support vector machine with a radial kernel, as plain arrays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ceiba.classification.models import array_files

SAMPLES_AT_ONCE = 4096
SHARPNESS = (0.05, 20.0)
INNER_FOLDS = 3


@dataclass(frozen=True)
class SupportVectors:
    """One-against-one support vector machine (Cortes & Vapnik 1995, doi:10.1007/BF00994018) of standardised features.

    Attributes
    ----------
    classes
        Codes, dims ``(class,)``, ascending.
    mean, scale
        Of the training features, dims ``(feature,)``.
    vectors, dual, counts, intercept
        As scikit-learn's SVC keeps them: standardised, dims ``(vector, feature)``, ``(class - 1, vector)``, ``(class,)``, ``(pair,)``.
    gamma
        Width of the kernel ``exp(-gamma d^2)``.
    sharpness
        Factor of the decision values in the softmax that makes them probabilities [1], fitted on inner folds.
    """

    classes: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    vectors: np.ndarray
    dual: np.ndarray
    counts: np.ndarray
    intercept: np.ndarray
    gamma: float
    sharpness: float

    def decide(self, features: np.ndarray) -> np.ndarray:
        """Decision value of each class: votes of the pairs, ties broken by their distances, dims ``(sample, class)``."""
        rows = (np.asarray(features, dtype="float64") - self.mean) / self.scale
        out = np.empty((len(rows), len(self.classes)))
        own = (self.vectors**2).sum(axis=1)
        for start in range(0, len(rows), SAMPLES_AT_ONCE):
            block = rows[start : start + SAMPLES_AT_ONCE]
            distance = (block**2).sum(axis=1)[:, None] + own - 2 * block @ self.vectors.T
            out[start : start + len(block)] = self._vote(np.exp(-self.gamma * np.clip(distance, 0, None)))
        return out

    def _vote(self, kernel: np.ndarray) -> np.ndarray:
        count = len(self.classes)
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        votes, confidence, pair = np.zeros((len(kernel), count)), np.zeros((len(kernel), count)), 0
        for first in range(count):
            for second in range(first + 1, count):
                of_first, of_second = slice(ends[first], ends[first + 1]), slice(ends[second], ends[second + 1])
                value = kernel[:, of_first] @ self.dual[second - 1, of_first]
                value += kernel[:, of_second] @ self.dual[first, of_second] + self.intercept[pair]
                # Positive speaks for the first class of the pair.
                votes[:, first] += value > 0
                votes[:, second] += value <= 0
                confidence[:, first] += value
                confidence[:, second] -= value
                pair += 1
        # Distances never outweigh a vote: the same transformation as scikit-learn's.
        return votes + confidence / (3 * (np.abs(confidence) + 1))

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [1], dims ``(sample, class)``, float32."""
        return softmax(self.sharpness * self.decide(features)).astype("float32")

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        """What :func:`ceiba.classification.models.array_files.to_bytes` takes."""
        names = ("classes", "mean", "scale", "vectors", "dual", "counts", "intercept")
        facts = {"gamma": float(self.gamma), "sharpness": float(self.sharpness)}
        return {name: getattr(self, name) for name in names}, facts

    def to_bytes(self) -> bytes:
        """The model as a file."""
        return array_files.to_bytes(*self.to_arrays())


def fit_svm(
    features: np.ndarray,
    codes: np.ndarray,
    *,
    seed: int,
    sample_weight: np.ndarray | None = None,
    cost: float = 10.0,
    width: float = 1.0,
) -> SupportVectors:
    """Fit a support vector machine with a radial kernel.

    Parameters
    ----------
    features
        Dims ``(sample, feature)``, finite.
    codes
        Dims ``(sample,)``.
    seed
        Of the inner folds on which the probabilities' sharpness is fitted.
    sample_weight
        Dims ``(sample,)``, or None.
    cost
        C: how much a sample on the wrong side costs.
    width
        ``gamma`` in units of 1 / number of features.
    """
    weight = np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight, dtype="float64")
    options = {"C": cost, "gamma": width / features.shape[1]}
    whole = _fit(features, codes, weight, options, sharpness=1.0)
    _, counts = np.unique(codes, return_counts=True)
    folds = min(INNER_FOLDS, int(counts.min()))
    if folds < 2:
        return whole
    held = np.full((len(codes), len(whole.classes)), np.nan)
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, codes):
        held[test] = _fit(features[train], codes[train], weight[train], options, sharpness=1.0).decide(features[test])
    index = np.searchsorted(whole.classes, codes)

    def loss(power: float) -> float:
        chosen = softmax(np.exp(power) * held)[np.arange(len(index)), index]
        return float(-np.average(np.log(np.clip(chosen, 1e-12, 1)), weights=weight))

    found = minimize_scalar(loss, bounds=tuple(np.log(SHARPNESS)), method="bounded", options={"xatol": 1e-3})
    # Four digits, so that the last bit of an optimiser does not decide the identity of a product.
    return SupportVectors(**{**vars(whole), "sharpness": round(float(np.exp(found.x)), 4)})


def read_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, object]) -> SupportVectors:
    """The model of :meth:`SupportVectors.to_arrays`."""
    return SupportVectors(**arrays, gamma=float(facts["gamma"]), sharpness=float(facts["sharpness"]))


def softmax(values: np.ndarray) -> np.ndarray:
    """Exponentials that sum to 1 over the last axis."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _fit(
    features: np.ndarray, codes: np.ndarray, weight: np.ndarray, options: Mapping[str, float], *, sharpness: float
) -> SupportVectors:
    scaler = StandardScaler().fit(features)
    machine = SVC(C=options["C"], gamma=options["gamma"]).fit(scaler.transform(features), codes, weight)
    # Of two classes scikit-learn turns the signs round: positive then speaks for the second.
    sign = -1.0 if len(machine.classes_) == 2 else 1.0
    return SupportVectors(
        classes=np.asarray(machine.classes_),
        mean=scaler.mean_,
        scale=scaler.scale_,
        vectors=machine.support_vectors_,
        dual=sign * machine.dual_coef_,
        counts=machine.n_support_.astype("int64"),
        intercept=sign * machine.intercept_,
        gamma=float(options["gamma"]),
        sharpness=sharpness,
    )
