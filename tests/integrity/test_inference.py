"""Posteriors against the national network's published answers and against pgmpy, whatever is missing."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba.errors import NetworkError
from ceiba.integrity import elimination
from ceiba.integrity.exchange import to_pgmpy
from ceiba.integrity.inference import BLOCK_PIXELS, MISSING, Inference, map_integrity
from ceiba.networks import Network, Node

from .conftest import random_network


def two_nodes(weight: float = 1.0) -> Network:
    """Condition (intact, degraded) with the sign bats (few, many)."""
    condition = Node("condition", ("intact", "degraded"), (), np.array([0.6, 0.4]))
    bats = Node("bats", ("few", "many"), ("condition",), np.array([[0.2, 0.8], [0.7, 0.3]]))
    nodes = {"condition": condition, "bats": bats}
    return Network("two", "condition", (0.0, 18.0), nodes, evidence_weight=weight)


def test_bayes_by_hand():
    found = Inference(two_nodes()).posterior({"bats": np.array([0, 1, MISSING], np.uint8)}, probabilities=True)
    # few: 0.6*0.2 = 0.12 against 0.4*0.7 = 0.28; many: 0.48 against 0.12
    np.testing.assert_allclose(found.probabilities, [[0.3, 0.7], [0.8, 0.2], [0.6, 0.4]], rtol=1e-12)
    np.testing.assert_allclose(found.expectation, [12.6, 3.6, 7.2], rtol=1e-12)
    assert found.mode.tolist() == [1, 0, 0]
    assert found.signs_observed.tolist() == [1, 1, 0]
    # entropy of 0.8, 0.2 in bits
    assert found.entropy[1] == pytest.approx(0.721928, abs=1e-6)


def test_tempered_evidence_by_hand():
    found = Inference(two_nodes(0.5)).posterior({"bats": np.array([0], np.uint8)}, probabilities=True)
    intact, degraded = 0.6 * np.sqrt(0.2), 0.4 * np.sqrt(0.7)
    assert found.probabilities[0, 0] == pytest.approx(intact / (intact + degraded), rel=1e-12)


def test_golden_posteriors_of_the_national_network(national_network, sample_folder):
    rows = pd.read_csv(sample_folder / "ei" / "conabio_bn_2017" / "golden_posteriors_sample.csv")
    states = {
        name: rows[name].where(rows[name] >= 0, MISSING).to_numpy(np.uint8) for name in national_network.evidence_nodes
    }
    found = Inference(national_network).posterior(states, probabilities=True)
    golden = rows.filter(like="p_hemerobia_").to_numpy()
    assert np.abs(found.probabilities - golden).max() < 1e-6
    assert np.abs(1 - found.expectation / 18 - rows["ie_expectancy"]).max() < 1e-6


@pytest.mark.parametrize("limit", [elimination.MOST_TABLE_CELLS, 4])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_equals_pgmpy_with_missing_and_virtual_evidence(limit, seed):
    """With the low limit nothing is eliminated beforehand and every missing cause is summed pixel by pixel."""
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.inference import VariableElimination

    network, rng = random_network(seed), np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elimination, "MOST_TABLE_CELLS", limit)
        inference = Inference(network)
        states, soft, expected = {name: [] for name in network.evidence_nodes}, {}, []
        soft = {name: [] for name in network.evidence_nodes}
        exact = VariableElimination(to_pgmpy(network))
        for _ in range(4):
            hard, virtual = {}, []
            for name in network.evidence_nodes:
                kind, size = rng.integers(0, 3), network.size(name)
                state, likelihood = int(rng.integers(size)), rng.random(size)
                states[name].append(state if kind == 1 else MISSING)
                soft[name].append(likelihood if kind == 2 else np.full(size, np.nan))
                if kind == 1:
                    hard[name] = f"s{state}"
                if kind == 2:
                    virtual.append(
                        TabularCPD(
                            name,
                            size,
                            likelihood[:, np.newaxis],
                            state_names={name: list(network.nodes[name].states)},
                        )
                    )
            answer = exact.query([network.query], evidence=hard, virtual_evidence=virtual or None, show_progress=False)
            order = [answer.state_names[network.query].index(state) for state in network.nodes[network.query].states]
            expected.append(answer.values[order])
        found = inference.posterior(
            {name: np.array(column, np.uint8) for name, column in states.items()},
            likelihoods={name: np.array(column) for name, column in soft.items()},
            probabilities=True,
        )
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-9)


def test_soft_evidence_of_one_state_is_hard_evidence():
    network = random_network(5)
    inference, name = Inference(network), network.evidence_nodes[-1]
    hard = inference.posterior({name: np.array([1], np.uint8)}, probabilities=True)
    sure = np.zeros((1, network.size(name)))
    sure[0, 1] = 0.3
    soft = inference.posterior({}, likelihoods={name: sure}, probabilities=True)
    np.testing.assert_allclose(soft.probabilities, hard.probabilities, rtol=1e-12)
    assert soft.signs_observed.tolist() == [1]


def test_blocks_give_what_single_pixels_give():
    network, rng = random_network(7), np.random.default_rng(7)
    shape = (3, BLOCK_PIXELS // 2 + 5)
    states = {}
    for name in network.evidence_nodes:
        states[name] = np.where(rng.random(shape) < 0.3, MISSING, rng.integers(network.size(name), size=shape)).astype(
            np.uint8
        )
    inference = Inference(network)
    whole = inference.posterior(states)
    assert whole.expectation.shape == shape
    for pixel in [(0, 0), (1, shape[1] - 1), (2, 7)]:
        alone = inference.posterior({name: array[pixel].reshape(1) for name, array in states.items()})
        assert whole.expectation[pixel] == alone.expectation[0]
        assert whole.entropy[pixel] == alone.entropy[0]


def test_impossible_evidence_has_no_answer():
    condition = Node("condition", ("intact", "degraded"), (), np.array([1.0, 0.0]))
    bats = Node("bats", ("few", "many"), ("condition",), np.array([[0.0, 1.0], [0.5, 0.5]]))
    network = Network("odd", "condition", (0.0, 18.0), {"condition": condition, "bats": bats})
    found = Inference(network).posterior({"bats": np.array([0, 1], np.uint8)})
    assert np.isnan(found.expectation[0]) and found.mode[0] == MISSING
    assert found.expectation[1] == 0


def test_map_has_no_data_where_nothing_was_seen():
    evidence = xr.Dataset(
        {"bats": (("y", "x"), np.array([[0, 1, MISSING]], np.uint8))}, coords={"y": [0.5], "x": [0, 1, 2]}
    )
    maps = map_integrity(Inference(two_nodes()), evidence)
    np.testing.assert_allclose(maps.integrity.values, [[0.3, 0.8, np.nan]], rtol=1e-6)
    assert maps.signs_observed.values.tolist() == [[1, 1, 0]]
    assert maps.state.values.tolist() == [[1, 0, MISSING]]
    assert maps.integrity.dtype == np.float32 and maps.entropy.dtype == np.float32


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"birds": np.zeros(2, np.uint8)}, "no evidence nodes birds"),
        ({"condition": np.zeros(2, np.uint8)}, "no evidence nodes condition"),
        ({"bats": np.full(2, 2, np.uint8)}, "states 0 to 1, got 2"),
        ({"bats": np.zeros(2)}, "must be uint8"),
        ({}, "one shape"),
    ],
)
def test_unfit_evidence_is_refused(states, message):
    with pytest.raises(NetworkError, match=message):
        Inference(two_nodes()).posterior(states)


def test_unlearned_network_is_refused():
    network = two_nodes()
    nodes = dict(network.nodes) | {"bats": Node("bats", ("few", "many"), ("condition",))}
    with pytest.raises(NetworkError, match="tables of bats are unknown"):
        Inference(Network("two", "condition", (0.0, 18.0), nodes))
