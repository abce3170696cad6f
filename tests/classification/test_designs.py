"""Estimators whose strata are not the map's classes, against hand-worked values and the other estimator."""

import numpy as np
import pandas as pd
import pytest
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ceiba.classification.accuracy.areas import estimate_areas
from ceiba.classification.accuracy.assessment import assess_map, estimate_ratio
from ceiba.legends import load_legend

GEOBOX = GeoBox.from_bbox((4_000_000, 1_199_000, 4_001_000, 1_200_000), "EPSG:6372", resolution=20)
LEGEND = load_legend("mato_grosso")


def test_equals_the_estimator_of_olofsson_where_strata_are_the_map_classes():
    """The worked example of Olofsson et al. 2014, sample by sample: overall 0.9465, user's .880 .733 .927 .963."""
    counts = pd.DataFrame(
        [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]], index=range(4), columns=range(4)
    )
    sizes = np.array([200_000.0, 150_000, 3_200_000, 6_450_000])
    mapped, reference = (
        np.concatenate([np.full(n, value[axis]) for value, n in np.ndenumerate(counts.to_numpy())]) for axis in (0, 1)
    )
    other = estimate_areas(counts, dict(enumerate(sizes)))
    every = np.ones(len(mapped))
    overall = estimate_ratio((mapped == reference).astype(float), every, mapped, sizes)
    assert (overall.value, overall.half_width) == pytest.approx((0.9465, 0.0185), abs=1e-4)
    for code in range(4):
        both = ((mapped == code) & (reference == code)).astype(float)
        users = estimate_ratio(both, (mapped == code).astype(float), mapped, sizes)
        producers = estimate_ratio(both, (reference == code).astype(float), mapped, sizes)
        area = estimate_ratio((reference == code).astype(float), every, mapped, sizes)
        row = other.classes.iloc[code]
        assert users.value == pytest.approx(row["users_accuracy"])
        assert producers.value == pytest.approx(row["producers_accuracy"])
        # The finite-population correction, which Olofsson leaves out, is 1e-3 at most here.
        assert producers.half_width == pytest.approx(row["producers_half_width"], rel=2e-3)
        assert area.half_width * sizes.sum() == pytest.approx(row["area_half_width_ha"], rel=2e-3)


def test_ratio_of_a_hand_worked_sample():
    """Two strata of 100 and 300 pixels, 2 and 2 samples, right 1 0 1 1: (50 + 300) / 400; s2 of the first is 0.5.

    Variance: 100^2 x (1 - 2/100) x 0.5 / 2 / 400^2 = 0.015313.
    """
    found = estimate_ratio(np.array([1.0, 0, 1, 1]), np.ones(4), np.array([0, 0, 1, 1]), np.array([100.0, 300.0]))
    assert found.value == pytest.approx(0.875)
    assert found.half_width == pytest.approx(1.959964 * np.sqrt(0.0153125))
    assert np.isnan(estimate_ratio(np.zeros(2), np.zeros(2), np.zeros(2, dtype=int), np.array([9.0])).value)
    alone = estimate_ratio(np.ones(3), np.ones(3), np.array([0, 0, 1]), np.array([9.0, 9.0]))
    assert np.isinf(alone.half_width)


def points(rng, count):
    rows, columns = rng.integers(0, 50, count), rng.integers(0, 50, count)
    x, y = GEOBOX.affine * (columns + 0.5, rows + 0.5)
    longitude, latitude = GEOBOX.crs.transformer_to_crs("EPSG:4326")(x, y)
    return rows, columns, pd.DataFrame({"longitude": longitude, "latitude": latitude, "year": 2019})


def test_a_map_is_assessed_by_its_own_points_and_its_interval_covers_the_truth():
    rng = np.random.default_rng(4)
    truth = rng.choice([1, 2], size=GEOBOX.shape, p=[0.3, 0.7]).astype("uint8")
    codes = np.where(rng.random(GEOBOX.shape) < 0.2, 3 - truth, truth).astype("uint8")
    land_cover = wrap_xr(codes, GEOBOX)
    right = (codes == truth).mean()
    inside = 0
    for _ in range(100):
        rows, columns, table = points(rng, 120)
        found = assess_map(table.assign(code=truth[rows, columns]), land_cover, LEGEND, 2019)
        inside += abs(found.overall.value - right) <= found.overall.half_width
    assert 88 <= inside <= 100
    assert found.classes["area_ha"].sum() == pytest.approx(100, rel=0.05)
    assert found.samples == 120


def test_too_few_samples_on_the_map_tell_nothing():
    rows, columns, table = points(np.random.default_rng(5), 40)
    land_cover = wrap_xr(np.ones(GEOBOX.shape, dtype="uint8"), GEOBOX)
    assert assess_map(table.assign(code=1), land_cover, LEGEND, 2018) is None
    assert assess_map(table.assign(code=1, longitude=0.0), land_cover, LEGEND, 2019) is None
    assert assess_map(table.assign(code=1), land_cover, LEGEND, 2019).overall.value == 1
