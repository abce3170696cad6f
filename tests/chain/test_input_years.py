"""A thin year is made of the scenes of the years that the owner's tables name, and its product says so."""

import copy
import sys
from pathlib import Path

import pytest
import xarray as xr
import yaml
from hypothesis import given
from hypothesis import strategies as st

import ceiba
from ceiba import cube as index
from ceiba import input_years, plan
from ceiba.errors import CatalogError
from ceiba.grids import Period, find_area, load_areas
from ceiba.input_years import load_product_tables, read_product_tables
from ceiba.plan import list_units, select

sys.path.insert(0, str(Path(__file__).parent))
from tiny_work import COUNT, make_ard  # noqa: E402

LANDSAT, SENTINEL = "landsat_scenes", "s2_l2a_scenes"
TABLES = {
    "sensors": {"sentinel_2": [SENTINEL]},
    "land_cover": {"sentinel_2": {"resolution_m": 10, "tiny": {2019: [2018, 2019]}}},
    "change": {"sentinel_2": {"resolution_m": 10, "tiny": [[2018, 2019]]}},
    "thin_years": {"sentinel_2": {"tiny": {2019: "for the test"}}},
}


def test_the_tables_are_those_of_the_owner():
    tables = load_product_tables()
    mexico, colombia = tables.land_cover["landsat"]["mexico"], tables.land_cover["landsat"]["colombia"]
    assert list(mexico) == [1996, 1999, 2002, 2005, 2008, 2011, 2015, 2018]
    assert all(years == Period(year - 1, year) for year, years in mexico.items())
    assert {year: str(years) for year, years in colombia.items()} == {
        2000: "1997--2000", 2004: "2001--2004", 2008: "2005--2008", 2013: "2010--2013", 2018: "2015--2018",
    }  # fmt: skip
    for country in ("mexico", "colombia"):
        assert list(tables.land_cover["sentinel_2"][country]) == [2016, 2017, 2018, 2019]
        assert [str(years) for years in tables.change["sentinel_2"][country]] == ["2016--2018", "2017--2019"]
    assert [str(years) for years in tables.change["landsat"]["colombia"]] == [
        "2000--2004", "2004--2008", "2008--2011", "2008--2013", "2013--2018",
    ]  # fmt: skip
    assert len(tables.change["landsat"]["mexico"]) == 7


@pytest.mark.parametrize(
    ("country", "scenes", "year", "expected"),
    [
        ("colombia", LANDSAT, 2000, "1997--2000"),  # named by the table
        ("colombia", LANDSAT, 1998, "1995--1998"),  # not named: four years, as the next later row, 2000, takes
        ("colombia", LANDSAT, 2012, "2009--2012"),  # four, as 2013 takes
        ("mexico", LANDSAT, 2012, "2011--2012"),  # two, as 2015 takes
        ("mexico", LANDSAT, 2011, "2011"),  # named, but not thin
        ("mexico", SENTINEL, 2012, "2012"),
        ("mexico", "field_plots", 2012, "2012"),
    ],
)
def test_thin_years_take_the_input_years_of_the_table(country, scenes, year, expected):
    assert str(load_product_tables().input_years(country, scenes, Period(year, year))) == expected


def test_a_span_is_never_widened():
    assert load_product_tables().input_years("mexico", LANDSAT, Period(2012, 2013)) == Period(2012, 2013)


@given(country=st.sampled_from(["mexico", "colombia"]), year=st.integers(1984, 2040))
def test_input_years_end_with_the_year_or_with_its_row(country, year):
    period = load_product_tables().input_years(country, LANDSAT, Period(year, year))
    assert year in period.years and len(period.years) <= 4


def test_places_name_tables_that_exist():
    named = {place.country for area in load_areas().values() for place in area.places if place.country}
    assert named == {"mexico", "colombia"}
    with pytest.raises(CatalogError, match="no product table 'peru'.*colombia, mexico"):
        load_product_tables().input_years("peru", LANDSAT, Period(2012, 2012))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("land_cover", {"sentinel_2": {"tiny": {2019: [2019, 2018]}}}),
        ("land_cover", {"sentinel_2": {"tiny": {2019: [2017, 2018]}}}),
        ("land_cover", {"sentinel_2": {"other": {2019: [2018, 2019]}}}),
        ("thin_years", {"sentinel_2": ["tiny"]}),
        ("sensors", None),
    ],
)
def test_malformed_tables_say_what_is_wrong(key, value):
    entry = copy.deepcopy(TABLES) | {key: value}
    with pytest.raises(CatalogError, match="malformed|no rows|own input years"):
        read_product_tables(entry, "tables.yml")


def test_only_scenes_are_widened_and_only_for_one_year():
    colombia = find_area("colombia")
    (unit,) = list_units("02_mosaics/02_make_indices", "colombia", tiles=["x010y010"], years=Period(2012, 2012))
    rules = unit.input_rules
    assert select(unit, rules[LANDSAT]).period == Period(2009, 2012)
    assert select(unit, rules["clear_observations"]).period == select(unit, rules[SENTINEL]).period == Period(2012, 2012)
    assert unit.widened == {LANDSAT: Period(2009, 2012)} and unit.area == colombia
    assert unit.period == Period(2012, 2012) and unit.folder(unit.products[0]).endswith("/2012")


def test_a_widened_product_is_made_of_all_its_scenes_and_says_so(own_store, tmp_path, write_archive, add_tiny_area, monkeypatch):
    dates = ("2018-03-10", "2018-07-10", "2019-03-10")
    add_tiny_area(own_store, write_archive(tmp_path / "archive", dates=dates), years=(2018, 2019))
    notebook, parameters = COUNT
    make_ard("tiny")
    narrow = ceiba.begin(notebook, area="tiny", **parameters)
    assert narrow.snapshot.is_done() and len(narrow.datasets(SENTINEL)) == 1

    path = own_store / "areas" / "tiny" / "area.yml"
    area = yaml.safe_load(path.read_text())
    area["places"]["tiny"]["country"] = "tiny"
    path.write_text(yaml.safe_dump(area))
    monkeypatch.setattr(plan, "load_product_tables", lambda: input_years.read_product_tables(TABLES, "tables.yml"))
    wide = ceiba.begin(notebook, area="tiny", **parameters)
    assert not wide.snapshot.is_done() and wide.snapshot.ids != narrow.snapshot.ids
    assert len(wide.datasets(SENTINEL)) == 3
    assert wide.source_line.endswith("2019 (scenes of 2018--2019)") and "escenas de 2018--2019" in wide.source_line
    make_ard("tiny")
    made = index.get_dataset(index.connect(), wide.snapshot.ids["clear_observations"])
    properties = made.metadata_doc["properties"]
    assert properties["ceiba:input_period"] == {SENTINEL: "2018--2019"} and properties["ceiba:period"] == "2019"
    assert properties["dtr:start_datetime"].startswith("2019-01-01")
    counts = xr.open_dataset(Path(made.uri.removeprefix("file://")).parent / "observation_count.tif", engine="rasterio")
    assert int(counts["band_data"].max()) == 3
    # The years beside it are as they were, and the product that it replaces is gone from the cube.
    other = ceiba.begin(notebook, area="tiny", **parameters | {"year": 2018})
    assert len(other.datasets(SENTINEL)) == 2 and not other.unit.widened
    assert index.get_dataset(index.connect(), narrow.snapshot.ids["clear_observations"]) is None
