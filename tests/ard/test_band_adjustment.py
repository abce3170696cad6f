"""Lines between sensors: values of the published tables, and what has none."""

import numpy as np
import pytest
import xarray as xr

from ceiba.ard.band_adjustment import adjust_bands, load_lines, oli_lines
from ceiba.errors import SceneError


def scene(**bands) -> xr.Dataset:
    return xr.Dataset({name: ("x", np.array([value, np.nan], "float32")) for name, value in bands.items()})


def test_sentinel_2a_to_landsat_8_by_hand():
    # HLS: blue 0.9778 * 0.05 - 0.004, red 0.9765 * 0.1 + 0.0009, NIR by band 8A 0.9983 * 0.3 - 0.0001.
    result = adjust_bands(scene(blue=0.05, red=0.1, nir_narrow=0.3), sensor="sentinel_2a", to="landsat_8")
    assert list(result.data_vars) == ["blue", "red", "nir"]
    np.testing.assert_allclose([result[band][0] for band in result], [0.04489, 0.09855, 0.29939], atol=1e-7)
    assert np.isnan(result["nir"][1])
    assert result["nir"].dtype == np.float32
    assert result.attrs["bands_of"] == "landsat_8"


def test_landsat_7_to_landsat_8_by_hand():
    # Roy et al. 2016, reduced major axis: 0.9542 * 0.1 - 0.0016, 1.0073 * 0.3 - 0.0021.
    result = adjust_bands(scene(green=0.1, nir=0.3), sensor="landsat_7", to="landsat_9")
    np.testing.assert_allclose([result["green"][0], result["nir"][0]], [0.09382, 0.30009], atol=1e-7)


@pytest.mark.parametrize(
    ("sensor", "to", "nir"), [("landsat_7", "sentinel_2b", "nir"), ("sentinel_2b", "landsat_7", "nir_narrow")]
)
def test_there_and_back_again(sensor, to, nir):
    original = scene(blue=0.05, swir_2=0.2, **{nir: 0.3})
    back = adjust_bands(adjust_bands(original, sensor=sensor, to=to), sensor=to, to=sensor)
    xr.testing.assert_allclose(back, original, atol=1e-6)


def test_the_same_instrument_stays_as_it_is():
    original = scene(red=0.1)
    xr.testing.assert_equal(adjust_bands(original, sensor="landsat_9", to="landsat_8"), original)
    assert "bands_of" not in original.attrs


def test_lines_of_stacks_are_the_published_ones():
    # Roy et al. 2016, table 2, reduced major axis; Landsat 5 has no line of its own, Landsat 8 and 9 need none.
    lines = oli_lines(["landsat_8_l2_c2", "landsat_7_l2_c2", "landsat_5_l2_c1", "landsat_9_l2_c2"], ["blue", "swir_2"])
    published = {"blue": (0.9785, -0.0095), "swir_2": (0.9949, 0.0029)}
    assert lines == {"landsat_7_l2_c2": published, "landsat_5_l2_c1": published}
    by_formula = adjust_bands(scene(blue=0.1), sensor="landsat_7", to="landsat_8")["blue"][0]
    assert by_formula == pytest.approx(0.9785 * 0.1 - 0.0095, abs=1e-7)


def test_stacks_of_what_has_no_line_are_refused():
    with pytest.raises(SceneError, match="no band adjustment from rapideye.*landsat_5.*landsat_7"):
        oli_lines(["rapideye_l3a"], ["red"])
    with pytest.raises(SceneError, match="nir_narrow of sentinel_2_l2a is nir of OLI"):
        oli_lines(["sentinel_2_l2a"], ["nir_narrow"])


def test_stays_lazy():
    result = adjust_bands(scene(red=0.1).chunk({"x": 1}), sensor="landsat_7", to="landsat_8")
    assert result["red"].chunks is not None


@pytest.mark.parametrize(
    ("bands", "sensor", "to", "message"),
    [
        ({"red": 0.1}, "landsat_5", "landsat_8", "from 'landsat_5' to 'landsat_8'; there are lines between landsat_8"),
        ({"red": 0.1}, "landsat_8", "sentinel_2c", "to 'sentinel_2c'"),
        ({"nir": 0.3}, "sentinel_2a", "landsat_8", "band 'nir' has no published line of sentinel_2a"),
        ({"red_edge_1": 0.3}, "sentinel_2b", "sentinel_2a", "'red_edge_1' has no"),
    ],
)
def test_refuses_what_has_no_published_line(bands, sensor, to, message):
    with pytest.raises(SceneError, match=message):
        adjust_bands(scene(**bands), sensor=sensor, to=to)


def test_the_table_has_six_bands_a_sensor():
    assert load_lines().groupby("sensor").size().to_dict() == {"landsat_7": 6, "sentinel_2a": 6, "sentinel_2b": 6}
