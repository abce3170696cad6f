"""A plan of many units reads the cube at once, and gives what asking for each unit gives."""

import sys
import time
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ceiba import cube as index
from ceiba.estimates import Estimator, estimate_chains
from ceiba.footprints import boxes_overlap
from ceiba.grids import Period, Tile, find_area
from ceiba.holdings import Holdings, read_footprints, read_times
from ceiba.path_rows import path_rows_within
from ceiba.plan import find_live, list_units, make_unit, select, take_snapshot
from ceiba.run import plan_chains
from ceiba.sources import Selection

sys.path.insert(0, str(Path(__file__).parent))
from many_scenes import register  # noqa: E402
from tiny_work import COUNT, make_ard  # noqa: E402

YUCATAN = (-92.0, 18.0, -87.0, 22.0)


def as_told(snapshot) -> tuple:
    """What a plan needs of a snapshot."""
    return {name: found.ids for name, found in snapshot.found.items()}, snapshot.missing, dict(snapshot.ids)


def test_units_of_a_tiny_area_are_told_alike_before_and_after_the_work(own_store, tmp_path, write_archive, add_tiny_area):
    add_tiny_area(own_store, write_archive(tmp_path / "archive"), years=(2018, 2019))
    for done in (False, True):
        if done:
            make_ard("tiny")
        chains, holdings = plan_chains(["ard", "mosaics", "change"], ["tiny"]), Holdings()
        units = [unit for notebooks in chains.values() for of_notebook in notebooks for unit in of_notebook]
        assert len(units) > 5
        for unit in units:
            live = take_snapshot(unit)
            assert as_told(take_snapshot(unit, find=holdings.find, rejected=holdings.rejected)) == as_told(live), unit
            state = Estimator(holdings).state(unit, live)[0]
            assert (state == "done") == (bool(live.ids) and live.is_done()), unit
    counted = make_unit(COUNT[0], COUNT[1] | {"area": "tiny"})
    assert len(holdings.find(counted.area, "s2_l2a_scenes", select(counted, counted.input_rules["s2_l2a_scenes"])).ids) == 4


def test_scenes_of_every_tile_are_those_that_the_cube_finds(own_store):
    registered = register(path_rows_within(YUCATAN), 400, days=3 * 365)
    mexico, holdings, compared = find_area("mexico"), Holdings(), 0
    place = mexico.place("mosaics")
    near = [tile for tile in place.tiles if tile.bounds[0] >= 3_700_000]
    # Tiles of other grids and CRS, and one so small that an edge of a scene may pass it by a hair.
    lonely = [
        Tile("mexico", "mexico", "utm", "EPSG:32616", (200_000, 2_200_000, 300_000, 2_300_000)),
        Tile("mexico", "mexico", "small", "EPSG:6372", (3_700_000, 1_000_000, 3_700_600, 1_000_600)),
        Tile("mexico", "mexico", "degrees", "EPSG:4326", (-90.0, 19.0, -89.5, 19.5)),
    ]
    for tile in [*near, *lonely]:
        for period in (Period(1996, 1996), Period(1997, 1998)):
            selection = Selection(mexico, place, tile, period)
            live = find_live(mexico, "landsat_scenes", selection)
            assert holdings.find(mexico, "landsat_scenes", selection).ids == live.ids, (tile, period)
            compared += len(live.ids)
    assert compared > 1000

    footprints, whole = read_footprints("landsat_scenes"), place.whole
    # Simulated scenes must never enter a real map: none of these is one.
    assert not footprints.ids_of(whole, Period(1996, 1998), simulated=True)
    # A year is from its first to its last moment.
    years = [set(footprints.ids_of(whole, Period(year, year), simulated=False)) for year in (1996, 1997, 1998)]
    assert not years[0] & years[1] and sum(map(len, years)) == len(footprints.ids) == registered
    assert set(footprints.ids_of(whole, Period(1996, 1998), simulated=False)) == years[0] | years[1] | years[2]


def test_times_are_read_as_the_cube_reads_them():
    rows = [("a", None, "2019-05-01T10:00:00Z", "2019-05-01T13:00:00+02:00"), ("b", "2018-01-01T00:00:00Z", None, "2018-12-31T23:59:59Z")]
    starts, ends = read_times(rows)
    assert starts.tolist() == np.array(["2019-05-01T10:00", "2018-01-01T00:00"], dtype="datetime64[us]").tolist()
    assert ends.tolist() == np.array(["2019-05-01T11:00", "2018-12-31T23:59:59"], dtype="datetime64[us]").tolist()


@given(*[st.floats(-180, 180) for _ in range(4)])
def test_boxes_that_overlap_do_so_both_ways(west, south, other_west, other_south):
    one, other = np.array([west, south, west + 1, south + 1]), np.array([other_west, other_south, other_west + 1, other_south + 1])
    expected = abs(west - other_west) <= 1 and abs(south - other_south) <= 1
    if min(abs(abs(west - other_west) - 1), abs(abs(south - other_south) - 1)) > 1e-9:
        assert boxes_overlap(one, other) == boxes_overlap(other, one) == expected


def test_the_plan_of_two_countries_takes_less_than_a_minute(store):
    index.connect()
    began = time.monotonic()
    chains = plan_chains(["mosaics"], ["mexico", "colombia"], years=Period(1996, 2025))
    estimates = estimate_chains(chains)
    assert time.monotonic() - began < 60
    # 270 and 162 tiles, 30 and 29 years (Colombia's begin in 1997), three notebooks a year and one a span.
    assert sum(map(len, estimates)) == 270 * (30 * 3 + 1) + 162 * (29 * 3 + 1)
    # With 1995, of which the map of 1996 is made.
    assert len(list_units("02_mosaics/01_make_geomedian", "mexico")) == 270 * 31
