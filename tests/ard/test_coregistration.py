"""Shifts of scenes against a reference: exact shifts below a pixel, real dates, clouds and change, what becomes of a scene."""

import numpy as np
import pytest
import rioxarray
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ceiba.ard import coregistration
from ceiba.ard.coregistration import Shift
from ceiba.ard.tile_matching import masked_correlation
from ceiba.errors import InputError, SceneError

S2_BANDS = {"B2": "blue", "B3": "green", "B4": "red", "B8": "nir"}


def on_grid(values, size_m=30.0):
    coords = {"y": 5000 - np.arange(values.shape[0]) * size_m, "x": np.arange(values.shape[1]) * size_m}
    return xr.DataArray(values, dims=("y", "x"), coords=coords)


def shrink(values, factor):
    rows, columns = (size // factor * factor for size in values.shape)
    return values[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor).mean(axis=(1, 3))


def moved_pair(values, factor, down, right):
    """Reference and scene of coarse pixels, the scene's image ``down`` and ``right`` [fine pixel] from the reference's.

    Both are means of whole fine pixels: the shift is exact and nothing is interpolated.
    """
    edge = 4 * factor
    rows, columns = values.shape
    reference = values[edge : rows - edge, edge : columns - edge]
    scene = values[edge - down : rows - edge - down, edge - right : columns - edge - right]
    return on_grid(shrink(reference, factor)), on_grid(shrink(scene, factor))


@pytest.fixture(scope="module")
def momotombo(sample_folder):
    """Red of a Landsat 8 scene at 30 m, level 1, real."""
    folder = sample_folder / "eo" / "landsat8_l1_l2_momotombo_nicaragua"
    return {
        level: {band: rioxarray.open_rasterio(next((folder / level).glob(f"*B{band}.*"))).squeeze(drop=True) for band in (3, 4, 5)}
        for level in ("L1TP", "L2SP")
    }


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (0, 1), (2, 1), (1, 2), (4, 5), (-7, 2), (-1, -5)])
def test_planted_shifts_of_a_real_scene(momotombo, down, right):
    reference, scene = moved_pair(momotombo["L1TP"][4].values.astype(float), 3, down, right)
    shift = coregistration.measure_shift(scene, reference)
    # Coarse pixels of 30 m in our coordinates: down is south.
    error_px = np.hypot(shift.y_m + down * 10, shift.x_m - right * 10) / 30
    print(f"planted {down / 3:+.2f}, {right / 3:+.2f} px: off by {error_px:.3f} px, claimed {shift.error_m / 30:.3f} px")
    assert error_px < 0.03
    assert shift.quality > 0.99
    assert shift.tiles >= 6


def test_planted_shift_under_clouds_and_change(momotombo):
    reference, scene = moved_pair(momotombo["L1TP"][4].values.astype(float), 3, 2, -4)
    random = np.random.default_rng(1)
    noise = ndimage.gaussian_filter(random.standard_normal(scene.shape), 6)
    # A third of the scene is cloud that the mask has, a tenth bright cloud that it missed, a tenth is other ground.
    cloud, missed = noise > np.quantile(noise, 0.67), noise < np.quantile(noise, 0.1)
    values = scene.values.copy()
    values[cloud | missed] = 60_000 + 3000 * random.standard_normal((cloud | missed).sum())
    values[:, :15] = values[::-1, :15]
    shift = coregistration.measure_shift(on_grid(values), reference, valid=on_grid(~cloud))
    assert np.hypot(shift.y_m + 20, shift.x_m + 40) / 30 < 0.1


def test_level_1_and_level_2_of_one_scene_lie_on_each_other(momotombo):
    # USGS makes level 2 from level 1 pixel by pixel: the true shift is 0, of images that haze makes differ.
    for band, most_px in ((3, 0.05), (4, 0.05), (5, 0.01)):
        one, two = (momotombo[level][band].astype(float) for level in ("L1TP", "L2SP"))
        x, y = np.intersect1d(one.x, two.x), np.intersect1d(one.y, two.y)[::-1]
        one, two = (image.where(image > 0).sel(x=x, y=y) for image in (one, two))
        shift = coregistration.measure_shift(one, two)
        print(f"band {band}: {shift.length_m / 30:.4f} px")
        assert shift.length_m / 30 < most_px


@pytest.fixture(scope="module")
def romania(sample_folder):
    folder = sample_folder / "eo" / "s2_l2a_timeseries_romania"
    cube = xr.open_dataset(folder / "s2_l2a_romania_10m.nc", mask_and_scale=False)
    yearly = xr.open_dataset(folder / "reference" / "annual_geomedian_10m_2018_2019.nc").sel(year=2018)
    return cube.rename(S2_BANDS), yearly.rename(S2_BANDS)[list(S2_BANDS.values())]


