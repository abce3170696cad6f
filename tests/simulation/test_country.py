"""The larger simulated country: classes, planted change, and the series that a satellite takes of it."""

import dataclasses
import datetime

import numpy as np
import pytest
from scipy import ndimage

from ceiba.errors import InputError
from ceiba.legends import load_legend
from ceiba.simulation.country import CountrySettings, make_country
from ceiba.simulation.country_samples import draw_labels, split_blocks, windows_of
from ceiba.simulation.country_series import block_series, land_cover_series, scene_dates
from ceiba.simulation.country_spectra import alike_library
from ceiba.simulation.land_cover import class_prior
from ceiba.simulation.pixel_noise import _STEP, _mixed, normal_of_pixels, uniform_of_pixels
from ceiba.simulation.spectra import spectral_library

SETTINGS = CountrySettings(side_px=224, years=(2015, 2016, 2017), change_share_a_year=0.02)


@pytest.fixture(scope="module")
def country():
    return make_country(11, SETTINGS)


def test_mix_is_that_of_splitmix64():
    # The first numbers of the published generator for the seed 1234567.
    seed = np.uint64(1234567)
    with np.errstate(over="ignore"):
        states = seed + np.arange(1, 4, dtype=np.uint64) * _STEP
    assert _mixed(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_noise_belongs_to_the_pixel_and_the_name():
    pixels = np.arange(200_000)
    even, normal = uniform_of_pixels(3, "a", pixels), normal_of_pixels(3, "a", pixels)
    assert even.mean() == pytest.approx(0.5, abs=0.004)
    assert (normal.mean(), normal.std()) == pytest.approx((0, 1), abs=0.01)
    np.testing.assert_array_equal(normal_of_pixels(3, "a", pixels[50:7:-3]), normal[50:7:-3])
    for other in (normal_of_pixels(3, "b", pixels), normal_of_pixels(4, "a", pixels), np.roll(normal, 1)):
        assert np.corrcoef(normal, other)[0, 1] == pytest.approx(0, abs=0.01)


def test_every_class_has_its_national_share(country):
    shares = np.bincount(country.first_codes.ravel(), minlength=32)[1:] / country.first_codes.size
    np.testing.assert_allclose(shares, class_prior(), rtol=0.15, atol=0.003)
    beside = (country.first_codes[:, 1:] == country.first_codes[:, :-1]).mean()
    assert 0.9 < beside < 0.98


def test_same_seed_gives_the_same_country(country):
    again = make_country(11, SETTINGS)
    np.testing.assert_array_equal(again.first_codes, country.first_codes)
    assert again.changes.equals(country.changes)
    assert (make_country(12, SETTINGS).first_codes != country.first_codes).any()


def test_change_happens_on_its_date_and_nowhere_else(country):
    changes = country.changes
    assert set(changes["date"].map(lambda date: date.year)) <= {2015, 2016, 2017}
    for change in changes.itertuples():
        here = country.change_number == change.number
        assert here.sum() == change.pixels
        assert set(country.codes_on(change.date - datetime.timedelta(days=1))[here]) == {change.from_code}
        assert set(country.codes_on(change.date)[here]) == {change.to_code}
        ring = ndimage.binary_dilation(here, iterations=2) & ~here
        assert not (country.change_number[ring] > 0).any()
    first, last = country.codes_of_year(2015), country.codes_of_year(2017)
    assert (first == country.first_codes).all()
    np.testing.assert_array_equal(last != first, country.change_number > 0)
    share = (last != first).mean() / 2
    assert share == pytest.approx(SETTINGS.change_share_a_year, rel=0.4)


def test_series_of_a_pixel_is_that_of_its_block(country):
    block = block_series(country, row=40, column=60, side_px=12, years=[2016])
    samples = land_cover_series(country, [47, 44], [63, 70], years=[2016])
    assert block.sizes == {"time": len(scene_dates(11, 2016)), "y": 12, "x": 12}
    for name in block.data_vars:
        np.testing.assert_array_equal(samples[name].values[:, 0], block[name].values[:, 7, 3])
        np.testing.assert_array_equal(samples[name].values[:, 1], block[name].values[:, 4, 10])
    assert float(samples.y[0]) == float(block.y[7]) and float(samples.x[0]) == float(block.x[3])


def test_series_show_seasons_clouds_and_residue(country):
    legend = load_legend("mexico_31")
    deciduous = legend.code("Low deciduous and semi-deciduous tropical forest and subtropical scrub")
    rows, columns = np.nonzero((country.first_codes == deciduous) & (country.change_number == 0))
    series = land_cover_series(country, rows[:300], columns[:300])
    ndvi = (series.nir - series.red) / (series.nir + series.red)
    months = ndvi.groupby("time.month").median(...)
    assert float(months.sel(month=9) - months.sel(month=3)) > 0.3
    seen = np.isfinite(series.blue)
    assert 0.35 < float(seen.mean()) < 0.8
    # Clouds that the mask missed stand far above the median of a pixel, in a few percent of what passes as clear.
    residue = (series.blue > series.blue.median("time") + 0.05).where(seen)
    assert 0.005 < float(residue.mean()) < 0.12


def test_a_mask_that_misses_nothing_takes_out_more_and_changes_nothing_else(country):
    sharp = dataclasses.replace(country, settings=dataclasses.replace(SETTINGS, missed_clouds=0.0, missed_shadows=0.0))
    rows, columns = np.divmod(np.arange(0, 224**2, 500), 224)
    usual, clean = (land_cover_series(each, rows, columns, years=[2016]).blue for each in (country, sharp))
    left = np.isfinite(clean)
    np.testing.assert_array_equal(usual.where(left), clean)
    assert 0.005 < float(np.isfinite(usual).mean() - left.mean()) < 0.1


def test_clearing_is_seen_after_its_date(country):
    legend = load_legend("mexico_31")
    cleared = country.changes.to_code == legend.code("Bare ground")
    forest = country.changes[cleared & (country.changes.from_code <= 9)].iloc[0]
    rows, columns = np.nonzero(country.change_number == forest["number"])
    series = land_cover_series(country, rows, columns)
    dry = series.sel(time=series.time.dt.month.isin([3, 4, 5]))
    ndvi = ((dry.nir - dry.red) / (dry.nir + dry.red)).median("sample")
    before = ndvi.sel(time=ndvi.time < np.datetime64(forest["date"])).median()
    after = ndvi.sel(time=ndvi.time >= np.datetime64(forest["date"])).median()
    assert float(before - after) > 0.1


def test_classes_of_a_parent_meet_at_distance_zero():
    library, alike = spectral_library(), alike_library(1.0, 1.0)
    np.testing.assert_allclose(alike.canopy, library.canopy, atol=1e-6)
    legend, coarser = load_legend("mexico_31"), load_legend("mexico_17")
    parents = legend.parents(coarser)
    sisters = [code for code in parents if parents[code] == coarser.code("Dry tropical forests")]
    met = alike_library(0.0, 1.0).ground[sisters]
    # By hand: the mean of the two, weighted by their numbers of training points.
    points = class_prior()[sisters].to_numpy()
    expected = (points[:, None] * library.ground[sisters]).sum(axis=0) / points.sum()
    np.testing.assert_allclose(met, np.tile(expected, (2, 1)), rtol=1e-5)


def test_what_is_wrong_is_told(country):
    with pytest.raises(InputError, match="192"):
        CountrySettings(side_px=50)
    with pytest.raises(InputError, match="ascend"):
        CountrySettings(years=(2018, 2017))
    with pytest.raises(InputError, match="between 0 and 1"):
        CountrySettings(missed_clouds=4)
    with pytest.raises(InputError, match="0 to 223"):
        land_cover_series(country, [224], [0])
    with pytest.raises(InputError, match="2015, 2016, 2017"):
        land_cover_series(country, [1], [0], years=[1999])


def test_blocks_and_windows_lie_apart(country):
    parts = split_blocks(country, calibrate=0.25, test=0.25)
    assert sorted(np.concatenate(list(parts.values()))) == [0, 1, 2, 3]
    assert {name: len(part) for name, part in parts.items()} == {"train": 2, "calibrate": 1, "test": 1}
    window = windows_of(country, np.array([3]))[0]
    # Blocks of 96 px, two across: the last begins at 96, its window of 48 in the middle at 96 + 24.
    assert (window.row, window.column, window.side_px) == (120, 120, 48)
    with pytest.raises(InputError, match="larger side"):
        split_blocks(country, test=0.9)


def test_labels_lie_in_their_blocks_and_a_few_are_wrong(country):
    labels = draw_labels(country, np.array([0, 3]), points=3000, year=2017)
    assert set(labels.block) == {0, 3}
    block = labels["row"] // 96 * 2 + labels["column"] // 96
    assert (block == labels.block).all()
    truth = country.codes_of_year(2017)[labels["row"], labels["column"]]
    assert (truth == labels.true_code).all()
    assert not labels.duplicated(["row", "column"]).any()
    assert 0.02 < (labels.code != labels.true_code).mean() < 0.07
    again = draw_labels(country, np.array([0, 3]), points=3000, year=2017)
    assert again.equals(labels)
