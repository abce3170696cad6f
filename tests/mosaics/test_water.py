"""The annual frequency of water by hand, and its interval against published ones."""

import numpy as np
import pytest
import xarray as xr

from ceiba.errors import InputError
from ceiba.mosaics.water import annual_water, wilson_interval
from ceiba.mosaics.wofs import WOFS_BANDS


def as_series(**counts: list[float]) -> xr.Dataset:
    """One pixel, one value a date, given as counts (reflectance times 10 000)."""
    return xr.Dataset(
        {name: (("time", "y", "x"), np.array(values, float)[:, None, None] / 1e4) for name, values in counts.items()}
    )


def all_clear(bands: xr.Dataset) -> xr.DataArray:
    return xr.ones_like(next(iter(bands.data_vars.values())), dtype=bool)


def test_annual_frequency_by_the_tree():
    water, dry = (300, 500, 300, 200, 100, 80), (300, 500, 100, 500, 100, 80)
    dates = [water, dry, water, tuple([np.nan] * 6), water, water, (*water[:5], np.nan)]
    bands = as_series(**{name: [date[i] for date in dates] for i, name in enumerate(WOFS_BANDS)})
    clear = all_clear(bands)
    clear[5] = False
    result = annual_water(bands, clear)
    assert result.water_frequency.item() == pytest.approx(3 / 4)
    assert (result.water_count.item(), result.clear_count.item()) == (3, 4)
    # Wilson's formula for 3 of 4 by hand: (0.75 + 3.8415 / 8 -+ 1.95996 sqrt(0.1875 / 4 + 3.8415 / 64)) / 1.960375
    assert result.water_low.item() == pytest.approx(0.3006, abs=1e-4)
    assert result.water_high.item() == pytest.approx(0.9544, abs=1e-4)
    assert (result.attrs["method"], result.attrs["missing_bands"]) == ("wofs", "")
    assert result.water_frequency.attrs["units"] == "1"
    assert result.water_count.dtype == result.clear_count.dtype == np.uint16


def test_annual_frequency_without_short_wave_infrared_says_so():
    series = as_series(green=[700, 700, np.nan, 500, 0], nir=[300, 900, 100, 500, 0])
    result = annual_water(series, all_clear(series))
    assert result.water_frequency.item() == pytest.approx(1 / 3)  # NDWI 0.4, -0.125, none, 0, none
    assert result.attrs["method"] == "ndwi"
    assert result.attrs["missing_bands"] == "blue, red, swir_1, swir_2"
    few = annual_water(series, all_clear(series), min_observations=4)
    assert np.isnan([few[name].item() for name in ("water_frequency", "water_low", "water_high")]).all()
    assert (few.water_count.item(), few.clear_count.item()) == (1, 3)


@pytest.mark.parametrize("names", [WOFS_BANDS, ("green", "nir")])
def test_integers_equal_floats_and_chunks_do_not_show(names):
    random = np.random.default_rng(0)
    time = np.datetime64("2020-01-03", "ns") + np.arange(8) * np.timedelta64(16, "D")
    encoding = {"nodata": 0, "scale": 1e-4, "offset": 0.0}
    shape = (8, 30, 41)
    bands = xr.Dataset(
        {name: (("time", "y", "x"), random.integers(0, 900, shape).astype(np.uint16), encoding) for name in names},
        coords={"time": time},
    )
    clear = xr.DataArray(random.random(shape) > 0.3, dims=("time", "y", "x"), coords={"time": time})
    whole = annual_water(bands, clear)
    assert 0.05 < float(whole.water_frequency.mean()) < 0.95
    floats = bands.where(bands != 0) * 1e-4
    xr.testing.assert_allclose(annual_water(floats, clear), whole)
    lazy = annual_water(bands.chunk(time=3, y=11, x=17), clear)
    assert all(lazy[name].chunks for name in lazy.data_vars)
    xr.testing.assert_identical(lazy.compute(), whole)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_interval_equals_the_published_one(successes, trials, low, high):
    found = wilson_interval(xr.DataArray([successes, 0]), xr.DataArray([trials, 0]))
    assert [end.values[0] for end in found] == pytest.approx([low, high], abs=5e-5)
    assert all(np.isnan(end.values[1]) for end in found)


def test_interval_equals_scipy_at_any_confidence():
    from scipy.stats import binomtest

    for confidence in (0.8, 0.99):
        low, high = wilson_interval(xr.DataArray(7), xr.DataArray(9), confidence=confidence)
        expected = binomtest(7, 9).proportion_ci(confidence, method="wilson")
        assert (low.item(), high.item()) == pytest.approx((expected.low, expected.high))
    with pytest.raises(InputError, match="confidence is 95"):
        wilson_interval(xr.DataArray(7), xr.DataArray(9), confidence=95)


def test_refuses_what_cannot_show_water():
    with pytest.raises(InputError, match="at least green and nir"):
        annual_water(as_series(red=[1.0], nir=[1.0]), all_clear(as_series(red=[1.0])))
    empty = as_series(green=[], nir=[])
    with pytest.raises(InputError, match="no observation in this period"):
        annual_water(empty, all_clear(empty))
    series = as_series(green=[1.0], nir=[1.0])
    with pytest.raises(InputError, match="give both on one grid"):
        annual_water(series, all_clear(series).isel(time=[0, 0]))
