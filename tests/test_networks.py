"""Networks read from YAML: named cells, and errors that name what is wrong."""

from pathlib import Path

import numpy as np
import pytest

from ceiba.errors import NetworkError
from ceiba.networks import network_files, network_path, read_network

SMALL = """
title: {es: Chica, en: Small}
query: condition
values: {intact: 0, degraded: 18}
nodes:
  cover:
    states: [forest, crop]
    source: {name: land_cover, measurement: land_cover, classes: {forest: [1, 2], crop: [28]}}
    rows: [0.7, 0.3]
  change:
    states: [no, recent]
    parents: [cover]
    rows: {forest: [0.9, 0.1], crop: [0.5, 0.5]}
  condition:
    states: [intact, degraded]
    parents: [cover, change]
    rows:
      "forest, no": [0.9, 0.1]
      "forest, recent": [0.4, 0.6]
      "crop, no": [0.1, 0.9]
      "crop, recent": {degraded: 0.95, intact: 0.05}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "small.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_find_their_cells(tmp_path):
    network = read_network(write(tmp_path, SMALL))
    # Cells by name in the file, by index here: a swap of the parents would show.
    assert network.nodes["condition"].table[0, 1].tolist() == [0.4, 0.6]
    assert network.nodes["condition"].table[1, 0].tolist() == [0.1, 0.9]
    assert network.nodes["condition"].table[1, 1].tolist() == [0.05, 0.95]
    # YAML would turn `no` into False.
    assert network.nodes["change"].states == ("no", "recent")
    assert network.evidence_nodes == ("cover", "change")
    assert network.effects("cover") == {"change", "condition"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"crop, no": [0.1, 0.9]', '"crop, no": [0.1, 0.8]', r"'crop, no' sums to 0\.9"),
        ('      "crop, no": [0.1, 0.9]\n', "", "rows missing: crop, no"),
        ('"crop, no"', '"no, crop"', "rows missing: crop, no and rows of unknown states: no, crop"),
        ("[0.7, 0.3]", "[0.7, 0.2, 0.1]", "needs 2 probabilities"),
        ("[0.7, 0.3]", "[1.2, -0.2]", "negative"),
        ("[0.7, 0.3]", "[0.7, some]", "not numeric"),
        ("parents: [cover]", "parents: [covers]", "no nodes: covers"),
        ("query: condition", "query: state", "'state' is no node"),
        ("degraded: 18}", "degraded: 19}", "0 to 18"),
        ("degraded: 0.95", "worse: 0.95", "names worse, intact"),
        ("crop: [28]", "crops: [28]", "unknown states crops"),
        ("classes: {forest: [1, 2], crop: [28]}", "bins: [1, 2]", "2 bin edges"),
        ("classes: {forest: [1, 2], crop: [28]}", "bins: [3, 2, 1]", "do not ascend"),
        ("measurement: land_cover,", "measurment: land_cover,", "unknown keys measurment"),
        ("states: [forest, crop]", "states: [forest, forest]", "different states"),
        ("nodes:", "knots:", "malformed"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, message):
    assert old in SMALL
    with pytest.raises(NetworkError, match=message):
        read_network(write(tmp_path, SMALL.replace(old, new)))


def test_cycle_is_named(tmp_path):
    text = SMALL.replace(
        "    rows: [0.7, 0.3]",
        "    parents: [condition]\n    rows: {intact: [0.7, 0.3], degraded: [0.5, 0.5]}",
    )
    with pytest.raises(NetworkError, match="cycle among cover, change, condition"):
        read_network(write(tmp_path, text))


def test_written_network_is_read_back(tmp_path):
    network = read_network(write(tmp_path, SMALL))
    for name, content in network_files(network).items():
        (tmp_path / name).write_bytes(content)
    again = read_network(tmp_path / "network.yml", tables=tmp_path / "tables.npz")
    assert again.nodes["cover"].source == network.nodes["cover"].source
    assert again.values == network.values and again.name == network.name
    for name, node in network.nodes.items():
        np.testing.assert_array_equal(again.nodes[name].table, node.table)


def test_learned_tables_lie_beside(tmp_path):
    text = SMALL.replace("rows: [0.7, 0.3]", "rows: learned")
    assert read_network(write(tmp_path, text)).nodes["cover"].table is None
    np.savez(tmp_path / "tables.npz", cover=np.array([0.25, 0.75], np.float32))
    network = read_network(write(tmp_path, text), tables=tmp_path / "tables.npz")
    assert network.is_learned and network.nodes["cover"].table.tolist() == [0.25, 0.75]
    np.savez(tmp_path / "tables.npz", change=np.ones(2))
    with pytest.raises(NetworkError, match="no table of cover"):
        read_network(write(tmp_path, text), tables=tmp_path / "tables.npz")


@pytest.mark.parametrize("name", ["simulated", "yucatan"])
def test_networks_of_the_catalogue(name):
    network = read_network(network_path(name))
    assert network.resolution_m > 0 and min(network.values) == 0 and max(network.values) == 18
    sources = [network.nodes[node].source for node in network.evidence_nodes]
    assert all(source is not None for source in sources)


def test_unknown_network_lists_those_that_exist():
    with pytest.raises(NetworkError, match="simulated, yucatan"):
        network_path("yucatán")
