"""Where a model may be used: pixels that resemble its training samples at least as much as these resemble each other."""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from ceiba.classification.models import array_files
from ceiba.errors import InputError

MOST_SAMPLES = 2000
PIXELS_AT_ONCE = 8192


@dataclass(frozen=True)
class Applicability:
    """Area of applicability of a model (Meyer & Pebesma 2021, doi:10.1111/2041-210X.13650).

    Attributes
    ----------
    mean, scale
        Of the features of training, dims ``(feature,)``; a feature that never varies has scale 0 and does not count.
    reference
        Training samples, standardised and weighted by the importance of each feature, dims ``(sample, feature)``, float32.
    mean_distance
        Mean distance between training samples.
    threshold
        Largest dissimilarity [1] that counts as known land.
    """

    mean: np.ndarray
    scale: np.ndarray
    reference: np.ndarray
    mean_distance: float
    threshold: float

    def dissimilarity(self, features: np.ndarray) -> np.ndarray:
        """Distance to the nearest training sample over the mean distance between these [1], dims ``(sample,)``, float32."""
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise InputError(f"the area of applicability knows {len(self.mean)} features, got shape {features.shape}")
        out = np.empty(len(features), dtype="float32")
        for start in range(0, len(features), PIXELS_AT_ONCE):
            block = _weighted(features[start : start + PIXELS_AT_ONCE], self.mean, self.scale)
            out[start : start + len(block)] = _nearest(block, self.reference) / self.mean_distance
        return out

    def contains(self, features: np.ndarray) -> np.ndarray:
        """Whether samples lie in the area of applicability, dims ``(sample,)``."""
        return self.dissimilarity(features) <= self.threshold

    def to_bytes(self) -> bytes:
        """The whole as a file."""
        arrays = {"mean": self.mean, "scale": self.scale, "reference": self.reference}
        return array_files.to_bytes(arrays, {"mean_distance": self.mean_distance, "threshold": self.threshold})

    @classmethod
    def from_bytes(cls, content: bytes) -> "Applicability":
        """Read what :meth:`to_bytes` gave; raises :class:`InputError` on anything else."""
        arrays, facts = array_files.from_bytes(content)
        try:
            return cls(**arrays, mean_distance=float(facts["mean_distance"]), threshold=float(facts["threshold"]))
        except (KeyError, TypeError) as error:
            raise InputError(f"this is no area of applicability: {error}") from error


def fit_applicability(
    features: np.ndarray, folds: np.ndarray, importance: np.ndarray, *, seed: int = 0
) -> Applicability:
    """Learn how far from each other the training samples of different folds lie.

    Parameters
    ----------
    features
        Training samples, dims ``(sample, feature)``, finite.
    folds
        Fold of each sample, dims ``(sample,)``: the threshold is that of land left out by these folds, so that accuracy measured with
        them is what may be expected inside.
    importance
        Importance of each feature, at least 0, dims ``(feature,)``.
    seed
        Decides which samples are taken where there are more than :data:`MOST_SAMPLES`.

    Returns
    -------
    Applicability
        The threshold is the upper whisker of the samples' own dissimilarities: the largest that is at most 1.5 interquartile ranges
        above their third quartile.

    Raises
    ------
    InputError
        Where there is a single fold, or no feature varies.
    """
    folds = np.asarray(folds)
    if len(np.unique(folds)) < 2:
        raise InputError("the area of applicability needs samples in two folds or more")
    chosen = np.arange(len(features))
    if len(chosen) > MOST_SAMPLES:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MOST_SAMPLES, replace=False))
    rows = np.asarray(features, dtype="float64")
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    weight = np.asarray(importance, dtype="float64") / max(float(np.max(importance)), 1e-300)
    scale = np.divide(weight, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    if not (scale > 0).any():
        raise InputError("no feature of the training samples varies: there is no area of applicability")
    reference, fold = _weighted(rows[chosen], mean, scale), folds[chosen]
    total, pairs, own = 0.0, 0, np.empty(len(reference))
    for start in range(0, len(reference), PIXELS_AT_ONCE):
        distance = _distances(reference[start : start + PIXELS_AT_ONCE], reference)
        total, pairs = total + float(distance.sum()), pairs + distance.size
        part = fold[start : start + PIXELS_AT_ONCE]
        distance[part[:, None] == fold] = np.inf
        own[start : start + len(part)] = distance.min(axis=1)
    # A sample is no pair with itself.
    mean_distance = total / max(pairs - len(reference), 1)
    own /= mean_distance
    low, high = np.percentile(own, [25, 75])
    threshold = own[own <= high + 1.5 * (high - low)].max()
    return Applicability(mean, scale, reference, float(mean_distance), float(threshold))


def measure_importance(features: np.ndarray, codes: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Importance of each feature [1], summing to 1, dims ``(feature,)``: mean decrease of impurity in 50 random trees.

    The same measure for every kind of classifier, since support vectors and networks have none of their own.
    """
    return ExtraTreesClassifier(50, random_state=seed, n_jobs=1).fit(features, codes).feature_importances_


def _weighted(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return ((np.asarray(features, dtype="float64") - mean) * scale).astype("float32")


def _nearest(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return _distances(rows, reference).min(axis=1)


def _distances(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    squares = (rows**2).sum(axis=1)[:, None] + (reference**2).sum(axis=1) - 2 * rows @ reference.T
    return np.sqrt(np.clip(squares, 0, None))
