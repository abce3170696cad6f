"""Networks to and from other programs."""

import numpy as np
import pytest

from ceiba.errors import NetworkError
from ceiba.integrity.exchange import from_pgmpy, read_adjacency, read_xmlbif, to_pgmpy, to_xmlbif
from ceiba.networks import network_path, read_network

from .conftest import random_network


def same(first, second):
    assert set(first.nodes) == set(second.nodes)
    for name, node in first.nodes.items():
        other = second.nodes[name]
        assert node.states == other.states
        order = [other.parents.index(parent) for parent in node.parents] + [len(node.parents)]
        np.testing.assert_allclose(other.table.transpose(order), node.table, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_pgmpy_round_trip(seed):
    network = random_network(seed)
    model = to_pgmpy(network)
    assert model.check_model()
    same(network, from_pgmpy(model, name="again", query=network.query))


def test_xmlbif_round_trip(tmp_path):
    network = read_network(network_path("simulated"))
    path = tmp_path / "network.xml"
    path.write_bytes(to_xmlbif(network))
    same(network, read_xmlbif(path, name="again", query="condition", values=network.values))


def test_xmlbif_is_read_by_the_standard_order(tmp_path):
    """In XMLBIF the child's states run fastest: a table written by hand."""
    path = tmp_path / "hand.xml"
    path.write_text(
        """<?xml version="1.0"?><BIF VERSION="0.3"><NETWORK><NAME>hand</NAME> <VARIABLE
        TYPE="nature"><NAME>rain</NAME><OUTCOME>yes</OUTCOME><OUTCOME>no</OUTCOME></VARIABLE> <VARIABLE
        TYPE="nature"><NAME>wet</NAME><OUTCOME>yes</OUTCOME><OUTCOME>no</OUTCOME></VARIABLE>
        <DEFINITION><FOR>rain</FOR><TABLE>0.2 0.8</TABLE></DEFINITION>
        <DEFINITION><FOR>wet</FOR><GIVEN>rain</GIVEN><TABLE>0.9 0.1 0.3
        0.7</TABLE></DEFINITION></NETWORK></BIF>"""
    )
    network = read_xmlbif(path, name="hand", query="rain")
    assert network.nodes["wet"].table.tolist() == [[0.9, 0.1], [0.3, 0.7]]


def test_adjacency_of_the_published_network(sample_folder):
    """Yucatán's network has the published arcs, and the two from context to hemeroby that its file tells of."""
    published = read_adjacency(sample_folder / "ei" / "yucatan_250m" / "ienet_v2.csv")
    network = read_network(network_path("yucatan"))
    names = {node.source.measurement.replace("250m_train", "250m"): node.name for node in network.nodes.values()}
    arcs = {(names[parent], names[child]) for child, parents in published.items() for parent in parents}
    ours = {(parent, node.name) for node in network.nodes.values() for parent in node.parents}
    assert ours - arcs == {("elevation", "hemeroby"), ("life_zone", "hemeroby")}
    assert arcs - ours == set()


def test_adjacency_needs_the_same_names(tmp_path):
    path = tmp_path / "arcs.csv"
    path.write_text("\ufeff,a,b\na,,1\nb,,\n", encoding="utf-8")
    assert read_adjacency(path) == {"a": (), "b": ("a",)}
    path.write_text(",a,c\na,,1\nb,,\n")
    with pytest.raises(NetworkError, match="differ in b, c"):
        read_adjacency(path)


def test_unlearned_network_cannot_be_written():
    with pytest.raises(NetworkError, match="learn them first"):
        to_xmlbif(read_network(network_path("yucatan")))
