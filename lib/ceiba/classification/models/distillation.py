"""A small network that answers as a slow classifier does, taught on samples between and around the real ones."""

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ceiba.classification.models.networks import Network, hidden_sizes, standardization, train, unstandardized

DISTILLED_DEFAULTS = {
    "teacher": "extra_trees",
    "trees": 100,
    "hidden": (128, 64),
    "steps": 6000,
    "rate": 3e-3,
    "decay": 0.0,
    "copies": 4,
    "neighbors": 8,
    "jitter": 0.1,
    "trust": 0.5,
}
BATCH = 256


def teach(
    answer: Callable[[np.ndarray], np.ndarray],
    features: np.ndarray,
    codes: np.ndarray,
    *,
    seed: int,
    sample_weight: np.ndarray | None = None,
    options: Mapping[str, object] | None = None,
) -> Network:
    """Teach a network a classifier's probabilities (Hinton et al. 2015, arXiv 1503.02531).

    Half of each batch are samples, the other half points that nobody labelled, between a sample and one of its neighbours
    and jittered, so that the network follows its teacher wherever the data are and not at the samples alone.

    Parameters
    ----------
    answer
        The teacher's probabilities [1], dims ``(sample, class)`` in ascending order of codes, for features.
    features, codes
        Dims ``(sample, feature)``, finite, and ``(sample,)``.
    seed
        Of first weights, batches and the points in between.
    sample_weight
        Chance of a sample to be drawn, dims ``(sample,)``; all alike where it is None.
    options
        Replaces some of :data:`DISTILLED_DEFAULTS`: ``hidden`` widths, ``copies`` points in between a sample, towards one of its
        ``neighbors``, ``jitter`` in standard deviations of a feature, and ``trust`` [1], how much the teacher's opinion of a
        sample counts against its label.
    """
    chosen = DISTILLED_DEFAULTS | dict(options or {})
    random = np.random.default_rng(seed)
    classes, index = np.unique(codes, return_inverse=True)
    mean, scale = standardization(features)
    rows = ((features - mean) / scale).astype("float32")
    between = draw_between(
        rows,
        random,
        copies=int(chosen["copies"]),
        neighbors=int(chosen["neighbors"]),
        jitter=float(chosen["jitter"]),
    )
    trust = np.float32(chosen["trust"])
    labels = np.eye(len(classes), dtype="float32")[index.reshape(-1)]
    targets = trust * answer(features) + (1 - trust) * labels
    opinions = answer((between * scale + mean).astype("float32"))
    chance = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight, dtype="float64")
    chance = chance / chance.sum()
    of_between = np.tile(chance, len(between) // len(rows)) * len(rows) / max(1, len(between))
    real = BATCH // 2 if len(between) else BATCH
    order, more = np.cumsum(chance), np.cumsum(of_between)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        first = np.minimum(np.searchsorted(order, random.random(real)), len(rows) - 1)
        if not len(between):
            return rows[first], targets[first]
        second = np.minimum(np.searchsorted(more, random.random(BATCH - real)), len(between) - 1)
        return np.concatenate([rows[first], between[second]]), np.concatenate([targets[first], opinions[second]])

    weights, offsets = train(draw, hidden_sizes(rows, chosen["hidden"], classes), random, chosen)
    return unstandardized(classes, weights, offsets, mean, scale)


def draw_between(
    rows: np.ndarray, random: np.random.Generator, *, copies: int, neighbors: int, jitter: float
) -> np.ndarray:
    """Points between each sample and one of its neighbours, with jitter, dims ``(copies x sample, feature)``."""
    count = min(neighbors, len(rows) - 1)
    near = NearestNeighbors(n_neighbors=count + 1, n_jobs=1).fit(rows).kneighbors(rows, return_distance=False)[:, 1:]
    out = np.empty((copies, *rows.shape), dtype="float32")
    for copy in range(copies):
        other = rows[near[np.arange(len(rows)), random.integers(count, size=len(rows))]]
        share = random.random((len(rows), 1), dtype="float32")
        out[copy] = rows + share * (other - rows) + np.float32(jitter) * random.standard_normal(rows.shape, dtype="float32")
    return out.reshape(-1, rows.shape[1])
