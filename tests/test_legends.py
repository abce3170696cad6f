"""Legends: data are consistent, faults are named, recoding is complete or fails."""

import csv

import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ceiba.errors import LegendError
from ceiba.legends import LandCoverClass, Legend, aggregate, load_legend

SHIPPED = (
    "mexico_31", "mexico_17", "mexico_8", "mexico_32", "mexico_38", "colombia_17", "ipcc_6", "mato_grosso", "simulated_life_zones",
    "holdridge_38",
)  # fmt: skip


def write_legend(folder, name, rows, columns=("code", "name_es", "name_en", "color")):
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(columns)
        writer.writerows(rows)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_legend_is_valid_and_speaks_two_languages(name):
    legend = load_legend(name)
    number = name.rpartition("_")[2]
    assert not number.isdigit() or len(legend) == int(number)
    for entry in legend.classes:
        assert legend.code(entry.name_es) == legend.code(entry.name_en) == entry.code


def test_mexican_crosswalk_is_the_official_one(sample_folder):
    """31 to 17 and its colours are CONABIO's; class 26 alone has a colour of its own, as two classes shared one."""
    source = pd.read_csv(sample_folder / "legends" / "mexico_31.csv").set_index("code")
    legend, coarser = load_legend("mexico_31"), load_legend("mexico_17")
    assert legend.parents(coarser) == source["parent_17"].to_dict()
    differ = {code for code, color in legend.colors().items() if color != source.loc[code, "color"]}
    assert differ == {26}
    points = {entry.code: int(entry.facts["training_points"]) for entry in legend.classes}
    assert points == source["national_training_points_2014_2015"].to_dict()


def test_the_three_mexican_legends_never_contradict_each_other():
    fine, middle, coarse = (load_legend(name) for name in ("mexico_31", "mexico_17", "mexico_8"))
    two_steps = {code: middle.parents(coarse)[parent] for code, parent in fine.parents(middle).items()}
    assert two_steps == fine.parents(coarse)


def test_the_colombian_legend_says_that_it_is_a_proposal():
    assert {entry.facts["status"] for entry in load_legend("colombia_17").classes} == {"proposal"}


def test_labels_are_found_by_name_and_every_unknown_one_is_named():
    legend = load_legend("mato_grosso")
    labels = pd.Series(["Forest", "Soya y maíz", "Forest"], dtype="string[pyarrow]")
    assert legend.codes_of(labels).tolist() == [2, 4, 2]
    assert legend.codes_of(np.array([1, 5])).tolist() == [1, 5]
    with pytest.raises(LegendError, match=r"'Florest', 'Rice'"):
        legend.codes_of(["Florest", "Rice", "Forest"])
    with pytest.raises(LegendError, match="did you mean Forest"):
        legend.find("Florest")
    with pytest.raises(LegendError, match="no code 9"):
        legend.find(9)
    with pytest.raises(LegendError, match="there are es, en"):
        legend.names("fr")


def test_aggregate_recodes_by_parent_and_keeps_no_data():
    """Hand-worked: pine (2) and oak (3) are classes 1 and 2 of 17, both temperate forest of 8; water 31, 17, 8."""
    fine, middle, coarse = (load_legend(name) for name in ("mexico_31", "mexico_17", "mexico_8"))
    land_cover = xr.DataArray(np.array([[2, 3], [31, 0]], dtype="uint8"), dims=("y", "x"))
    assert aggregate(land_cover, fine, middle).values.tolist() == [[1, 2], [17, 0]]
    assert aggregate(land_cover, fine, coarse).values.tolist() == [[1, 1], [8, 0]]
    lazy = aggregate(land_cover.chunk({"x": 1}), fine, middle)
    assert isinstance(lazy.data, dask.array.Array)
    assert lazy.values.tolist() == [[1, 2], [17, 0]]
    assert lazy.attrs["legend"] == "mexico_17"


