"""A network learned for a place, and judged on land it did not see."""

from dataclasses import replace

import numpy as np
import pytest

from ceiba.integrity.accuracy import score
from ceiba.integrity.training import block_folds, cross_validate, learn_network
from ceiba.networks import Network, Node, Source, network_path, read_network


def test_folds_are_whole_blocks_of_equal_number():
    folds = block_folds((45, 80), block_pixels=20, folds=3, seed=1)
    assert folds.shape == (45, 80)
    starts = [(y, x) for y in (0, 20, 40) for x in range(0, 80, 20)]
    assert all(np.unique(folds[y : y + 20, x : x + 20]).size == 1 for y, x in starts)
    assert np.bincount([folds[y, x] for y, x in starts]).tolist() == [4, 4, 4]


def test_learned_from_values_with_gaps():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 6000)
    height = rng.normal(5 + 4 * label, 1.5)
    height[rng.random(6000) < 0.2] = np.nan
    query = Node(
        "condition", ("intact", "degraded"), source=Source("r", "c", classes={"intact": (1,), "degraded": (0,)})
    )
    sign = Node("height", ("low", "high"), ("condition",), source=Source("p", "h", quantile_bins=9))
    network = Network("place", "condition", (0.0, 18.0), {"condition": query, "height": sign})
    values = {"condition": label.astype(float), "height": height}
    learned = learn_network(network, values, most_bins=6, prior_strength=5)
    assert len(learned.nodes["height"].source.bins) == 5
    np.testing.assert_allclose(learned.nodes["condition"].table, [label.mean(), 1 - label.mean()], atol=0.01)
    probabilities, truth = cross_validate(network, values, rng.integers(0, 3, 6000), most_bins=9, prior_strength=5)
    found = score(probabilities, truth, network.values)
    # Two normal distributions 4 apart of deviation 1.5: Bayes is right in 90.9 %, in half where there is no height.
    assert found["exact"] == pytest.approx(0.8 * 0.909 + 0.2 * 0.5, abs=0.02)
    assert found["ece"] < 0.03


@pytest.mark.slow
def test_yucatan_on_blocks_it_was_not_learned_from(sample_folder):
    """One fold of blocks of 10 km: well above the commonest class, and calibrated."""
    import rasterio

    network = read_network(network_path("yucatan"))
    values = {}
    for node in network.nodes.values():
        path = sample_folder / "ei" / "yucatan_250m" / f"{node.source.measurement}.tif"
        with rasterio.open(path) as file:
            raster = file.read(1, masked=True)
            values[node.name] = np.where(raster.mask, np.nan, raster.data * file.scales[0])
    where = np.isfinite(values["hemeroby"])
    folds = block_folds(where.shape, block_pixels=40, folds=5, seed=1)[where]
    held = np.where(folds == 0, 0, 1)
    kept = {name: column[where][held == 1] for name, column in values.items()}
    learned = learn_network(network, kept, most_bins=8, prior_strength=100)
    assert learned.is_learned
    from ceiba.integrity.evidence import value_states
    from ceiba.integrity.inference import Inference

    states = {name: value_states(node, values[name][where][held == 0]) for name, node in learned.nodes.items()}
    truth = states.pop("hemeroby")
    found = score(Inference(learned).posterior(states, probabilities=True).probabilities, truth, network.values)
    assert found["log_loss"] < 1.23
    assert found["four_class"] > found["four_class_commonest"] + 0.13
    # Without tempering the repeated signs make it overconfident.
    blunt = Inference(replace(learned, evidence_weight=1.0)).posterior(states, probabilities=True).probabilities
    assert score(blunt, truth, network.values)["ece"] > 2 * found["ece"]
