"""The report of all accuracies: side by side, with the warnings that it owes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ceiba.classification.accuracy import report
from ceiba.classification.accuracy.assessment import estimate_accuracy
from ceiba.classification.accuracy.estimators import probability_sample
from ceiba.classification.accuracy.validation import measure_accuracy
from ceiba.errors import InputError
from ceiba.legends import load_legend


def accuracy(right, count=100):
    """So many of 100 samples right."""
    codes = np.ones(count, dtype=int)
    return measure_accuracy(np.where(np.arange(count) < right, 1, 2), codes, [1, 2])


def design(right):
    mapped = np.where(np.arange(100) < right, 1, 2)
    return estimate_accuracy(mapped, np.ones(100, dtype=int), probability_sample("a" * 100, {"a": 1e6}))


def test_differences_above_five_points_are_told_and_five_are_not():
    found = report.report_accuracy({0.0: accuracy(90), 1000.0: accuracy(85)}, design(84), outliers_removed=0)
    assert found.figures["kind"].tolist() == ["random", "blocked", "design"]
    assert found.gaps.to_numpy().tolist() == [[0, 2, pytest.approx(0.06)]]
    words = report.report_warnings(found)
    assert len(words) == 2
    assert "90.0%" in words[0]
    assert "84.0%" in words[0]
    assert "No outlier was removed" in words[1]
    assert report.report_table(found).iloc[1, 0].endswith("1,000 m")


def test_all_that_one_figure_differs_from_is_told_in_one_sentence():
    found = report.report_accuracy({0.0: accuracy(90), 1000.0: accuracy(80)}, design(70), outliers_removed=0)
    words = report.report_warnings(found)
    assert len(found.gaps) == 3 and len(words) == 3
    assert [share in words[0] for share in ("90.0%", "80.0%", "70.0%")] == [True] * 3
    assert "90.0%" not in words[1] and "80.0%" in words[1] and "70.0%" in words[1]


def test_outliers_and_a_missing_design_are_said():
    found = report.report_accuracy({0.0: accuracy(90)}, None, outliers_removed=25)
    words = report.report_warnings(found)
    assert "were removed" in words[0]
    assert words[0].endswith(": 25")
    assert "no probability sample" in words[1]
    unknown = report.report_accuracy({0.0: accuracy(90)}, design(90), outliers_removed=None)
    assert "not known" in report.report_warnings(unknown)[-1]
    with pytest.raises(InputError, match="no accuracy to report"):
        report.report_accuracy({}, None, outliers_removed=0)


def test_near_neighbours_flatter_the_random_split_alone():
    """Ten clusters of one random class: whoever copies the nearest training sample is right at random folds only."""
    rng = np.random.default_rng(4)
    cluster = np.repeat(np.arange(40), 10)
    codes = rng.integers(1, 4, 40)[cluster]
    x, y = cluster % 8 * 1000.0 + rng.random(400), cluster // 8 * 1000.0 + rng.random(400)

    distance = np.hypot(x[:, None] - x, y[:, None] - y)

    def nearest(folds):
        apart = np.where(folds[:, None] == folds, np.inf, distance)
        return codes[apart.argmin(axis=1)]

    found = report.measure_splits(nearest, codes, x, y, [1, 2, 3], block_sizes_m=[900.0, 2000.0], seed=1)
    assert found[0.0].overall > 0.98
    assert found[900.0].overall < 0.6
    assert list(found) == [0.0, 900.0, 2000.0]


def test_figures_are_drawn_with_every_row():
    figure, axes = plt.subplots(1, 2)
    report.draw_report(axes[0], report.report_accuracy({0.0: accuracy(90)}, design(84), outliers_removed=0))
    assert len(axes[0].get_yticklabels()) == 2
    report.draw_areas(axes[1], {1: 9e5}, design(84), load_legend("mato_grosso"))
    assert axes[1].get_yticklabels()[0].get_text().startswith("1 ")
    plt.close(figure)
