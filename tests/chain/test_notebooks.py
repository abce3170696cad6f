"""Parameters of notebooks, read and checked before a kernel starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceiba.change.breaks import layers
from ceiba.change.breaks.monitoring import CRITICAL_VALUES
from ceiba.change.two_dates import maps
from ceiba.classification.accuracy import designs, responses
from ceiba.classification.agriculture import crop_surface
from ceiba.classification.models.classifiers import KINDS
from ceiba.errors import AreaError, ParameterError
from ceiba.notebooks import Parameter, check_parameters, check_value, list_notebooks, parse_parameters, read_parameters
from ceiba.parameter_limits import load_limits
from ceiba.plan import make_unit

CELL = """\
area: str = "sample"  # area
year: int = 0  # year
share: float = 0.5  # share [1]
names: list = ["a"]  # names
fast: bool = True  # quick
"""


def test_parameters_are_read_with_type_default_and_help():
    parameters = parse_parameters(CELL, "cell")
    assert parameters["share"] == Parameter("share", "float", 0.5, "share [1]")
    assert list(parameters) == ["area", "year", "share", "names", "fast"]


@pytest.mark.parametrize("line", ["x = 1", "x: int = y", "x: int | None = None", "import os", "x: dict = {}", "x: int"])
def test_other_lines_are_refused(line):
    with pytest.raises(ParameterError):
        parse_parameters(line, "cell")


@given(st.text(max_size=60))
def test_any_cell_is_parameters_or_a_parameter_error(source):
    try:
        parse_parameters(source, "cell")
    except ParameterError:
        pass


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("str", "07", "07"),
        ("int", "07", None),
        ("int", "7", 7),
        ("float", "1", 1.0),
        ("bool", "true", True),
        ("list", "['a', 'b']", ["a", "b"]),
        ("int", "1.5", None),
        ("int", "true", None),
        ("bool", "1", None),
        ("list", "a,b", None),
        ("float", "fast", None),
    ],
)
def test_text_is_read_by_the_declared_type(kind, given, value):
    parameter = Parameter("p", kind, None, "what it means")
    if value is None:
        with pytest.raises(ParameterError, match=f"type is {kind}.*what it means"):
            check_value("nb", parameter, given)
    else:
        assert check_value("nb", parameter, given) == value


def test_a_misspelt_parameter_names_those_that_exist():
    for notebook in list_notebooks():
        with pytest.raises(ParameterError, match="yeer.*area"):
            check_parameters(notebook, {"yeer": 2018})


def test_every_notebook_runs_on_the_sample_by_default():
    for notebook in list_notebooks():
        parameters = read_parameters(notebook)
        assert parameters["area"].default == "sample", notebook


def test_limits_name_parameters_that_notebooks_have():
    for notebook, limits in load_limits().items():
        assert set(limits) <= set(read_parameters(notebook)), notebook


@pytest.mark.parametrize(
    ("notebook", "parameter", "known"),
    [
        ("03_classification/01_train_land_cover_model", "classifier", {*KINDS, "best"}),
        ("03_classification/05_draw_reference_sample", "allocation", {*designs.ALLOCATIONS, "conabio"}),
        ("03_classification/06_assess_land_cover", "rule", set(responses.RULES)),
        ("03_classification/10_estimate_crop_surface", "method", set(crop_surface.METHODS)),
        ("04_change/01_map_land_change", "method", set(maps.METHODS)),
        ("04_change/03_detect_breaks", "method", set(layers.METHODS)),
        ("04_change/03_detect_breaks", "false_alerts", set(CRITICAL_VALUES[0.25])),
    ],
)
def test_what_is_allowed_is_what_the_library_knows(notebook, parameter, known):
    assert set(load_limits()[notebook][parameter]["one_of"]) == known


@pytest.mark.parametrize(
    ("notebook", "given", "told"),
    [
        (
            "03_classification/01_train_land_cover_model",
            {"classifier": "forest"},
            "'forest'; allowed is one of extra_trees",
        ),
        (
            "03_classification/01_train_land_cover_model",
            {"sensor": "spot"},
            "sensor='spot'; allowed are sensor='' or sensor='landsat'",
        ),
        (
            "03_classification/02_map_land_cover",
            {"window_px": "4"},
            "4; allowed is an odd number at least 1 and at most 31",
        ),
        ("03_classification/02_map_land_cover", {"smoothness": "-1"}, "-1.0; allowed is a number at least 0"),
        ("03_classification/02_map_land_cover", {"smoothness": float("nan")}, "nan; allowed is a number at least 0"),
        ("03_classification/02_map_land_cover", {"unit_ha": "1e6"}, "1000000.0; allowed .* at most 25"),
        ("03_classification/02_map_land_cover", {"level": "2"}, "has no parameter level; it has area, tile, year"),
        (
            "03_classification/06_assess_land_cover",
            {"block_sizes_m": "[320, 0]"},
            "each of them must be a number above 0",
        ),
        (
            "03_classification/11_monitor_crops",
            {"first_month": 7, "last_month": 3},
            r"3; .* at least first_month \(7\)",
        ),
        ("04_change/01_map_land_change", {"method": "mad"}, "'mad'; allowed is one of change_vectors, irmad"),
        ("04_change/03_detect_breaks", {"monitor_start": "2020-02-30"}, "allowed is a day as YYYY-MM-DD"),
        ("04_change/03_detect_breaks", {"false_alerts": 0.02}, "0.02; allowed is one of 0.05"),
    ],
)
def test_a_value_beyond_its_limits_is_refused_before_any_work(notebook, given, told):
    with pytest.raises(ParameterError, match=told):
        make_unit(notebook, {"area": "simulated"} | given)


def test_a_year_that_the_place_does_not_have_is_refused():
    with pytest.raises(AreaError, match="has data for 2018--2020, not for 2050"):
        make_unit("03_classification/02_map_land_cover", {"area": "simulated", "year": 2050})
