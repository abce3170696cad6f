"""Bayesian networks as data: read from ``catalogs/networks/*.yml``, checked, and written.

A conditional probability has named cells: a row of a table is keyed by the states of the parents, so that
swapping two parents cannot change the meaning of a number. Tables of learned networks are too large for that
and lie beside the YAML file as NumPy arrays with one axis a parent, in the order the file names them, and the
node's own states last.
"""

import io
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml

from ceiba.config import project_root
from ceiba.errors import NetworkError

ROW_SUM_TOLERANCE = 1e-6
# The scale of hemeroby of Mexico's ecosystem-condition account: 0 intact, 18 most degraded.
MOST_HEMEROBY = 18
# A larger table is written as an array: nobody reads ten thousand rows, and YAML takes a minute over them.
MOST_CELLS_AS_TEXT = 2000


@dataclass(frozen=True)
class Source:
    """Where the evidence of a node comes from, and how its values become states.

    Attributes
    ----------
    name, measurement
        Source or product of the area's catalogue, and the variable or table column in it.
    bins
        Edges between the states, ascending, in the unit of the measurement: one fewer than states (the outer
        states are open), or one more (values outside them are no evidence). A value on an edge belongs to the
        state above it.
    classes
        ``{state: codes}`` of a categorical measurement; a code in no state is no evidence.
    quantile_bins
        How many bins to cut where the edges are learned from data (0: they are given).
    radius_m
        How far from a site its value counts [m], for measurements of site tables; 0 for rasters.
    """

    name: str
    measurement: str
    bins: tuple[float, ...] = ()
    classes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    quantile_bins: int = 0
    radius_m: float = 0.0


@dataclass(frozen=True)
class Node:
    """One variable of a network; ``table`` has dims (*parents, state), or is None until it is learned."""

    name: str
    states: tuple[str, ...]
    parents: tuple[str, ...] = ()
    table: np.ndarray | None = None
    title: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None


@dataclass(frozen=True)
class Network:
    """A discrete Bayesian network with the node it is asked about.

    Attributes
    ----------
    query, values
        Node of interest, and the hemeroby of each of its states, 0 (intact) to 18 (most degraded).
    nodes
        ``{name: Node}``, parents in the order of the axes of the tables.
    evidence_weight
        Exponent on what the effects of the query say about it, in (0, 1]. Below 1 it tempers signs that
        repeat one another, whose product would otherwise be overconfident.
    resolution_m
        Pixel size [m] that the network is meant for, 0 where it does not say.
    """

    name: str
    query: str
    values: tuple[float, ...]
    nodes: Mapping[str, Node]
    title: Mapping[str, str] = field(default_factory=dict)
    evidence_weight: float = 1.0
    resolution_m: float = 0.0

    def __post_init__(self):
        check_network(self)

    @property
    def evidence_nodes(self) -> tuple[str, ...]:
        """Every node but the query."""
        return tuple(name for name in self.nodes if name != self.query)

    @property
    def is_learned(self) -> bool:
        """Whether every table is known."""
        return all(node.table is not None for node in self.nodes.values())

    def size(self, name: str) -> int:
        """Number of states of a node."""
        return len(self.nodes[name].states)

    def family(self, name: str) -> tuple[str, ...]:
        """Parents and then the node itself: the axes of its table."""
        return (*self.nodes[name].parents, name)

    def effects(self, name: str) -> frozenset[str]:
        """Nodes that can be reached from ``name`` along the arcs."""
        found, frontier = set(), {name}
        while frontier:
            frontier = {n.name for n in self.nodes.values() if frontier & set(n.parents)} - found
            found |= frontier
        return frozenset(found)

    def with_tables(self, tables: Mapping[str, np.ndarray]) -> "Network":
        """The same network with these tables, dims (*parents, state); raises :class:`NetworkError` if one is wrong."""
        unknown = sorted(tables.keys() - self.nodes.keys())
        if unknown:
            raise NetworkError(f"network {self.name}: tables for unknown nodes {', '.join(unknown)}")
        nodes = {
            n.name: replace(n, table=np.asarray(tables[n.name], float)) if n.name in tables else n
            for n in self.nodes.values()
        }
        return replace(self, nodes=nodes)


