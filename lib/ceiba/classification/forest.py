"""Tree ensembles as plain arrays: saved without pickle, the same bytes for the same forest, walked by a compiled kernel.

scikit-learn grows the trees. Its own files are pickles: they run code when opened, break with versions, and their padding
bytes differ from run to run. Arrays do none of that.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from ceiba.errors import InputError

BLOCK = 128  # pixels that walk one tree together, so that tree and pixels stay in the processor's cache
PURE = 1 - 1e-9


@dataclass(frozen=True)
class Forest:
    """A classification forest.

    Attributes
    ----------
    classes
        Class codes in the order of the probabilities, dims ``(class,)``.
    roots
        First node of each tree, dims ``(tree,)``.
    feature, threshold, left, right
        Nodes of all trees, dims ``(node,)``: go left where the feature is at most the threshold. A leaf has feature -1, and in
        ``left`` its class (where it is pure) or ``-1 - row`` of ``leaves``.
    leaves
        Class distributions of impure leaves, dims ``(row, class)``, each sums to 1.
    feature_count
        Number of features.
    """

    classes: np.ndarray
    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    leaves: np.ndarray
    feature_count: int

    @classmethod
    def from_sklearn(cls, ensemble) -> "Forest":
        """Arrays of a fitted RandomForestClassifier or ExtraTreesClassifier."""
        columns = {name: [] for name in ("feature", "threshold", "left", "right", "leaves")}
        roots, nodes, rows = [], 0, 0
        for estimator in ensemble.estimators_:
            tree = estimator.tree_
            leaf = tree.children_left < 0
            share = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True)
            impure = leaf & (share.max(axis=1) < PURE)
            target = np.where(leaf, share.argmax(axis=1), tree.children_left + nodes)
            target[impure] = -1 - (rows + np.arange(impure.sum()))
            columns["feature"].append(np.where(leaf, -1, tree.feature))
            columns["threshold"].append(np.where(leaf, 0.0, _at_most(tree.threshold)))
            columns["left"].append(target)
            columns["right"].append(np.where(leaf, 0, tree.children_right + nodes))
            columns["leaves"].append(share[impure])
            roots.append(nodes)
            nodes += tree.node_count
            rows += int(impure.sum())
        joined = {name: np.concatenate(parts) for name, parts in columns.items()}
        return cls(
            classes=np.asarray(ensemble.classes_),
            roots=np.array(roots, dtype="int32"),
            feature=joined["feature"].astype("int16"),
            threshold=joined["threshold"].astype("float32"),
            left=joined["left"].astype("int32"),
            right=joined["right"].astype("int32"),
            leaves=joined["leaves"].astype("float32"),
            feature_count=int(ensemble.n_features_in_),
        )

    @property
    def tree_count(self) -> int:
        """Number of trees."""
        return len(self.roots)

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Mean class distribution over the trees.

        Parameters
        ----------
        features
            Dims ``(sample, feature)``, finite.

        Returns
        -------
        np.ndarray
            Probabilities [1], dims ``(sample, class)``, float32. Trees are added in one order: the same for any block or machine.
        """
        if features.ndim != 2 or features.shape[1] != self.feature_count:
            raise InputError(
                f"the forest takes {self.feature_count} features a sample, got an array of shape {features.shape}"
            )
        out = np.zeros((len(features), len(self.classes)), dtype="float32")
        values = np.ascontiguousarray(features, dtype="float32")
        _walk(values, self.roots, self.feature, self.threshold, self.left, self.right, self.leaves, out)
        return out

    def to_bytes(self) -> bytes:
        """The forest as a NumPy archive, byte for byte the same for the same forest."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in self.__dataclass_fields__:
                array = io.BytesIO()
                np.lib.format.write_array(array, np.asarray(getattr(self, name)), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array.getvalue(), zipfile.ZIP_DEFLATED)
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> "Forest":
        """Read what :meth:`to_bytes` wrote; raises :class:`InputError` on another file."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in cls.__dataclass_fields__}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is no forest of Ceiba: {error}") from error
        return cls(**{**arrays, "feature_count": int(arrays["feature_count"])})


def _at_most(threshold: np.ndarray) -> np.ndarray:
    """Largest float32 not above a float64 threshold: float32 values then compare as they do in scikit-learn."""
    single = threshold.astype("float32")
    return np.where(single.astype("float64") > threshold, np.nextafter(single, np.float32(-np.inf)), single)


@numba.njit(nogil=True, cache=True)
def _walk(values, roots, feature, threshold, left, right, leaves, out):
    trees = len(roots)
    classes = out.shape[1]
    for start in range(0, len(values), BLOCK):
        stop = min(start + BLOCK, len(values))
        for tree in range(trees):
            root = roots[tree]
            for sample in range(start, stop):
                node = root
                while feature[node] >= 0:
                    node = left[node] if values[sample, feature[node]] <= threshold[node] else right[node]
                leaf = left[node]
                if leaf >= 0:
                    out[sample, leaf] += np.float32(1.0)
                else:
                    for index in range(classes):
                        out[sample, index] += leaves[-1 - leaf, index]
        for sample in range(start, stop):
            for index in range(classes):
                out[sample, index] /= np.float32(trees)
