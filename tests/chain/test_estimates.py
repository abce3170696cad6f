"""What a plan costs, against values worked by hand and the handbooks of the satellites."""

import copy
import csv
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr
import yaml
from odc.geo.geom import lonlat_bounds
from typer.testing import CliRunner

from ceiba import missions, prices, sources
from ceiba.cli import app
from ceiba.config import project_root
from ceiba.errors import CatalogError
from ceiba.estimates import Estimator, estimate_chains, sum_budget, unit_cost
from ceiba.grids import Period, find_area
from ceiba.missions import load_missions
from ceiba.path_rows import path_rows_within
from ceiba.plan import list_units
from ceiba.prices import load_prices, processing_units
from ceiba.run import plan_chains

sys.path.insert(0, str(Path(__file__).parent))
from tiny_work import make_ard  # noqa: E402

LANDSAT, SENTINEL = "landsat_scenes", "s2_l2a_scenes"


def year(number: int) -> Period:
    return Period(number, number)


def passes(number: int, scenes: str) -> float:
    return sum(each.passes(year(number)) for each in load_missions().missions if each.scenes == scenes)


def test_passes_follow_the_satellites_in_orbit():
    # One satellite every 16 days: 365 / 16. Landsat 5, then 7 alone in 2012, then 8, since October 2021 also 9.
    assert passes(1998, LANDSAT) == pytest.approx(365 / 16)
    assert passes(2005, LANDSAT) == pytest.approx(2 * 365 / 16)
    assert passes(2012, LANDSAT) == pytest.approx(366 / 16)
    assert passes(2023, LANDSAT) == pytest.approx(2 * 365 / 16)
    # Sentinel-2A every 10 days, with 2B every 5.
    assert passes(2014, SENTINEL) == 0
    assert passes(2016, SENTINEL) == pytest.approx(366 / 10)
    assert passes(2019, SENTINEL) == pytest.approx(2 * 365 / 10)


def test_the_year_of_landsat_7_alone_is_the_thinnest():
    looks = {number: load_missions().expected_looks(LANDSAT, "mexico", year(number), 20.0) for number in range(2004, 2025)}
    assert min(looks, key=looks.get) == 2012


@pytest.mark.parametrize(("latitude", "side_lap"), [(0, 0.073), (10, 0.087), (20, 0.129), (30, 0.197), (40, 0.290)])
def test_overlap_of_paths_is_that_of_the_handbook(latitude, side_lap):
    # Landsat 7 Science Data Users Handbook, table of image sidelap by latitude.
    assert 1 - 1 / load_missions().scenes[LANDSAT].looks_per_pass(latitude) == pytest.approx(side_lap, abs=0.005)


def test_a_scene_covers_a_share_of_the_tiles_it_touches():
    # A scene of 185 x 180 km touches a tile of 100 km when its middle lies in a box of 285 x 280 km around it.
    share = load_missions().scenes[LANDSAT].share_of_tile(100, 100)
    assert share == pytest.approx(185 * 180 / (285 * 280))


def test_expected_scenes_of_both_countries_are_those_that_were_counted():
    # The project counts 109,000 Landsat scenes of Mexico and Colombia since 1984.
    scenes = 0.0
    for country in ("mexico", "colombia"):
        place = find_area(country).place("ard")
        tiles = [tile.extent.to_crs("EPSG:4326").geom for tile in place.tiles]
        box = lonlat_bounds(place.whole.extent, resolution="auto").bbox
        path_rows = [each for each in path_rows_within(box) if any(each.outline.intersects(tile) for tile in tiles)]
        every = sum(mission.passes(Period(1984, 2025)) for mission in load_missions().missions if mission.scenes == LANDSAT)
        scenes += len(path_rows) * every * load_missions().country(country)["acquired_share"][LANDSAT]
    assert scenes == pytest.approx(109_000, rel=0.05)


