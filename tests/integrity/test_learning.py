"""Tables from data whose truth is known, with cells missing at random."""

import numpy as np
import pytest

from ceiba.errors import NetworkError
from ceiba.integrity.inference import MISSING
from ceiba.integrity.learning import (
    conditional_information,
    fit_tables,
    fit_with_missing,
    learn_sign_tree,
    learn_structure,
    shrink_counts,
)
from ceiba.networks import Network, Node

from .conftest import random_network

TRUE_H = np.array([0.207, 0.299, 0.494])


def draw(network: Network, count: int, seed: int) -> dict[str, np.ndarray]:
    """Independent draws of all nodes."""
    rng, states = np.random.default_rng(seed), {}
    for name, node in network.nodes.items():
        rows = np.broadcast_to(node.table[tuple(states[p] for p in node.parents)], (count, len(node.states)))
        states[name] = (
            (rng.random((count, 1)) > rows.cumsum(axis=1)).sum(axis=1).clip(max=len(node.states) - 1).astype(np.uint8)
        )
    return states


def toy() -> Network:
    """Condition H, a sign always seen, and a sign seen at times."""
    words = ("a", "b", "c")
    height = np.array([[0.8, 0.15, 0.05], [0.2, 0.6, 0.2], [0.05, 0.15, 0.8]])
    bats = np.array([[0.7, 0.3], [0.5, 0.5], [0.15, 0.85]])
    return Network(
        "toy",
        "H",
        (0.0, 9.0, 18.0),
        {
            "H": Node("H", words, (), TRUE_H),
            "height": Node("height", words, ("H",), height),
            "bats": Node("bats", ("few", "many"), ("H",), bats),
        },
    )


def test_em_recovers_the_truth_where_cells_are_missing_at_random():
    """H is seldom recorded where height, always seen, is large: dropping those rows would be biased."""
    truth = toy()
    states = draw(truth, 40_000, seed=3)
    rng = np.random.default_rng(4)
    hidden = rng.random(40_000) < np.array([0.05, 0.3, 0.9])[states["height"]]
    states["H"][hidden] = MISSING
    states["bats"][rng.random(40_000) < 0.4] = MISSING
    kept = states["H"][~hidden]
    dropped = np.bincount(kept, minlength=3) / kept.size
    assert np.abs(dropped - TRUE_H).max() > 0.15
    learned = fit_with_missing(truth, states, prior_strength=1)
    np.testing.assert_allclose(learned.nodes["H"].table, TRUE_H, atol=0.01)
    np.testing.assert_allclose(learned.nodes["height"].table, truth.nodes["height"].table, atol=0.02)
    np.testing.assert_allclose(learned.nodes["bats"].table, truth.nodes["bats"].table, atol=0.02)


def test_em_without_missing_cells_is_counting():
    network = random_network(11)
    states = draw(network, 500, seed=1)
    counted, expected = fit_tables(network, states), fit_with_missing(network, states)
    for name in network.nodes:
        np.testing.assert_allclose(expected.nodes[name].table, counted.nodes[name].table, rtol=1e-12)


def test_missing_causes_are_recovered_too():
    network = random_network(2, sizes=(2, 3, 2, 2), most_parents=2)
    states = draw(network, 60_000, seed=5)
    rng = np.random.default_rng(6)
    for name in list(network.nodes)[:2]:
        states[name][rng.random(60_000) < 0.3] = MISSING
    learned = fit_with_missing(network, states, prior_strength=1)
    for name in network.nodes:
        rows = network.nodes[name].table.reshape(-1, network.size(name))
        assert np.abs(learned.nodes[name].table.reshape(rows.shape) - rows).max() < 0.05


def test_complete_data_are_asked_for_loudly():
    states = draw(toy(), 100, seed=0)
    states["bats"][:25] = MISSING
    with pytest.raises(NetworkError, match=r"25\.0% of the observations lack bats.*fit_with_missing"):
        fit_tables(toy(), states)
    with pytest.raises(NetworkError, match="no data for bats"):
        fit_tables(toy(), {"H": states["H"], "height": states["height"]})
    states["H"][0] = 7
    with pytest.raises(NetworkError, match="states 0 to 2, got 7"):
        fit_with_missing(toy(), states)


def test_shrinking_by_hand():
    # Strength 2 towards (3 + 2 * 0.5) / (4 + 2), then rows (2, 0) and (1, 1) towards (2/3, 1/3).
    table = shrink_counts(np.array([[2.0, 0.0], [1.0, 1.0]]), 2)
    np.testing.assert_allclose(table, [[(2 + 2 * 2 / 3) / 4, 2 / 3 / 4], [(1 + 4 / 3) / 4, (1 + 2 / 3) / 4]])
    # A row never seen gets the table without that parent.
    np.testing.assert_allclose(shrink_counts(np.array([[3.0, 1.0], [0.0, 0.0]]), 2)[1], [4 / 6, 2 / 6])
    with pytest.raises(NetworkError, match="above 0"):
        shrink_counts(np.ones(2), 0)


def test_weights_count_as_repeats():
    states = {"H": [0, 1, 2], "height": [0, 1, 2], "bats": [0, 1, 1]}
    once = {name: np.array(column, np.uint8) for name, column in states.items()}
    repeated = {name: np.repeat(column, [3, 1, 2]) for name, column in once.items()}
    weighted = fit_tables(toy(), once, weights=np.array([3, 1, 2]))
    for name, node in fit_tables(toy(), repeated).nodes.items():
        np.testing.assert_allclose(weighted.nodes[name].table, node.table)


def test_information_against_scikit_learn():
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 2000)
    second = (first + (rng.random(2000) < 0.3)) % 3
    counts = np.histogram2d(first, second, bins=3)[0]
    assert conditional_information(counts[np.newaxis]) == pytest.approx(mutual_info_score(first, second), rel=1e-9)


def test_sign_tree_finds_a_chain():
    rng = np.random.default_rng(1)
    first = rng.integers(0, 3, 4000)
    second = np.where(rng.random(4000) < 0.8, first, rng.integers(0, 3, 4000))
    third = np.where(rng.random(4000) < 0.8, second, rng.integers(0, 3, 4000))
    names, words = ("H", "first", "second", "third"), ("a", "b", "c")
    network = Network("chain", "H", (0.0, 9.0, 18.0), {name: Node(name, words) for name in names})
    states = {"H": rng.integers(0, 3, 4000), "first": first, "second": second, "third": third}
    states = {name: column.astype(np.uint8) for name, column in states.items()}
    assert learn_sign_tree(network, states, ["first", "third", "second"]) == {
        "second": "first",
        "third": "second",
    }


def test_hill_climbing_finds_the_arcs_and_refuses_missing_cells():
    states = draw(toy(), 4000, seed=8)
    found = learn_structure(states, required=[("H", "height")], forbidden=[("bats", "H")])
    assert ("H", "height") in found and ("bats", "H") not in found
    assert {frozenset(arc) for arc in found} >= {frozenset(("H", "bats"))}
    states["bats"][0] = MISSING
    with pytest.raises(NetworkError, match="bats lack cells"):
        learn_structure(states)