def check_network(network: Network) -> None:
    """Raise :class:`NetworkError` naming the first thing that makes ``network`` no valid network."""
    where = f"network {network.name}"
    for node in network.nodes.values():
        unknown = [p for p in node.parents if p not in network.nodes]
        if unknown:
            raise NetworkError(f"{where}: parents of {node.name} are no nodes: {', '.join(unknown)}")
        if len(node.states) < 2 or len(set(node.states)) != len(node.states) or len(node.states) > 254:
            raise NetworkError(f"{where}: {node.name} needs 2 to 254 different states, has {list(node.states)}")
        check_source(where, node)
    if network.query not in network.nodes:
        raise NetworkError(f"{where}: the query {network.query!r} is no node; there are {', '.join(network.nodes)}")
    if len(network.values) != network.size(network.query):
        raise NetworkError(
            f"{where}: {len(network.values)} values for {network.size(network.query)} states of {network.query}"
        )
    if not all(0 <= value <= MOST_HEMEROBY for value in network.values):
        raise NetworkError(f"{where}: values {list(network.values)} must lie on hemeroby's scale, 0 to {MOST_HEMEROBY}")
    if not 0 < network.evidence_weight <= 1:
        raise NetworkError(f"{where}: evidence_weight is {network.evidence_weight}, allowed is above 0 up to 1")
    check_acyclic(network)
    for node in network.nodes.values():
        if node.table is not None:
            check_table(network, node)


def check_acyclic(network: Network) -> None:
    """Raise :class:`NetworkError` naming the nodes that lie on cycles."""
    left = dict(network.nodes)
    while left:
        free = [name for name, node in left.items() if not any(p in left for p in node.parents)]
        if not free:
            raise NetworkError(f"network {network.name}: arcs form a cycle among {', '.join(left)}")
        left = {name: node for name, node in left.items() if name not in free}


def check_table(network: Network, node: Node) -> None:
    """Raise :class:`NetworkError` unless every row of the node's table is a probability distribution."""
    shape = tuple(network.size(name) for name in network.family(node.name))
    where = f"network {network.name}: table of {node.name}"
    if node.table.shape != shape:
        raise NetworkError(f"{where} has shape {node.table.shape}, its parents and states ask for {shape}")
    if not np.isfinite(node.table).all() or (node.table < 0).any():
        raise NetworkError(f"{where} has negative or missing probabilities")
    sums = node.table.sum(axis=-1)
    wrong = np.argwhere(np.abs(sums - 1) > ROW_SUM_TOLERANCE)
    if len(wrong):
        row = tuple(wrong[0])
        key = ", ".join(network.nodes[p].states[i] for p, i in zip(node.parents, row, strict=True))
        raise NetworkError(f"{where}: row '{key}' sums to {sums[row]:.6g}, not 1 ({len(wrong)} such rows)")


def check_source(where: str, node: Node) -> None:
    """Raise :class:`NetworkError` where the bins or classes of a node's source do not fit its states."""
    source = node.source
    if source is None:
        return
    if source.classes and source.bins:
        raise NetworkError(f"{where}: source of {node.name} has both bins and classes; give one")
    unknown = [state for state in source.classes if state not in node.states]
    if unknown:
        raise NetworkError(
            f"{where}: classes of {node.name} name unknown states {', '.join(unknown)}; it has {', '.join(node.states)}"
        )
    if source.bins and len(source.bins) - len(node.states) not in (-1, 1):
        raise NetworkError(
            f"{where}: {node.name} has {len(node.states)} states and {len(source.bins)} bin edges; give one fewer "
            "or one more"
        )
    if any(low >= high for low, high in itertools.pairwise(source.bins)):
        raise NetworkError(f"{where}: bin edges of {node.name} do not ascend: {list(source.bins)}")


