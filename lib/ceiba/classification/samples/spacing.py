"""How samples lie: clusters, near-duplicates, thinning, balance of classes, and the distance from samples to what is mapped."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.stats import wasserstein_distance

from ceiba.errors import InputError
from ceiba.legends import Legend

DISTANCE_KINDS = ("sample_to_sample", "prediction_to_sample", "fold_to_rest")


def spatial_clusters(x: np.ndarray, y: np.ndarray, distance_m: float) -> np.ndarray:
    """Number of the cluster of each sample: those that lie within ``distance_m`` of each other, or are joined by such steps.

    Parameters
    ----------
    x, y
        Positions in a projected CRS [m], dims ``(sample,)``.
    distance_m
        Longest step [m].

    Returns
    -------
    np.ndarray
        Cluster numbers from 0, in the order of the first sample, dims ``(sample,)``.
    """
    if not distance_m > 0:
        raise InputError(f"steps of {distance_m} m; the distance must be positive")
    return _joined(np.column_stack([x, y]), distance_m)


def near_duplicates(features: np.ndarray, *, tolerance: float = 1e-3) -> np.ndarray:
    """Number of the group of alike samples: such pairs on both sides of a split make a test too easy.

    Parameters
    ----------
    features
        Dims ``(sample, feature)``, finite.
    tolerance
        Largest difference in any feature, in its standard deviations [1].

    Returns
    -------
    np.ndarray
        Group numbers from 0, in the order of the first sample, dims ``(sample,)``; a sample unlike all others is alone.
    """
    features = np.asarray(features, dtype="float64")
    if not tolerance > 0 or not np.isfinite(features).all():
        raise InputError(f"tolerance {tolerance} must be positive, and the features finite")
    scale = features.std(axis=0)
    # The very same features are joined first: their pairs alone could be more than memory holds.
    rows, of_row = np.unique(features / np.where(scale > 0, scale, 1.0), axis=0, return_inverse=True)
    joined = _joined(rows, tolerance, norm=np.inf)[of_row.reshape(-1)]
    return _in_order(joined)


def thin_samples(
    x: np.ndarray, y: np.ndarray, distance_m: float, *, within: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Which samples to keep so that no two are closer than ``distance_m``.

    Parameters
    ----------
    x, y
        Positions in a projected CRS [m], dims ``(sample,)``.
    distance_m
        Smallest distance [m].
    within
        Class, year or the like of each sample, dims ``(sample,)``: only samples that share it crowd each other out.
    seed
        Seed of the order in which samples are taken.

    Returns
    -------
    np.ndarray
        Mask, dims ``(sample,)``; nothing that was left out could be added again.
    """
    if not distance_m > 0:
        raise InputError(f"a distance of {distance_m} m; it must be positive")
    points = np.column_stack([x, y])
    group = (
        np.zeros(len(points), dtype="int64")
        if within is None
        else np.unique(within, return_inverse=True)[1].reshape(-1)
    )
    tree = cKDTree(points)
    keep, crowded = np.zeros(len(points), dtype=bool), np.zeros(len(points), dtype=bool)
    for sample in np.random.default_rng(seed).permutation(len(points)):
        if crowded[sample]:
            continue
        keep[sample] = True
        near = np.array(tree.query_ball_point(points[sample], np.nextafter(distance_m, 0)), dtype="int64")
        crowded[near[group[near] == group[sample]]] = True
    return keep


def class_balance(samples: pd.DataFrame, legend: Legend) -> pd.DataFrame:
    """One row a class of the legend: samples, share [1], years, sources, groups and names; 0 samples where it has none.

    ``samples`` has column code, and year, source and group where they are known.
    """
    found = samples.groupby("code")
    table = pd.DataFrame({"code": legend.codes.astype("int64")}).set_index("code")
    table["name_es"], table["name_en"] = pd.Series(legend.names("es")), pd.Series(legend.names("en"))
    table["samples"] = found.size().reindex(table.index, fill_value=0)
    table["share"] = table["samples"] / len(samples)
    for name in ("year", "source", "group"):
        if name in samples:
            table[f"{name}s"] = found[name].nunique().reindex(table.index, fill_value=0)
    return table.reset_index()


