"""The geomedian by JAX against the compiled one, a float64 reference and geometry, on the device that JAX has here."""

import subprocess
import sys

import jax
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from ceiba.ard.stacks import SceneStack
from ceiba.errors import InputError
from ceiba.mosaics import geomedian as compiled
from ceiba.mosaics import geomedian_jax as module
from ceiba.mosaics.geomedian import choose_engine, geomedian, geomedian_of_arrays
from ceiba.mosaics.geomedian_jax import DeviceError, geomedian_jax
from ceiba.mosaics.geomedian_reference import geomedian_float64
from ceiba.mosaics.streaming import geomedian_of_stack

STACK_GRID = ((300, 400), Affine(30, 0, 500_010, 0, -30, 1_300_020), "EPSG:32616")
ROMANIA = "eo/s2_l2a_timeseries_romania"
BANDS = {10: ["B2", "B3", "B4", "B8"], 20: ["B3", "B4", "B8A", "B11"]}
EQUAL = 1e-5  # reflectance, and the units of the deviations
STORED = {"nodata": 0, "scale": 1e-4, "offset": 0.0}
PLAIN = {"nodata": None, "scale": 1.0, "offset": 0.0}
EXACT = 1e-7  # tolerance of the compiled path, which at its usual one is itself off by up to 3e-5


def assert_equal(bands: list[np.ndarray], clear: np.ndarray, **options) -> np.ndarray:
    """Geomedian by JAX, after a comparison with the compiled one."""
    found = geomedian_jax(bands, clear, **options)
    expected = geomedian_of_arrays(bands, clear, tolerance=EXACT, **options)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_array_equal(found[-1], expected[-1])
    np.testing.assert_allclose(found, expected, rtol=0, atol=EQUAL)
    return found


def as_pixel(points: list[tuple[float, ...]]) -> list[np.ndarray]:
    """Four float bands (time, 1, 1) of one pixel; bands that are not given do not vary."""
    values = np.full((4, len(points)), 0.2)
    values[: len(points[0])] = np.array(points).T
    return list(values[:, :, np.newaxis, np.newaxis])


def make_scenes(bands: int, dates: int, side: int, seed: int) -> np.ndarray:
    """Counts (band, time, y, x), uint16: spectra that share a brightness, bright haze, and a third of gaps (0)."""
    random = np.random.default_rng(seed)
    center = random.uniform(300, 3500, (bands, 1, side, side))
    shape = (dates, side, side)
    values = center * (1 + 0.1 * random.standard_normal(shape)) + 60 * random.standard_normal((bands, *shape))
    values += 3000 * random.random(shape) * (random.random(shape) < 0.1)
    seen = random.random(shape) > 0.35
    return np.where(seen, values.clip(1, 12000).round(), 0).astype(np.uint16)


@pytest.mark.parametrize("resolution_m", [10, 20])
@pytest.mark.parametrize("year", [2018, 2019])
def test_equals_the_compiled_path_on_real_scenes(sample_folder, resolution_m, year):
    with xr.open_dataset(sample_folder / ROMANIA / f"s2_l2a_romania_{resolution_m}m.nc", mask_and_scale=False) as scenes:
        scenes = scenes.sel(time=str(year)).load()
    bands = [scenes[name].values for name in BANDS[resolution_m]]
    assert_equal(bands, scenes.SCL.isin([4, 5, 6, 7]).values, **STORED)


