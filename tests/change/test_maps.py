"""Change vectors, thresholds, patches and areas."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from scipy import stats

from ceiba.change.two_dates.maps import (
    change_areas,
    detect_change,
    false_discovery_rates,
    map_change,
    noise_tail,
    remove_small_patches,
)
from ceiba.change.two_dates.vectors import compare_mosaics, split_strata
from ceiba.errors import InputError, ParameterError

GEOBOX = GeoBox.from_bbox((4_000_000, 1_199_000, 4_001_000, 1_200_000), "EPSG:6372", resolution=10)
GAP = (slice(20, 28), slice(40, 50))


def mosaics(gap=-0.25):
    """Forest and fields in two years: everything brightens, fields vary more, and one gap is cut."""
    rng = np.random.default_rng(5)
    fields = np.zeros(GEOBOX.shape, dtype=bool)
    fields[:, 60:] = True
    level = np.where(fields, [[[0.08]], [[0.10]], [[0.12]], [[0.30]]], [[[0.03]], [[0.05]], [[0.04]], [[0.40]]])
    noise = np.where(fields, 0.02, 0.004)
    years = [level + rng.normal(size=level.shape) * noise for _ in range(2)]
    years[1] += 0.01
    years[1][3][GAP] += gap
    bands = {
        band: wrap_xr(
            np.stack([year[index] for year in years]).astype("float32"),
            GEOBOX,
            time=pd.to_datetime(["2018-01-01", "2020-01-01"]),
        )
        for index, band in enumerate(("blue", "green", "red", "nir"))
    }
    bands["count"] = xr.full_like(bands["blue"], 9).astype("uint16")
    return xr.Dataset(bands)


@pytest.fixture(scope="module")
def pair():
    return mosaics()


def test_a_gap_is_found_and_noisy_fields_are_not(pair):
    pair = pair.copy(deep=True)
    pair["red"][1, 0, 0] = np.nan
    no_change = detect_change(pair, first_year=2018, last_year=2020, method="change_vectors")
    found = map_change(no_change, significance=0.01, minimum_area_ha=0.1)
    gap = np.zeros(GEOBOX.shape, dtype=bool)
    gap[GAP] = True
    changed = found["change"].values == 2
    assert found["change"].values[0, 0] == 0
    assert found["change"].dtype == "uint8" and found["change_probability"].dtype == "float32"
    # Smoothing widens the gap by about a pixel.
    assert changed[gap].all()
    assert 2 * (changed & gap).sum() / (changed.sum() + gap.sum()) > 0.8
    assert not changed[:, 60:].any()


def test_probability_of_no_change_is_uniform_where_noise_is_as_assumed():
    """Differences drawn from the t distribution of the method itself: 1 % of them fall below 1 %."""
    rng = np.random.default_rng(8)
    before = np.zeros((3, 150, 150)) + rng.normal(size=(1, 150, 150))
    noise = rng.normal(size=(3, 150, 150)) / np.sqrt(rng.chisquare(6, size=(150, 150)) / 6)
    found = compare_mosaics(before, before + noise, levels=0, smoothing_px=0)
    assert stats.kstest(found.no_change.ravel(), "uniform").statistic < 0.02
    assert np.mean(found.no_change < 0.01) == pytest.approx(0.01, abs=0.003)


def test_strata_halve_at_the_median_and_keep_enough_pixels():
    pixels = np.stack([np.arange(10_000.0), np.zeros(10_000)])
    label = split_strata(pixels, 4)
    assert np.bincount(label).tolist() == [2500] * 4
    assert (np.diff(label) >= 0).all()
    assert split_strata(pixels[:, :4000], 4).max() == 0


def test_noise_has_as_many_degrees_of_freedom_as_the_poorer_year_has_clear_dates(pair):
    count = pair["count"].copy(deep=True)
    count[1] = 5
    count[1, :10] = 0
    assert noise_tail(count, first_year=2018, last_year=2020) == 5
    assert noise_tail(count * 0, first_year=2018, last_year=2020) == 3


def test_the_same_pair_gives_the_same_bits(pair):
    first, second = (detect_change(pair, first_year=2018, last_year=2020, method="change_vectors") for _ in range(2))
    assert np.array_equal(first.values, second.values)


def test_irmad_is_the_other_method_and_faults_are_named(pair):
    no_change = detect_change(pair, first_year=2018, last_year=2020, method="irmad")
    # One of the four strata holds forest and fields, and its own noise hides the pixels of the gap that fell into it.
    assert np.mean(no_change.values[GAP] < 1e-6) > 0.75
    assert float((no_change.values[:, 60:] < 0.01).mean()) < 0.02
    with pytest.raises(ParameterError, match="allowed are change_vectors, irmad"):
        detect_change(pair, first_year=2018, last_year=2020, method="guess")
    with pytest.raises(InputError, match="no mosaic of 2019; there are 2018, 2020"):
        detect_change(pair, first_year=2018, last_year=2019, method="irmad")
    with pytest.raises(InputError, match="too few for 4 bands"):
        compare_mosaics(np.full((4, 9, 9), np.nan), np.zeros((4, 9, 9)))
    with pytest.raises(InputError, match="same dims"):
        compare_mosaics(np.zeros((4, 9, 9)), np.zeros((3, 9, 9)))


def test_false_discovery_rates_of_benjamini_and_hochberg_1995():
    """The paper's example: fifteen p-values, rate 0.05, the four smallest are rejected; 0.0095 x 15 / 4 = 0.0356."""
    values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    values = np.array([*values, 0.4262, 0.5719, 0.6528, 0.7590, 1.0, np.nan])
    found = false_discovery_rates(values)
    assert (found <= 0.05).sum() == 4
    assert found[3] == pytest.approx(0.035625)
    assert found[14] == 1 and np.isnan(found[15])


def test_a_false_discovery_rate_takes_the_place_of_the_significance():
    no_change = wrap_xr(np.full((20, 20), 0.9), GeoBox.from_bbox((0, 0, 200, 200), "EPSG:6372", resolution=10))
    no_change[:2] = 1e-6
    assert int((map_change(no_change, significance=1e-9, false_discovery_rate=0.05)["change"] == 2).sum()) == 40
    assert (
        int((map_change(no_change * 0 + 0.9, significance=0.95, false_discovery_rate=0.05)["change"] == 2).sum()) == 0
    )


def test_small_patches_go_by_their_true_area_and_corners_touch():
    changed = np.zeros((6, 6), dtype=bool)
    changed[0, 0] = changed[1, 1] = changed[2, 2] = True
    changed[5, 5] = True
    kept = remove_small_patches(changed, np.full((6, 6), 0.01), 0.03)
    assert kept.sum() == 3 and not kept[5, 5]


def test_areas_by_direction():
    change = wrap_xr(
        np.array([[2, 2, 1], [0, 2, 1]], dtype="uint8"),
        GeoBox.from_bbox((4_000_000, 0, 4_000_030, 20), "EPSG:6372", resolution=10),
    )
    difference = change.copy(data=np.array([[-0.3, -0.2, 0], [np.nan, 0.4, 0]]))
    table = change_areas(change, difference).set_index("direction")
    assert table["pixels"].to_dict() == {"no_change": 2, "loss": 2, "gain": 1, "no_data": 1}
    assert table["patches"].to_dict() == {"no_change": 0, "loss": 1, "gain": 1, "no_data": 0}
    assert table.loc["loss", "area_ha"] == pytest.approx(0.02, rel=0.05)
    assert table["share"].sum() == pytest.approx(1)