def scene_of(cube, date):
    scene = cube.sel(time=date).squeeze(drop=True)
    bands = scene[["green", "red", "nir"]]
    return bands.where(bands > 0).astype(float), scene["SCL"].isin([4, 5, 6, 7])


CLEAR_DATES = ("2018-04-27", "2018-05-02", "2018-05-22", "2018-08-25", "2018-07-21")


def test_real_dates_agree_with_each_other(romania):
    """Two dates' shifts against the year's mosaic differ by their shift against each other."""
    cube, yearly = romania
    found = {}
    for date in CLEAR_DATES:
        bands, valid = scene_of(cube, date)
        found[date] = coregistration.check_scene_position(bands, yearly, valid=valid).shift
    errors = []
    for first, second in zip(CLEAR_DATES, CLEAR_DATES[1:], strict=False):
        (one, valid_one), (two, valid_two) = scene_of(cube, first), scene_of(cube, second)
        between = coregistration.check_scene_position(one, two, valid=valid_one & valid_two).shift
        errors.append(np.hypot(
            found[first].x_m - found[second].x_m - between.x_m, found[first].y_m - found[second].y_m - between.y_m
        ) / 10)  # fmt: skip
    print(f"{len(errors)} pairs of real dates close to {np.median(errors):.2f} px (median), {max(errors):.2f} px (most)")
    # A pixel is 10 m and the crop 1 km of forest.
    assert np.median(errors) < 0.25
    assert max(errors) < 0.5


@pytest.mark.parametrize(("down", "right"), [(3, -2), (-1, 4), (2, 2)])
def test_whole_pixels_planted_in_a_real_date_are_told(romania, down, right):
    cube, yearly = romania
    bands, valid = scene_of(cube, "2018-05-22")
    before = coregistration.check_scene_position(bands, yearly, valid=valid)
    rolled = {"y": down, "x": right}
    after = coregistration.check_scene_position(bands.shift(rolled), yearly, valid=valid.shift(rolled, fill_value=False))
    assert before.status == "in_place"
    assert after.status == "refused"
    assert after.shift.x_m - before.shift.x_m == pytest.approx(right * 10, abs=2)
    assert after.shift.y_m - before.shift.y_m == pytest.approx(-down * 10, abs=2)


def textured(shape=(150, 160), seed=0):
    random = np.random.default_rng(seed)
    return ndimage.gaussian_filter(random.standard_normal(shape), 1.5) + 0.02 * random.standard_normal(shape)


def test_what_becomes_of_a_scene():
    off = Shift(x_m=6.0, y_m=-8.0, error_m=0.5, quality=0.9, tiles=9)
    assert off.length_m == pytest.approx(10)
    refused = coregistration.check_coregistration(off, resolution_m=10)
    assert (refused.status, refused.usable) == ("refused", False)
    assert "10.0 m off (+6.0 m east, -8.0 m north" in refused.note
    shifted = coregistration.check_coregistration(off, resolution_m=10, misregistered="shift")
    assert (shifted.status, shifted.usable) == ("shifted", True)
    # At 30 m it is a third of a pixel.
    assert coregistration.check_coregistration(off, resolution_m=30).status == "in_place"
    for weak in (Shift(6.0, -8.0, 0.5, 0.9, 2), Shift(6.0, -8.0, 3.0, 0.9, 9), Shift(np.nan, np.nan, np.nan, 0.0, 0)):
        unknown = coregistration.check_coregistration(weak, resolution_m=10)
        assert (unknown.status, unknown.usable) == ("unknown", True)
        assert "position not known" in unknown.note
    with pytest.raises(InputError, match="'refuse' or 'shift'"):
        coregistration.check_coregistration(off, resolution_m=10, misregistered="keep")


def test_too_cloudy_uniform_or_unlike_is_unknown():
    reference = on_grid(textured(), 10)
    nothing = xr.full_like(reference, False, dtype=bool)
    few = nothing.copy()
    few[:40, :40] = True
    uniform = xr.full_like(reference, 0.3)
    for scene, valid in ((reference, nothing), (reference, few), (uniform, None), (on_grid(textured(seed=5), 10), None)):
        shift = coregistration.measure_shift(scene, reference, valid=valid)
        assert coregistration.check_coregistration(shift, resolution_m=10).status == "unknown"
    assert coregistration.measure_shift(reference * np.nan, reference).tiles == 0


