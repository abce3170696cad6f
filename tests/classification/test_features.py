"""Features: one function for samples and maps, independent of the number of layers."""

import datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba.classification.features.seasons import (
    annual_features,
    interpolate_series,
    make_map_features,
    season_bounds,
)
from ceiba.errors import InputError


def wave(day):
    """A season of the year that is smooth and known at any day."""
    return 0.5 + 0.3 * np.sin(2 * np.pi * day / 365.25)


def series(dates, missing=()):
    dates = pd.to_datetime(dates)
    days = (dates - pd.Timestamp("2009-09-01")).days.to_numpy()
    values = np.broadcast_to(wave(days)[:, None, None], (len(days), 2, 3)).copy()
    for index in missing:
        values[index] = np.nan
    return xr.Dataset({"ndvi": (("time", "y", "x"), values)}, coords={"time": dates})


def test_interpolation_equals_numpy_pixel_by_pixel():
    rng = np.random.default_rng(1)
    days = np.sort(rng.choice(365, 23, replace=False)).astype(float)
    values = rng.normal(size=(23, 4, 5))
    values[rng.random(values.shape) < 0.4] = np.nan
    values[:, 0, 0] = np.nan
    wanted = np.linspace(-10, 380, 24)
    found = interpolate_series(values, days, wanted)
    assert np.isnan(found[:, 0, 0]).all()
    for y, x in np.ndindex(4, 5):
        seen = np.isfinite(values[:, y, x])
        if seen.any():
            assert np.allclose(found[:, y, x], np.interp(wanted, days[seen], values[seen, y, x]), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 364), min_size=1, max_size=12, unique=True), st.integers(0, 364))
def test_interpolation_stays_within_the_values(days, wanted):
    days = np.sort(np.array(days, dtype=float))
    values = np.sin(days)[:, None]
    found = interpolate_series(values, days, np.array([float(wanted)]))
    assert values.min() - 1e-12 <= found[0, 0] <= values.max() + 1e-12


def test_a_missing_layer_hardly_changes_a_season():
    """The last season of the Mato Grosso series has 22 layers in place of 23."""
    dates = pd.date_range("2009-09-14", periods=23, freq="16D")
    whole = annual_features(series(dates), 2010, season_start_month=9)
    short = annual_features(series(dates.delete(20)), 2010, season_start_month=9)
    cloudy = annual_features(series(dates, missing=(20,)), 2010, season_start_month=9)
    assert list(whole.data_vars) == [f"ndvi_{part:02d}" for part in range(1, 13)]
    for name in whole.data_vars:
        assert abs(float(short[name][0, 0]) - float(whole[name][0, 0])) < 0.01
        assert np.array_equal(short[name], cloudy[name])


def test_season_parts_are_means_of_their_twelfth():
    dates = pd.date_range("2009-09-01", "2010-08-31", freq="D")
    found = annual_features(series(dates), 2010, season_start_month=9)
    # Hand-worked: days 7.60 and 22.81 are the middle of the first two twenty-fourths.
    assert float(found["ndvi_01"][0, 0]) == pytest.approx((wave(7.604) + wave(22.8125)) / 2, abs=1e-4)
    assert found["ndvi_01"].dtype == "float32"


def test_annual_products_are_used_as_they_are():
    stack = xr.Dataset({"ndvi_ndvi": (("time", "y", "x"), np.arange(8.0).reshape(2, 2, 2))})
    stack = stack.assign_coords(time=pd.to_datetime(["2018-01-01", "2019-01-01"]))
    assert annual_features(stack, 2019)["ndvi_ndvi"].values.tolist() == [[4, 5], [6, 7]]
    flat = annual_features(stack.isel(time=0, drop=True), 2018)
    assert flat["ndvi_ndvi"].dims == ("y", "x")
    with pytest.raises(InputError, match="no date of 2021-01-01"):
        annual_features(stack, 2021)


def test_seasons_and_their_bounds():
    assert season_bounds(2010) == (datetime.date(2010, 1, 1), datetime.date(2011, 1, 1))
    assert season_bounds(2010, 9) == (datetime.date(2009, 9, 1), datetime.date(2010, 9, 1))


def test_dates_must_ascend():
    with pytest.raises(InputError, match="ascend"):
        interpolate_series(np.zeros((2, 1)), np.array([3.0, 3.0]), np.array([1.0]))


def test_a_map_of_several_input_years_is_told_from_their_mean():
    """By hand: 0.2 and 0.4 give 0.3; where one year saw nothing the other counts; no year gives no data."""
    times = np.array(["2016-01-01", "2017-01-01", "2018-01-01"], dtype="datetime64[ns]")
    values = np.array([[9, 9, 9], [0.2, np.nan, np.nan], [0.4, 0.5, np.nan]])
    source = xr.Dataset({"ndvi": (("time", "x"), values)}, {"time": times})
    both = annual_features(source, 2018, years=(2017, 2018))["ndvi"].values
    assert both == pytest.approx([0.3, 0.5, np.nan], nan_ok=True)
    assert annual_features(source, 2018)["ndvi"].values == pytest.approx([0.4, 0.5, np.nan], nan_ok=True)
    assert annual_features(source, 2017, years=range(2014, 2018))["ndvi"].values[0] == pytest.approx((9 + 0.2) / 2)
    of_map = make_map_features(lambda year: (year - 1, year))
    assert of_map(source, 2018)["ndvi"].values == pytest.approx([0.3, 0.5, np.nan], nan_ok=True)
    # A year between that is left out does not count.
    assert annual_features(source, 2018, years=(2016, 2018))["ndvi"].values[0] == pytest.approx((9 + 0.4) / 2)
    with pytest.raises(InputError, match="no date of 2019"):
        annual_features(source.isel(time=[0]), 2019, years=(2018, 2019))
