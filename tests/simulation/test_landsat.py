"""Simulated Landsat 5, 7 and 8: bands of each, and the gaps of Landsat 7, which leave no stripe in a mosaic."""

import dataclasses

import numpy as np
import pytest
import rasterio
import xarray as xr

from ceiba.ard.sensors import clear_mask_of_bits, find_sensor
from ceiba.errors import SceneError
from ceiba.mosaics.geomedian import geomedian
from ceiba.simulation import landsat, scenes
from ceiba.simulation.area import write_scenes

SEVEN = "landsat_7_l2_c2"


def test_gaps_are_those_of_a_real_scene(sample_folder):
    folder = sample_folder / "eo" / "landsat7_l1_caqueta_colombia"
    with rasterio.open(folder / "LE07_L1TP_007059_20161209_20170130_01_T1_b4.tif") as file:
        fill = file.read(1) == 0
        left = file.bounds.left
    # Metadata: the scene reaches from easting 539 400 to 780 600 m, so its track lies near 660 000 m.
    place = landsat.GapPlace(track_km=(left - 660_000) / 1000, phase_px=0)
    simulated = landsat.slc_off_gaps(fill.shape, place)
    # Away from the edge of the scene, which cuts the first columns and the last rows of this crop.
    real, ours = fill[60:380, 250:], simulated[60:380, 250:]
    assert real.mean() == pytest.approx(ours.mean(), abs=0.02)
    for column in (0, 200, 500):
        assert real[:, column].sum() / 320 == pytest.approx(ours[:, column].sum() / 320, abs=0.04)
    # With the phase of the real ones they lie on top of each other, so period and tilt are right.
    overlaps = [
        (landsat.slc_off_gaps(fill.shape, dataclasses.replace(place, phase_px=phase))[60:380, 250:] == real).mean()
        for phase in np.arange(0, landsat.GAP_PERIOD_PX, 0.5)
    ]
    assert max(overlaps) > 0.95


def test_gaps_widen_from_the_track():
    gaps = landsat.slc_off_gaps((3278, 1), landsat.GapPlace(0.0, 0.0))
    assert gaps.sum() == 0
    gaps = landsat.slc_off_gaps((3278, 1), landsat.GapPlace(92.0, 0.0))
    # Scaramuzza et al. 2004: 14 pixels at the edge of the scene, of the 33 between two gaps.
    assert gaps.mean() == pytest.approx(14 / 32.8, abs=0.01)


@pytest.fixture(scope="module")
def plans():
    return scenes.plan_scenes(7, "landsat_7")


def stack(world, plans, sky_of, *, sensor=SEVEN):
    """Scenes as stored with their encoding, and their clear mask, dims ``(time, y, x)``."""
    made = [landsat.landsat_scene(world, plan, sky_of(plan), sensor=sensor) for plan in plans]
    encoding = {"nodata": 0, "scale": landsat.LANDSAT_SCALE, "offset": landsat.LANDSAT_OFFSET}
    bands = xr.Dataset(
        {name: (("time", "y", "x"), np.stack([each[name] for each in made]), encoding) for name in landsat.LANDSAT_GAIN}
    )
    quality = xr.DataArray(np.stack([each["quality"] for each in made]), dims=("time", "y", "x"))
    described = find_sensor("landsat_8_l2_c2")
    return bands, clear_mask_of_bits(quality, described.quality_classes, unwanted=described.unwanted)


def gaps_of(plans, shape):
    return np.stack([landsat.slc_off_gaps(shape, landsat.gaps_of(7, plan)) for plan in plans])


def test_gaps_are_no_data(world, plans):
    bands, clear = stack(world, plans[:2], lambda plan: scenes.sky_of(7, plan))
    gaps = gaps_of(plans[:2], bands["red"].shape[1:])
    assert 0.3 < gaps.mean() < 0.5
    assert not clear.values[gaps].any()
    for name in bands:
        assert not bands[name].values[gaps].any()


def contrast(image, gaps):
    """Mean inside the gaps of each date less that outside."""
    return np.array([np.nanmean(image[gap]) - np.nanmean(image[~gap]) for gap in gaps])


