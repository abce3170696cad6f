"""Areas, tiles and periods."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceiba.errors import AreaError
from ceiba.grids import Period, Tile, expand_runs, find_area, grid_tile, load_areas


@pytest.mark.parametrize(
    ("text", "first", "last"), [("2018", 2018, 2018), ("2016:2020", 2016, 2020), ("2016--2020", 2016, 2020)]
)
def test_period_is_read_as_written(text, first, last):
    assert Period.parse(text) == Period(first, last)


@pytest.mark.parametrize("text", ["", "18", "2020:2016", "2016-2020", "2016:", "year", "20166"])
def test_wrong_periods_say_how_to_write_them(text):
    with pytest.raises(AreaError, match="2016|first"):
        Period.parse(text)


@given(st.text(max_size=12))
def test_any_text_is_a_period_or_an_area_error(text):
    try:
        assert Period.parse(text).first_year >= 1900
    except AreaError:
        pass


def test_tiles_of_a_grid_run_east_and_south_of_the_origin():
    tile = grid_tile("mexico", "mexico", "EPSG:6372", column=2, row=1, left=900_000, top=2_400_000, size_m=100_000)
    assert tile.name == "x002y001"
    assert tile.bounds == (1_100_000, 2_200_000, 1_200_000, 2_300_000)


@given(size=st.floats(10, 1e5), resolution=st.floats(5, 300), left=st.floats(-1e6, 1e6), top=st.floats(-1e6, 1e6))
def test_a_geobox_covers_its_tile_by_less_than_a_pixel_more(size, resolution, left, top):
    box = Tile("a", "a", "t", "EPSG:6372", (left, top - size, left + size, top)).geobox(resolution)
    for pixels in box.shape:
        assert pixels == math.ceil(size / resolution - 1e-6) or abs(pixels * resolution - size) < resolution


@pytest.mark.parametrize("resolution", [5, 10, 30, 250])
def test_tiles_share_the_pixels_of_their_place(resolution):
    place = find_area("mexico").places[0]
    whole = place.whole.geobox(resolution)
    for tile in place.tiles[:40]:
        box = tile.geobox(resolution)
        left, bottom, right, top = tile.bounds
        columns = (box.affine.c - whole.affine.c) / resolution
        rows = (whole.affine.f - box.affine.f) / resolution
        assert (columns, rows) == (int(columns), int(rows))
        assert left - resolution < box.affine.c <= left and top <= box.affine.f < top + resolution
        assert right <= box.boundingbox.right < right + resolution
        assert bottom - resolution < box.boundingbox.bottom <= bottom


def test_runs_of_columns_are_expanded():
    assert expand_runs([1, "3-5", "7"]) == [1, 3, 4, 5, 7]


def test_national_grids_lie_in_their_own_crs():
    areas = load_areas()
    assert areas["mexico"].places[0].crs == "EPSG:6372"
    assert areas["colombia"].places[0].crs == "EPSG:9377"
    # INEGI gives Mexico's land area as 1,960,189 km2: tiles of 10,000 km2 must cover it, coasts and borders in part.
    assert len(areas["mexico"].places[0].tiles) * 10_000 > 1_960_189


def test_unknown_area_tile_and_stage_name_what_exists():
    with pytest.raises(AreaError, match="sample, simulated"):
        find_area("atlantis")
    with pytest.raises(AreaError, match="x000y000"):
        find_area("simulated").place("ard").tile("x999y999")
    with pytest.raises(AreaError, match="mosaics"):
        find_area("simulated").place("poetry")
