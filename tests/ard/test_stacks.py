"""Stacks of scenes that are read block by block, against rasterio and NumPy."""

from datetime import datetime

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.windows import Window
from scipy import ndimage

from ceiba.ard.stacks import SceneStack
from ceiba.errors import InputError

GRID = GeoBox((300, 400), Affine(30, 0, 500_010, 0, -30, 1_300_020), "EPSG:32616")
CLEAR = 21824  # QA_PIXEL


def day(number: int) -> str:
    return f"2019-03-{number:02d}T16:00:00Z"


def test_blocks_hold_what_the_files_hold(write_scene):
    scenes = [write_scene(seed, time=day(seed)) for seed in (1, 2, 3)]
    stack = SceneStack([scene[0] for scene in scenes], measurements=["nir", "red", "green"], geobox=GRID)
    block = stack.read(Window(37, 50, 120, 90))
    rows, columns = slice(50, 140), slice(37, 157)
    for date, (_, values, quality) in enumerate(scenes):
        np.testing.assert_array_equal(block.bands[:, date], values[[3, 2, 1], rows, columns])
        np.testing.assert_array_equal(block.clear[date], quality[rows, columns] == CLEAR)
    assert block.geobox == GRID[rows, columns]
    np.testing.assert_allclose(block.scale, 2.75e-5)
    reflectance = block.reflectance()
    seen = (scenes[0][2] == CLEAR)[rows, columns]
    np.testing.assert_allclose(
        reflectance[0, 0][seen], scenes[0][1][3, rows, columns][seen] * 2.75e-5 - 0.2, rtol=1e-6, atol=1e-7
    )
    assert np.isnan(reflectance[:, 0][:, ~seen]).all()


def test_blocks_cover_the_grid_once_and_shrink_with_the_dates(write_scene):
    scenes = [write_scene(seed, time=day(seed))[0] for seed in range(1, 5)]
    stack = SceneStack(scenes, measurements=["nir"], geobox=GRID)
    assert len(stack.blocks()) == 1
    covered = np.zeros(GRID.shape, int)
    for window in stack.blocks(block_bytes=4 * 3 * 128 * 128):
        assert window.width <= 128 and window.height <= 128
        covered[window.toslices()] += 1
    assert (covered == 1).all()


def test_scenes_that_end_within_a_block_are_no_data_beyond(write_scene):
    part = GRID[100:250, 200:400]
    inside, values, _ = write_scene(1, geobox=part)
    block = SceneStack([inside], measurements=["red"], geobox=GRID).read()
    np.testing.assert_array_equal(block.bands[0, 0, 100:250, 200:400], values[2])
    outside = np.ones(GRID.shape, bool)
    outside[100:250, 200:400] = False
    assert (block.bands[0, 0][outside] == 0).all() and not block.clear[0][outside].any()
    far = SceneStack([inside], measurements=["red"], geobox=GRID).read(Window(0, 0, 100, 90))
    assert far.bands.shape == (1, 0, 90, 100)
    assert SceneStack([inside], measurements=["red"], geobox=GRID).read(Window(0, 0, 9, 8), all_dates=True).bands.shape[1] == 1


def test_granules_of_one_overpass_are_one_date(write_scene):
    left, right = GRID[:, :250], GRID[:, 150:]
    first, first_values, first_quality = write_scene(1, geobox=left)
    second, second_values, second_quality = write_scene(2, geobox=right, time="2019-03-05T16:00:24Z")
    other, *_ = write_scene(3, platform="landsat-7")
    stack = SceneStack([second, other, first], measurements=["red"], geobox=GRID)
    assert len(stack.times) == 2
    fused = next(scenes for scenes in stack.dates if len(scenes) == 2)
    assert [scene.dataset_id for scene in fused] == [str(first.id), str(second.id)]
    date = [len(scenes) for scenes in stack.dates].index(2)
    block = stack.read()
    expected = np.full(GRID.shape, np.nan)
    expected[:, 150:] = np.where(second_quality == CLEAR, second_values[2], np.nan)
    expected[:, :250] = np.where(first_quality == CLEAR, first_values[2], expected[:, :250])
    np.testing.assert_array_equal(np.where(block.clear[date], block.bands[0, date], np.nan), expected)
    part = stack.read(Window(140, 20, 60, 50))
    np.testing.assert_array_equal(part.clear[date], block.clear[date, 20:70, 140:200])


