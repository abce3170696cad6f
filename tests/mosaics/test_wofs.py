"""The WOfS tree and its bits against the layer of its authors' program, the published tree's leaves, and terrain by hand."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba.ard import find_sensor
from ceiba.errors import InputError
from ceiba.mosaics.wofs import (
    WOFL_BITS,
    WOFS_BANDS,
    masks_of_fmask,
    masks_of_qa_pixel,
    masks_of_terrain,
    widen,
    wofl,
)

COLLECTION_2 = {"nodata": 0, "scale": 2.75e-5, "offset": -0.2}


def as_pixels(*counts: tuple[float, ...], dtype: str = "int16", **attrs) -> xr.Dataset:
    """Pixels in a row, each of six numbers in the order of the bands."""
    values = np.array(counts).T[:, None, :].astype(dtype)
    encoding = {"nodata": -999, "scale": 1e-4, "offset": 0.0} | attrs if np.dtype(dtype).kind in "iu" else {}
    return xr.Dataset({name: (("y", "x"), band, encoding) for name, band in zip(WOFS_BANDS, values, strict=True)})


@pytest.mark.parametrize("stored", ["int16", "float32", "float64"])
def test_equals_the_published_layer_on_every_pixel(sample_folder, stored):
    folder = sample_folder / "eo" / "wofs_reference_dea"
    with (
        xr.open_dataset(folder / "sample_c3_sr.nc", mask_and_scale=False) as scene,
        xr.open_dataset(folder / "sample_wofl.nc", mask_and_scale=False) as published,
    ):
        scene, published = scene.load(), published.water.values.copy()
    bands = xr.Dataset({name: scene[f"nbart_{name}"] for name in WOFS_BANDS})
    # elsewhere grids of 15 m and 30 m were joined, and the layer holds what no scene holds
    real = bands.to_array().notnull().all("variable").values
    if stored == "int16":
        bands = bands.fillna(-999).astype(np.int16)
        for band in bands.data_vars.values():
            band.attrs = {"nodata": -999, "scale": 1e-4, "offset": 0.0}
    else:
        bands = (bands.where(bands != -999) / 1e4).astype(stored)
    water = wofl(bands, masks=masks_of_fmask(scene.oa_fmask))
    assert (water.dtype, water.dims, water.attrs["nodata"]) == (np.uint8, scene.oa_fmask.dims, 1)
    valid = real & (published & 1 == 0)
    assert (valid.sum(), real.sum()) == (507, 741)
    np.testing.assert_array_equal(water.values[valid], published[valid])
    np.testing.assert_array_equal(water.values[real], published[real])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # (blue green red nir swir_1 swir_2), the branch of the published tree, water or dry
        ((300, 500, 300, 200, 100, 80), 1),  # NDI52 <= -0.01, dark TM7, NDI43 <= 0.61: node 6
        ((300, 500, 100, 500, 100, 80), 0),  # NDI43 = 0.67: node 7
        ((2500, 500, 300, 200, 100, 80), 0),  # bright TM1: node 3
        ((1500, 1900, 1800, 1000, 1000, 800), 1),  # TM1 > 1400.5, NDI43 < -0.01: node 10
        ((1500, 1900, 1800, 2000, 1000, 800), 0),  # node 11
        ((379, 700, 600, 500, 650, 500), 1),  # NDI72 = -0.17, TM1 <= 379: node 14
        ((380, 700, 600, 500, 650, 500), 0),  # node 15
        ((900, 1400, 600, 700, 500, 400), 1),  # NDI72 = -0.56, NDI43 = 0.08: node 17
        ((473, 1400, 600, 1200, 500, 400), 1),  # NDI43 = 0.33, TM1 <= 473: node 19
        ((474, 1400, 600, 1200, 500, 400), 0),  # node 20
        ((340, 300, 300, 300, 330, 100), 0),  # NDI52 = 0.048, TM1 > 334.5: node 23
        ((300, 300, 300, 1100, 330, 100), 0),  # NDI43 = 0.57: node 25
        ((300, 300, 300, 300, 330, 100), 1),  # NDI52 <= 0.12: node 27
        ((129, 300, 300, 300, 400, 100), 1),  # NDI52 = 0.14, dark TM3, TM1 <= 129.5: node 31
        ((130, 300, 300, 300, 400, 100), 0),  # node 32
        ((300, 300, 400, 300, 400, 100), 1),  # TM3 > 364.5, TM1 <= 300.5: node 33
        ((301, 300, 400, 300, 400, 100), 0),  # node 34
        ((100, 300, 300, 300, 700, 100), 0),  # NDI52 = 0.4: node 36
        ((250, 300, 300, 300, 540, 100), 0),  # NDI52 = 0.29, TM1 > 249.5: node 38
        ((100, 300, 300, 900, 540, 100), 0),  # NDI43 = 0.5: node 40
        ((100, 300, 400, 300, 540, 100), 0),  # TM3 > 364.5: node 42
        ((129, 300, 300, 300, 540, 100), 1),  # node 44
        ((130, 300, 300, 300, 540, 100), 0),  # node 45
    ],
)
def test_every_leaf_of_the_tree(counts, expected):
    assert wofl(as_pixels(counts)).item() == 128 * expected
    reflectance = as_pixels(np.array(counts) / 1e4, dtype="float32")
    assert wofl(reflectance).item() == 128 * expected


RATIO = {
    "52": lambda p: (p["swir_1"] - p["green"], p["swir_1"] + p["green"]),
    "43": lambda p: (p["nir"] - p["red"], p["nir"] + p["red"]),
    "72": lambda p: (p["swir_2"] - p["green"], p["swir_2"] + p["green"]),
}


def at_most(pixel: dict[str, int], ratio: str, hundredths: int) -> bool:
    """A ratio of the paper against its threshold in whole numbers; nothing by nothing is never at most anything."""
    above, below = RATIO[ratio](pixel)
    return below != 0 and 100 * above <= hundredths * below


def paper_tree(p: dict[str, int]) -> bool:
    """The figure of the paper once more, node by node, in whole numbers."""
    tm1, tm3, tm7 = p["blue"], p["red"], p["swir_2"]
    if at_most(p, "52", -1):
        if tm1 > 2083:
            return False
        if tm7 <= 323:
            return at_most(p, "43", 61)
        if tm1 > 1400:
            return at_most(p, "43", -1)
        if at_most(p, "72", -23):
            return at_most(p, "43", 22) or tm1 <= 473
        return tm1 <= 379
    if at_most(p, "52", 23):
        if tm1 > 334 or not at_most(p, "43", 54):
            return False
        if at_most(p, "52", 12):
            return True
        return tm1 <= (129 if tm3 <= 364 else 300)
    return at_most(p, "52", 34) and tm1 <= 129 and at_most(p, "43", 45) and tm3 <= 364


@settings(max_examples=400, deadline=None)
@given(st.lists(st.integers(0, 2200) | st.integers(0, 500), min_size=6, max_size=6))
def test_any_pixel_equals_the_tree_in_whole_numbers(counts):
    expected = 128 * paper_tree(dict(zip(WOFS_BANDS, counts, strict=True)))
    assert wofl(as_pixels(counts)).item() == expected
    assert wofl(as_pixels(np.array(counts) / 1e4, dtype="float64")).item() == expected


def test_numbers_of_collection_2_are_cut_to_counts_as_published():
    # 0.275 * 8651 - 2000 = 379.025 and 0.275 * 8655 - 2000 = 380.125, on both sides of node 14's 379
    others = [9819, 9455, 9091, 9637, 9091]  # 700, 600, 500, 650, 500 counts
    for number, expected in ((8651, 128), (8654, 128), (8655, 0)):
        assert wofl(as_pixels((number, *others), dtype="uint16", **COLLECTION_2)).item() == expected
    # -0.375 counts are cut to 0 and count; -1.2 are not within 0 and 10 000; nor are 10 000.9 cut, but 10 001 are out
    for number, expected in ((7271, 128), (7268, 2), (43639, 0), (43641, 2)):
        assert wofl(as_pixels((number, *others), dtype="uint16", **COLLECTION_2)).item() == expected
    assert wofl(as_pixels((0,) * 6, dtype="uint16", **COLLECTION_2)).item() == 1


def test_bits_tell_why_a_pixel_does_not_count():
    water, dry = (300, 500, 300, 200, 100, 80), (300, 500, 100, 500, 100, 80)
    bands = as_pixels(water, dry, water, (-999,) * 6, (*water[:5], -999), water)
    places = xr.DataArray(np.eye(6, dtype=bool)[None], dims=("y", "mask", "x"))
    masks = {"cloud": places[:, 0] | places[:, 3], "sea": places[:, 1], "high_slope": places[:, 2] | places[:, 0]}
    found = wofl(bands, masks=masks | {"terrain_shadow": places[:, 2], "cloud_shadow": places[:, 4]}).values.ravel()
    assert found.tolist() == [128 + 64 + 16, 4, 128 + 16 + 8, 1, 2 + 32, 128]
    with pytest.raises(InputError, match="no mask clouds, water; it has no_data, noncontiguous, sea"):
        wofl(bands, masks={"clouds": places[:, 0], "water": places[:, 0]})
    assert sorted(WOFL_BITS.values()) == [1, 2, 4, 8, 16, 32, 64, 128]


def test_lazy_in_lazy_out():
    random = np.random.default_rng(0)
    bands = as_pixels(*random.integers(0, 1500, (64, 6)))
    lazy = wofl(bands.chunk(x=10), masks={"cloud": bands.blue.chunk(x=7) > 900})
    assert lazy.chunks
    np.testing.assert_array_equal(lazy.compute(), wofl(bands, masks={"cloud": bands.blue > 900}))


def test_what_cannot_be_classified_is_told():
    bands = as_pixels((300, 500, 300, 200, 100, 80))
    with pytest.raises(InputError, match="missing: swir_2"):
        wofl(bands.drop_vars("swir_2"))
    bands.red.attrs["scale"] = 2.75e-5
    with pytest.raises(InputError, match="'red' is stored as"):
        wofl(bands)
    del bands.green.attrs["scale"]
    with pytest.raises(InputError, match=r"'green' \(int16\) lacks the attributes scale"):
        wofl(bands)


def test_masks_of_landsat_collection_2():
    bits = find_sensor("landsat_8_l2_c2").quality_classes
    quality = xr.DataArray(np.full((15, 15), 1 << 6, np.uint16), dims=("y", "x"))
    quality[0, 0], quality[0, 1], quality[0, 2] = 1 << 1, 1 << 2, 1 << 3
    quality[7, 7] = 1 << 4
    masks = masks_of_qa_pixel(quality, bits=bits)
    assert masks["cloud"].values.sum() == 3 and masks["cloud"].values[0, :3].all()
    # a disk of radius 3.5: rows of 3, 5, 7, 7, 7, 5, 3 pixels
    assert masks["cloud_shadow"].sum("x").values[4:11].tolist() == [3, 5, 7, 7, 7, 5, 3]
    with pytest.raises(InputError, match="missing: cirrus"):
        masks_of_qa_pixel(quality, bits={name: bit for name, bit in bits.items() if name != "cirrus"})


def test_a_mask_is_widened_date_by_date():
    mask = xr.DataArray(np.zeros((2, 9, 9), bool), dims=("time", "y", "x"))
    mask[0, 4, 4] = True
    assert widen(mask).sum(("y", "x")).values.tolist() == [37, 0]


def as_terrain(heights: np.ndarray) -> xr.DataArray:
    rows, columns = heights.shape
    return xr.DataArray(heights, dims=("y", "x"), coords={"y": -30.0 * np.arange(rows), "x": 30.0 * np.arange(columns)})


@pytest.mark.parametrize(
    ("azimuth_deg", "shaded"),
    [(90, (20, slice(14, 20))), (180, (slice(14, 20), 20)), (0, (slice(21, 27), 20))],  # y points south
)
def test_a_tower_casts_its_shadow_away_from_the_sun(azimuth_deg, shaded):
    # 210 m high under a sun at 46 degrees: 203 m of shadow, 6 pixels of 30 m
    heights = np.zeros((41, 41))
    heights[20, 20] = 210
    terrain = as_terrain(heights)
    found = masks_of_terrain(terrain, sun_azimuth_deg=azimuth_deg, sun_elevation_deg=46)["terrain_shadow"]
    cast = terrain.copy(data=np.zeros((41, 41), bool))
    cast[shaded] = True
    flat = np.ones((41, 41), bool)
    flat[19:22, 19:22] = False  # the tower's own faces are dark or lit by their slope
    np.testing.assert_array_equal(found.values[flat], widen(cast).values[flat])


@pytest.mark.parametrize(("slope_deg", "steep"), [(11.9, False), (12.1, True)])
def test_steep_is_more_than_twelve_degrees(slope_deg, steep):
    plane = as_terrain(np.tan(np.radians(slope_deg)) * 30.0 * np.arange(9.0)[None].repeat(9, axis=0))
    masks = masks_of_terrain(plane, sun_azimuth_deg=270, sun_elevation_deg=60)
    assert (masks["high_slope"].values[1:-1, 1:-1] == steep).all()
    assert not masks["terrain_shadow"].values[1:-1, 1:-1].any()


@pytest.mark.parametrize(("sun_elevation_deg", "dark"), [(49, True), (51, False)])
def test_a_slope_that_the_sun_only_grazes_is_dark(sun_elevation_deg, dark):
    # 20 degrees down to the north, the sun in the south: it meets the slope at its height less 20 degrees
    rows = np.tan(np.radians(20)) * 30.0 * -np.arange(9.0)[::-1]
    plane = as_terrain(-rows[:, None].repeat(9, axis=1))
    north_facing = plane.copy(data=plane.values[::-1])
    masks = masks_of_terrain(north_facing, sun_azimuth_deg=180, sun_elevation_deg=sun_elevation_deg)
    assert (masks["terrain_shadow"].values[1:-1, 1:-1] == dark).all()
    with pytest.raises(InputError, match="-2 degrees above the horizon"):
        masks_of_terrain(plane, sun_azimuth_deg=180, sun_elevation_deg=-2)
