"""Networks of other programs: CONABIO's adjacency tables, pgmpy models, XMLBIF files."""

from pathlib import Path

import numpy as np
import pandas as pd

from ceiba.errors import NetworkError
from ceiba.networks import Network, Node


def read_adjacency(path: Path) -> dict[str, tuple[str, ...]]:
    """Parents of each node from an adjacency table as CONABIO publishes it.

    In the CSV a 1 means an arc from row to column. Raises :class:`NetworkError` where row and column names differ.
    """
    arcs = pd.read_csv(path, index_col=0, encoding="utf-8-sig")
    if set(arcs.index) != set(arcs.columns):
        raise NetworkError(
            f"{path}: rows and columns differ in {', '.join(sorted(set(arcs.index) ^ set(arcs.columns)))}"
        )
    return {str(child): tuple(str(p) for p in arcs.index[arcs[child] == 1]) for child in arcs.columns}


def to_pgmpy(network: Network):
    """The network as ``pgmpy.models.DiscreteBayesianNetwork``, for its queries, interventions and writers."""
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    if not network.is_learned:
        unknown = [node.name for node in network.nodes.values() if node.table is None]
        raise NetworkError(f"network {network.name}: tables of {', '.join(unknown)} are unknown; learn them first")
    model = DiscreteBayesianNetwork()
    model.add_nodes_from(network.nodes)
    model.add_edges_from((parent, node.name) for node in network.nodes.values() for parent in node.parents)
    for node in network.nodes.values():
        model.add_cpds(
            TabularCPD(
                node.name,
                len(node.states),
                node.table.reshape(-1, len(node.states)).T,
                evidence=list(node.parents) or None,
                evidence_card=[network.size(p) for p in node.parents] or None,
                state_names={member: list(network.nodes[member].states) for member in network.family(node.name)},
            )
        )
    return model


def from_pgmpy(model, *, name: str, query: str, values: tuple[float, ...] | None = None) -> Network:
    """A network from a pgmpy model; ``values`` default to 0, 1, 2... for the states of ``query``."""
    nodes = {}
    for cpd in model.get_cpds():
        child, *parents = cpd.variables
        table = np.moveaxis(np.asarray(cpd.values, float), 0, -1)
        nodes[child] = Node(child, tuple(str(s) for s in cpd.state_names[child]), tuple(parents), table)
    if query not in nodes:
        raise NetworkError(f"network {name}: the query {query!r} is no node; there are {', '.join(nodes)}")
    return Network(name, query, values or tuple(float(i) for i in range(len(nodes[query].states))), nodes)


def to_xmlbif(network: Network) -> bytes:
    """The network in XMLBIF 0.3, the exchange format that GeNIe, pyAgrum, Weka and pgmpy read."""
    from pgmpy.readwrite import XMLBIFWriter

    return str(XMLBIFWriter(to_pgmpy(network))).encode("utf-8")


def read_xmlbif(path: Path, *, name: str, query: str, values: tuple[float, ...] | None = None) -> Network:
    """Read a network from XMLBIF 0.3; evidence sources are not part of that format."""
    from pgmpy.readwrite import XMLBIFReader

    return from_pgmpy(XMLBIFReader(path=str(path)).get_model(), name=name, query=query, values=values)
