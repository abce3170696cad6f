"""Evidence for a network from maps and site tables: values become states on the grid of the target.

A pixel without a value, with a value outside the bins, or too far from any site has no evidence: it is
missing, never guessed.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import assign_crs  # noqa: F401  registers the .odc accessor

from ceiba.errors import NetworkError
from ceiba.integrity.inference import MISSING
from ceiba.networks import Network, Node, Source
from ceiba.sources import dataset_period

if TYPE_CHECKING:
    from ceiba.tasks import Task


def bin_states(values: np.ndarray, edges: tuple[float, ...], count: int) -> np.ndarray:
    """State number of each value, uint8, 255 where NaN.

    ``edges`` ascend: ``count - 1`` of them leave the outer states open, ``count + 1`` close them, and a value
    outside is missing. A value on an edge belongs to the state above; the last closing edge belongs to the
    last state.
    """
    values = np.asarray(values, float)
    known = np.isfinite(values)
    if len(edges) == count + 1:
        known &= (values >= edges[0]) & (values <= edges[-1])
        edges = edges[1:-1]
    return np.where(known, np.digitize(values, edges), MISSING).astype(np.uint8)


def class_states(codes: np.ndarray, node: Node) -> np.ndarray:
    """State number of each code by the classes of the node's source, uint8, 255 for codes in no state."""
    found = np.full(np.shape(codes), MISSING, np.uint8)
    for state, members in node.source.classes.items():
        found[np.isin(codes, members)] = node.states.index(state)
    return found


def quantile_edges(values: np.ndarray, count: int) -> tuple[float, ...]:
    """Edges between at most ``count`` bins that hold equal shares of the values, as far as ties allow.

    Values that repeat stay together, and what they take too much of is shared out among the bins that are
    left: a cover that is 0 % in most pixels gets one bin for 0 and the others for the rest. Fewer edges come
    back where there are fewer different values. NaN is ignored. Raises :class:`NetworkError` where fewer than
    two values differ.
    """
    values = np.asarray(values, float)
    # Hashing first leaves a few thousand values to sort: maps are stored in steps.
    counted = pd.Series(values[np.isfinite(values)]).value_counts(sort=False).sort_index()
    different, shares = counted.index.to_numpy(), counted.to_numpy()
    if different.size < 2:
        raise NetworkError(f"cannot cut bins: only {different.size} different values")
    edges: list[float] = []
    left, held = shares.sum(), 0
    for i, share in enumerate(shares[:-1]):
        held += share
        target = left / (count - len(edges))
        # The bin closes before it would be fuller than it should, by more than it now is emptier.
        if held + shares[i + 1] / 2 >= target:
            edges.append((different[i] + different[i + 1]) / 2)
            left, held = left - held, 0
            if len(edges) == count - 1:
                break
    return tuple(float(edge) for edge in edges)


def learn_bins(network: Network, values: Mapping[str, np.ndarray], *, most_bins: int) -> Network:
    """Network whose nodes with ``quantile_bins`` have edges cut from the ``values`` of each node.

    States are named by the edges. A node gets as many bins as its source says, but at most ``most_bins``.
    """
    nodes = dict(network.nodes)
    for name, node in network.nodes.items():
        if node.source is None or not node.source.quantile_bins:
            continue
        edges = quantile_edges(values[name], min(most_bins, node.source.quantile_bins))
        source = replace(node.source, bins=edges)
        nodes[name] = replace(node, states=bin_names(edges), source=source, table=None)
    return replace(network, nodes=nodes)


def value_states(node: Node, values: np.ndarray) -> np.ndarray:
    """State number of each value of a node's measurement, uint8, 255 missing, by its bins or classes."""
    if node.source.classes:
        return class_states(values, node)
    return bin_states(values, node.source.bins, len(node.states))