def test_processing_units_are_those_of_the_definition():
    # Sentinel Hub: 512 x 512 pixels of three bands are one unit; four times the pixels and twice the bands are eight.
    assert processing_units(512 * 512, 3) == 1
    assert processing_units(1024 * 1024, 6) == 8


def test_a_unit_costs_its_hours_and_its_storage():
    own = prices.read_prices(
        {
            "currency": "USD", "budget": None, "storage_months": 10, "scenes_from": "copy",
            "prices": {name: {"price": price, "source": "s", "date": "d"} for name, price in
                       zip(prices.NAMES, (0.04, 0.004, 0.02, 0.09, 0.001), strict=True)},
        },
        "p.yml",
    )  # fmt: skip
    # Two hours of 0.04 + 5 GB x 0.004, and 3 GB for ten months at 0.02.
    assert own.unit_cost(cpu_h=2, memory_gb=5, storage_gb=3) == pytest.approx(2 * 0.06 + 0.6)
    assert own.scenes_cost(gb=100, units=1e6) == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scenes_from": "moon"}, "allowed are same_region"),
        ({"budget": -1}, "0 or more"),
        ({"storage_months": "many"}, "malformed"),
        ({"prices": {}}, "has no price cpu_hour"),
        ({"currency": None, "prices": {"gold": {}}}, "has no price"),
    ],
)
def test_malformed_prices_say_what_is_wrong(change, told):
    entry = yaml.safe_load((project_root() / "catalogs" / "prices.yml").read_text("utf-8"))
    with pytest.raises(CatalogError, match=told):
        prices.read_prices(entry | change, "prices.yml")
    without = copy.deepcopy(entry)
    del without["prices"]["cpu_hour"]["date"]
    with pytest.raises(CatalogError, match="cpu_hour needs a source and a date"):
        prices.read_prices(without, "prices.yml")


def test_malformed_missions_say_what_is_wrong():
    entry = yaml.safe_load((project_root() / "catalogs" / "missions.yml").read_text("utf-8"))
    for part, change, told in [
        ("missions", {"scenes": "moon_scenes"}, "there are landsat_scenes"),
        ("missions", {"begins": "someday"}, "malformed"),
        ("missions", {"revisit_days": 0}, "no days"),
        ("missions", {"valid_share": 1.5}, "not above 1"),
    ]:
        wrong = copy.deepcopy(entry)
        next(iter(wrong[part].values())).update(change)
        with pytest.raises(CatalogError, match=told):
            missions.read_missions(wrong, "missions.yml")


def test_time_grows_with_the_scenes_and_the_pixels():
    (unit,) = list_units("02_mosaics/01_make_geomedian", "mexico", tiles=["x010y008"], years=year(2019))
    once, twice = unit_cost(unit, 25), unit_cost(unit, 50)
    at_10m, at_20m = unit.products
    # A tile of 100 km has 100 Mpx at 10 m and 25 at 20 m; the speeds of the catalogue stand for 25 looks.
    more = at_10m.cost["cpu_s_per_mpx"] * 100 + at_20m.cost["cpu_s_per_mpx"] * 25
    assert twice[0] - once[0] == pytest.approx(more)
    assert twice[1:] == once[1:]
    # Seven float and one 16-bit band at 10 m and at 20 m, at 0.6 of their size.
    assert once[2] == pytest.approx((100e6 + 25e6) * (7 * 4 + 2) * 0.6)


def test_years_before_a_satellite_cost_nothing(store):
    estimates = estimate_chains(plan_chains(["02_mosaics/01_make_geomedian"], ["mexico"], tiles=["x010y008"]))[0]
    states = {each.unit.period.last_year: each.state for each in estimates}
    assert states[2014] == "empty" and states[2015] == "waiting" and states[2025] == "waiting"
    assert all(each.cost == 0 for each in estimates if each.state == "empty")
    assert all(each.cost > 0 for each in estimates if each.state == "waiting")
    (late,) = (each for each in estimates if each.unit.period == year(2019))
    # 73 passes over places that several orbits see, in granules that overlap.
    (scenes,) = late.scenes
    assert 73 < scenes.reads < 120 and scenes.count > scenes.reads and not scenes.in_cube