def geographic_distances(
    samples: np.ndarray, prediction: np.ndarray, folds: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """Distances to the nearest neighbor, which tell whether samples and folds stand for what is mapped.

    Cross-validation says how well places are predicted that lie as far from training samples as its test samples do; where
    the map lies farther off, its figure does not hold there (Meyer and Pebesma 2022, doi:10.1038/s41467-022-29838-9).

    Parameters
    ----------
    samples
        Positions [m] or features of the samples, dims ``(sample, axis)``.
    prediction
        The same of points of the map, drawn at random, dims ``(point, axis)``.
    folds
        Splits by name, each with the fold of each sample, dims ``(sample,)``.

    Returns
    -------
    pd.DataFrame
        Columns kind (``sample_to_sample``, ``prediction_to_sample``, ``fold_to_rest``), split (name, or empty), distance
        [units of the input].
    """
    samples, prediction = np.asarray(samples, dtype="float64"), np.asarray(prediction, dtype="float64")
    if samples.ndim != 2 or prediction.ndim != 2 or samples.shape[1] != prediction.shape[1] or len(samples) < 2:
        raise InputError(f"samples of shape {samples.shape} and points of shape {prediction.shape} have no distances")
    tree = cKDTree(samples)
    parts = [
        ("sample_to_sample", "", tree.query(samples, k=2)[0][:, 1]),
        ("prediction_to_sample", "", tree.query(prediction)[0]),
    ]
    for name, fold in (folds or {}).items():
        distance = np.full(len(samples), np.nan)
        for number in np.unique(fold):
            test = np.asarray(fold) == number
            distance[test] = cKDTree(samples[~test]).query(samples[test])[0]
        parts.append(("fold_to_rest", name, distance))
    return pd.concat(
        [pd.DataFrame({"kind": kind, "split": split, "distance": values}) for kind, split, values in parts],
        ignore_index=True,
    )


def draw_places(geobox: GeoBox, number: int, *, seed: int = 0) -> np.ndarray:
    """Centers of pixels of a grid drawn at random, as places of the map, dims ``(place, axis)`` with x and y [units of its CRS]."""
    random = np.random.default_rng(seed)
    row, column = random.integers(0, geobox.shape[0], number), random.integers(0, geobox.shape[1], number)
    return np.column_stack(geobox.affine * (column + 0.5, row + 0.5))


def compare_distances(distances: pd.DataFrame) -> pd.Series:
    """How far each split's distances are from those of the map: area between the two distributions [units of the distance].

    The W statistic of nearest-neighbor distance matching (Linnenbrink et al. 2024, doi:10.5194/gmd-17-5897-2024): the split
    with the smallest value stands best for the map.
    """
    mapped = distances.loc[distances["kind"] == "prediction_to_sample", "distance"]
    splits = distances[distances["kind"] == "fold_to_rest"].groupby("split", sort=False)["distance"]
    return pd.Series({name: wasserstein_distance(values, mapped) for name, values in splits}, dtype="float64")


def join_groups(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Groups that split neither of two groupings, as blocks of land and polygons: for folds that keep both whole.

    Parameters
    ----------
    first, second
        Group of each sample, dims ``(sample,)``; an empty text stands for a sample alone.

    Returns
    -------
    np.ndarray
        Group numbers from 0, in the order of the first sample, dims ``(sample,)``.
    """
    if len(first) != len(second):
        raise InputError(f"two groupings of {len(first)} and {len(second)} samples")
    links = []
    for groups in (first, second):
        groups = np.asarray(groups)
        named = np.flatnonzero(groups.astype(str) != "")
        number = np.unique(groups[named].astype(str), return_inverse=True)[1].reshape(-1)
        order = named[np.argsort(number, kind="stable")]
        same = np.diff(np.sort(number, kind="stable")) == 0
        links.append(np.column_stack([order[:-1][same], order[1:][same]]))
    return _components(np.concatenate(links), len(first))


def _joined(points: np.ndarray, distance: float, *, norm: float = 2) -> np.ndarray:
    pairs = cKDTree(points).query_pairs(distance, p=norm, output_type="ndarray")
    return _components(pairs, len(points))


def _components(pairs: np.ndarray, count: int) -> np.ndarray:
    links = coo_matrix((np.ones(len(pairs), dtype="int8"), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    number = connected_components(links, directed=False)[1]
    return _in_order(number)


def _in_order(number: np.ndarray) -> np.ndarray:
    """Groups numbered by their first appearance, so that the result does not depend on the graph library."""
    first = np.unique(number, return_index=True)[1]
    return np.argsort(np.argsort(first))[number]
