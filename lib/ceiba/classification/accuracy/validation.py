"""Accuracy on held-out samples, with blocks of space kept together."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from ceiba.errors import InputError


def spatial_blocks(x: np.ndarray, y: np.ndarray, block_size_m: float) -> np.ndarray:
    """Number of the square block that each sample lies in.

    Parameters
    ----------
    x, y
        Positions in a projected CRS [m], dims ``(sample,)``.
    block_size_m
        Side of a block [m]; blocks are anchored at the CRS origin, so more samples do not move them.

    Returns
    -------
    np.ndarray
        Block numbers from 0, dims ``(sample,)``.
    """
    if not block_size_m > 0:
        raise InputError(f"blocks of {block_size_m} m: the size must be positive")
    corners = np.stack([np.floor(np.asarray(x) / block_size_m), np.floor(np.asarray(y) / block_size_m)], axis=1)
    return np.unique(corners, axis=0, return_inverse=True)[1].reshape(-1)


def blocked_folds(codes: np.ndarray, blocks: np.ndarray, *, folds: int = 5, seed: int = 0) -> np.ndarray:
    """Fold of each sample, no block in two folds, classes spread as evenly as blocks allow, dims ``(sample,)``.

    Raises :class:`InputError` where there are fewer than two blocks.
    """
    count = min(folds, len(np.unique(blocks)))
    if count < 2:
        raise InputError(
            "the samples lie in a single block: no blocked split is possible; choose a smaller block_size_m"
        )
    return _assign(StratifiedGroupKFold(count, shuffle=True, random_state=seed), codes, blocks)


def random_folds(codes: np.ndarray, *, folds: int = 5, seed: int = 0) -> np.ndarray:
    """Fold of each sample, drawn at random within classes: neighbours help each other, so accuracy flatters."""
    return _assign(StratifiedKFold(min(folds, len(codes)), shuffle=True, random_state=seed), codes, None)


def _assign(splitter, codes: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    fold = np.empty(len(codes), dtype="int16")
    with warnings.catch_warnings():
        # A class with fewer samples than folds is no surprise in a national legend; the class table shows its count.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for number, (_, test) in enumerate(splitter.split(codes, codes, groups)):
            fold[test] = number
    return fold


def confusion_matrix(mapped: np.ndarray, reference: np.ndarray, codes: Sequence[int]) -> pd.DataFrame:
    """Counts of samples, rows are map classes and columns reference classes, both in the order of ``codes``.

    Raises :class:`InputError` on a code that ``codes`` does not have.
    """
    codes = np.asarray(codes, dtype="int64")
    strange = sorted((set(np.unique(mapped).tolist()) | set(np.unique(reference).tolist())) - set(codes.tolist()))
    if strange:
        raise InputError(f"codes {strange} are not among the classes {codes.tolist()}")
    place = np.zeros(int(codes.max()) + 1, dtype="int64")
    place[codes] = np.arange(len(codes))
    counts = np.zeros((len(codes), len(codes)), dtype="int64")
    np.add.at(counts, (place[np.asarray(mapped, dtype="int64")], place[np.asarray(reference, dtype="int64")]), 1)
    index = pd.Index(codes, name="map")
    return pd.DataFrame(counts, index=index, columns=pd.Index(codes, name="reference"))


@dataclass(frozen=True)
class Accuracy:
    """Agreement of map and reference samples.

    Attributes
    ----------
    overall
        Share of samples mapped right [1].
    interval
        95 % confidence interval of ``overall`` [1].
    macro_f1
        Mean F1 of the classes with reference samples [1].
    classes
        One row a class: code, samples, mapped, users_accuracy, producers_accuracy, f1 [1], NaN where undefined.
    matrix
        Rows map, columns reference.
    """

    overall: float
    interval: tuple[float, float]
    macro_f1: float
    classes: pd.DataFrame
    matrix: pd.DataFrame

    def summary(self) -> Mapping[str, float]:
        """Figures for notes and tables, rounded to four digits."""
        return {
            "overall_accuracy": round(self.overall, 4),
            "lower_95": round(self.interval[0], 4),
            "upper_95": round(self.interval[1], 4),
            "macro_f1": round(self.macro_f1, 4),
            "samples": int(self.matrix.to_numpy().sum()),
        }


def measure_accuracy(
    mapped: np.ndarray, reference: np.ndarray, codes: Sequence[int], *, blocks: np.ndarray | None = None
) -> Accuracy:
    """Accuracy of predictions on held-out samples.

    Parameters
    ----------
    mapped, reference
        Codes, dims ``(sample,)``.
    codes
        Classes of the legend.
    blocks
        Block of each sample: the interval then treats blocks, not samples, as the independent draws.

    Returns
    -------
    Accuracy
        The interval is Wilson's where ``blocks`` is None.
    """
    matrix = confusion_matrix(mapped, reference, codes)
    counts = matrix.to_numpy()
    right = np.diag(counts).astype("float64")
    with np.errstate(divide="ignore", invalid="ignore"):
        users = right / counts.sum(axis=1)
        producers = right / counts.sum(axis=0)
        f1 = 2 * right / (counts.sum(axis=1) + counts.sum(axis=0))
    classes = pd.DataFrame(
        {
            "code": matrix.index.to_numpy(),
            "samples": counts.sum(axis=0),
            "mapped": counts.sum(axis=1),
            "users_accuracy": users,
            "producers_accuracy": producers,
            "f1": f1,
        }
    )
    correct = np.asarray(mapped) == np.asarray(reference)
    if blocks is None:
        interval = wilson_interval(int(correct.sum()), len(correct))
    else:
        interval = cluster_interval(correct, blocks)
    present = counts.sum(axis=0) > 0
    return Accuracy(float(correct.mean()), interval, float(f1[present].mean()), classes, matrix)


def wilson_interval(successes: int, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion [1] (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    z = stats.norm.ppf(0.5 + level / 2)
    share = successes / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def cluster_interval(correct: np.ndarray, blocks: np.ndarray, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion [1] whose samples come in blocks: the linearised ratio estimator (Cochran 1977, 6.4).

    Parameters
    ----------
    correct
        0 or 1, dims ``(sample,)``.
    blocks
        Block of each sample, dims ``(sample,)``.
    level
        Confidence level.

    Returns
    -------
    tuple
        Lower and upper limit, cut to 0..1; never narrower than Wilson's, which a handful of blocks without errors would be.
    """
    correct = np.asarray(correct, dtype="float64")
    share = float(correct.mean())
    wilson = wilson_interval(int(correct.sum()), len(correct), level=level)
    number = np.unique(blocks, return_inverse=True)[1].reshape(-1)
    count = int(number.max()) + 1
    if count < 2:
        return 0.0, 1.0
    residual = np.bincount(number, weights=correct - share)
    variance = count / (count - 1) * float((residual**2).sum()) / len(correct) ** 2
    half = float(stats.t.ppf(0.5 + level / 2, count - 1)) * np.sqrt(variance)
    return max(0.0, min(share - half, wilson[0])), min(1.0, max(share + half, wilson[1]))
