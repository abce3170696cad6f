"""Spectra, clouds and the scenes."""

import datetime

import numpy as np
import pandas as pd
import pytest
import rasterio

from ceiba.simulation import clouds, landsat, scenes, spectra
from ceiba.simulation.layout import block_mean


def test_mixed_spectrum_lies_between_ground_and_canopy():
    library = spectra.spectral_library()
    codes = np.array([3, 3, 3])
    mixed = spectra.mix_spectra(codes, np.array([0.0, 0.5, 1.0], dtype=np.float32))
    np.testing.assert_allclose(mixed[:, 0], library.ground[3], rtol=1e-6)
    np.testing.assert_allclose(mixed[:, 1], (library.ground[3] + library.canopy[3]) / 2, rtol=1e-6)
    np.testing.assert_allclose(mixed[:, 2], library.canopy[3], rtol=1e-6)


def test_ndvi_by_hand():
    values = np.zeros((len(spectra.BANDS), 1))
    values[spectra.BANDS.index("red")], values[spectra.BANDS.index("nir")] = 0.1, 0.3
    assert spectra.ndvi_of(values)[0] == pytest.approx(0.5)


def test_dry_forest_greens_in_the_rains_and_wet_forest_stays():
    codes = np.array([11, 9])
    april = spectra.ndvi_of(spectra.mix_spectra(codes, spectra.green_cover(codes, datetime.date(2018, 4, 1))))
    september = spectra.ndvi_of(spectra.mix_spectra(codes, spectra.green_cover(codes, datetime.date(2018, 9, 2))))
    assert september[0] - april[0] > 0.25
    assert abs(september[1] - april[1]) < 0.03
    assert april[1] > 0.8


def test_shadow_falls_away_from_the_sun():
    # 1000 m high, sun at 45 degrees in the east: 100 pixels of 10 m to the west.
    assert clouds.shadow_shift_px(1000, sun_zenith_deg=45, sun_azimuth_deg=90) == (0, -100)
    # Sun in the south: to the north, that is to lower rows.
    assert clouds.shadow_shift_px(1000, sun_zenith_deg=45, sun_azimuth_deg=180) == (-100, 0)


def test_shadow_is_the_cloud_displaced():
    sky = clouds.make_sky(
        np.random.default_rng(3), (120, 150), cloud_cover=0.4, height_m=200, sun_zenith_deg=45, sun_azimuth_deg=135
    )
    down, right = clouds.shadow_shift_px(200, sun_zenith_deg=45, sun_azimuth_deg=135)
    assert (down, right) == (-14, -14)
    np.testing.assert_array_equal(sky.shadow[:-14, :-14], sky.cloud[14:, 14:])
    assert (sky.cloud > 0).mean() == pytest.approx(0.4, abs=0.01)


def test_look_through_by_hand():
    def sky(cloud, shadow):
        return clouds.Sky(*(np.array([[value]]) for value in (cloud, shadow, 0.0, 0.0)))

    ground = np.array([[0.2]])
    assert clouds.look_through(ground, sky(0.0, 0.0), "nir")[0, 0] == pytest.approx(0.2)
    assert clouds.look_through(ground, sky(0.5, 0.0), "nir")[0, 0] == pytest.approx(0.5 * 0.2 + 0.5 * 0.62)
    assert clouds.look_through(ground, sky(0.0, 1.0), "nir")[0, 0] == pytest.approx(0.2 * 0.3)


def test_qa_values_are_their_bits():
    # USGS: bit 0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 shadow, 6 clear (no cloud, no dilated cloud), 7 water.
    def bits(values):
        return {name: {bit for bit in range(8) if value >> bit & 1} for name, value in values.items()}

    expected = {
        "fill": {0}, "clear": {6}, "water": {6, 7}, "cloud": {3}, "dilated": {1}, "shadow": {4, 6}, "cirrus": {2, 6},
    }  # fmt: skip
    assert bits(landsat.OLI_QA) == expected
    # The guide of 4 to 7 has no cirrus, dilated cloud over land with the clear bit, water and shadow without.
    assert bits(landsat.ETM_QA) == expected | {"cirrus": {6}, "dilated": {1, 6}, "water": {7}, "shadow": {4}}


