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

from ceiba.classification.models import array_files
from ceiba.errors import InputError

BLOCK = 128  # pixels that walk one tree together, so that tree and pixels stay in the processor's cache
LANES = 16  # walks side by side, so that one does not wait for the memory of another
PURE = 1 - 1e-9
FEATURE_BITS = 8
LARGEST_KEY = np.int32(2**31 - 1)
LOWEST_KEY = np.int32(-(2**31))


@dataclass(frozen=True)
class Forest:
    """A classification forest.

    Attributes
    ----------
    classes
        Class codes in the order of the probabilities, dims ``(class,)``.
    roots
        First node of each tree and the end of the last, dims ``(tree + 1,)``.
    depths
        Levels of each tree, dims ``(tree,)``.
    nodes
        Nodes of all trees, dims ``(node, 2)``, int32: the threshold as an integer that sorts like the number, and the
        left child (counted from the root) with the feature in the lowest 8 bits. The right child follows the left one;
        a leaf is its own left child and no value exceeds its threshold, so that a walk needs no question "is it a leaf?".
    leaf
        Class of each pure leaf, or ``-1 - row`` of ``shares``, dims ``(node,)``.
    shares
        Class distributions of impure leaves, dims ``(row, class)``, each sums to 1.
    feature_count
        Number of features.
    """

    classes: np.ndarray
    roots: np.ndarray
    depths: np.ndarray
    nodes: np.ndarray
    leaf: np.ndarray
    shares: np.ndarray
    feature_count: int

    @classmethod
    def from_sklearn(cls, ensemble) -> "Forest":
        """Arrays of a fitted RandomForestClassifier or ExtraTreesClassifier; raises :class:`InputError` above 256 features."""
        if ensemble.n_features_in_ > 2**FEATURE_BITS:
            raise InputError(f"{ensemble.n_features_in_} features; a forest takes {2**FEATURE_BITS} at most")
        parts = {name: [] for name in ("nodes", "leaf", "shares")}
        roots, depths, rows = [0], [], 0
        for estimator in ensemble.estimators_:
            tree = estimator.tree_
            order, left = _lay_out(tree.children_left, tree.children_right)
            ends = left == np.arange(len(order))
            share = tree.value[order, 0, :] / tree.value[order, 0, :].sum(axis=1, keepdims=True)
            impure = ends & (share.max(axis=1) < PURE)
            leaf = share.argmax(axis=1)
            leaf[impure] = -1 - (rows + np.arange(impure.sum()))
            key = np.where(ends, LARGEST_KEY, _sort_key(_at_most(tree.threshold[order])))
            feature = np.where(ends, 0, tree.feature[order])
            parts["nodes"].append(np.stack([key, (left << FEATURE_BITS) | feature], axis=1).astype("int32"))
            parts["leaf"].append(leaf.astype("int32"))
            parts["shares"].append(share[impure].astype("float32"))
            roots.append(roots[-1] + len(order))
            depths.append(tree.max_depth)
            rows += int(impure.sum())
        return cls(
            classes=np.asarray(ensemble.classes_),
            roots=np.array(roots, dtype="int64"),
            depths=np.array(depths, dtype="int32"),
            feature_count=int(ensemble.n_features_in_),
            **{name: np.concatenate(arrays) for name, arrays in parts.items()},
        )

    @property
    def tree_count(self) -> int:
        """Number of trees."""
        return len(self.depths)

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Mean class distribution over the trees.

        Parameters
        ----------
        features
            Dims ``(sample, feature)``, finite.

        Returns
        -------
        np.ndarray
            Probabilities [1], dims ``(sample, class)``, float32. Trees are added in one order: the same for any block or
            machine.
        """
        if features.ndim != 2 or features.shape[1] != self.feature_count:
            raise InputError(
                f"the forest takes {self.feature_count} features a sample, got an array of shape {features.shape}"
            )
        out = np.zeros((len(features), len(self.classes)), dtype="float32")
        keys = _sort_key(features)
        _walk(keys, self.roots, self.depths, self.nodes, self.leaf, self.shares, out)
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
            forest = cls(**{**arrays, "feature_count": int(arrays["feature_count"])})
            forest._check()
        except array_files.UNREADABLE as error:
            raise InputError(f"{path} is no forest of Ceiba: {error}") from error
        return forest

    def _check(self) -> None:
        """Raise ValueError where a walk would leave the arrays: the compiled kernel looks at no bounds."""
        sizes, size = np.diff(self.roots), len(self.nodes)
        if self.nodes.shape != (size, 2) or self.leaf.shape != (size,) or self.depths.shape != sizes.shape:
            raise ValueError("its arrays do not fit each other")
        if self.shares.ndim != 2 or self.shares.shape[1] != len(self.classes) or not len(sizes):
            raise ValueError("its shares are not those of its classes")
        if self.roots[0] != 0 or self.roots[-1] != size or (sizes < 1).any():
            raise ValueError("its trees do not fill its nodes")
        place = np.arange(size) - np.repeat(self.roots[:-1], sizes)
        key, left, feature = self.nodes[:, 0], self.nodes[:, 1] >> FEATURE_BITS, self.nodes[:, 1] & (2**FEATURE_BITS - 1)
        # The right child follows the left one, except of a leaf, which no value leaves.
        last = np.where((left == place) & (key == LARGEST_KEY), left, left + 1)
        if (left < 0).any() or (last >= np.repeat(sizes, sizes)).any() or (feature >= self.feature_count).any():
            raise ValueError("a node points beyond its tree or the features")
        if (self.leaf >= len(self.classes)).any() or (-1 - self.leaf >= len(self.shares)).any():
            raise ValueError("a leaf points beyond the classes")


def _lay_out(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Old node numbers in an order where siblings are neighbours, and the new left child of each (a leaf's is itself)."""
    order, children, position = [0], [], 0
    while position < len(order):
        old = order[position]
        if left[old] < 0:
            children.append(position)
        else:
            children.append(len(order))
            order += [int(left[old]), int(right[old])]
        position += 1
    return np.array(order), np.array(children)