def bin_names(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Names of the states between edges: "under 2", "2 to 5", "5 and over"."""
    words = [f"{edge:.6g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in zip(words[:-1], words[1:], strict=True)]
    return (f"under {words[0]}", *between, f"{words[-1]} and over")


def sites_to_raster(table: pd.DataFrame, measurement: str, geobox: GeoBox, *, radius_m: float) -> xr.DataArray:
    """Value of the nearest site within ``radius_m`` of each pixel, NaN where there is none, dims (y, x).

    ``table`` has ``site``, ``longitude``, ``latitude`` [degree, WGS 84] and the measurement; rows of one site
    (its nights) are averaged. ``geobox`` must be in metres.
    """
    from pyproj import Transformer
    from scipy.spatial import cKDTree

    absent = sorted({"site", "longitude", "latitude", measurement} - set(table.columns))
    if absent:
        raise NetworkError(
            f"site table has no column {', '.join(absent)}; there are {', '.join(map(str, table.columns))}"
        )
    sites = table.dropna(subset=[measurement]).groupby("site")[["longitude", "latitude", measurement]].mean()
    coordinates = _coordinates(geobox)
    raster = np.full(tuple(geobox.shape), np.nan)
    if len(sites):
        to_grid = Transformer.from_crs("EPSG:4326", geobox.crs.to_wkt(), always_xy=True)
        points = np.column_stack(to_grid.transform(sites["longitude"].to_numpy(), sites["latitude"].to_numpy()))
        pixels = np.stack(np.meshgrid(coordinates["x"], coordinates["y"]), axis=-1)
        distance_m, nearest = cKDTree(points).query(pixels)
        raster = np.where(distance_m <= radius_m, sites[measurement].to_numpy(float)[nearest], np.nan)
    return xr.DataArray(raster, dims=("y", "x"), coords=coordinates)


def node_states(node: Node, opened: xr.Dataset | pd.DataFrame, geobox: GeoBox) -> xr.DataArray:
    """States of one node on the target grid, uint8, 255 missing, dims (y, x).

    Classes become states first and are then resampled by majority; continuous measurements are resampled by
    mean and then cut; a site table gives the nearest site within the source's radius. Raises
    :class:`NetworkError` where the measurement is not there.
    """
    source = node.source
    if isinstance(opened, pd.DataFrame):
        values = sites_to_raster(opened, source.measurement, geobox, radius_m=source.radius_m)
        return values.copy(data=value_states(node, values.values))
    values = _find_measurement(node, opened)
    if source.classes:
        states = values.copy(data=value_states(node, _as_floats(values))).assign_attrs(nodata=MISSING)
        return resample(states, geobox, categorical=True)
    means = resample(values, geobox, categorical=False)
    return means.copy(data=value_states(node, _as_floats(means)))


def measurement_of(node: Node, opened: xr.Dataset) -> np.ndarray:
    """What a node is measured by, in real units or class codes, NaN no data, dims (y, x)."""
    return _as_floats(_find_measurement(node, opened))


def resample(values: xr.DataArray, geobox: GeoBox, *, categorical: bool) -> xr.DataArray:
    """``values`` (y, x) on ``geobox``: by majority where categorical, else by mean of the pixels that have data."""
    nodata = values.attrs.get("nodata")
    if values.odc.geobox != geobox:
        if not categorical:
            values, nodata = values.copy(data=_as_floats(values).astype(np.float32)), np.nan
        values = values.odc.reproject(geobox, resampling="mode" if categorical else "average", dst_nodata=nodata)
    return xr.DataArray(values.values, dims=("y", "x"), coords=_coordinates(geobox), attrs={"nodata": nodata})


def gather_evidence(network: Network, opened: Mapping[str, xr.Dataset | pd.DataFrame], geobox: GeoBox) -> xr.Dataset:
    """States of every node whose source is in ``opened``, uint8, 255 missing, dims (y, x).

    Raises :class:`NetworkError` where there is no evidence at all.
    """
    found = {
        name: node_states(node, opened[node.source.name], geobox).drop_attrs()
        for name, node in network.nodes.items()
        if name != network.query and node.source is not None and node.source.name in opened
    }
    if not found:
        raise NetworkError(f"network {network.name}: no evidence at all; its sources are {', '.join(sources(network))}")
    return xr.Dataset(found).odc.assign_crs(geobox.crs)


def open_evidence(task: "Task", network: Network) -> dict[str, xr.Dataset | pd.DataFrame]:
    """Open those sources of a network that have data for the task, ``{source: data}``.

    A product that ends after the task's period is left out: what happened later is no evidence of a state.
    """
    opened = {}
    for name, parts in sources(network).items():
        later = any(dataset_period(dataset).last_year > task.last_year for dataset in task.datasets(name))
        if task.has(name) and not later:
            data = task.open(name)
            measurements = sorted({part.measurement for part in parts})
            opened[name] = data if isinstance(data, pd.DataFrame) else data[measurements]
    return opened


def open_truth(task: "Task", network: Network, geobox: GeoBox) -> xr.DataArray:
    """True states of the query on the target grid, uint8, 255 where there is no reference, dims (y, x).

    The reference is the source of the query; it is never evidence.
    """
    query = network.nodes[network.query]
    if query.source is None or not task.has(query.source.name):
        nothing = np.full(tuple(geobox.shape), MISSING, np.uint8)
        return xr.DataArray(nothing, dims=("y", "x"), coords=_coordinates(geobox))
    return node_states(query, task.open(query.source.name, measurements=[query.source.measurement]), geobox)


def sources(network: Network) -> dict[str, list[Source]]:
    """Catalogue sources that the evidence of a network comes from, with what is taken from each."""
    found: dict[str, list[Source]] = {}
    for name in network.evidence_nodes:
        node = network.nodes[name]
        if node.source is not None:
            found.setdefault(node.source.name, []).append(node.source)
    return found


def detector_likelihood(states: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    """Soft evidence from a classifier with known errors, dims (..., state); NaN where nothing was reported.

    ``states`` has what was reported, 255 missing. ``confusion`` is P(reported state | true state) [1], dims
    (true state, reported state), rows summing to 1: an acoustic detector that misses 30 % of what calls is a row (0.7, 0.3).
    """
    confusion = np.asarray(confusion, float)
    if confusion.ndim != 2 or np.abs(confusion.sum(axis=1) - 1).max() > 1e-6:
        raise NetworkError(f"rows of a confusion matrix (true, reported) must sum to 1, got {confusion.tolist()}")
    known = np.asarray(states) != MISSING
    reported = np.where(known, states, 0)
    return np.where(known[..., np.newaxis], confusion.T[reported], np.nan)


def _find_measurement(node: Node, opened: xr.Dataset) -> xr.DataArray:
    if node.source.measurement not in opened:
        raise NetworkError(
            f"{node.source.name} has no measurement {node.source.measurement!r} for node {node.name}; there are "
            f"{', '.join(map(str, opened.data_vars))}"
        )
    values = opened[node.source.measurement]
    return values.isel(time=0, drop=True) if "time" in values.dims and values.sizes["time"] == 1 else values


def _as_floats(values: xr.DataArray) -> np.ndarray:
    nodata = values.attrs.get("nodata")
    array = values.values.astype(float)
    return array if nodata is None else np.where(array == nodata, np.nan, array)


def _coordinates(geobox: GeoBox) -> dict[str, np.ndarray]:
    return {axis: geobox.coordinates[dim].values for axis, dim in zip(("y", "x"), geobox.dimensions, strict=True)}
