"""The geomedian against geometry, a float64 reference and independent results of the author's own program."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba.errors import InputError
from ceiba.mosaics import band_unrolling, geomedian_fallback, geomedian_kernel
from ceiba.mosaics.geomedian import STATISTICS, geomedian, geomedian_of_arrays
from ceiba.mosaics.geomedian_reference import geomedian_float64

ROMANIA = "eo/s2_l2a_timeseries_romania"
BANDS = {10: ["B2", "B3", "B4", "B8"], 20: ["B3", "B4", "B8A", "B11"]}
NAMES = ["blue", "green", "red", "nir"]


def as_bands(values: np.ndarray, **attrs) -> xr.Dataset:
    """Dataset of an array (band, time, y, x)."""
    return xr.Dataset({name: (("time", "y", "x"), band, attrs) for name, band in zip(NAMES, values, strict=False)})


def as_stored(values: np.ndarray) -> xr.Dataset:
    return as_bands(values.astype(np.uint16), nodata=0, scale=1e-4, offset=0.0)


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    """Spectra (band, time, y, x) as integers: land, calm water, gaps, duplicates, 0 to 11 observations."""
    random = np.random.default_rng(3)
    center = np.array([400, 700, 600, 3000])[:, None, None, None]
    spread = np.where(np.arange(12) < 4, 4, 250)  # the first rows are water: a few counts around the median
    values = center + random.normal(size=(4, 11, 12, 41)) * spread[:, None]
    values += random.random((11, 12, 41)) * (random.random((11, 12, 41)) < 0.2) * 3000
    values = values.clip(1, 9999).round()
    values[:, 5] = values[:, 4]
    observed = random.random((11, 12, 41)) < np.linspace(0, 1.2, 41)
    return np.where(observed, values, 0)


def stack(mosaic: xr.Dataset) -> np.ndarray:
    return np.stack([mosaic[name].values for name in mosaic.data_vars])


def sum_of_distances(observed: np.ndarray, point: np.ndarray) -> float:
    return float(np.nansum(np.linalg.norm(observed - point, axis=1)))


@pytest.mark.parametrize("resolution_m", [10, 20])
@pytest.mark.parametrize("year", [2018, 2019])
def test_equals_the_independent_annual_geomedians(sample_folder, resolution_m, year):
    folder = sample_folder / ROMANIA
    with (
        xr.open_dataset(folder / f"s2_l2a_romania_{resolution_m}m.nc", mask_and_scale=False) as scenes,
        xr.open_dataset(folder / f"reference/annual_geomedian_{resolution_m}m_2018_2019.nc") as expected,
    ):
        scenes, expected = scenes.sel(time=str(year)).load(), expected.sel(year=year).load()
    bands = scenes[BANDS[resolution_m]].assign_attrs(nodata=0, scale=1e-4, offset=0.0)
    mosaic = geomedian(bands, scenes.SCL.isin([4, 5, 6, 7]))
    for name in BANDS[resolution_m]:
        assert float(abs(mosaic[name] - expected[name]).max()) <= 2e-5  # asked: 1e-4
        assert mosaic[name].dtype == np.float32
    for name in STATISTICS:
        assert float((abs(mosaic[name] - expected[name]) / expected[name]).max()) <= 1e-3
    np.testing.assert_array_equal(mosaic["count"], expected["count"])


def test_is_the_minimum_of_the_sum_of_distances(noisy):
    mosaic = geomedian(as_stored(noisy))
    spectra = np.where(noisy > 0, noisy * 1e-4, np.nan)
    found = stack(mosaic[NAMES])
    errors = []
    for y, x in np.ndindex(*found.shape[1:]):
        observed = spectra[:, :, y, x].T
        expected, certificate = geomedian_float64(observed, tolerance=1e-11, steps=3000)
        if np.isnan(expected).any():
            assert np.isnan(found[:, y, x]).all()
            continue
        if certificate < 1e-6:  # spectra nearly on a line: the reference has not arrived
            errors.append(abs(found[:, y, x] - expected).max())
        least = sum_of_distances(observed, expected)
        assert sum_of_distances(observed, found[:, y, x]) <= least * (1 + 1e-6) + 1e-6
    assert len(errors) > 400
    assert max(errors) < 1e-5


def test_deviations_are_the_medians_of_three_distances(noisy):
    mosaic = geomedian(as_stored(noisy))
    x = np.where(noisy > 0, noisy * 1e-4, np.nan)
    m = stack(mosaic[NAMES])[:, None].astype(float)
    with np.errstate(invalid="ignore"):
        cosine = 1 - (x * m).sum(0) / np.sqrt((x * x).sum(0) * (m * m).sum(0))
    expected = {
        "emad": np.sqrt(((x - m) ** 2).sum(0)),
        "smad": cosine,
        "bcmad": abs(x - m).sum(0) / abs(x + m).sum(0),
    }
    seen = (noisy > 0).any(axis=(0, 1))
    for name, distances in expected.items():
        values = np.nanmedian(distances[:, seen], axis=0)
        np.testing.assert_allclose(mosaic[name].values[seen], values, rtol=2e-4, atol=1e-7)
        assert np.isnan(mosaic[name].values[~seen]).all()


def test_known_geometric_medians():
    # three points on a line: the middle one; a convex quadrilateral: where its diagonals cross;
    # an equilateral triangle: its center; an angle of 120 degrees or more: that corner
    root3 = np.sqrt(3)
    cases = [
        ([(0.1, 0.1), (0.2, 0.2), (0.7, 0.7)], (0.2, 0.2)),
        ([(0.1, 0.1), (0.5, 0.1), (0.3, 0.5), (0.1, 0.3)], (0.18, 0.26)),
        ([(0.2, 0.2), (0.4, 0.2), (0.3, 0.2 + 0.1 * root3)], (0.3, 0.2 + 0.1 * root3 / 3)),
        ([(0.2, 0.2), (0.8, 0.2), (0.5, 0.25)], (0.5, 0.25)),
    ]
    for points, expected in cases:
        flat = np.full((2, len(points)), 0.2)  # two more bands in which nothing happens
        values = np.concatenate([np.array(points).T, flat]).astype(np.float32)
        mosaic = geomedian(as_bands(values[:, :, None, None]))
        np.testing.assert_allclose(stack(mosaic[NAMES[:2]]).ravel(), expected, atol=2e-6)


def test_spectra_nearly_on_a_line():
    # float32 sees no slope between the two in the middle; the answer is that of the float64 reference
    spectra = np.array([[284, 842, 398, 4780], [359, 888, 612, 4248], [593, 1040, 1137, 2894], [747, 1147, 1489, 2043]])
    expected, certificate = geomedian_float64(spectra * 1e-4, steps=2_000_000)
    assert certificate < 1e-7
    raised = np.array([0, 0, 0, 1000])  # as stored by a later baseline
    stored = [band[:, None, None].astype(np.uint16) for band in (spectra + raised[:, None]).T]
    offset = -1e-4 * np.array([[0], [0], [0], [1000]])
    clear = np.ones((4, 1, 1), bool)
    for values, offsets in (([b.astype(np.uint16)[:, None, None] for b in spectra.T], 0.0), (stored, offset)):
        found = geomedian_of_arrays(values, clear, nodata=0, scale=1e-4, offset=offsets)
        np.testing.assert_allclose(found[:4, 0, 0], expected, atol=2e-5)


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_do_not_change_a_bit(noisy, threads):
    wide = np.tile(noisy, (1, 1, 40, 20))
    alone, shared = geomedian(as_stored(wide)), geomedian(as_stored(wide), threads=threads)
    assert stack(alone).tobytes() == stack(shared).tobytes()


@pytest.mark.parametrize("shift", [1, 7, 31])
def test_where_a_block_begins_does_not_change_a_bit(noisy, shift):
    whole = geomedian(as_stored(noisy)).isel(x=slice(shift, None), y=slice(2, None))
    part = geomedian(as_stored(noisy[:, :, 2:, shift:]))
    assert stack(part).tobytes() == stack(whole).tobytes()


def test_lazy_input_gives_the_same_bits(noisy):
    stored = as_stored(noisy)
    clear = xr.DataArray(np.random.default_rng(0).random(noisy.shape[1:]) < 0.7, dims=("time", "y", "x"))
    lazy = geomedian(stored.chunk({"time": 3, "y": 5, "x": 17}), clear.chunk({"y": 4}))
    assert all(lazy[name].chunks is not None for name in lazy.data_vars)
    assert stack(lazy.compute(scheduler="synchronous")).tobytes() == stack(geomedian(stored, clear)).tobytes()


def test_floats_with_nan_equal_integers_with_nodata(noisy):
    floats = np.where(noisy > 0, noisy.astype(np.float32) * np.float32(1e-4), np.nan).astype(np.float32)
    assert stack(geomedian(as_bands(floats))).tobytes() == stack(geomedian(as_stored(noisy))).tobytes()


def test_an_observation_that_is_not_clear_or_lacks_a_band_does_not_count(noisy):
    gaps = noisy.copy()
    gaps[2, 3] = 0
    clear = xr.DataArray(np.ones(noisy.shape[1:], bool), dims=("time", "y", "x"))
    clear[3] = False
    assert stack(geomedian(as_stored(gaps))).tobytes() == stack(geomedian(as_stored(noisy), clear)).tobytes()


def test_too_few_observations_are_nan_and_their_count_stays(noisy):
    mosaic = geomedian(as_stored(noisy), min_observations=4)
    observed = (noisy > 0).all(axis=0).sum(axis=0)
    np.testing.assert_array_equal(mosaic["count"], observed)
    for name in [*NAMES, *STATISTICS]:
        np.testing.assert_array_equal(np.isnan(mosaic[name]), observed < 4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30))
def test_moves_with_the_spectra_and_ignores_their_order(seed, dates):
    random = np.random.default_rng(seed)
    values = random.integers(500, 6000, (4, dates, 1, 3))
    base = stack(geomedian(as_stored(values))[NAMES])
    moved = stack(geomedian(as_stored(values + 1000))[NAMES])
    shuffled = stack(geomedian(as_stored(values[:, random.permutation(dates)]))[NAMES])
    np.testing.assert_allclose(moved, base + np.float32(0.1), atol=3e-5)
    np.testing.assert_allclose(shuffled, base, atol=3e-5)


def test_refuses_what_it_cannot_know(noisy):
    stored = as_stored(noisy)
    with pytest.raises(InputError, match="no"):
        geomedian(xr.Dataset())
    with pytest.raises(InputError, match="lacks the attributes nodata, scale, offset"):
        geomedian(as_bands(noisy.astype(np.uint16)))
    with pytest.raises(InputError, match="there is none in this period"):
        geomedian(stored.isel(time=slice(0, 0)))
    with pytest.raises(InputError, match="one grid"):
        geomedian(stored, xr.DataArray(np.ones((11, 12, 40), bool), dims=("time", "y", "x")))
    with pytest.raises(InputError, match="one type"):
        geomedian(stored.assign(red=stored.red.astype(np.int16)))
    with pytest.raises(InputError, match="make them equal"):
        geomedian(stored.assign(red=stored.red.assign_attrs(offset=-0.1)))
    with pytest.raises(InputError, match="cannot occur"):
        geomedian(as_bands(noisy.astype(np.uint16), nodata=-999, scale=1e-4, offset=0.0))
    with pytest.raises(InputError, match="dims"):
        geomedian(stored.transpose("y", "x", "time"))


def test_compiled_parts_are_the_ones_the_cache_knows():
    sources = (band_unrolling.__file__, geomedian_fallback.__file__)
    content = b"".join(Path(source).read_bytes() for source in sources)
    digest = hashlib.sha256(content).hexdigest()[:16]
    assert geomedian_kernel.COMPILED_WITH == digest, f"write {digest} into geomedian_kernel.py"