def test_one_look_under_two_baselines_counts_once(write_scene):
    older, older_values, older_quality = write_scene(1)
    encoding = {"scale": 2.75e-5, "offset": -0.2 - 1000 * 2.75e-5, "nodata": 0}
    newer, newer_values, newer_quality = write_scene(2, time="2019-03-05T16:00:09Z", **{"ceiba:reflectance": encoding})
    stack = SceneStack([older, newer], measurements=["red"], geobox=GRID)
    block = stack.read()
    assert len(stack.times) == len(block.times) == 1
    expected = np.full(GRID.shape, np.nan)
    expected[older_quality == CLEAR] = (older_values[2] * 2.75e-5 - 0.2)[older_quality == CLEAR]
    by_newer = newer_quality == CLEAR
    expected[by_newer] = (newer_values[2] * 2.75e-5 + encoding["offset"])[by_newer]
    np.testing.assert_allclose(block.reflectance()[0, 0], expected, atol=1e-7)
    part = stack.read(Window(100, 30, 64, 50))
    assert part.reflectance().tobytes() == np.ascontiguousarray(block.reflectance()[:, :, 30:80, 100:164]).tobytes()


def test_bands_of_a_cloudy_block_are_not_even_read(write_scene, tmp_path):
    scene, *_ = write_scene(1)
    with rasterio.open(tmp_path / "scene_1" / "30m.tif", "r+") as file:
        file.write(np.full((50, 60), 22280, np.uint16), 7, window=Window(0, 0, 60, 50))
    stack = SceneStack([scene], measurements=["red", "nir"], geobox=GRID)
    cloudy = stack.read(Window(0, 0, 60, 50))
    assert not cloudy.clear.any() and (cloudy.bands == 0).all()
    assert (stack.read().bands[:, 0, :50, :60] > 0).any()


def test_another_grid_is_warped_the_same_in_every_block(write_scene):
    turned = GeoBox((330, 430), Affine(30, 0, 499_217, 0, -30, 1_300_733), "EPSG:32616")
    scene, values, _ = write_scene(1, geobox=turned)
    stack = SceneStack([scene], measurements=["red", "nir"], geobox=GRID)
    whole = stack.read()
    expected = np.zeros(GRID.shape, np.uint16)
    rasterio.warp.reproject(
        values[2], expected, src_transform=turned.affine, src_crs="EPSG:32616", dst_transform=GRID.affine,
        dst_crs="EPSG:32616", src_nodata=0, dst_nodata=0, resampling=rasterio.warp.Resampling.nearest,
    )  # fmt: skip
    np.testing.assert_array_equal(whole.bands[0, 0], expected)
    for window in (Window(0, 0, 130, 77), Window(130, 77, 200, 200)):
        part = stack.read(window)
        rows, columns = window.toslices()
        np.testing.assert_array_equal(part.bands, whole.bands[:, :, rows, columns])
        np.testing.assert_array_equal(part.clear, whole.clear[:, rows, columns])


def test_a_misplaced_scene_is_moved_back(write_scene):
    # Two whole pixels east and one south: cubic interpolation at pixel centers gives the pixels themselves.
    shifted = GeoBox(GRID.shape, Affine.translation(60, -30) @ GRID.affine, GRID.crs)
    scene, values, _ = write_scene(1, geobox=shifted)
    stack = SceneStack([scene], measurements=["red"], geobox=GRID, shifts_m={str(scene.id): (60.0, -30.0)})
    block = stack.read()
    inner = (slice(5, -5), slice(5, -5))
    known = (values[2] > 0)[inner]
    assert (block.bands[0, 0][inner][known] == values[2][inner][known]).mean() > 0.999


def test_every_scene_may_store_reflectance_in_its_own_way(write_scene):
    old, old_values, _ = write_scene(1, time=day(1))
    encoding = {"scale": 2.75e-5, "offset": -0.2 - 1000 * 2.75e-5, "nodata": 0}
    new, new_values, _ = write_scene(2, time=day(2), **{"ceiba:reflectance": encoding})
    stack = SceneStack([old, new], measurements=["red"], geobox=GRID)
    bands, _clear = stack.read().as_dataset()
    assert bands.red.attrs["offset"] == pytest.approx(encoding["offset"])
    np.testing.assert_array_equal(bands.red[0], np.where(old_values[2] == 0, 0, old_values[2] + 1000))
    np.testing.assert_array_equal(bands.red[1], new_values[2])
    other = {"scale": 1e-4, "offset": 0.0, "nodata": 0}
    mixed = SceneStack(
        [old, write_scene(3, time=day(3), **{"ceiba:reflectance": other})[0]], measurements=["red"], geobox=GRID
    )
    bands, clear = mixed.read().as_dataset()
    assert bands.red.dtype == np.float32 and np.isnan(bands.red.values[~clear.values]).all()


