"""Every spectral index against a value worked by hand."""

import inspect
import re

import numpy as np
import pytest
import xarray as xr

from ceiba.errors import InputError
from ceiba.spectral_indices import SPECTRAL_INDICES, compute_index

# One pixel of half-dry land, in reflectance [1].
REFLECTANCE = {"blue": 0.05, "green": 0.08, "red": 0.10, "nir": 0.30, "swir_1": 0.20, "swir_2": 0.12}

WORKED = {
    "ndvi": 0.20 / 0.40,
    "ndwi": -0.22 / 0.38,
    "ndbi": -0.10 / 0.50,
    "bu": -0.2 - 0.5,
    "mndwi": -0.12 / 0.28,
    "nbr": 0.18 / 0.42,
    "ndmi": 0.10 / 0.50,
    "evi": 2.5 * 0.20 / (0.30 + 0.60 - 0.375 + 1),  # 0.5 / 1.525
    "awei_nsh": -0.885,  # 4 (-0.12) - (0.075 + 0.33); with a product for the sum: -0.505
    "awei_sh": -0.53,  # 0.05 + 0.2 - 0.75 - 0.03
    "bsi": -0.05 / 0.65,
}

# Published example pixels of other kinds: the sign must say what the index is for.
WATER = {"blue": 0.06, "green": 0.07, "red": 0.04, "nir": 0.02, "swir_1": 0.01, "swir_2": 0.008}


def as_pixel(reflectance: dict[str, float]) -> xr.Dataset:
    return xr.Dataset(
        {name: (("y", "x"), np.full((1, 1), value, np.float32)) for name, value in reflectance.items()}
    )


def test_every_index_has_a_worked_value():
    assert WORKED.keys() == SPECTRAL_INDICES.keys()


@pytest.mark.parametrize("name", SPECTRAL_INDICES)
def test_worked_value(name):
    index = compute_index(name, as_pixel(REFLECTANCE))
    assert index.item() == pytest.approx(WORKED[name], abs=1e-6)
    assert (index.name, index.attrs["units"], index.dtype) == (name, "1", np.float32)


@pytest.mark.parametrize("name", ["ndwi", "mndwi", "awei_nsh", "awei_sh"])
def test_water_indices_are_positive_over_water(name):
    assert compute_index(name, as_pixel(WATER)).item() > 0


@pytest.mark.parametrize("name", SPECTRAL_INDICES)
def test_no_data_in_any_band_is_no_data(name):
    for band in SPECTRAL_INDICES[name].bands:
        assert np.isnan(compute_index(name, as_pixel({**REFLECTANCE, band: np.nan})).item())


@pytest.mark.parametrize("name", ["ndvi", "ndwi", "ndbi", "bu", "mndwi", "nbr", "ndmi", "bsi"])
def test_a_zero_denominator_is_no_data_without_a_warning(name, recwarn):
    index = compute_index(name, as_pixel(dict.fromkeys(REFLECTANCE, 0.0)))
    assert np.isnan(index.item())
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_evi_without_denominator_is_no_data():
    assert np.isnan(compute_index("evi", as_pixel({"nir": 0.5, "red": 0.0, "blue": 0.2})).item())


def test_input_is_not_changed():
    pixel = as_pixel(REFLECTANCE)
    before = pixel.copy(deep=True)
    for name in SPECTRAL_INDICES:
        compute_index(name, pixel)
    xr.testing.assert_identical(pixel, before)


def test_every_formula_says_source_and_arguments():
    for index in SPECTRAL_INDICES.values():
        assert re.search(r"\d{4}, .*doi:10\.\d{4,}/\S+", index.reference), index.reference
        assert "Returns" in inspect.getdoc(index.formula)
        assert index.bands == tuple(inspect.signature(index.formula).parameters)


def test_built_up_indices_say_what_looks_the_same():
    for name in ("ndbi", "bu"):
        assert "dry bare soil looks the same" in inspect.getdoc(SPECTRAL_INDICES[name].formula)


def test_unknown_index_or_missing_band_is_named():
    with pytest.raises(InputError, match="no spectral index 'nvdi'"):
        compute_index("nvdi", as_pixel(REFLECTANCE))
    with pytest.raises(InputError, match="nbr needs the bands swir_2; the data have nir"):
        compute_index("nbr", as_pixel({"nir": 0.3}))
