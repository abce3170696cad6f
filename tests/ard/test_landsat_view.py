"""From where Landsat looks: angles by hand and as published."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from ceiba.ard.landsat_view import track_azimuth_deg, view_angles, view_zenith_deg


def test_the_edge_of_the_swath_is_seen_at_the_angle_of_the_field_of_view():
    # The field of view of OLI is 15 degrees, 185 km wide (LSDS-1574): 7.5 degrees at the satellite, and the Earth's curve of
    # 92.5 / 6371 radians, 0.83 degree, more on the ground.
    assert view_zenith_deg(92.5) == pytest.approx(7.5 + 0.83, abs=0.05)
    assert view_zenith_deg(0) == 0


def test_the_ground_track_at_the_equator_by_hand():
    # East: cos(98.2 deg) = -0.14263, less the ground's own way, 16 / 233 = 0.06867; south: sqrt(1 - 0.14263^2) = 0.98978.
    # 180 + atan(0.21130 / 0.98978) = 192.05.
    assert track_azimuth_deg(0) == pytest.approx(192.05, abs=0.01)
    # Nearer the pole the track leans more to the west: cos(98.2 deg) / cos(60 deg) = -0.28526, less 0.03433; south 0.95845.
    assert track_azimuth_deg(60) == pytest.approx(180 + np.degrees(np.arctan(0.31959 / 0.95845)), abs=0.01)


def test_west_of_the_track_the_satellite_stands_in_the_east():
    grid = GeoBox((40, 61), Affine(3000, 0, 408_500, 0, -3000, 60_000), "EPSG:32616")
    zenith, azimuth = view_angles(grid, (-87.0, 0.0))
    row = 20
    assert azimuth.values[row, 0] == pytest.approx(102.05, abs=0.1) and azimuth.values[row, -1] == pytest.approx(282.05, abs=0.1)
    # 90 km west along the equator are 90 cos(12.05 deg) = 88.0 km across the track; UTM shrinks distances by 0.9996.
    assert zenith.values[row, 0] == pytest.approx(view_zenith_deg(88.0), abs=0.1)
    assert zenith.values.min() < 0.3 and zenith.dtype == np.float32


def test_over_the_date_line_distances_stay_short():
    grid = GeoBox((10, 10), Affine(3000, 0, 800_000, 0, -3000, 60_000), "EPSG:32660")
    zenith, _ = view_angles(grid, (-179.9, 0.4))
    assert zenith.values.max() < 8