def test_masked_correlation_is_that_of_the_pixels_in_both():
    random = np.random.default_rng(3)
    base, image = random.normal(size=(12, 13)), random.normal(size=(6, 7))
    known, seen = random.random(base.shape) > 0.2, random.random(image.shape) > 0.2
    found = masked_correlation(np.where(known, base, 0), known, np.where(seen, image, 0), seen, least=5)
    assert found.shape == (7, 7)
    for down, right in ((0, 0), (3, 2), (6, 6)):
        window = np.s_[down : down + 6, right : right + 7]
        both = known[window] & seen
        assert found[down, right] == pytest.approx(np.corrcoef(base[window][both], image[both])[0, 1], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(2, 130), columns=st.integers(2, 130), seed=st.integers(0, 50),
    hidden=st.floats(0, 1), kind=st.sampled_from(["same", "constant", "empty", "spikes"]),
)  # fmt: skip
def test_no_image_breaks_it(rows, columns, seed, hidden, kind):
    random = np.random.default_rng(seed)
    reference = on_grid(textured((rows, columns), seed), 10)
    scene = {
        "same": reference, "constant": reference * 0 + 1, "empty": reference * np.nan,
        "spikes": reference + 1e9 * (on_grid(random.random((rows, columns)), 10) > 0.98),
    }[kind]  # fmt: skip
    valid = on_grid(random.random((rows, columns)) > hidden, 10)
    shift = coregistration.measure_shift(scene, reference, valid=valid)
    assert shift.tiles == 0 or abs(shift.x_m) <= 80
    if kind == "same" and shift.tiles >= 3:
        assert shift.length_m < 0.5


def test_grids_that_differ():
    image = on_grid(textured((60, 60)), 10)
    with pytest.raises(InputError, match="not on one grid"):
        coregistration.measure_shift(image, image.assign_coords(x=image.x + 10))
    with pytest.raises(InputError, match="not on one grid"):
        coregistration.measure_shift(image, image[:-1])
    with pytest.raises(InputError, match="north must be up"):
        coregistration.measure_shift(image[::-1], image)
    with pytest.raises(InputError, match="no grid"):
        coregistration.measure_shift(image.drop_vars("x"), image)
    with pytest.raises(InputError, match="at least one must be in both"):
        coregistration.check_scene_position(image.to_dataset(name="red"), image.to_dataset(name="nir"))


def test_a_scene_is_moved_back(momotombo):
    reference, scene = moved_pair(momotombo["L1TP"][4].values.astype(float), 3, 2, -4)
    quality = xr.where(scene > scene.median(), 9, 4).astype("uint16")
    stored = xr.Dataset({"red": scene.round().astype("uint16"), "quality": quality})
    stored["red"][30:32, 40:42] = 0
    shift = coregistration.measure_shift(scene, reference)
    moved = coregistration.move_back(stored, shift, nodata={"red": 0, "quality": 0}, classes=["quality"])
    assert moved["red"].dtype == np.uint16
    again = coregistration.measure_shift(moved["red"].where(moved["red"] > 0).astype(float), reference)
    assert again.length_m / 30 < 0.03
    inside, held = np.s_[5:-5, 5:-5], moved["red"].values[5:-5, 5:-5] > 0
    before = np.abs(scene.values[inside] - reference.values[inside])[held].mean()
    after = np.abs(moved["red"].values[inside].astype(float) - reference.values[inside])[held].mean()
    assert after < 0.35 * before
    # The hole grew by what interpolation would have mixed in, and classes stay classes.
    assert 4 <= (~held).sum() <= 30
    assert set(np.unique(moved["quality"])) <= {0, 4, 9}
    with pytest.raises(SceneError, match="not known"):
        coregistration.move_back(stored, Shift(np.nan, np.nan, np.nan, 0.0, 0), nodata={"red": 0, "quality": 0})


def test_whole_pixels_are_moved_without_change():
    random = np.random.default_rng(0)
    scene = on_grid(random.integers(1, 3000, (40, 50)).astype("uint16"), 10).to_dataset(name="red")
    # An image 20 m too far east and 10 m too far north goes two columns to the left and a row down.
    moved = coregistration.move_back(scene, Shift(20.0, 10.0, 0.1, 1.0, 9), nodata={"red": 0})
    np.testing.assert_array_equal(moved["red"][1:, :-2], scene["red"][:-1, 2:])
    assert (moved["red"][0] == 0).all()
    assert (moved["red"][:, -2:] == 0).all()