def network_path(name: str) -> Path:
    """File of a network in ``catalogs/networks``; raises :class:`NetworkError` listing those that exist."""
    folder = project_root() / "catalogs" / "networks"
    path = folder / f"{name}.yml"
    if not path.is_file():
        raise NetworkError(
            f"no network {name!r}; there are {', '.join(sorted(p.stem for p in folder.glob('*.yml'))) or 'none'}"
        )
    return path


def read_network(path: Path, *, tables: Path | None = None) -> Network:
    """Read a network from YAML.

    Parameters
    ----------
    path
        File in the format of ``catalogs/networks/README.md``.
    tables
        ``.npz`` file with the tables of the nodes whose ``rows`` are ``learned``; without it they stay
        unknown.

    Raises
    ------
    NetworkError
        Naming the node, row or state that is wrong.
    """
    # The base loader leaves every scalar a string: a state called `no` or `1` stays what the file says.
    document = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    name = Path(path).stem
    try:
        nodes = {key: _read_node(name, key, entry) for key, entry in document["nodes"].items()}
        query, values = document["query"], document["values"]
        if query not in nodes:
            raise NetworkError(f"network {name}: the query {query!r} is no node; there are {', '.join(nodes)}")
        if isinstance(values, dict):
            values = [values[state] for state in nodes[query].states]
        network = Network(
            name=document.get("name", name),
            query=query,
            values=tuple(float(v) for v in values),
            nodes=nodes,
            title=document.get("title", {}),
            evidence_weight=float(document.get("evidence_weight", 1)),
            resolution_m=float(document.get("resolution_m", 0)),
        )
        rows = {key: entry.get("rows") for key, entry in document["nodes"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NetworkError(f"network file {path} is malformed: {type(error).__name__} {error}") from error
    learned = _read_arrays(tables) if tables is not None else {}
    filled = {}
    for key, value in rows.items():
        if value == "learned":
            if learned and key not in learned:
                raise NetworkError(f"network {name}: {tables} has no table of {key}")
            if learned:
                filled[key] = learned[key]
        else:
            filled[key] = rows_to_table(network, key, value)
    return network.with_tables(filled)


def _read_node(network: str, name: str, entry: Mapping) -> Node:
    known = {"title", "states", "parents", "source", "rows"}
    unknown = sorted(entry.keys() - known)
    if unknown:
        raise NetworkError(
            f"network {network}: node {name} has unknown keys {', '.join(unknown)}; "
            f"allowed are {', '.join(sorted(known))}"
        )
    return Node(
        name=name,
        states=tuple(entry["states"]),
        parents=tuple(entry.get("parents") or ()),
        title=entry.get("title", {}),
        source=_read_source(network, name, entry["source"]) if entry.get("source") else None,
    )


def _read_source(network: str, node: str, entry: Mapping) -> Source:
    known = {"name", "measurement", "bins", "classes", "quantile_bins", "radius_m"}
    unknown = sorted(entry.keys() - known)
    if unknown:
        raise NetworkError(
            f"network {network}: source of {node} has unknown keys {', '.join(unknown)}; "
            f"allowed are {', '.join(sorted(known))}"
        )
    return Source(
        name=entry["name"],
        measurement=entry["measurement"],
        bins=tuple(float(edge) for edge in entry.get("bins", ())),
        classes={state: tuple(int(code) for code in codes) for state, codes in entry.get("classes", {}).items()},
        quantile_bins=int(entry.get("quantile_bins", 0)),
        radius_m=float(entry.get("radius_m", 0)),
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        tables = {name: arrays[name].astype(float) for name in arrays.files}
    # Stored in single precision: the rounding is taken out of the sums again.
    return {name: table / table.sum(axis=-1, keepdims=True) for name, table in tables.items()}


def rows_to_table(network: Network, name: str, rows: Mapping | list) -> np.ndarray:
    """Array (*parents, state) from rows keyed by "state, state" in the order of the node's parents.

    A node without parents has one row, given as a list or under the key "". A row is a list in the order of
    the states, or ``{state: probability}``. Raises :class:`NetworkError` naming rows that are missing,
    unknown or malformed.
    """
    node = network.nodes[name]
    where = f"network {network.name}: table of {name}"
    if rows is None:
        raise NetworkError(f"{where} is missing; give rows, or 'rows: learned'")
    if isinstance(rows, list):
        rows = {"": rows}
    if not isinstance(rows, Mapping):
        raise NetworkError(f"{where}: rows must be a mapping of parent states, or 'learned', not {rows!r}")
    keyed = {tuple(part.strip() for part in key.split(",") if part.strip()): row for key, row in rows.items()}
    combinations = list(itertools.product(*(network.nodes[p].states for p in node.parents)))
    missing = [", ".join(key) or "(the only row)" for key in combinations if key not in keyed]
    extra = [", ".join(key) for key in keyed if key not in set(combinations)]
    if missing or extra:
        told = [
            f"rows missing: {'; '.join(missing[:5])}" * bool(missing),
            f"rows of unknown states: {'; '.join(extra[:5])}" * bool(extra),
        ]
        raise NetworkError(f"{where}: {' and '.join(filter(None, told))} (parents {', '.join(node.parents) or 'none'})")
    table = np.array([_read_row(where, node, key, keyed[key]) for key in combinations])
    return table.reshape([network.size(member) for member in network.family(name)])


def _read_row(where: str, node: Node, key: tuple[str, ...], row: Mapping | list) -> list[float]:
    if isinstance(row, Mapping):
        if set(row) != set(node.states):
            raise NetworkError(
                f"{where}: row '{', '.join(key)}' names {', '.join(row)}, the states are {', '.join(node.states)}"
            )
        row = [row[state] for state in node.states]
    if not isinstance(row, list) or len(row) != len(node.states):
        raise NetworkError(f"{where}: row '{', '.join(key)}' needs {len(node.states)} probabilities, has {row!r}")
    try:
        return [float(value) for value in row]
    except (TypeError, ValueError) as error:
        raise NetworkError(f"{where}: row '{', '.join(key)}' is not numeric: {row!r}") from error


def network_files(network: Network) -> dict[str, bytes]:
    """Files of a network that :func:`read_network` reads back, large tables to 1e-7: ``network.yml``, ``tables.npz``."""
    document = {
        "name": network.name,
        "title": dict(network.title),
        "query": network.query,
        "values": list(network.values),
        "evidence_weight": network.evidence_weight,
        "resolution_m": network.resolution_m,
        "nodes": {node.name: _node_document(network, node) for node in network.nodes.values()},
    }
    arrays = {n.name: n.table.astype(np.float32) for n in network.nodes.values() if n.table is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    return {"network.yml": text.encode("utf-8"), "tables.npz": buffer.getvalue()}


def _node_document(network: Network, node: Node) -> dict:
    source = node.source
    rows: dict | str = "learned"
    if node.table is not None and node.table.size <= MOST_CELLS_AS_TEXT:
        keys = itertools.product(*(network.nodes[p].states for p in node.parents))
        flat = node.table.reshape(-1, len(node.states))
        rows = {", ".join(key): [float(p) for p in row] for key, row in zip(keys, flat, strict=True)}
    entry = {"title": dict(node.title), "states": list(node.states), "parents": list(node.parents)}
    if source is not None:
        found = {"name": source.name, "measurement": source.measurement, "bins": list(source.bins)}
        found |= {"classes": {state: list(codes) for state, codes in source.classes.items()}}
        found |= {"quantile_bins": source.quantile_bins, "radius_m": source.radius_m}
        entry["source"] = {key: value for key, value in found.items() if value}
    return entry | {"rows": rows}


def count_cells(network: Network) -> int:
    """Number of probabilities in all tables."""
    return sum(math.prod(network.size(member) for member in network.family(name)) for name in network.nodes)
