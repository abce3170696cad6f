"""Clouds of level 1C: s2cloudless on our names, blocks, no data, and the planted clouds of simulated scenes."""

import cv2
import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from s2cloudless import S2PixelCloudDetector

from ceiba.ard import cloud_detection as detection
from ceiba.errors import InputError


def random_toa(shape=(40, 50), seed=0):
    """Reflectance that is cloud in places: bright, and cirrus in the north."""
    random = np.random.default_rng(seed)
    bright = np.clip(np.cumsum(random.normal(0, 0.05, shape), axis=1) + 0.3, 0.02, 0.9)
    bands = {name: bright * random.uniform(0.7, 1.1, shape) for name in detection.MODEL_BANDS}
    bands["cirrus"] = bright * 0.02
    return xr.Dataset({name: (("y", "x"), values.astype("float32")) for name, values in bands.items()})


def test_probability_is_that_of_the_package():
    toa = random_toa()
    ours = detection.cloud_probability(toa)
    # The order of the package's documentation: B01 B02 B04 B05 B08 B8A B09 B10 B11 B12.
    stack = np.stack([toa[name].values for name in (
        "coastal_aerosol", "blue", "red", "red_edge_1", "nir", "nir_narrow", "water_vapor", "cirrus", "swir_1", "swir_2",
    )], axis=-1)  # fmt: skip
    theirs = S2PixelCloudDetector(all_bands=False).get_cloud_probability_maps(stack[None])[0]
    np.testing.assert_array_equal(ours.values, theirs)
    assert 0.05 < (theirs > 0.4).mean() < 0.95


def test_mask_is_that_of_the_package_away_from_the_edge():
    random = np.random.default_rng(4)
    probability = cv2.GaussianBlur(random.random((90, 80)).astype("float32"), (0, 0), 3)
    probability = (probability - probability.min()) / (probability.max() - probability.min())
    # At radius 3 the package's disk, drawn by OpenCV, is ours; at others it has a corner more or less.
    np.testing.assert_array_equal(cv2.circle(np.zeros((7, 7), np.uint8), (3, 3), 3, 1, -1), detection.disk_of(3))
    package = S2PixelCloudDetector(threshold=0.5, average_over=3, dilation_size=3, all_bands=False)
    theirs = package.get_mask_from_prob(probability[None])[0].astype(bool)
    ours = detection.mask_clouds(
        xr.DataArray(probability, dims=("y", "x")), resolution_m=60, threshold=0.5, averaging_m=180, dilation_m=180
    )
    inside = np.s_[6:-6, 6:-6]
    assert 0.1 < theirs[inside].mean() < 0.95
    assert (ours.values[inside] == theirs[inside]).mean() == 1


def test_no_data_is_no_cloud_and_counts_in_no_average():
    toa = random_toa()
    toa["cirrus"][10:20, 5:9] = np.nan
    probability = detection.cloud_probability(toa)
    assert np.isnan(probability[10:20, 5:9]).all()
    assert np.isfinite(probability).sum() == 40 * 50 - 40
    values = np.array([[0.9, np.nan, 0.1]])
    # Left pixel: only itself within 1 px; the hole does not pull it to 0.
    np.testing.assert_allclose(detection.average_over_disk(values, 1), [[0.9, np.nan, 0.1]])
    np.testing.assert_allclose(detection.average_over_disk(values, 2), [[0.5, np.nan, 0.5]])
    assert not detection.mask_clouds(xr.full_like(probability, np.nan), resolution_m=10).any()


def test_widen_by_hand():
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    assert detection.widen(mask, 1).sum() == 5
    assert detection.widen(mask, 1.5).sum() == 9
    assert detection.widen(mask, 0.9).sum() == 1


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 40), columns=st.integers(1, 40), chunk=st.integers(3, 20), seed=st.integers(0, 99),
    averaging=st.integers(0, 60), dilation=st.integers(0, 60),
)  # fmt: skip
def test_blocks_give_the_whole_image(rows, columns, chunk, seed, averaging, dilation):
    random = np.random.default_rng(seed)
    values = random.random((2, rows, columns)).astype("float32")
    values[random.random(values.shape) < 0.1] = np.nan
    whole = xr.DataArray(values, dims=("time", "y", "x"))
    options = {"resolution_m": 10, "threshold": 0.5, "averaging_m": averaging, "dilation_m": dilation}
    blocks = detection.mask_clouds(whole.chunk(time=1, y=chunk, x=chunk), **options)
    assert isinstance(blocks.data, dask.array.Array)
    np.testing.assert_array_equal(blocks.values, detection.mask_clouds(whole, **options).values)


def test_lazy_in_lazy_out():
    toa = random_toa()
    lazy = detection.cloud_probability(toa.chunk(y=16, x=32))
    assert isinstance(lazy.data, dask.array.Array)
    np.testing.assert_array_equal(lazy.values, detection.cloud_probability(toa).values)
    sun = {"resolution_m": 10, "sun_zenith_deg": 40, "sun_azimuth_deg": 130, "max_height_m": 150}
    cloud = lazy > 0.4
    shadow = detection.shadow_mask(cloud, toa["nir"].chunk(y=16, x=32), dark_nir=0.6, **sun)
    assert isinstance(shadow.data, dask.array.Array)
    np.testing.assert_array_equal(shadow.values, detection.shadow_mask(cloud.compute(), toa["nir"], dark_nir=0.6, **sun).values)
    assert shadow.any()


def test_shadow_by_hand():
    # Sun in the east at 45 degrees, clouds up to 30 m: up to 3 pixels of 10 m to the west, on dark ground.
    cloud, nir = np.zeros((3, 7), bool), np.full((3, 7), 0.1)
    cloud[1, 5] = True
    nir[1, 3] = 0.3
    shadow = detection.shadow_mask(
        xr.DataArray(cloud, dims=("y", "x")), xr.DataArray(nir, dims=("y", "x")), resolution_m=10,
        sun_zenith_deg=45, sun_azimuth_deg=90, max_height_m=30,
    )  # fmt: skip
    assert [tuple(place) for place in np.argwhere(shadow.values)] == [(1, 2), (1, 4)]


def test_errors_say_what_to_do():
    toa = random_toa((4, 4))
    with pytest.raises(InputError, match="no band cirrus; s2cloudless needs coastal_aerosol.*level 1C"):
        detection.cloud_probability(toa.drop_vars("cirrus"))
    with pytest.raises(InputError, match="scale them to reflectance"):
        detection.cloud_probability((toa * 10_000).astype("uint16"))
    with pytest.raises(InputError, match="look like counts"):
        detection.cloud_probability(toa * 10_000)
    probability = detection.cloud_probability(toa)
    for wrong in ({"resolution_m": 0}, {"resolution_m": 10, "threshold": 40}, {"resolution_m": 10, "dilation_m": -1}):
        with pytest.raises(InputError, match="give a pixel size"):
            detection.mask_clouds(probability, **wrong)
    with pytest.raises(InputError, match="0 to 85"):
        detection.shadow_mask(probability > 0.4, toa["nir"], resolution_m=10, sun_zenith_deg=88, sun_azimuth_deg=0)
