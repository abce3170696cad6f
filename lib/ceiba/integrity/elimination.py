"""Summing missing nodes out of a network once for all pixels that lack the same evidence.

A raster has millions of combinations of values but only tens of patterns of what is missing. For one pattern
the missing nodes are eliminated symbolically, keeping the observed ones as free axes; what remains is a
handful of tables that each pixel looks up. A missing node whose elimination would make too large a table (a
cause of many observed signs) is left, and its states are summed pixel by pixel, exactly as for a node with
soft evidence.
"""

import functools
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ceiba.errors import NetworkError
from ceiba.networks import Network

# Tables up to this many cells (2 MB) still look up fast, and a pattern is planned in milliseconds.
MOST_TABLE_CELLS = 1 << 18
MOST_SUMMED_STATES = 1 << 20


@dataclass(frozen=True)
class Factor:
    """A table with one axis a node; ``origin`` is the node whose own table it is, or "" for a product."""

    nodes: tuple[str, ...]
    table: np.ndarray
    origin: str = ""


@dataclass(frozen=True)
class Plan:
    """How pixels with one pattern of evidence get their posterior.

    Attributes
    ----------
    starts
        Position of each table in the pool, dims (table).
    column_starts, columns, strides
        Observed nodes that index each table, and their steps; those of table k begin at ``column_starts[k]``.
    fixed_count
        How many tables (the first) do not depend on summed nodes.
    summed
        Columns of the nodes summed pixel by pixel, and whether each has soft evidence.
    combinations
        Their states, dims (combination, summed node).
    offsets
        What a combination adds to the position in each table, dims (table, combination).
    """

    starts: np.ndarray
    column_starts: np.ndarray
    columns: np.ndarray
    strides: np.ndarray
    fixed_count: int
    summed: tuple[np.ndarray, np.ndarray]
    combinations: np.ndarray
    offsets: np.ndarray


class TablePool:
    """Tables of all plans in one flat array, so that plans share the network's own tables."""

    def __init__(self):
        self.cells = np.empty(1 << 12)
        self._used = 0
        self._starts: dict[tuple[str, bool], int] = {}

    def add(self, table: np.ndarray, key: tuple[str, bool] | None = None) -> int:
        """Store ``table`` and return where it begins; the same ``key`` is stored once."""
        if key in self._starts:
            return self._starts[key]
        start, self._used = self._used, self._used + table.size
        if self._used > self.cells.size:
            grown = np.empty(max(self._used, 2 * self.cells.size))
            grown[:start] = self.cells[:start]
            self.cells = grown
        # One factor for the whole table keeps products of many signs away from underflow and changes no
        # posterior.
        self.cells[start : self._used] = (table / table.max()).ravel()
        if key is not None:
            self._starts[key] = start
        return start


def multiply(factors: Iterable[Factor]) -> Factor:
    """Product of factors over the union of their nodes."""

    def pair(a: Factor, b: Factor) -> Factor:
        nodes = tuple(dict.fromkeys(a.nodes + b.nodes))
        axis = {node: i for i, node in enumerate(nodes)}
        table = np.einsum(a.table, [axis[n] for n in a.nodes], b.table, [axis[n] for n in b.nodes], [*axis.values()])
        return Factor(nodes, table)

    return functools.reduce(pair, factors)


def relevant_nodes(network: Network, kept: Iterable[str]) -> set[str]:
    """``kept`` and their causes; every other node sums to one and drops out."""
    found, frontier = set(), set(kept)
    while frontier:
        found |= frontier
        frontier = {parent for name in frontier for parent in network.nodes[name].parents} - found
    return found


