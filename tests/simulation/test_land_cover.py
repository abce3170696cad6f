"""Terrain, land cover and planted change."""

import datetime

import numpy as np
import pytest

from ceiba.simulation import land_cover as lc
from ceiba.simulation.layout import block_mean, enlarge
from ceiba.simulation.terrain import illumination, rank_uniform, slope_deg, smooth_field


def test_smooth_field_has_the_stated_autocorrelation():
    field = smooth_field(np.random.default_rng(1), (600, 600), range_px=8)
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-4)
    assert np.corrcoef(field[:, :-8].ravel(), field[:, 8:].ravel())[0, 1] == pytest.approx(np.exp(-1), abs=0.05)


def test_slope_and_illumination_of_planes():
    # Rises 10 m a pixel of 10 m towards the north, that is towards row 0.
    plane = 10.0 * np.arange(9, -1, -1)[:, None] * np.ones((10, 10))
    np.testing.assert_allclose(slope_deg(plane, 10.0), 45)
    # A slope of 45 degrees that faces the sun at a zenith of 45 degrees is lit fully: 1 / cos(45 degrees).
    south = illumination(plane, 10.0, sun_zenith_deg=45, sun_azimuth_deg=180)
    np.testing.assert_allclose(south, np.sqrt(2))
    np.testing.assert_allclose(illumination(np.zeros((5, 5)), 10.0, sun_zenith_deg=30, sun_azimuth_deg=90), 1)
    np.testing.assert_allclose(illumination(plane, 10.0, sun_zenith_deg=45, sun_azimuth_deg=0), 0, atol=1e-12)


def test_rank_uniform_by_hand():
    np.testing.assert_allclose(rank_uniform(np.array([[3.0, 1.0], [2.0, 9.0]])), [[0.625, 0.125], [0.375, 0.875]])


def test_block_mean_repeats_the_edge():
    np.testing.assert_allclose(block_mean(np.array([[1.0, 3.0, 5.0]]), 2), [[2.0, 5.0]])
    np.testing.assert_array_equal(enlarge(np.array([[1, 2]]), 2, (2, 3)), [[1, 1, 2], [1, 1, 2]])


def test_allocate_gives_shares_and_follows_scores():
    random = np.random.default_rng(2)
    scores = random.normal(size=(3, 20_000)).astype(np.float32)
    classes = lc.allocate(scores, np.array([0.7, 0.2, 0.1]))
    np.testing.assert_allclose(np.bincount(classes) / classes.size, [0.7, 0.2, 0.1], atol=0.01)
    # Within a class the scores are higher than elsewhere.
    assert scores[2][classes == 2].mean() > scores[2][classes != 2].mean() + 1


def test_prior_is_that_of_the_national_training_points():
    # 763 402 of the 4 327 748 points of the national table are agriculture.
    prior = lc.class_prior()
    assert prior[28] == pytest.approx(763_402 / 4_327_748)
    assert prior.sum() == pytest.approx(1)


def test_classes_have_the_national_shares(world):
    shares = np.bincount(world.first_codes.ravel(), minlength=32)[1:] / world.first_codes.size
    prior = lc.class_prior().to_numpy()
    big = prior > 0.01
    np.testing.assert_allclose(shares[big], prior[big], rtol=0.05)
    assert (shares > 0).all()


def test_land_cover_is_autocorrelated(world):
    codes = world.first_codes
    same_neighbour = (codes[:, 1:] == codes[:, :-1]).mean()
    by_chance = (lc.class_prior() ** 2).sum()
    assert by_chance < 0.12
    assert same_neighbour > 0.9


def test_changes_have_dates_and_lie_apart(world):
    pixels = np.concatenate([change.pixels for change in world.changes])
    assert len(np.unique(pixels)) == len(pixels)
    assert 0.03 < len(pixels) / world.first_codes.size < 0.09
    assert {28, 29, 30, 11} <= {change.to_code for change in world.changes}
    for change in world.changes:
        assert change.date.month in (10, 11, 12, 1, 2, 3)
        day_before = change.date - datetime.timedelta(days=1)
        before = lc.land_cover_on(world.first_codes, world.changes, day_before)
        after = lc.land_cover_on(world.first_codes, world.changes, change.date)
        assert set(before.flat[change.pixels]) == {change.from_code}
        assert set(after.flat[change.pixels]) == {change.to_code}


def test_groups_are_the_eight_national_classes_with_forests_as_one():
    assert lc.group_names() == ["forest", "shrub", "grassland", "agriculture", "settlement", "bare", "water"]
    np.testing.assert_array_equal(lc.group_of(np.array([2, 9, 13, 27, 28, 29, 30, 31])), [0, 0, 1, 2, 3, 4, 5, 6])
