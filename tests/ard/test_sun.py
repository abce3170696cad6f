"""The sun's place and distance against published values and those of USGS."""

from datetime import UTC, datetime

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio import Affine

from ceiba.ard.landsat_metadata import read_mtl
from ceiba.ard.sun import earth_sun_distance_au, grid_convergence_deg, sun_elevation_of_pixels, sun_position


def test_the_example_of_the_solar_position_algorithm():
    # Reda and Andreas 2004, doi:10.1016/j.solener.2003.12.003 (NREL/TP-560-34302, table A5.1): 17 October 2003, 12:30:30, UTC-7
    time = datetime(2003, 10, 17, 19, 30, 30, tzinfo=UTC)
    elevation, azimuth = sun_position(time, -105.1786, 39.742476)
    assert elevation == pytest.approx(39.872046, abs=0.01)  # without refraction
    assert azimuth == pytest.approx(194.340241, abs=0.01)
    assert earth_sun_distance_au(time) == pytest.approx(0.9965422974, abs=1e-4)


@pytest.mark.parametrize(
    ("file", "tolerance_deg"),
    [
        ("landsat7_l1_caqueta_colombia/LE07_L1TP_007059_20161209_20170130_01_T1_MTL.txt", 0.03),
        ("landsat8_l1_l2_momotombo_nicaragua/L1TP/LC08_L1TP_017051_20151205_20200908_02_T1_MTL.txt", 0.03),
        # Before the collections the angles were not those of the corners' center: 0.1 degree is 11 km on the ground.
        ("landsat8_toa_reference_rio_toa/LC81390452014295LGN00_MTL.json", 0.15),
    ],
)
def test_usgs_says_the_same(sample_folder, file, tolerance_deg):
    metadata = read_mtl((sample_folder / "eo" / file).read_bytes())
    assert earth_sun_distance_au(metadata.time) == pytest.approx(metadata.earth_sun_distance_au, abs=1e-4)
    elevation, azimuth = sun_position(metadata.time, *metadata.center)
    assert elevation == pytest.approx(metadata.sun_elevation_deg, abs=tolerance_deg)
    assert azimuth == pytest.approx(metadata.sun_azimuth_deg, abs=2 * tolerance_deg)


def test_every_pixel_has_its_own_sun():
    geobox = GeoBox((200, 300), Affine(300, 0, 560_000, 0, -300, 180_000), "EPSG:32618")
    time = datetime(2016, 12, 9, 15, 9, 50, tzinfo=UTC)
    to_degrees = Transformer.from_crs("EPSG:32618", "EPSG:4326", always_xy=True)
    elevation = sun_elevation_of_pixels(geobox, time)
    assert elevation.dims == ("y", "x") and elevation.shape == (200, 300)
    for row, column in ((0, 0), (199, 299), (77, 123)):
        point = geobox.affine * (column + 0.5, row + 0.5)
        expected, _ = sun_position(time, *to_degrees.transform(*point))
        assert elevation.values[row, column] == pytest.approx(float(expected), abs=1e-3)
    # 90 km to the east the morning's sun is higher, 60 km to the north in December lower.
    assert np.all(np.diff(elevation.values, axis=1) > 0) and np.all(np.diff(elevation.values, axis=0) > 0)


def test_the_north_of_a_grid_is_not_the_true_one():
    # UTM zone 14, 2.5 degrees east of its meridian at 25 north: atan(tan(2.5 deg) * sin(25 deg)) = 1.0571 degree
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32614", always_xy=True).transform(-96.5, 25.0)
    geobox = GeoBox((10, 10), Affine(30, 0, x - 150, 0, -30, y + 150), "EPSG:32614")
    assert grid_convergence_deg(geobox) == pytest.approx(1.0571, abs=2e-3)