def test_no_stripe_in_the_mosaic_where_the_ground_stands_still(world, plans, monkeypatch):
    # One day again and again under an open sky: all that differs between dates is noise and where the gaps lie.
    day = plans[0].time
    still = [dataclasses.replace(plan, time=day, missing=0.0) for plan in plans[:8]]
    open_sky = scenes.sky_of(7, plans[0])
    none = np.zeros_like(open_sky.cloud)
    open_sky = dataclasses.replace(open_sky, cloud=none, shadow=none, cirrus=none)
    bands, clear = stack(world, still, lambda plan: open_sky)
    mosaic = geomedian(bands, clear)
    gaps = gaps_of(still, bands["red"].shape[1:])
    np.testing.assert_array_equal(mosaic["count"], (~gaps).sum(axis=0))
    np.testing.assert_array_equal(np.isnan(mosaic["red"]), gaps.all(axis=0))

    # Fill taken for ground would be another matter: half of the dates dark.
    ground = xr.Dataset({name: band.assign_attrs(nodata=65535) for name, band in bands.items()})
    filled = geomedian(ground)
    assert np.abs(contrast(filled["nir"].values, gaps)).mean() > 0.02

    monkeypatch.setattr(landsat, "slc_off_gaps", lambda shape, place: np.zeros(shape, bool))
    whole = geomedian(*stack(world, still, lambda plan: open_sky))
    for name in landsat.LANDSAT_GAIN:
        difference = (mosaic[name] - whole[name]).values
        # Noise of one observation is 0.0008 + 0.0035 r; a mosaic of 3 to 8 of them has less.
        assert np.nanstd(difference) < 0.0015, name
        stripes = contrast(difference, gaps)
        assert np.abs(stripes).max() < 5 * 0.0015 / np.sqrt(gaps[0].sum()), (name, stripes)


@pytest.mark.slow
def test_stripes_of_the_seasons_fade_as_the_period_widens(world, plans, monkeypatch):
    def sky_of(plan):
        return scenes.sky_of(7, plan)

    def compare(chosen):
        bands, clear = stack(world, chosen, sky_of)
        mosaic = geomedian(bands, clear)
        with monkeypatch.context() as patch:
            patch.setattr(landsat, "slc_off_gaps", lambda shape, place: np.zeros(shape, bool))
            whole = geomedian(*stack(world, chosen, sky_of))
        gaps = gaps_of(chosen, bands["red"].shape[1:])
        stripes = contrast((mosaic["nir"] - whole["nir"]).values, gaps)
        return mosaic, np.sqrt((stripes**2).mean())

    thin, thin_stripes = compare([plan for plan in plans if plan.time.year == 2019])
    wide, wide_stripes = compare(plans)
    print(f"one year: {float(thin['count'].mean()):.1f} observations, no data {float(np.isnan(thin['nir']).mean()):.1%}, "
          f"stripes {thin_stripes:.4f} in the near infrared")
    print(f"three years: {float(wide['count'].mean()):.1f} observations, no data {float(np.isnan(wide['nir']).mean()):.1%}, "
          f"stripes {wide_stripes:.4f}")
    # Which dates a pixel has follows the gaps, and the seasons differ: no mosaic of a thin year is quite free of that.
    assert wide_stripes < 0.7 * thin_stripes
    assert wide_stripes < 0.01
    assert np.isnan(wide["nir"]).mean() < 0.001 < np.isnan(thin["nir"]).mean()


def test_landsat_7_gives_landsat_8_by_the_published_line(world, plans):
    plan = dataclasses.replace(plans[0], missing=0.0, haze=0.0)
    sky = scenes.sky_of(7, plans[0])
    none = np.zeros_like(sky.cloud)
    sky = dataclasses.replace(sky, cloud=none, shadow=none, cirrus=none, haze=none)

    def reflectance(sensor, band):
        return landsat.landsat_scene(world, plan, sky, sensor=sensor)[band] * 2.75e-5 - 0.2

    # Roy et al. 2016, table 2, OLI = 0.9785 ETM+ - 0.0095 in blue and 1.0073 ETM+ - 0.0021 in near infrared.
    for band, slope, intercept in (("blue", 0.9785, -0.0095), ("nir", 1.0073, -0.0021)):
        eight, five = reflectance("landsat_8_l2_c2", band), reflectance("landsat_5_l2_c2", band)
        np.testing.assert_allclose(eight, slope * five + intercept, atol=0.006)
        assert np.median(eight - slope * five - intercept) == pytest.approx(0, abs=1e-4)


def test_scenes_of_more_missions_are_written_as_an_archive(world, tmp_path):
    write_scenes(tmp_path, world, "landsat_7", years=[2018])
    folders = sorted((tmp_path / "scenes" / "landsat_7").iterdir())
    assert len(folders) == 8
    with rasterio.open(folders[0] / "30m.tif") as file:
        quality = file.read(file.descriptions.index("quality") + 1)
    assert set(np.unique(quality)) <= set(landsat.ETM_QA.values())
    with pytest.raises(SceneError, match="no sensor 'landsat_6'.*landsat_7"):
        write_scenes(tmp_path, world, "landsat_6")
    with pytest.raises(SceneError, match="no mission 'landsat_6'"):
        scenes.plan_scenes(7, "landsat_6")
