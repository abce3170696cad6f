"""Clusters, near-duplicates, thinning and distances, against values worked by hand."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from odc.geo.geobox import GeoBox
from scipy.spatial.distance import cdist

from ceiba.classification.samples import quality_figures
from ceiba.classification.samples.spacing import (
    class_balance,
    compare_distances,
    draw_places,
    geographic_distances,
    join_groups,
    near_duplicates,
    spatial_clusters,
    thin_samples,
)
from ceiba.errors import InputError
from ceiba.legends import load_legend


def test_clusters_are_joined_by_steps():
    x = np.array([1000.0, 0, 90, 180, 1100, 5000])
    assert spatial_clusters(x, np.zeros(6), 100).tolist() == [0, 1, 1, 1, 0, 2]
    assert spatial_clusters(x, np.zeros(6), 50).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(InputError, match="steps of 0 m"):
        spatial_clusters(x, x, 0)


def test_joined_groups_split_neither_blocks_nor_polygons():
    blocks = np.array([0, 0, 1, 1, 2, 3])
    polygons = np.array(["", "p", "p", "", "q", ""], dtype=object)
    assert join_groups(blocks, polygons).tolist() == [0, 0, 0, 0, 1, 2]
    assert join_groups(polygons, polygons).tolist() == [0, 1, 1, 2, 3, 4]
    with pytest.raises(InputError, match="two groupings of 6 and 5"):
        join_groups(blocks, polygons[:5])


def test_near_duplicates_differ_in_no_feature():
    # Standard deviations of the columns are 1 and 100: the tolerance counts in them.
    features = np.array([[0.0, 0], [2, 200], [0.0005, 0.05], [2, 200.3], [0, 200], [2, 0]])
    features = (features - features.mean(axis=0)) / features.std(axis=0) * [1, 100]
    assert near_duplicates(features, tolerance=1e-3).tolist() == [0, 1, 0, 2, 3, 4]
    assert near_duplicates(features, tolerance=1e-2).tolist() == [0, 1, 0, 1, 2, 3]


def test_thinned_samples_keep_their_distance_and_leave_no_gap():
    x, y = np.random.default_rng(1).uniform(0, 1000, (2, 300))
    keep = thin_samples(x, y, 100)
    far = cdist(np.column_stack([x, y]), np.column_stack([x, y])[keep])
    assert (np.sort(far[keep], axis=1)[:, 1] >= 100).all()
    assert (far[~keep].min(axis=1) < 100).all()
    code = np.arange(300) % 2
    by_class = thin_samples(x, y, 100, within=code)
    for each in (0, 1):
        np.testing.assert_array_equal(by_class[code == each].sum() > 20, True)
        own = np.column_stack([x, y])[by_class & (code == each)]
        assert (np.sort(cdist(own, own), axis=1)[:, 1] >= 100).all()
    # Two samples at exactly the distance may both stay.
    assert thin_samples(np.array([0.0, 100]), np.zeros(2), 100).all()


def test_distances_by_hand():
    samples = np.array([[0.0, 0], [3, 4], [100, 0], [103, 4]])
    prediction = np.array([[0.0, 1], [50, 0]])
    folds = {"random": np.array([0, 1, 0, 1]), "blocked": np.array([0, 0, 1, 1])}
    table = geographic_distances(samples, prediction, folds)
    found = {key: part["distance"].tolist() for key, part in table.groupby(["kind", "split"])}
    assert found[("sample_to_sample", "")] == [5, 5, 5, 5]
    assert found[("prediction_to_sample", "")] == pytest.approx([1, np.hypot(47, 4)])
    assert found[("fold_to_rest", "random")] == [5, 5, 5, 5]
    assert found[("fold_to_rest", "blocked")] == pytest.approx([100, np.hypot(97, 4), np.hypot(97, 4), 100])
    # Areas between step functions: mean of the differences of the sorted values.
    near, far = 1, np.hypot(47, 4)
    compared = compare_distances(table)
    assert compared["random"] == pytest.approx((abs(5 - near) + abs(5 - far)) / 2)
    with pytest.raises(InputError, match="have no distances"):
        geographic_distances(samples, prediction[:, :1])


def test_balance_names_every_class():
    legend = load_legend("mexico_8")
    first, second = (int(code) for code in legend.codes[:2])
    samples = pd.DataFrame({"code": [first, first, second], "year": [2018, 2019, 2018], "source": ["a", "a", "b"]})
    table = class_balance(samples, legend).set_index("code")
    assert len(table) == len(legend)
    assert table["samples"].sum() == 3 and table["samples"][first] == 2
    assert (table["years"][first], table["sources"][first]) == (2, 1)
    assert table["share"][second] == pytest.approx(1 / 3)


def test_figure_and_tables_tell_what_was_measured():
    samples, folds = np.array([[0.0, 0], [3, 4], [100, 0], [103, 4]]), {"random": np.array([0, 1, 0, 1])}
    table = geographic_distances(samples, np.array([[0.0, 1], [50, 0]]), folds)
    axes = Figure().subplots()
    quality_figures.draw_distances(axes, table)
    map_line, _, split_line = axes.get_lines()
    assert map_line.get_xdata().tolist() == pytest.approx([1, np.hypot(47, 4)])
    assert map_line.get_ydata().tolist() == [0.5, 1] and split_line.get_xdata().tolist() == [5, 5, 5, 5]
    legend = load_legend("mexico_8")
    first, second = (int(code) for code in legend.codes[:2])
    quality = pd.DataFrame(
        {"sample_id": ["a", "b"], "code": [first, second], "suggested": [second, first], "rank": [2, 1]}
    )
    shown = quality_figures.suspicion_table(quality.assign(margin=0.5, verdict=["keep", "drop"]), legend)
    assert shown.iloc[:, 0].tolist() == ["b", "a"] and shown.iloc[0, 1].startswith(f"{second} ")
    balance = class_balance(pd.DataFrame({"code": [first, first], "year": 2018, "source": "a"}), legend)
    assert quality_figures.balance_table(balance).iloc[:, 1].tolist() == [2]
    assert quality_figures.describe_spacing({"clusters": 3}).endswith("**3**")


def test_places_are_centers_of_pixels():
    grid = GeoBox.from_bbox((0, 0, 300, 200), "EPSG:6372", resolution=100)
    places = draw_places(grid, 200, seed=1)
    assert set(places[:, 0]) == {50, 150, 250} and set(places[:, 1]) == {50, 150}
