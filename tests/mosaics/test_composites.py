"""Clear reflectance, the median NDVI of the dates and the CWBG composite."""

import numpy as np
import pytest
import xarray as xr

from ceiba.errors import InputError
from ceiba.mosaics.composites import clear_reflectance, cwbg, ndvi_median, open_water_bands
from ceiba.mosaics.water import annual_water

ROMANIA = "eo/s2_l2a_timeseries_romania"
# Published in the README of the sample: median NDVI of the dates, mean over the area.
YEARLY_NDVI = {2016: 0.7999, 2017: 0.8443, 2018: 0.7712, 2019: 0.7853, 2020: 0.7487}
SHARE_BELOW_06 = {2016: 0.025, 2017: 0.045, 2018: 0.029, 2019: 0.035, 2020: 0.083}


@pytest.mark.parametrize("year", YEARLY_NDVI)
def test_yearly_ndvi_of_the_sample(sample_folder, year):
    with xr.open_dataset(sample_folder / ROMANIA / "s2_l2a_romania_10m.nc", mask_and_scale=False) as cube:
        scenes = cube.sel(time=str(year)).load()
    bands = scenes[["B4", "B8"]].rename(B4="red", B8="nir")
    for band in bands.data_vars.values():
        band.attrs = {"nodata": 0, "scale": 1e-4, "offset": 0.0}
    median = ndvi_median(clear_reflectance(bands, scenes.SCL.isin([4, 5, 6, 7])))
    assert float(median.mean()) == pytest.approx(YEARLY_NDVI[year], abs=5e-4)
    assert float((median < 0.6).mean()) == pytest.approx(SHARE_BELOW_06[year], abs=1e-3)
    assert median.dtype == np.float32


def as_band(values: list[int], **attrs) -> xr.DataArray:
    return xr.DataArray(np.array(values, np.uint16)[:, None, None], dims=("time", "y", "x"), attrs=attrs)


def test_reflectance_is_scaled_and_masked():
    band = as_band([0, 1000, 7273], nodata=0, scale=0.0000275, offset=-0.2)
    clear = xr.DataArray(np.array([True, False, True])[:, None, None], dims=("time", "y", "x"))
    result = clear_reflectance(xr.Dataset({"red": band}), clear).red
    assert np.isnan(result[:2]).all()
    assert result[2].item() == pytest.approx(7273 * 0.0000275 - 0.2, abs=1e-7)
    assert result.dtype == np.float32


def test_reflectance_needs_to_know_the_scale():
    clear = xr.DataArray(np.ones((1, 1, 1), bool), dims=("time", "y", "x"))
    with pytest.raises(InputError, match="'red' lacks the attributes scale, offset"):
        clear_reflectance(xr.Dataset({"red": as_band([1], nodata=0)}), clear)


def test_median_of_too_few_dates_is_no_data_without_a_warning(recwarn):
    red = xr.DataArray([[[0.1, 0.1]], [[np.nan, 0.1]]], dims=("time", "y", "x"))
    nir = xr.DataArray([[[0.3, 0.3]], [[0.3, 0.5]]], dims=("time", "y", "x"))
    median = ndvi_median(xr.Dataset({"red": red, "nir": nir}), min_observations=2)
    assert np.isnan(median.values[0, 0])
    assert median.values[0, 1] == pytest.approx((0.5 + 2 / 3) / 2)
    assert np.isnan(ndvi_median(xr.Dataset({"red": red * np.nan, "nir": nir})).values).all()
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_cwbg_holds_three_indices():
    pixel = {"green": 0.08, "red": 0.10, "nir": 0.30, "swir_1": 0.20}
    bands = xr.Dataset({name: (("y", "x"), [[value]]) for name, value in pixel.items()})
    result = cwbg(bands)
    assert list(result.data_vars) == ["ndwi", "ndbi", "ndvi"]
    assert [result[name].item() for name in result] == pytest.approx([-0.22 / 0.38, -0.2, 0.5])


@pytest.mark.parametrize(("with_landsat", "method"), [(True, "wofs"), (False, "ndwi")])
def test_water_is_found_in_landsat_where_there_is_any(monkeypatch, with_landsat, method):
    asked = {}

    class Task:
        def has(self, name: str) -> bool:
            assert name == "landsat_scenes"
            return with_landsat

    def open_clear(task, *, measurements, resolution_m, sensor):
        asked.update(resolution_m=resolution_m, sensor=sensor)
        band = as_band([300, 0], nodata=0, scale=1e-4, offset=0.0)
        return xr.Dataset(dict.fromkeys(measurements, band)), band > 0

    monkeypatch.setattr("ceiba.ard.open_clear", open_clear)
    bands = open_water_bands(Task())
    assert asked["sensor"] == bands.attrs["sensor"]
    assert (asked["resolution_m"] == 30) == with_landsat
    water = annual_water(bands)
    assert water.attrs["method"] == method
    assert water.clear_count.item() == 1
