"""Review of samples: blind, one key a class, nothing lost, agreement by published formulas."""

import datetime
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ceiba.classification.samples import review
from ceiba.classification.samples.review_panel import ReviewPanel
from ceiba.classification.samples.review_pictures import choose_dates, cut_chip, draw_point, map_surroundings, to_png
from ceiba.errors import InputError
from ceiba.legends import load_legend

LEGEND = load_legend("mexico_31")
POINTS = pd.DataFrame(
    {"sample_id": ["a", "b", "c"], "longitude": [-99.0, -98, -97], "latitude": [19.0, 18, 17], "year": 2018}
)


def answers_of(first, second):
    names = [f"s{number}" for number in range(len(first))]
    parts = [
        pd.DataFrame({"sample_id": names, "interpreter": who, "code": codes})
        for who, codes in (("A", first), ("B", second))
    ]
    return pd.concat(parts, ignore_index=True)


def test_agreement_by_hand():
    # Table 20 5 / 10 15: agreement 0.7, by chance 0.5, kappa 0.4; variance by Fleiss et al. 1969 worked by hand: 0.016128.
    first = np.repeat([1, 1, 2, 2], [20, 5, 10, 15])
    found = review.measure_agreement(answers_of(first, np.repeat([1, 2, 1, 2], [20, 5, 10, 15]))).iloc[0]
    assert (found["first"], found["second"], found["points"]) == ("A", "B", 50)
    assert found["agreement"] == pytest.approx(0.7)
    assert found["kappa"] == pytest.approx(0.4)
    half = 1.959964 * np.sqrt(0.016128)
    assert [found["kappa_low"], found["kappa_high"]] == pytest.approx([0.4 - half, 0.4 + half], abs=1e-5)
    # Wilson's interval of 35 in 50, as published in tables: 0.562 to 0.809.
    assert [found["agreement_low"], found["agreement_high"]] == pytest.approx([0.5625, 0.8090], abs=5e-4)


def test_perfect_agreement_of_few_points_is_not_certain():
    found = review.measure_agreement(answers_of([1, 2, 1, 2], [1, 2, 1, 2])).iloc[0]
    assert found["kappa"] == 1 and found["kappa_low"] < 0.1 and found["kappa_high"] == 1
    one_class = review.measure_agreement(answers_of([1, 1], [1, 1])).iloc[0]
    assert one_class["agreement"] == 1 and np.isnan(one_class["kappa"])
    unsure = review.measure_agreement(answers_of([0, 1, 2], [1, 1, 0]))
    assert unsure["points"].tolist() == [1]
    assert review.measure_agreement(answers_of([1], [1]).iloc[:1]).empty


def test_a_killed_kernel_loses_no_answer(tmp_path):
    path = tmp_path / "deep" / "answers.csv"
    program = (
        "import sys, os, signal\n"
        "from ceiba.classification.samples.review import AnswerFile\n"
        "AnswerFile(sys.argv[1]).append('a', 'A', 3)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert review.AnswerFile(path).read()[["sample_id", "interpreter", "code"]].values.tolist() == [["a", "A", 3]]


def test_a_cut_off_line_is_left_out_and_swallows_nothing(tmp_path):
    answers = review.AnswerFile(tmp_path / "answers.csv")
    assert answers.read().empty
    answers.append("a, with comma", "A", 3)
    with answers.path.open("a") as file:
        file.write("b,A,1")
    answers.append("c", "A", 31)
    assert answers.read()[["sample_id", "code"]].values.tolist() == [["a, with comma", 3], ["c", 31]]
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match="is no file of answers"):
        review.AnswerFile(tmp_path / "other.csv").read()
    with pytest.raises(InputError, match="needs a sample and an interpreter"):
        answers.append("d", " ", 1)


def test_the_last_answer_counts_and_one_taken_back_does_not(tmp_path):
    answers = review.AnswerFile(tmp_path / "answers.csv")
    for name, who, code in (("a", "A", 1), ("a", "A", 2), ("a", "B", 5), ("b", "A", 7), ("b", "A", review.WITHDRAWN)):
        answers.append(name, who, code)
    assert answers.read()[["sample_id", "interpreter", "code"]].values.tolist() == [["a", "A", 2], ["a", "B", 5]]
    assert review.find_pending(POINTS, answers.read(), "A")["sample_id"].tolist() == ["b", "c"]
    table = review.tabulate_review(POINTS, answers.read())
    assert table[["sample_id", "interpreter", "code"]].values.tolist() == [
        ["a", "A", 2],
        ["a", "B", 5],
        ["b", "", 0],
        ["c", "", 0],
    ]


def test_points_are_blind_and_rare_classes_are_among_them():
    samples = pd.DataFrame({"code": np.repeat([1, 2], [990, 10]), "longitude": np.arange(1000) / 10, "latitude": 0.0})
    samples = samples.assign(year=2018, source="field", sample_id="")
    points = review.draw_review_points(samples, 44, seed=1)
    assert list(points.columns) == ["sample_id", "longitude", "latitude", "year"]
    rows = points["sample_id"].str.removeprefix("row ").astype(int).to_numpy()
    # By the square roots 31.5 and 3.2 of the counts.
    assert (samples["code"].to_numpy()[rows] == 2).sum() == 4
    pd.testing.assert_frame_equal(points, review.draw_review_points(samples, 44, seed=1))
    assert len(review.draw_review_points(samples, 5000)) == 1000