def eliminate(network: Network, kept: set[str]) -> tuple[list[Factor], tuple[str, ...]]:
    """Factors of the network after summing out all but ``kept``, and the nodes too costly to sum out.

    The cheapest node goes first. Nodes are left where the product of their factors passes
    ``MOST_TABLE_CELLS``.
    """
    relevant = relevant_nodes(network, kept)
    factors = [
        Factor(network.family(name), network.nodes[name].table, name) for name in network.nodes if name in relevant
    ]
    hidden = [name for name in network.nodes if name in relevant - kept]

    def product_cells(name: str) -> int:
        nodes = set().union(*(factor.nodes for factor in factors if name in factor.nodes))
        return math.prod(network.size(node) for node in nodes)

    while hidden:
        name = min(hidden, key=product_cells)
        if product_cells(name) > MOST_TABLE_CELLS:
            break
        hidden.remove(name)
        product = multiply(factor for factor in factors if name in factor.nodes)
        axis = product.nodes.index(name)
        rest = Factor(product.nodes[:axis] + product.nodes[axis + 1 :], product.table.sum(axis=axis))
        factors = [factor for factor in factors if name not in factor.nodes] + [rest]
    return factors, tuple(hidden)


def make_plan(network: Network, columns: dict[str, int], hard: set[str], soft: set[str], pool: TablePool) -> Plan:
    """Plan for pixels where exactly ``hard`` nodes have a state and ``soft`` nodes a likelihood.

    ``columns`` numbers the evidence nodes. Raises :class:`NetworkError` where too many states would have to
    be summed.
    """
    factors, left = eliminate(network, hard | soft | {network.query})
    summed = (*sorted(soft, key=columns.get), *left)
    count = math.prod(network.size(name) for name in summed)
    if count > MOST_SUMMED_STATES:
        raise NetworkError(
            f"network {network.name}: without evidence of {', '.join(summed)} a pixel needs {count} terms, the most is "
            f"{MOST_SUMMED_STATES}; observe one of them, or take out an arc"
        )
    # Factors of observed nodes alone are the same number for every state of the query.
    factors = [factor for factor in factors if network.query in factor.nodes or set(summed) & set(factor.nodes)]
    factors.sort(key=lambda factor: bool(set(summed) & set(factor.nodes)))
    combinations = list(itertools.product(*(range(network.size(name)) for name in summed)))
    table = {"start": [], "column": [], "stride": [], "end": [0], "offset": []}
    for factor in factors:
        start, strides = _store(network, factor, pool)
        observed = [name for name in strides if name not in summed]
        table["start"].append(start)
        table["column"] += [columns[name] for name in observed]
        table["stride"] += [strides[name] for name in observed]
        table["end"].append(len(table["column"]))
        steps = [strides.get(name, 0) for name in summed]
        table["offset"].append(
            np.array(combinations, np.int64).reshape(len(combinations), -1) @ np.array(steps, np.int64)
        )
    return Plan(
        starts=np.array(table["start"], np.int64),
        column_starts=np.array(table["end"], np.int64),
        columns=np.array(table["column"], np.int64),
        strides=np.array(table["stride"], np.int64),
        fixed_count=sum(not set(summed) & set(factor.nodes) for factor in factors),
        summed=(
            np.array([columns[n] for n in summed], np.int64),
            np.array([n in soft for n in summed], bool),
        ),
        combinations=np.array(combinations, np.int64).reshape(len(combinations), len(summed)),
        offsets=np.array(table["offset"], np.int64).reshape(len(factors), len(combinations)),
    )


def _store(network: Network, factor: Factor, pool: TablePool) -> tuple[int, dict[str, int]]:
    """Put a factor into the pool, the query as its last axis; return its start and the stride of every other node."""
    others = [name for name in factor.nodes if name != network.query]
    sizes = [network.size(name) for name in others]
    width = network.size(network.query)
    if network.query in factor.nodes:
        table = np.moveaxis(factor.table, factor.nodes.index(network.query), -1)
    else:
        table = np.repeat(factor.table[..., np.newaxis], width, axis=-1)
    start = pool.add(table, (factor.origin, True) if factor.origin else None)
    strides = {name: width * math.prod(sizes[i + 1 :]) for i, name in enumerate(others)}
    return start, strides
