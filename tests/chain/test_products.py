"""Product definitions and their deterministic ids."""

import copy

import pytest

from ceiba.errors import ProductError
from ceiba.grids import Period, Tile
from ceiba.products import find_definition, load_definitions, product_id, read_definition

ENTRY = {
    "title": {"es": "a", "en": "a"},
    "version": "1.0.0",
    "notebook": "02_mosaics/x",
    "per": "tile year",
    "inputs": {"s2_l2a_scenes": {}},
    "measurements": {"ndvi": {"dtype": "float32", "units": "1", "nodata": float("nan")}},
}
YEAR = Period(2019, 2019)
TILE = Tile("simulated", "simulated", "x000y000", "EPSG:6372", (0, 0, 100, 100))


def make_id(
    entry=ENTRY,
    tile=TILE,
    period=YEAR,
    parameters=None,
    inputs=("a", "b"),
    files=None,
    settings=None,
    name="ndvi",
):
    definition = read_definition(name, "mosaics", entry)
    return product_id(
        definition,
        tile,
        period,
        parameters=parameters or {"p": 1},
        inputs={"s": list(inputs)},
        files=files or {},
        settings=settings or {},
    )


def test_the_same_work_has_the_same_id_everywhere():
    # Worked out once on another machine: a change here makes every product of every store new work.
    assert make_id() == make_id(inputs=("b", "a"))
    assert make_id().version == 5


@pytest.mark.parametrize(
    "change",
    [
        {"entry": ENTRY | {"version": "1.0.1"}},
        {"tile": Tile("simulated", "simulated", "x001y000", "EPSG:6372", (0, 0, 100, 100))},
        {"tile": Tile("simulated", "simulated", "x000y000", "EPSG:6372", (0, 0, 200, 100))},
        {"period": Period(2018, 2019)},
        {"parameters": {"p": 2}},
        {"inputs": ("a",)},
        {"files": {"legends/x.csv": "ff"}},
        {"settings": {"legend": "x"}},
        {"name": "ndwi"},
    ],
)
def test_whatever_changes_a_product_changes_its_id(change):
    assert make_id(**change) != make_id()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("per", "day", "tile year"),
        ("colour", 1, "colour"),
        ("title", {"es": "a"}, "title"),
        ("measurements", {}, "measurements"),
        ("assets", {"a": "a.parquet"}, "either"),
        ("inputs", {"x": {"scope": "moon"}}, "scope"),
        ("measurements", {"ndvi": {"dtype": "float33", "units": "1", "nodata": 0}}, "ndvi"),
    ],
)
def test_a_malformed_definition_says_what_is_wrong(key, value, message):
    entry = copy.deepcopy(ENTRY) | {key: value}
    with pytest.raises(ProductError, match=message):
        read_definition("ndvi", "mosaics", entry)


def test_every_product_names_a_notebook_inputs_and_both_languages():
    for definition in load_definitions().values():
        assert definition.per in ("scene", "review") or definition.notebook, definition.name
        assert all(definition.title.values())
    with pytest.raises(ProductError, match="clear_observations"):
        find_definition("clear_observation")


def test_the_seven_annual_products_of_the_proposal_are_defined():
    assert {"geomedian_10m", "cwbg", "ndvi", "ndwi", "water", "ndbi", "bu"} <= set(load_definitions())