def test_quality_band_is_the_true_sky(world, area_folder):
    plan = next(p for p in scenes.plan_scenes(7, "sentinel_2") if 0.2 < p.cloud_cover < 0.4 and p.missing == 0)
    sky = scenes.sky_of(7, plan)
    cloud = block_mean(sky.cloud, 2)
    with rasterio.open(area_folder / "scenes/sentinel_2" / plan.name / "20m.tif") as raster:
        classes = raster.read(raster.descriptions.index("quality_20m") + 1)
    with rasterio.open(area_folder / "scenes/sentinel_2" / plan.name / "10m.tif") as raster:
        np.testing.assert_array_equal(raster.read(5)[::2, ::2], classes)
    np.testing.assert_array_equal(np.isin(classes, (8, 9)), cloud >= clouds.THIN_CLOUD)
    np.testing.assert_array_equal(classes == 9, cloud > clouds.THICK_CLOUD)
    shaded = block_mean(sky.shadow, 2) > clouds.DEEP_SHADOW
    np.testing.assert_array_equal(classes == 3, shaded & (cloud < clouds.THIN_CLOUD) & (block_mean(sky.cirrus, 2) == 0))


def read(path):
    with rasterio.open(path) as raster:
        return dict(zip(raster.descriptions, raster.read(), strict=True))


def test_clear_reflectance_is_in_range_and_sensors_agree(area_folder, world):
    for path in sorted(area_folder.glob("scenes/sentinel_2/*/10m.tif"))[::7]:
        bands = read(path)
        clear = np.isin(bands["quality"], (4, 5, 6))
        for name in ("blue", "green", "red", "nir"):
            assert (bands[name][bands["quality"] > 0] > 0).all()
            assert bands[name][clear].max(initial=1) < 6500
        assert not bands["nir"][bands["quality"] == 0].any()
    landsat = read(sorted(area_folder.glob("scenes/landsat/*/30m.tif"))[1])
    clear = np.isin(landsat["quality"], (21824, 21952))
    red = landsat["red"][clear] * 2.75e-5 - 0.2
    assert -0.01 < np.quantile(red, 0.001)
    assert np.quantile(red, 0.999) < 0.5
    water = landsat["nir"][landsat["quality"] == 21952] * 2.75e-5 - 0.2
    # The river is as wide as a pixel, so most water pixels hold some bank; the darkest are all water.
    assert np.quantile(water, 0.1) < 0.03
    assert np.median(water) < 0.5 * np.median(landsat["nir"][landsat["quality"] == 21824] * 2.75e-5 - 0.2)


def test_scenes_are_clouded_as_planned(area_folder):
    skies = pd.read_csv(area_folder / "truth/sentinel_2_skies.csv")
    overcast = skies["cloud_share"] > 0.9
    assert 3 <= overcast.sum() <= 6
    assert skies.loc[~overcast, "cloud_share"].between(0.1, 0.65).all()


def test_scenes_show_the_drawn_greenness_and_change(area_folder, world):
    year = 2018
    ndvi, nir = [], []
    for path in sorted(area_folder.glob(f"scenes/sentinel_2/s2a_{year}*/10m.tif")):
        bands = read(path)
        clear = np.isin(bands["quality"], (4, 5, 6))
        red, near = (np.where(clear, bands[name] / 10_000, np.nan) for name in ("red", "nir"))
        ndvi.append((near - red) / (near + red))
        nir.append(near)
    seen = np.count_nonzero(np.isfinite(nir), axis=0)
    assert np.median(seen) >= 5
    assert (seen >= 2).mean() > 0.97
    filled = np.where(seen > 0, ndvi, 0)
    median = np.nanmedian(filled, axis=0)
    cells = median.reshape(32, 8, 64, 8).mean(axis=(1, 3))
    condition = world.condition[year]
    assert np.corrcoef(cells.ravel(), condition.greenness_value.ravel())[0, 1] > 0.95
    assert (np.digitize(cells, (0.2, 0.4, 0.6)) == condition.states["greenness"]).mean() > 0.85