def test_keys_are_one_a_class():
    keys = review.assign_keys(LEGEND)
    assert keys["1"] == 1 and keys["a"] == 10 and keys["v"] == 31 and len(keys) == len(LEGEND)
    assert review.UNSURE_KEY not in keys and review.BACK_KEY not in keys


def test_typing_answers_and_a_second_panel_goes_on(tmp_path):
    answers = review.AnswerFile(tmp_path / "answers.csv")
    shown = []

    def picture(point):
        shown.append(point["sample_id"])
        return b"png"

    options = {"picture": picture, "shortest_look_s": 0}
    panel = ReviewPanel(POINTS, answers, LEGEND, "A", **options)
    # The browser sends the whole text each time, and may send it late.
    panel.box.value = "3"
    panel.box.value = "3v"
    assert shown == ["a", "b", "c"]
    panel.box.value = "3v?"
    assert "'?'" in panel.message.value and len(answers.read()) == 2
    panel.box.value = "3v"
    panel.box.value = "3"
    assert len(answers.read()) == 2
    panel.box.value = "3-"
    assert shown[-1] == "b" and answers.read()["sample_id"].tolist() == ["a"]
    again = ReviewPanel(POINTS, answers, LEGEND, "A", **options)
    assert again.current["sample_id"] == "b"
    again.buttons.children[0].click()
    again.box.value = "05"
    assert again.current is None and answers.read()["code"].tolist() == [3, 1, 0]
    other = ReviewPanel(POINTS, answers, LEGEND, "B", **options)
    assert other.current["sample_id"] == "a" and other.map.center == [19.0, -99.0]
    with pytest.raises(InputError, match="name or initials"):
        ReviewPanel(POINTS, answers, LEGEND, " ", picture)


def test_keys_that_come_before_a_point_is_seen_do_not_answer_it(tmp_path):
    answers = review.AnswerFile(tmp_path / "answers.csv")
    panel = ReviewPanel(POINTS, answers, LEGEND, "A", lambda point: b"", shortest_look_s=0.2)
    time.sleep(0.21)
    panel.box.value = "ab"
    panel.box.value = "abc"
    assert answers.read()[["sample_id", "code"]].values.tolist() == [["a", 10]]
    assert "'c'" in panel.message.value
    time.sleep(0.21)
    panel.box.value = "abcd"
    assert answers.read()["code"].tolist() == [10, 13]


def test_a_chip_has_the_point_in_its_middle_up_to_the_border():
    grid = GeoBox.from_bbox((4_000_000, 1_199_000, 4_001_000, 1_200_000), "EPSG:6372", resolution=100)
    dates = pd.date_range("2018-01-01", periods=20, freq="18D").to_numpy()
    values = np.arange(100, dtype="float32").reshape(1, 10, 10) + np.zeros((20, 1, 1), "float32")
    values[5] = np.nan
    source = xr.Dataset(
        {name: wrap_xr(values + at, grid, time=dates) for at, name in enumerate(("red", "green", "blue", "nir"))}
    )
    to_degrees = grid.extent.crs.transformer_to_crs("EPSG:4326")
    chip = cut_chip(source, *to_degrees(4_000_050, 1_199_950), side_px=5)
    assert chip["red"].values[0, 2, 2] == 0 and chip["red"].values[0, 3, 4] == 12
    assert np.isnan(chip["red"].values[0, :2]).all() and np.isnan(chip["red"].values[0, :, :2]).all()
    # The corner of the chip lies two pixels beyond the corner of the grid.
    assert chip.odc.geobox.boundingbox.bbox == (3_999_800, 1_199_700, 4_000_300, 1_200_200)
    longitude, latitude = to_degrees(4_000_450, 1_199_550)
    around = map_surroundings(source, pd.Series({"longitude": longitude, "latitude": latitude}), side_px=5)
    (south, west), (north, east) = around.bounds
    assert around.url.startswith("data:image/png;base64,iVBOR") and south < latitude < north and west < longitude < east
    # Half a kilometer, and a pixel or two around where the picture is turned into the projection of web maps; its middle is the point.
    assert 500 <= (north - south) * 110_600 < 900 and 500 <= (east - west) * 103_000 < 900
    middle = np.array([(north + south) / 2 - latitude, (east + west) / 2 - longitude])
    assert (np.abs(middle) * [110_600, 103_000] < 100).all()
    inner = cut_chip(source, *to_degrees(4_000_450, 1_199_550), side_px=3)
    assert inner["red"].values[0].tolist() == [[33, 34, 35], [43, 44, 45], [53, 54, 55]]
    season = (datetime.date(2018, 1, 1), datetime.date(2018, 7, 1))
    inside, others = choose_dates(inner, season)
    # Dates 0 to 10 lie in the season; the sixth has no data.
    assert inside.tolist() == [0, 3, 7, 10] and others.tolist() == [11, 14, 16, 19]
    figure = draw_point(inner, season)
    assert len(figure.axes) == 9 and to_png(figure)[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="needs ndvi, or red and nir; the chip has red, green, blue"):
        draw_point(inner.drop_vars("nir"), season)
    with pytest.raises(InputError, match="beyond the grid"):
        cut_chip(source, 0, 0)
    with pytest.raises(InputError, match="must be odd"):
        cut_chip(source, 0, 0, side_px=4)