def _at_most(threshold: np.ndarray) -> np.ndarray:
    """Largest float32 not above a float64 threshold: float32 values then compare as they do in scikit-learn."""
    single = threshold.astype("float32")
    return np.where(single.astype("float64") > threshold, np.nextafter(single, np.float32(-np.inf)), single)


def _sort_key(values: np.ndarray) -> np.ndarray:
    """Integers that sort like the float32 numbers they stand for."""
    # -0.0 equals 0.0 but would sort below it; adding 0 makes them one.
    bits = (np.ascontiguousarray(values, dtype="float32") + np.float32(0)).view("int32")
    return np.where(bits >= 0, bits, ~bits ^ LOWEST_KEY).astype("int32")


@numba.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _walk(keys, roots, depths, nodes, leaf, shares, out):
    classes = out.shape[1]
    at = np.zeros(BLOCK, np.int64)
    for start in range(0, len(keys), BLOCK):
        count = min(BLOCK, len(keys) - start)
        for tree in range(len(depths)):
            root = roots[tree]
            for first in range(0, count, LANES):
                # Lanes beyond the last pixel walk along with it: a fixed number of lanes is what makes this fast.
                for lane in range(first, first + LANES):
                    at[lane] = 0
                for _ in range(depths[tree]):
                    moved = 0
                    for lane in range(first, first + LANES):
                        node = at[lane]
                        packed = nodes[root + node, 1]
                        sample = start + min(lane, count - 1)
                        beyond = keys[sample, packed & 255] > nodes[root + node, 0]
                        target = (packed >> 8) + np.int64(beyond)
                        moved |= target ^ node
                        at[lane] = target
                    if moved == 0:
                        break
            for lane in range(count):
                found = leaf[root + at[lane]]
                if found >= 0:
                    out[start + lane, found] += np.float32(1.0)
                else:
                    for index in range(classes):
                        out[start + lane, index] += shares[-1 - found, index]
        for lane in range(count):
            for index in range(classes):
                out[start + lane, index] /= np.float32(len(depths))