def test_aggregate_fails_on_strange_codes_and_on_classes_without_parent():
    fine, coarse = load_legend("mexico_31"), load_legend("mexico_8")
    strange = xr.DataArray(np.array([[2, 99]], dtype="uint8"), dims=("y", "x"))
    with pytest.raises(LegendError, match="99"):
        aggregate(strange, fine, coarse)
    with pytest.raises(LegendError, match="no parent in mexico_8 for Cotton-fallow, Forest"):
        aggregate(strange, load_legend("mato_grosso"), coarse)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, "a", "b", "#000000"), (1, "c", "d", "#000001")], "code used by two classes: 1"),
        ([(1, "a", "b", "#000000"), (2, "c", "b", "#000001")], "name_en used by two classes: b"),
        ([(1, "a", "b", "#000000"), (2, "c", "d", "#000000")], "color used by two classes: #000000"),
        ([(1, "a", "b", "black")], "expected #rrggbb"),
        ([(300, "a", "b", "#000000")], "allowed are 1 to 255"),
        ([("x", "a", "b", "#000000")], "'x' as code"),
        ([(1, "a", "", "#000000")], "lacks a Spanish or an English name"),
    ],
)
def test_a_faulty_legend_is_refused_with_the_fault_named(tmp_path, rows, message):
    write_legend(tmp_path, "faulty", rows)
    with pytest.raises(LegendError, match=message):
        load_legend("faulty", tmp_path)


def test_a_legend_with_a_missing_parent_names_the_class(tmp_path):
    write_legend(tmp_path, "place_1", [(1, "todo", "everything", "#000000")])
    columns = ("code", "name_es", "name_en", "parent_1", "color")
    write_legend(tmp_path, "place_2", [(1, "a", "wood", 1, "#000000"), (2, "b", "sand", 7, "#000001")], columns)
    with pytest.raises(LegendError, match="no parent in place_1 for sand"):
        load_legend("place_2", tmp_path)
    with pytest.raises(LegendError, match="no legend 'nowhere'"):
        load_legend("nowhere", tmp_path)
    write_legend(tmp_path, "bare", [(1, "a")], ("code", "name_es"))
    with pytest.raises(LegendError, match="lacks columns name_en, color"):
        load_legend("bare", tmp_path)


def test_colormap_gives_each_code_its_color():
    legend = Legend("gaps", (LandCoverClass(2, "a", "a", "#ff0000"), LandCoverClass(9, "b", "b", "#0000ff")))
    colormap, norm = legend.colormap()
    assert np.allclose(colormap(norm(np.array([2, 9]))), [[1, 0, 0, 1], [0, 0, 1, 1]])
    assert colormap(norm(np.array([0])))[0, 3] == 0


def test_crops_of_the_finer_legend_sum_to_cropland():
    """Versioned children: whoever maps them still has the class that the national legend knows."""
    crops, national = load_legend("mexico_38"), load_legend("mexico_31")
    cropland = national.code("Tierras Agrícolas")
    children = national.children(cropland, crops)
    assert len(children) == 8 and {crops.find(code).facts["version"] for code in children} == {"1"}
    assert {crops.find(code).facts["status"] for code in children} == {"proposal"}
    fields = xr.DataArray(np.array([[*children], [1, 2, 3, 4, 27, 29, 30, 31]], dtype="uint8"), dims=("y", "x"))
    coarse = aggregate(fields, crops, national)
    assert (coarse.values[0] == cropland).all() and (coarse.values[1] == fields.values[1]).all()


def test_legends_that_are_each_others_parents_are_refused(tmp_path):
    columns = ("code", "name_es", "name_en", "color")
    write_legend(tmp_path, "loop_2", [(1, "a", "a", "#000001", 1)], (*columns, "parent_3"))
    write_legend(tmp_path, "loop_3", [(1, "b", "b", "#000001", 1)], (*columns, "parent_2"))
    with pytest.raises(LegendError, match="loop_2 -> loop_3 -> loop_2"):
        load_legend("loop_2", tmp_path)


def test_parents_that_contradict_each_other_are_refused(tmp_path):
    columns = ("code", "name_es", "name_en", "color")
    write_legend(tmp_path, "top_2", [(1, "a", "a", "#000001"), (2, "b", "b", "#000002")])
    write_legend(tmp_path, "top_3", [(1, "a", "a", "#000001", 1), (2, "b", "b", "#000002", 2)], (*columns, "parent_2"))
    rows = [(1, "a", "a", "#000001", 1, 1), (2, "odd", "odd", "#000002", 2, 1)]
    write_legend(tmp_path, "top_4", rows, (*columns, "parent_3", "parent_2"))
    with pytest.raises(LegendError, match="odd: parent in top_2 is another one by way of top_3"):
        load_legend("top_4", tmp_path)
