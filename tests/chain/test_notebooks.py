"""Parameters of notebooks, read and checked before a kernel starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceiba.errors import ParameterError
from ceiba.notebooks import Parameter, check_parameters, check_value, list_notebooks, parse_parameters, read_parameters

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
