"""Dark object subtraction and COST by hand, and what the correction refuses."""

import datetime

import numpy as np
import pytest
import xarray as xr

from ceiba.ard.atmosphere import correct_atmosphere, dark_object, haze_reflectance
from ceiba.errors import SceneError

SCENE = {"sensor": "landsat_8_l1_c2", "sun_elevation_deg": 30.0, "time": datetime.datetime(2015, 12, 5, 16)}


def scene(**bands) -> xr.Dataset:
    return xr.Dataset({name: (("y", "x"), np.atleast_2d(np.asarray(values, "float32"))) for name, values in bands.items()})


def test_dark_object_subtraction_by_hand():
    # Haze is 0.11 - 0.01 = 0.10 in blue and nothing in swir_1, whose darkest pixel is below 1 %.
    result = correct_atmosphere(scene(blue=[0.11, 0.15, np.nan], swir_1=[0.005, 0.2, 0.3]), method="dos", **SCENE)
    np.testing.assert_allclose(result["blue"], [[0.01, 0.05, np.nan]], atol=1e-7)
    np.testing.assert_allclose(result["swir_1"], [[0.005, 0.2, 0.3]])
    assert result["blue"].dtype == np.float32
    assert result["blue"].attrs["units"] == "1"
    assert result.attrs["atmosphere_method"] == "dos"
    assert np.isnan(result.attrs["aot_550"])
    assert "blue 0.1000" in result.attrs["atmosphere_assumptions"]


def test_cost_by_hand():
    # sin(30) = 0.5: haze is 0.11 - 0.005 = 0.105 and (0.205 - 0.105) / 0.5 = 0.2; swir_1 is as by DOS.
    result = correct_atmosphere(scene(blue=[0.11, 0.205], swir_1=[0.03, 0.2]), method="cost", **SCENE)
    np.testing.assert_allclose(result["blue"], [[0.01, 0.2]], atol=1e-7)
    np.testing.assert_allclose(result["swir_1"], [[0.01, 0.18]], atol=1e-7)


def test_the_dark_object_is_no_lone_pixel():
    values = np.linspace(0.05, 0.3, 30_000)
    values[0] = 0.0
    assert dark_object(values) == values[2]  # the third of 30 000: 0.01 %
    assert np.isnan(dark_object(np.full(4, np.nan)))
    assert haze_reflectance(0.004, transmittance=1.0) == 0.0


def test_the_input_stays_and_lazy_stays_lazy():
    toa = scene(blue=np.linspace(0.1, 0.3, 12).reshape(3, 4))
    before = toa.copy(deep=True)
    eager = correct_atmosphere(toa, method="dos", **SCENE)
    xr.testing.assert_identical(toa, before)
    lazy = correct_atmosphere(toa.chunk({"x": 2}), method="dos", **SCENE)
    assert lazy["blue"].chunks is not None
    xr.testing.assert_identical(lazy.compute(), eager)


@pytest.mark.parametrize(
    ("toa", "changes", "message"),
    [
        (scene(blue=[0.1]), {"method": "lasrc"}, "there are auto, 6s, cost, dos"),
        (scene(blue=[0.1]), {"sun_elevation_deg": 0.0}, "sun is 0.0 degrees"),
        (scene(blue=[np.nan]), {"method": "dos"}, "band blue has no valid pixel"),
        (scene(quality=[1]), {}, "quality cannot be corrected"),
        (xr.Dataset(), {}, r"\(none\) cannot"),
        (xr.Dataset({"blue": ("time", [0.1])}), {}, "needs y and x"),
        (scene(blue=[0.1]), {"method": "6s", "sensor": "rapideye"}, "no table of the atmosphere for sensor 'rapideye'"),
        (
            scene(blue=[0.1]).assign_coords(x=[5]),
            {"elevation_m": xr.DataArray([[3.0]], dims=("y", "x"), coords={"x": [6]})},
            "not on the grid",
        ),
    ],
)
def test_refuses_what_it_cannot_correct(toa, changes, message):
    with pytest.raises(SceneError, match=message):
        correct_atmosphere(toa, **SCENE | changes)
