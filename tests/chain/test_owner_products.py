"""The maps of the owner's tables: all are planned, with their input years and the annual maps that changes need besides."""

import csv
import re

import pytest
from typer.testing import CliRunner

from ceiba.cli import app, parse_settings, parse_years
from ceiba.errors import AreaError, ParameterError, StoreError
from ceiba.input_years import load_product_tables
from ceiba.owner_products import CHANGE, LAND_COVER, list_owner_products, owner_products_of, write_owner_products
from ceiba.run import plan_chains

# Typed from the proposal's tables by hand, not from catalogs/: number, what, sensor, country, years, input years.
PROPOSAL = """
1 map L mexico 1996 1995-1996
2 map L mexico 1999 1998-1999
3 map L mexico 2002 2001-2002
4 map L mexico 2005 2004-2005
5 map L mexico 2008 2007-2008
6 map L mexico 2011 2010-2011
7 map L mexico 2015 2014-2015
8 map L mexico 2018 2017-2018
9 map L colombia 2000 1997-2000
10 map L colombia 2004 2001-2004
11 map L colombia 2008 2005-2008
12 map L colombia 2013 2010-2013
13 map L colombia 2018 2015-2018
14 map S mexico 2016 2016
15 map S mexico 2017 2017
16 map S mexico 2018 2018
17 map S mexico 2019 2019
18 map S colombia 2016 2016
19 map S colombia 2017 2017
20 map S colombia 2018 2018
21 map S colombia 2019 2019
+ map L mexico 2014 2014
+ map L mexico 2017 2017
+ map L colombia 2011 2011
22 change L mexico 1996-1999 1996-1999
23 change L mexico 1999-2002 1999-2002
24 change L mexico 2002-2005 2002-2005
25 change L mexico 2005-2008 2005-2008
26 change L mexico 2008-2011 2008-2011
27 change L mexico 2011-2014 2011-2014
28 change L mexico 2014-2017 2014-2017
29 change L colombia 2000-2004 2000-2004
30 change L colombia 2004-2008 2004-2008
31 change L colombia 2008-2011 2008-2011
32 change L colombia 2008-2013 2008-2013
33 change L colombia 2013-2018 2013-2018
34 change S mexico 2016-2018 2016-2018
35 change S mexico 2017-2019 2017-2019
36 change S colombia 2016-2018 2016-2018
37 change S colombia 2017-2019 2017-2019
"""
WORDS = {"map": LAND_COVER, "change": CHANGE, "L": "landsat", "S": "sentinel_2"}


def of(content, sensor, country):
    asked = (each for each in list_owner_products() if each.number)
    return [each for each in asked if (each.content, each.sensor, each.country) == (content, sensor, country)]


def test_every_row_is_that_of_the_proposal_and_no_map_stands_before_what_it_needs(tmp_path):
    write_owner_products(tmp_path / "maps.csv", list_owner_products())
    with (tmp_path / "maps.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    columns = ("number", "content", "sensor", "country", "years", "input_years")
    typed = [[WORDS.get(word, word.replace("-", "--")) for word in line.split()] for line in PROPOSAL.split("\n") if line]
    assert [[row[column] for column in columns] for row in rows] == typed
    mapped = set()
    for row in rows:
        if row["content"] == LAND_COVER:
            mapped.add((row["sensor"], row["country"], row["years"]))
        else:
            ends = {(row["sensor"], row["country"], year) for year in row["years"].split("--")}
            assert ends <= mapped


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


@pytest.fixture(scope="module")
def commands():
    tables = load_product_tables()
    return {(each.content, each.sensor, each.country, str(each.period)): each.commands(tables) for each in list_owner_products()}


def test_each_map_has_the_commands_that_make_it_and_what_it_needs(commands):
    first = commands[LAND_COVER, "landsat", "mexico", "1996"]
    assert list(first.values()) == [
        "ceiba run 01_ard/01_fetch_scenes --area mexico --years 1995:1996",
        "ceiba run 02_mosaics/04_make_landsat_mosaics --area mexico --years 1995:1996",
        "ceiba run 03_classification/01_train_land_cover_model --area mexico --set sensor=landsat",
        "ceiba run 03_classification/02_map_land_cover --area mexico --years 1996 --set sensor=landsat",
    ]
    change = commands[CHANGE, "sentinel_2", "colombia", "2017--2019"]
    assert change["mosaics_command"].startswith("ceiba run 02_mosaics/01_make_geomedian 02_mosaics/02_make_indices --area")
    assert change["command"] == "ceiba run 04_change/02_map_class_change --area colombia --years 2017:2019"


def test_a_map_has_no_scene_of_other_years_than_the_table_names(commands):
    """Colombia 2000: the mosaic of the thin year 2000 holds 1997 to 2000 by itself; those of 1997 to 1999 would bring 1994."""
    tables = load_product_tables()
    assert tables.mosaic_years("landsat", "colombia", 2000) == (2000,)
    assert tables.mosaic_years("landsat", "colombia", 2013) == (2010, 2011, 2013)  # that of 2012 begins in 2009
    assert tables.mosaic_years("landsat", "mexico", 1996) == (1995, 1996)
    assert tables.mosaic_years("landsat", "mexico", 2014) == (2014,)
    needed = commands[LAND_COVER, "landsat", "colombia", "2000"]
    assert needed["scenes_command"].endswith("--years 1997:2000") and needed["mosaics_command"].endswith("--years 2000")
    # A change from 2000 on takes the same mosaic of 2000.
    assert commands[CHANGE, "landsat", "colombia", "2000--2004"]["scenes_command"].endswith("--years 1997:2004")


def test_every_printed_command_is_one_that_the_command_line_takes(commands):
    tiles = {"mexico": "x012y008", "colombia": "x010y010"}
    every = (text for each in commands.values() for text in each.values())
    for text in {re.sub(r"\d{4}", "", text): text for text in every}.values():
        ceiba, verb, *words = text.split()
        options = {name: words[at + 1] for at, name in enumerate(words) if name.startswith("--")}
        targets = words[: next(at for at, word in enumerate(words) if word.startswith("--"))]
        settings = parse_settings([options["--set"]] if "--set" in options else [])
        chains = plan_chains(
            targets, [options["--area"]], tiles=[tiles[options["--area"]]], years=parse_years(options.get("--years", "")), settings=settings
        )
        assert (ceiba, verb) == ("ceiba", "run")
        assert [units[0].notebook for (chain,) in [chains.values()] for units in chain] == targets


def test_what_the_tables_cannot_plan_is_said(tmp_path):
    with pytest.raises(StoreError, match="cannot be written"):
        write_owner_products(tmp_path / "no" / "maps.csv", list_owner_products())
    assert {each.country for each in owner_products_of(["colombia"])} == {"colombia"} and len(owner_products_of(["colombia"])) == 17
    with pytest.raises(AreaError, match="no map of simulated; they do of mexico, colombia"):
        owner_products_of(["mexico", "simulated"])
    for option in (["--years", "1996"], ["--budget", "1"], ["mosaics"]):
        result = CliRunner().invoke(app, ["plan", "--tables", *option])
        assert isinstance(result.exception, ParameterError) and "stand --area, --tiles and --csv alone" in str(result.exception)
