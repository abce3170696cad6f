"""The parts that the geomedian is compiled from, each by itself."""

import numpy as np
import pytest

from ceiba.mosaics.band_unrolling import LANES, for_each_band_count, pair, unroll_bands
from ceiba.mosaics.geomedian_fallback import is_vertex_minimum, polish
from ceiba.mosaics.geomedian_reference import geomedian_float64
from ceiba.mosaics.sorting_networks import sorting_networks


def test_sorting_networks_sort():
    comparators, before = sorting_networks(40)
    random = np.random.default_rng(0)
    for rows in range(41):
        values = random.permutation(rows).astype(float)
        for low, high in comparators[before[rows] : before[rows + 1]]:
            values[[low, high]] = sorted(values[[low, high]])
        np.testing.assert_array_equal(values, np.arange(rows))


def test_pairs_number_the_upper_triangle():
    assert [pair(i, j, 3) for i in range(3) for j in range(i, 3)] == list(range(6))


def sum_of_squares(bands, weights, result):
    for lane in range(LANES):
        total = 0.0
        for b in unroll(BANDS):  # noqa: F821
            x[b] = weights[b, lane]  # noqa: F821
            for c in unroll(b + 1):  # noqa: F821
                total += x[c] * 0.5  # noqa: F821
        result[lane] = total


def test_loops_over_bands_are_written_out():
    weights, result = np.arange(3 * LANES, dtype=float), np.empty(LANES)
    unroll_bands(sum_of_squares, BANDS=3)((), weights, result)
    first, second, third = weights.reshape(3, LANES)
    np.testing.assert_allclose(result, 0.5 * (3 * first + 2 * second + third))


def test_kernels_run_only_in_compiled_code():
    with pytest.raises(TypeError, match="sum_of_squares can be called only from compiled code"):
        for_each_band_count()(sum_of_squares)((), None, None)


def stage_one_pixel(spectra: np.ndarray) -> np.ndarray:
    """Observations of one pixel in lane 5, as the kernel keeps them."""
    times, bands = spectra.shape
    staged = np.zeros((times, bands + 1, LANES), np.float32)
    staged[:, :bands, 5], staged[:, bands, 5] = spectra, 1
    return staged.ravel()


def test_fallback_finds_the_minimum_close_to_an_observation():
    # the minimum lies 0.0002 from the first observation: a step there is short long before it has arrived
    random = np.random.default_rng(5)
    spectra = 0.2 + 0.05 * random.standard_normal((18, 4))
    for _ in range(60):
        expected, _ = geomedian_float64(spectra, tolerance=1e-12)
        spectra[0] = expected + np.array([2e-4, 0, 0, 0])
    expected, certificate = geomedian_float64(spectra, tolerance=1e-12)
    assert certificate < 1e-6
    staged, start = stage_one_pixel(spectra), np.zeros(4 * LANES, np.float32)
    start.reshape(4, LANES)[:, 5] = spectra[0]
    point = np.empty(4, np.float32)
    # the plain functions: what Numba makes of them is tested with the whole geomedian
    if not is_vertex_minimum.py_func(staged, 18, start, 5, point):
        polish.py_func(staged, 18, 5, point, 1e-5)
    np.testing.assert_allclose(point, expected, atol=1e-6)


def test_fallback_knows_an_observation_that_is_the_minimum():
    spectra = np.array([[0.2, 0.2], [0.8, 0.2], [0.5, 0.25]])  # an angle of more than 120 degrees
    start, point = np.zeros(2 * LANES, np.float32), np.empty(2, np.float32)
    start.reshape(2, LANES)[:, 5] = [0.5, 0.24]
    assert is_vertex_minimum.py_func(stage_one_pixel(spectra), 3, start, 5, point)
    np.testing.assert_allclose(point, [0.5, 0.25])
