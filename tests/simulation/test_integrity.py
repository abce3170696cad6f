"""The known network, and the truth drawn from it."""

import numpy as np
import pandas as pd
import pytest
import rasterio

from ceiba.simulation import integrity, land_cover, samples


def test_every_row_of_the_network_is_a_distribution():
    network = integrity.known_network()
    for node in network.nodes.values():
        np.testing.assert_allclose(node.table.sum(axis=-1), 1, atol=1e-9)
        assert (node.table > 0).all()
    assert network.query == "condition"
    assert network.nodes["life_zone"].source.measurement == "life_zone"


def test_classes_of_the_network_are_the_groups():
    source = integrity.known_network().nodes["land_cover"].source
    for number, (state, codes) in enumerate(source.classes.items()):
        assert state == land_cover.group_names()[number]
        np.testing.assert_array_equal(land_cover.group_of(np.array(codes)), number)


def test_draw_states_by_hand():
    rows = np.array([[0.2, 0.5, 0.3]] * 4)
    states, positions = integrity.draw_states(rows, np.array([0.1, 0.2, 0.45, 0.85]))
    np.testing.assert_array_equal(states, [0, 1, 1, 2])
    np.testing.assert_allclose(positions, [0.5, 0.0, 0.5, 0.5], atol=1e-12)


def test_rank_within_strata_by_hand():
    ranks = integrity.rank_within(np.array([5.0, 1.0, 3.0, 2.0]), np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(ranks, [0.75, 0.25, 0.75, 0.25])


@pytest.mark.parametrize("year", [2018, 2020])
def test_condition_given_land_cover_has_the_frequencies_of_the_network(world, year):
    network, states = integrity.known_network(), world.condition[year].states
    for cover in range(network.size("land_cover")):
        for change in range(2):
            here = (states["land_cover"] == cover) & (states["change"] == change)
            if here.sum() >= 50:
                found = np.bincount(states["condition"][here], minlength=5) / here.sum()
                np.testing.assert_allclose(
                    found, network.nodes["condition"].table[cover, change], atol=1.01 / here.sum()
                )


def test_signs_given_condition_have_the_frequencies_of_the_network(world):
    network, states = integrity.known_network(), world.condition[2019].states
    for sign in ("greenness", "variability"):
        for cover in range(4):
            for condition in range(5):
                here = (states["land_cover"] == cover) & (states["condition"] == condition)
                if here.sum() >= 50:
                    table = network.nodes[sign].table[cover, condition]
                    found = np.bincount(states[sign][here], minlength=table.size) / here.sum()
                    np.testing.assert_allclose(found, table, atol=1.01 / here.sum())


def test_condition_is_autocorrelated_and_worse_near_roads(world):
    hemeroby = integrity.hemeroby_of(world.condition[2020].states["condition"]).astype(float)
    assert np.corrcoef(hemeroby[:, 1:].ravel(), hemeroby[:, :-1].ravel())[0, 1] > 0.5
    road_m = world.terrain.road_distance_m.reshape(32, 8, 64, 8).mean(axis=(1, 3))
    assert hemeroby[road_m < 200].mean() > hemeroby[road_m > 600].mean() + 3


def test_posterior_of_the_network_is_calibrated_on_the_truth(world):
    # Bayes by hand: what is drawn from a network must be told by it as often as it says.
    network, states = integrity.known_network(), world.condition[2020].states
    cover, change, greenness, variability, truth = (
        states[name].ravel() for name in ("land_cover", "change", "greenness", "variability", "condition")
    )
    prior = network.nodes["condition"].table[cover, change]
    joint = prior * network.nodes["greenness"].table[cover, :, greenness]
    joint *= network.nodes["variability"].table[cover, :, variability]
    posterior = joint / joint.sum(axis=1, keepdims=True)
    is_true = truth[:, None] == np.arange(5)
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7)):
        here = (posterior >= low) & (posterior < high)
        assert is_true[here].mean() == pytest.approx(posterior[here].mean(), abs=0.03)
    gain = np.log(posterior[is_true]).mean() - np.log(prior[is_true]).mean()
    assert gain > 0.1


def test_truth_on_file_is_the_truth(area_folder, world):
    with rasterio.open(area_folder / "truth/integrity_2020.tif") as raster:
        assert raster.res == (80, 80)
        assert raster.nodata == 255
        values = raster.read(1)
    assert set(np.unique(values)) == {0, 4, 9, 14, 18}
    np.testing.assert_array_equal(values, integrity.hemeroby_of(world.condition[2020].states["condition"]))


def test_training_samples_are_right_but_for_the_listed_ones(area_folder, world):
    table = pd.read_csv(area_folder / "training_samples.csv")
    errors = pd.read_csv(area_folder / "truth/training_label_errors.csv")
    assert 1300 <= len(table) <= 1700
    assert set(table["code"]) == set(range(1, 32))
    rows, columns = ((1_200_000 - table["y"]) // 10).astype(int), ((table["x"] - 4_000_000) // 10).astype(int)
    truth = np.array([world.codes[year][r, c] for year, r, c in zip(table["year"], rows, columns, strict=True)])
    wrong = table["code"].to_numpy() != truth
    assert sorted(table.loc[wrong, "sample_id"]) == sorted(errors["sample_id"])
    assert wrong.mean() == pytest.approx(0.03, abs=0.001)


def test_reference_samples_are_right_and_can_be_weighted(area_folder, world):
    table = pd.read_csv(area_folder / "land_cover_reference.csv")
    rows, columns = ((1_200_000 - table["y"]) // 10).astype(int), ((table["x"] - 4_000_000) // 10).astype(int)
    truth = [world.codes[year][r, c] for year, r, c in zip(table["year"], rows, columns, strict=True)]
    np.testing.assert_array_equal(table["code"], truth)
    assert len(table) == pytest.approx(samples.REFERENCE_POINTS, abs=10)
    # The strata of a year fill the area.
    sizes = table.drop_duplicates(["year", "stratum"]).groupby("year")["stratum_pixels"].sum()
    np.testing.assert_array_equal(sizes, 512 * 256)


def test_field_plots_carry_states_of_the_network(area_folder):
    network, table = integrity.known_network(), pd.read_csv(area_folder / "field_plots.csv", keep_default_na=False)
    for node in network.nodes.values():
        assert set(table[node.name]) <= {*node.states, ""}
    assert (table["bat_activity"] == "").mean() == pytest.approx(0.2, abs=0.1)
