"""Subjects of reactions: cells instead of points."""

import h3
import pytest

from ceiba.errors import InputError
from ceiba.react2eo.subjects import Subject, find_cell, find_subject


def test_a_cell_of_the_standard_library_and_no_finer_than_five_square_kilometers():
    # Example of the H3 documentation: 37.775938728915946, -122.41795063018799 at resolution 9 is 8928308280fffff.
    latitude, longitude = 37.775938728915946, -122.41795063018799
    cell = find_cell((longitude - 0.001, latitude - 0.001, longitude + 0.001, latitude + 0.001))
    assert cell == h3.cell_to_parent("8928308280fffff", 7)


def test_wide_views_have_coarser_cells():
    resolutions = [h3.get_resolution(find_cell((-90 - half, 19 - half, -90 + half, 19 + half))) for half in (0.01, 0.2, 1, 5)]
    assert resolutions == sorted(resolutions, reverse=True) and resolutions[0] == 7 and resolutions[-1] <= 3


@pytest.mark.parametrize("bounds", [(1, 0, 0, 1), (0, 1, 1, 0), (-181, 0, 1, 1), (0, 0, 1, 91), (float("nan"), 0, 1, 1)])
def test_bounds_that_are_none_are_refused(bounds):
    with pytest.raises(InputError, match="give west, south, east, north"):
        find_cell(bounds)


def test_views_of_one_cell_are_one_subject(snapshot):
    bounds = snapshot.find_region("land").bounds
    moved = tuple(value + 1e-5 for value in bounds)
    first, second = (
        find_subject(snapshot, region="land", layer="ndvi", first="2018", last="2020", bounds=each) for each in (bounds, moved)
    )
    assert first == second and len(first.key) == 16
    assert first.key != Subject("land", "ndvi", "2018", "2019", first.cell).key
    with pytest.raises(InputError, match="earlier one first"):
        find_subject(snapshot, region="land", layer="ndvi", first="2020", last="2018", bounds=bounds)
