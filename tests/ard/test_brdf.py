"""BRDF kernels against values worked by hand and printed by another program, and the c-factor."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ceiba.ard.brdf import adjust_brdf, kernels, load_kernel_weights, usual_sun_zenith_deg
from ceiba.errors import SceneError

ROOT_2 = 2**0.5


@pytest.mark.parametrize(
    ("sun", "view", "azimuth", "ross", "li"),
    [
        (0, 0, 0, 0, 0),  # zero by construction
        (45, 45, 0, np.pi / 2 / ROOT_2 - np.pi / 4, 2 - ROOT_2),  # hot spot: no phase angle, no shadow seen
        (45, 0, 0, -0.0458621, -1.1068192),  # the values of the BRDF product of MODIS for nadir and sun at 45 degrees
    ],
)
def test_kernels_by_hand(sun, view, azimuth, ross, li):
    assert kernels(sun, view, azimuth) == pytest.approx((ross, li), abs=1e-6)


def test_light_from_behind_is_stronger_than_against_it():
    back, forward = (sum(kernels(40, 10, azimuth)) for azimuth in (0, 180))
    assert back > forward


@given(st.floats(0, 70), st.floats(0, 70), st.floats(-360, 360))
def test_kernels_are_reciprocal_and_even(sun, view, azimuth):
    np.testing.assert_allclose(kernels(sun, view, azimuth), kernels(view, sun, azimuth), atol=1e-6)
    np.testing.assert_allclose(kernels(sun, view, azimuth), kernels(sun, view, -azimuth), atol=1e-6)


def scene() -> xr.Dataset:
    return xr.Dataset({"red": (("y", "x"), [[0.1, np.nan]]), "nir": (("y", "x"), [[0.3, 0.4]])}).astype("float32")


def test_c_factor_by_hand():
    # Red at the hot spot of 45 degrees: 0.1690 + 0.0574 * 0.3253228 + 0.0227 * 0.5857864 = 0.2009709, from nadir
    # 0.1690 - 0.0574 * 0.0458621 - 0.0227 * 1.1068192 = 0.1412427: 0.1 becomes 0.0702802.
    result = adjust_brdf(scene(), sun_zenith_deg=45, view_zenith_deg=45, relative_azimuth_deg=0)
    assert float(result["red"][0, 0]) == pytest.approx(0.0702802, abs=1e-6)
    assert np.isnan(result["red"][0, 1])
    assert result["red"].dtype == np.float32
    assert result.attrs["brdf_method"] == "c-factor"


def test_nadir_stays_as_it_is_and_a_fixed_sun_does_not():
    angles = {"sun_zenith_deg": 30.0, "view_zenith_deg": 0.0, "relative_azimuth_deg": 77.0}
    xr.testing.assert_equal(adjust_brdf(scene(), **angles), scene())
    fixed = adjust_brdf(scene(), **angles, normal_sun_zenith_deg=45)
    assert float(fixed["nir"][0, 0]) < 0.3  # a lower sun casts more shadow
    assert "45.0 degrees" in fixed.attrs["brdf_sun"]


def test_angles_by_pixel_and_lazy():
    view = xr.DataArray([[0.0, 7.0]], dims=("y", "x"))
    lazy = adjust_brdf(scene().chunk({"x": 1}), sun_zenith_deg=30, view_zenith_deg=view, relative_azimuth_deg=90)
    assert lazy["nir"].chunks is not None
    assert float(lazy["nir"][0, 0]) == pytest.approx(0.3)
    assert float(lazy["nir"][0, 1]) != pytest.approx(0.4)


def test_overlapping_paths_come_together():
    # Truth with another BRDF than the fixed one (30 % more of both kernels): the difference between the edges of two
    # paths of Landsat shrinks, though not to nothing.
    weights = load_kernel_weights().loc["nir"]
    iso, vol, geo = weights["isotropic"], 1.3 * weights["volumetric"], 1.3 * weights["geometric"]
    seen, adjusted = [], []
    for azimuth in (0, 180):
        ross, li = kernels(40.0, 7.5, azimuth)
        value = xr.Dataset({"nir": ("x", [iso + vol * ross + geo * li])})
        seen.append(value["nir"].item())
        done = adjust_brdf(value, sun_zenith_deg=40, view_zenith_deg=7.5, relative_azimuth_deg=azimuth)
        adjusted.append(done["nir"].item())
    assert abs(adjusted[0] - adjusted[1]) < 0.4 * abs(seen[0] - seen[1])


def test_weights_are_those_of_the_paper():
    weights = load_kernel_weights()
    assert tuple(weights.loc["red", ["isotropic", "volumetric", "geometric"]]) == (0.1690, 0.0574, 0.0227)
    assert tuple(weights.loc["swir_2", ["isotropic", "volumetric", "geometric"]]) == (0.2658, 0.0639, 0.0387)


def test_usual_sun_by_hand():
    assert usual_sun_zenith_deg(0) == 31.0076
    # 31.0076 - 2.544 + 4.748 + 0.192 - 0.15168 - 0.00624 + 0.003936
    assert usual_sun_zenith_deg(20) == pytest.approx(33.249616)


def test_refuses_what_it_does_not_know():
    angles = {"sun_zenith_deg": 30, "view_zenith_deg": 5, "relative_azimuth_deg": 0}
    with pytest.raises(SceneError, match="no BRDF of bands thermal"):
        adjust_brdf(xr.Dataset({"thermal": ("x", [1.0])}), **angles)
    with pytest.raises(SceneError, match="view zenith 95"):
        adjust_brdf(scene(), **angles | {"view_zenith_deg": 95})
    with pytest.raises(SceneError, match="latitude 70"):
        usual_sun_zenith_deg(70)
