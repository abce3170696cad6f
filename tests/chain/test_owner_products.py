"""The maps of the owner's tables: all are planned, with their input years and the annual maps that changes need besides."""

import csv

import pytest

from ceiba.errors import StoreError
from ceiba.input_years import load_product_tables
from ceiba.owner_products import CHANGE, LAND_COVER, list_owner_products, write_owner_products


def of(content, sensor, country):
    asked = (each for each in list_owner_products() if each.number)
    return [each for each in asked if (each.content, each.sensor, each.country) == (content, sensor, country)]


def test_the_37_maps_of_the_proposal_are_listed():
    asked = [each for each in list_owner_products() if each.number]
    assert [each.number for each in asked] == list(range(1, 38))
    counts = {
        (LAND_COVER, "landsat", "mexico"): 8, (LAND_COVER, "landsat", "colombia"): 5,
        (LAND_COVER, "sentinel_2", "mexico"): 4, (LAND_COVER, "sentinel_2", "colombia"): 4,
        (CHANGE, "landsat", "mexico"): 7, (CHANGE, "landsat", "colombia"): 5,
        (CHANGE, "sentinel_2", "mexico"): 2, (CHANGE, "sentinel_2", "colombia"): 2,
    }  # fmt: skip
    assert {key: len(of(*key)) for key in counts} == counts
    assert {each.resolution_m for each in asked if each.sensor == "landsat"} == {30}
    assert {each.resolution_m for each in asked if each.sensor == "sentinel_2"} == {10}


def test_maps_name_their_input_years():
    maps = {each.period.last_year: str(each.input_years) for each in of(LAND_COVER, "landsat", "colombia")}
    assert maps == {2000: "1997--2000", 2004: "2001--2004", 2008: "2005--2008", 2013: "2010--2013", 2018: "2015--2018"}
    changes = {str(each.period): str(each.input_years) for each in of(CHANGE, "landsat", "mexico")}
    assert changes["1996--1999"] == "1996--1999" and changes["2014--2017"] == "2014--2017"


def test_change_years_without_a_map_of_their_own_add_one():
    added = [(each.sensor, each.country, each.period.last_year, str(each.input_years)) for each in list_owner_products() if not each.number]
    assert added == [
        ("landsat", "mexico", 2014, "2014"), ("landsat", "mexico", 2017, "2017"), ("landsat", "colombia", 2011, "2011"),
    ]  # fmt: skip
    with_added = {str(each.period): each.maps_added for each in of(CHANGE, "landsat", "mexico") if each.maps_added}
    assert with_added == {"2011--2014": (2014,), "2014--2017": (2014, 2017)}


def test_each_map_has_its_command(tmp_path):
    tables = load_product_tables()
    first = of(LAND_COVER, "landsat", "mexico")[0]
    assert first.command(tables) == "ceiba run 03_classification/02_map_land_cover --area mexico --years 1996 --set sensor=landsat"
    change = of(CHANGE, "sentinel_2", "colombia")[1].command(tables)
    assert change == "ceiba run 04_change/02_map_class_change --area colombia --years 2017:2019"
    path = tmp_path / "maps.csv"
    assert write_owner_products(path, list_owner_products()) == 40
    with path.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert rows[0]["input_years"] == "1995--1996" and rows[-1]["number"] == ""
    with pytest.raises(StoreError, match="cannot be written"):
        write_owner_products(tmp_path / "no" / "maps.csv", [first])