def test_bands_are_adjusted_to_another_sensor_on_the_way(write_scene):
    scene, values, quality = write_scene(1, sensor="landsat_7_l2_c2", platform="landsat-7")
    adjust = {"landsat_7_l2_c2": {"red": (0.9825, -0.0022)}}
    block = SceneStack([scene], measurements=["red", "nir"], geobox=GRID, adjust=adjust).read()
    seen = quality == CLEAR
    red = values[2][seen] * 2.75e-5 - 0.2
    np.testing.assert_allclose(block.reflectance()[0, 0][seen], 0.9825 * red - 0.0022, atol=1e-6)
    np.testing.assert_allclose(block.reflectance()[1, 0][seen], values[3][seen] * 2.75e-5 - 0.2, atol=1e-6)


def write_sparse_clouds(scene, *bits) -> np.ndarray:
    """A quality band with one pixel in 500 of each of ``bits``, else clear; returns it."""
    path = scene.uri.removeprefix("file://").rsplit("/", 1)[0] + "/30m.tif"
    with rasterio.open(path, "r+") as file:
        quality = np.full(file.shape, CLEAR, np.uint16)
        for seed, bit in enumerate(bits):
            quality[np.random.default_rng(seed).random(file.shape) < 0.002] = 1 << bit
        file.write(quality, 7)
    return quality


@pytest.mark.parametrize("origin", [(499_410, 1_300_620), (499_217, 1_300_733)])
def test_clouds_and_shadows_grow_the_same_in_every_block(write_scene, origin):
    # 20 pixels more on each side of the grid; in the second place the scene is warped.
    scene, *_ = write_scene(1, geobox=GeoBox((340, 440), Affine(30, 0, origin[0], 0, -30, origin[1]), "EPSG:32616"))
    quality = write_sparse_clouds(scene, 3, 4, 5)  # cloud, shadow, and snow, which does not grow
    stack = SceneStack([scene], measurements=["red"], geobox=GRID, grow_cloud_m=100)
    whole = stack.read().clear[0]
    if origin[0] == 499_410:
        # SciPy's dilation by a disk of 100 m, center to center; 37 points of whole coordinates lie within 10 / 3.
        y, x = np.mgrid[-3:4, -3:4]
        disk = 900 * (x**2 + y**2) <= 100**2
        assert disk.sum() == 37
        grown = ndimage.binary_dilation(np.isin(quality, (8, 16)), disk)
        np.testing.assert_array_equal(whole, ((quality == CLEAR) & ~grown)[20:320, 20:420])
    for window in (Window(0, 0, 130, 77), Window(130, 77, 1, 1), Window(131, 5, 269, 295)):
        np.testing.assert_array_equal(stack.read(window).clear[0], whole[window.toslices()])
    plain = SceneStack([scene], measurements=["red"], geobox=GRID).read().clear[0]
    assert not (whole & ~plain).any() and 0.5 < whole.mean() < plain.mean() - 0.1


def test_cirrus_that_counts_as_clear_does_not_grow(write_scene):
    scene, *_ = write_scene(1)
    quality = write_sparse_clouds(scene, 2)
    classes = {"landsat_scenes": ["fill", "cloud"]}
    stack = SceneStack([scene], measurements=["red"], geobox=GRID, grow_cloud_m=100, classes=classes)
    assert (quality == 4).sum() > 100 and stack.read().clear.all()
    with pytest.raises(InputError, match="cannot grow by -1"):
        SceneStack([scene], measurements=["red"], geobox=GRID, grow_cloud_m=-1)


def test_says_what_is_missing_and_which_file_is_broken(write_scene, tmp_path):
    with pytest.raises(InputError, match="at least one scene"):
        SceneStack([], measurements=["red"], geobox=GRID)
    scene, *_ = write_scene(1)
    with pytest.raises(InputError, match=r"has no red_edge_1; it has blue, green"):
        SceneStack([scene], measurements=["red_edge_1"], geobox=GRID)
    (tmp_path / "scene_1" / "30m.tif").write_bytes(b"II*\0 broken")
    with pytest.raises(InputError, match=r"scene_1/30m\.tif cannot be read"):
        SceneStack([scene], measurements=["red"], geobox=GRID).read()


def test_times_are_in_order(write_scene):
    scenes = [write_scene(seed, time=day(20 - seed))[0] for seed in (1, 2, 3)]
    times = SceneStack(scenes, measurements=["red"], geobox=GRID).times
    assert (np.diff(times) > np.timedelta64(0)).all()
    assert times[0] == np.datetime64(datetime(2019, 3, 17, 16))