def test_scenes_are_counted_once_for_all_notebooks(store):
    chains = plan_chains(["mosaics"], ["mexico"], tiles=["x010y008"], years=year(2019))
    both, one = sum_budget(estimate_chains(chains)), sum_budget(estimate_chains(chains)[:1])
    landsat = load_missions().scenes[LANDSAT]
    reads = load_missions().expected_looks(LANDSAT, "mexico", year(2019), 26) * landsat.reads_per_look
    # The indices add Landsat only: a tile of 10,000 km2 at 26 degrees north, as scenes of 185 x 180 km.
    assert both.scenes_count - one.scenes_count == pytest.approx(reads * 1e4 / (185 * 180), rel=0.02)
    assert both.total == pytest.approx(both.units_cost) and load_prices().scenes_from == "same_region"


def test_a_map_at_the_pixel_size_of_its_place_costs_by_its_pixels():
    """A tile of 100 km at 10 m has 100 million pixels: 6 s to start, 8 s, and 60 s a million."""
    (unit,) = list_units("03_classification/02_map_land_cover", "mexico", tiles=["x012y008"], years=Period(2018, 2018))
    cpu_s, _, storage = unit_cost(unit, 0)
    assert cpu_s == pytest.approx(6 + 8 + 60 * 100)
    assert storage > 100e6


def test_scenes_of_the_cube_take_the_place_of_expected_ones(own_store, tmp_path, write_archive, add_tiny_area, monkeypatch):
    add_tiny_area(own_store, write_archive(tmp_path / "archive"))
    make_ard("tiny")
    (unit,) = list_units("02_mosaics/01_make_geomedian", "tiny")
    estimate = Estimator().estimate(unit)
    assert estimate.state == "ready" and estimate.scenes[0].count == 4 and estimate.scenes[0].in_cube
    check_that_large_areas_stay_in_their_files(unit, monkeypatch)


def check_that_large_areas_stay_in_their_files(unit, monkeypatch):
    """What is larger than memory is read where it is asked for, and has the same numbers."""
    source = sources.ProductSource(product="clear_observations")
    whole = sources.Selection(unit.area, unit.place, unit.place.whole, unit.place.years, scope="area")
    at_once = source.load(whole, source.find(whole))
    assert at_once["clear_count"].chunks is None
    monkeypatch.setattr(sources, "LARGEST_AT_ONCE_PX", 10)
    monkeypatch.setattr(sources, "CHUNK_PX", 7)
    in_parts = source.load(whole, source.find(whole))
    assert max(in_parts["clear_count"].chunksizes["x"]) == 7
    xr.testing.assert_equal(in_parts.compute(), at_once)


def test_the_plan_lists_units_and_holds_them_against_a_budget(store, tmp_path):
    arguments = ["plan", "mosaics", "--area", "mexico", "--years", "2012:2019", "--tiles", "x010y008"]
    runner = CliRunner()
    shown = runner.invoke(app, [*arguments, "--units", "--csv", str(tmp_path / "u.csv"), "--budget", "5000"])
    assert shown.exit_code == 0 and "is within the budget of 5,000.00 USD" in shown.output and "empty" in shown.output
    rows = list(csv.DictReader((tmp_path / "u.csv").open()))
    assert len(rows) == 25
    (thin,) = (row for row in rows if row["period"] == "2012" and row["notebook"].endswith("indices"))
    assert thin["input_years"] == "landsat_scenes 2011--2012" and thin["state"] == "empty"
    assert sum(float(row["cost"]) for row in rows) > 0
    above = runner.invoke(app, [*arguments, "--budget", "0.01"])
    assert above.exit_code == 1 and "EXCEEDS the budget" in above.output
    done = subprocess.run(
        [sys.executable, "-m", "ceiba.cli", *arguments, "--csv", str(tmp_path / "no" / "u.csv")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and "cannot be written" in done.stderr