@pytest.mark.parametrize(("bands", "dates", "side"), [(4, 25, 64), (4, 60, 48)])
def test_equals_the_compiled_path_and_the_reference_on_simulated_scenes(bands, dates, side):
    scenes = make_scenes(bands, dates, side, seed=dates)
    options = {"nodata": 0, "scale": 1e-4, "offset": -0.01}
    found = assert_equal(list(scenes), np.ones(scenes.shape[1:], bool), **options)
    for y, x in [(0, 0), (side // 2, 3), (side - 1, side - 1), (7, side // 3)]:
        counts = scenes[:, :, y, x].T
        expected, certificate = geomedian_float64(np.where(counts == 0, np.nan, counts * 1e-4 - 0.01))
        assert certificate < 1e-6
        np.testing.assert_allclose(found[:bands, y, x], expected, rtol=0, atol=2e-6)


def test_few_pixels_are_left_to_the_compiled_path(monkeypatch):
    given = []

    def compiled(bands, clear, **options):
        given.append(bands[0].shape[2])
        return geomedian_of_arrays(bands, clear, **options)

    monkeypatch.setattr(module, "geomedian_of_arrays", compiled)
    scenes = make_scenes(4, 25, 64, seed=1)
    geomedian_jax(list(scenes), np.ones(scenes.shape[1:], bool), **STORED)
    assert given.pop() == module.CHECKED_PIXELS
    assert sum(given) <= 0.005 * 64 * 64


def test_few_observations_duplicates_and_gaps():
    random = np.random.default_rng(4)
    values = random.integers(100, 4000, (4, 8, 40, 60)).astype(np.uint16)
    values[:, :, :20] = values[:, :1, :20] + random.integers(0, 5, (4, 8, 20, 60))  # calm water: a few counts apart
    values[:, 3] = values[:, 2]
    # from no observation on the left to eight on the right; missing in any band is missing
    values[random.integers(0, 4), random.random((8, 40, 60)) > np.linspace(0, 1.2, 60)] = 0
    clear = random.random((8, 40, 60)) < 0.9
    found = geomedian_jax(list(values), clear, **STORED)
    expected = geomedian_of_arrays(list(values), clear, tolerance=EXACT, **STORED)
    np.testing.assert_array_equal(found[-1], expected[-1])
    count = found[-1]
    assert set(count.ravel()) == set(range(9))
    assert np.isnan(found[:-1, count == 0]).all() and np.isfinite(found[:, count > 0]).all()
    # where four integer spectra are nearly on a line, minima are flat: the sum of distances is equal, not the place
    spectra = np.where(clear & (values > 0).all(axis=0), values * 1e-4, np.nan)
    sums = [np.nansum(np.linalg.norm(spectra - each[:4, np.newaxis], axis=0), axis=0) for each in (found, expected)]
    assert (sums[0] <= sums[1] * (1 + 1e-6) + 3e-6).all()
    apart = abs(found - expected)[:, count > 0].max(axis=0)
    assert (apart > EQUAL).mean() < 0.002
    one, two = count == 1, count == 2
    np.testing.assert_allclose(found[:4, one], np.nansum(spectra, axis=1)[:, one], atol=1e-7)
    np.testing.assert_allclose(found[:4, two], np.nansum(spectra, axis=1)[:, two] / 2, atol=1e-7)
    assert abs(found[4:7, one]).max() < 1e-6


def test_known_geometric_medians():
    # three points on a line: the middle one; a convex quadrilateral: where its diagonals cross;
    # an equilateral triangle: its center; an angle of 120 degrees or more: that corner; most in one place: that place
    root3 = np.sqrt(3)
    cases = [
        ([(0.1, 0.1), (0.2, 0.2), (0.7, 0.7)], (0.2, 0.2)),
        ([(0.1, 0.1), (0.5, 0.1), (0.3, 0.5), (0.1, 0.3)], (0.18, 0.26)),
        ([(0.2, 0.2), (0.4, 0.2), (0.3, 0.2 + 0.1 * root3)], (0.3, 0.2 + 0.1 * root3 / 3)),
        ([(0.2, 0.2), (0.8, 0.2), (0.5, 0.25)], (0.5, 0.25)),
        ([(0.3, 0.4), (0.3, 0.4), (0.3, 0.4), (0.9, 0.1), (0.1, 0.1)], (0.3, 0.4)),
        ([(0.1, 0.3), (0.2, 0.3), (0.4, 0.3), (0.5, 0.3), (0.9, 0.3)], (0.4, 0.3)),
    ]
    for points, expected in cases:
        bands = as_pixel(points)
        found = geomedian_jax(bands, np.ones(bands[0].shape, bool), **PLAIN)
        np.testing.assert_allclose(found[:2, 0, 0], expected, atol=2e-6)


def test_deviations_by_hand():
    # spectra (3, 4), (0, 5), (4, 3), times 0.1; the first is their geomedian: it sees the others at an obtuse angle
    # (3.16 and 1.41 away) whose cosine is -0.894. Distances are 0, 3.162 and 1.414: the median is 1.414
    points = [(0.3, 0.4, 0.0, 0.0), (0.0, 0.5, 0.0, 0.0), (0.4, 0.3, 0.0, 0.0)]
    bands = as_pixel(points)
    found = geomedian_jax(bands, np.ones(bands[0].shape, bool), **PLAIN)[:, 0, 0]
    np.testing.assert_allclose(found[:4], points[0], atol=1e-6)
    assert found[4] == pytest.approx(np.sqrt(2) / 10, abs=1e-6)
    # cosines are 1, 20/25 and 24/25: the median distance is 1 - 0.96; Bray-Curtis are 0, 4/12 and 2/14
    assert found[5] == pytest.approx(0.04, abs=1e-6)
    assert found[6] == pytest.approx(1 / 7, abs=1e-6)
    assert found[7] == 3


def test_missing_floats_and_integers_of_any_size():
    counts = make_scenes(4, 8, 12, seed=5)
    clear = np.ones(counts.shape[1:], bool)
    expected = geomedian_jax(list(counts), clear, **STORED)
    for dtype in (np.int16, np.int32, np.int64):
        signed = np.where(counts == 0, -999, counts.astype(dtype))
        found = geomedian_jax(list(signed), clear, nodata=-999, scale=1e-4, offset=0.0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    for dtype in (np.float32, np.float64):
        floats = np.where(counts == 0, np.nan, counts * 1e-4).astype(dtype)
        found = geomedian_jax(list(floats), clear, **PLAIN)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    with pytest.raises(InputError, match="nodata -999 cannot occur in uint16 bands"):
        geomedian_jax(list(counts), clear, nodata=-999, scale=1e-4, offset=0.0)


def test_pixels_with_too_few_observations_are_missing_but_counted():
    counts = make_scenes(4, 8, 12, seed=6)
    found = geomedian_jax(list(counts), np.ones(counts.shape[1:], bool), **STORED, min_observations=5)
    few = found[-1] < 5
    assert few.any() and not few.all()
    assert np.isnan(found[:-1, few]).all() and np.isfinite(found[:-1, ~few]).all()
    np.testing.assert_array_equal(found[-1], (counts[0] != 0).sum(axis=0))


def test_blocks_do_not_matter(monkeypatch):
    counts = make_scenes(4, 8, 50, seed=7)
    whole = geomedian_jax(list(counts), np.ones(counts.shape[1:], bool), **STORED)
    monkeypatch.setattr(module, "BLOCK_VALUES", 1)
    parts = geomedian_jax(list(counts), np.ones(counts.shape[1:], bool), **STORED)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=2e-6)
    empty = geomedian_jax([band[:, :0] for band in counts], np.ones((8, 0, 50), bool), **STORED)
    assert empty.shape == (8, 0, 50)


def test_a_device_that_computes_something_else_is_found_out(monkeypatch):
    solve = module._solve

    def wrong(*arguments):
        (first, *others), count, left = solve(*arguments)
        return [first + 0.01, *others], count, left

    monkeypatch.setattr(module, "_solve", wrong)
    counts = make_scenes(4, 8, 12, seed=8)
    with pytest.raises(DeviceError, match="of 64 pixels that were checked; take another version of jax"):
        geomedian_jax(list(counts), np.ones(counts.shape[1:], bool), **STORED)


def test_the_engine_is_chosen_by_name(write_scene):
    scenes = make_scenes(4, 9, 24, seed=5)
    names, dims = ["blue", "green", "red", "nir"], ("time", "y", "x")
    bands = xr.Dataset({name: (dims, band, STORED) for name, band in zip(names, scenes, strict=True)})
    by_name = {engine: geomedian(bands, engine=engine) for engine in ("numba", "jax", "auto")}
    np.testing.assert_array_equal(by_name["jax"]["nir"], geomedian_jax(list(scenes), np.ones((9, 24, 24), bool), **STORED)[3])
    for name in by_name["numba"].data_vars:
        np.testing.assert_allclose(by_name["jax"][name], by_name["numba"][name], rtol=0, atol=3e-5)
    lazy = geomedian(bands.chunk({"y": 12}), engine="jax")
    np.testing.assert_allclose(lazy["red"].compute(), by_name["jax"]["red"], rtol=0, atol=EQUAL)

    written = [write_scene(seed, time=f"2019-03-{seed:02d}T16:00:00Z")[0] for seed in range(1, 7)]
    stack = SceneStack(written, measurements=["green", "red", "nir"], geobox=GeoBox(*STACK_GRID)[:40, :60])
    numba, by_jax = (geomedian_of_stack(stack, engine=engine) for engine in ("numba", "jax"))
    short = geomedian_of_stack(stack, engine="jax", deviations=False)
    assert list(by_jax.data_vars) == list(numba.data_vars) and list(short.data_vars) == ["green", "red", "nir", "count"]
    for name in numba.data_vars:
        np.testing.assert_allclose(by_jax[name], numba[name], rtol=0, atol=5e-5)
    np.testing.assert_array_equal(short["nir"], by_jax["nir"])


def test_dates_stored_in_several_ways_are_read_alike_by_both_engines():
    scenes = make_scenes(4, 9, 16, seed=6)
    scale = np.repeat([[1e-4], [2e-4], [1e-4]], 3, axis=0) * np.ones(4)
    options = {"nodata": np.repeat([0, 0, 7], 3), "scale": scale, "offset": np.linspace(-0.1, 0, 9)[:, np.newaxis]}
    clear = np.ones(scenes.shape[1:], bool)
    expected = geomedian_of_arrays(list(scenes), clear, tolerance=EXACT, **options)
    found = geomedian_of_arrays(list(scenes), clear, engine="jax", **options)
    np.testing.assert_array_equal(found[-1], expected[-1])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 * EQUAL)


def test_auto_takes_jax_where_it_has_a_device(monkeypatch):
    assert choose_engine("auto") == ("numba" if jax.default_backend() == "cpu" else "jax")
    monkeypatch.setattr(compiled, "entry_points", lambda group: [group])
    for backend, engine in (("gpu", "jax"), ("tpu", "jax"), ("cpu", "numba")):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        assert choose_engine("auto") == engine
    with pytest.raises(InputError, match="no engine 'cuda'; there are auto, numba, jax"):
        choose_engine("cuda")


def test_without_plugins_jax_is_not_imported():
    code = (
        "import sys, importlib.metadata, importlib.util as u\n"
        "from ceiba.mosaics import geomedian as g\n"
        "g.entry_points = lambda group: []\n"
        "g.importlib.util.find_spec = lambda name: None\n"
        "assert g.choose_engine('auto') == 'numba'\n"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
