"""Statistics of the clear dates against xarray's own, a published program's and values worked by hand."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba.errors import InputError
from ceiba.mosaics.reducers import ndvi_of_period, percentile_name, statistics_of_dates

ENCODING = {"nodata": 0, "scale": 1e-4, "offset": 0.0}


def dates(*days: str) -> np.ndarray:
    return np.array(days, "datetime64[ns]")


def as_scenes(shape: tuple[int, int, int], seed: int = 0) -> tuple[xr.Dataset, xr.DataArray]:
    """Random integer scenes, a third of them clouded, a few without data."""
    random = np.random.default_rng(seed)
    time = np.datetime64("2020-01-03") + np.sort(random.integers(0, 360, shape[0])) * np.timedelta64(1, "D")
    coords = {"time": time.astype("datetime64[ns]")}
    bands = {
        name: (("time", "y", "x"), random.integers(0, high, shape).astype(np.uint16), ENCODING)
        for name, high in (("red", 2000), ("nir", 5000))
    }
    clear = xr.DataArray(random.random(shape) > 0.35, dims=("time", "y", "x"), coords=coords)
    return xr.Dataset(bands, coords=coords), clear


def ndvi_of_dates(bands: xr.Dataset, clear: xr.DataArray) -> xr.DataArray:
    """NDVI of each clear date in float32, as a stack that the reducer under test never holds."""
    red, nir = (bands[name].astype(np.float32) * np.float32(1e-4) for name in ("red", "nir"))
    with np.errstate(invalid="ignore"):
        return ((nir - red) / (nir + red)).where(clear & (bands.red != 0) & (bands.nir != 0))


def test_equals_xarray():
    bands, clear = as_scenes((25, 40, 37))
    found = ndvi_of_period(bands, clear, percentiles=(10, 50, 90), min_observations=3)
    stack = ndvi_of_dates(bands, clear)
    stack = stack.where(stack.notnull().sum("time") >= 3)
    count = clear & (bands.red != 0) & (bands.nir != 0)
    np.testing.assert_array_equal(found["min"], stack.min("time"))
    np.testing.assert_array_equal(found["max"], stack.max("time"))
    np.testing.assert_array_equal(found["p50"], stack.median("time"))
    np.testing.assert_array_equal(found["count"], count.sum("time"))
    np.testing.assert_allclose(found["mean"], stack.mean("time", dtype=np.float64), atol=1e-7)
    for percentile in (10, 90):
        expected = stack.quantile(percentile / 100, "time")
        np.testing.assert_allclose(found[percentile_name(percentile)], expected, atol=1e-7)
    seen = stack.notnull().any("time")
    peak = bands.time.dt.dayofyear[stack.fillna(-9).argmax("time")].where(seen, 0)
    np.testing.assert_array_equal(found["peak_day"], peak)
    assert found["peak_day"].dtype == found["count"].dtype == np.uint16
    assert (found["peak_day"].attrs["units"], found["peak_day"].attrs["nodata"]) == ("d", 0)


def test_worked_pixel():
    # NDVI 0.5, 0.6, -, 0.2, 0.6 of red 0.1 or 0.2; the third date is not clear
    red = np.array([1000, 1000, 1000, 2000, 1000], np.uint16)[:, None, None]
    nir = np.array([3000, 4000, 9000, 3000, 4000], np.uint16)[:, None, None]
    time = dates("2020-02-01", "2020-12-31", "2020-06-01", "2020-07-01", "2020-03-01")
    bands = xr.Dataset(
        {"red": (("time", "y", "x"), red, ENCODING), "nir": (("time", "y", "x"), nir, ENCODING)}, coords={"time": time}
    )
    clear = xr.DataArray(np.array([1, 1, 0, 1, 1], bool)[:, None, None], dims=("time", "y", "x"))
    found = ndvi_of_period(bands, clear)
    expected = {"min": 0.2, "max": 0.6, "mean": 0.475, "p10": 0.2 + 0.3 * 0.3, "p50": 0.55, "p90": 0.6, "count": 4}
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, abs=1e-7), name
    assert found["peak_day"].item() == 61  # 1 March of a leap year: the first of the two equal peaks in time
    few = ndvi_of_period(bands, clear, min_observations=5)
    assert (few["peak_day"].item(), few["count"].item()) == (0, 4)
    assert all(np.isnan(few[name].item()) for name in ("min", "max", "mean", "p10", "p50", "p90"))


def test_a_negative_reflectance_is_no_observation():
    scale = {"nodata": 0, "scale": 2.75e-5, "offset": -0.2}
    red = np.array([7200, 8000, 9000], np.uint16)[:, None, None]  # -0.002, 0.02, 0.0475
    nir = np.array([9000, 7000, 12000], np.uint16)[:, None, None]  # 0.0475, -0.0075, 0.13
    bands = xr.Dataset(
        {"red": (("time", "y", "x"), red, scale), "nir": (("time", "y", "x"), nir, scale)},
        coords={"time": dates("2020-01-01", "2020-02-01", "2020-03-01")},
    )
    found = ndvi_of_period(bands, xr.ones_like(bands.red, dtype=bool))
    assert found["count"].item() == 1
    assert found["min"].item() == found["max"].item() == pytest.approx(0.0825 / 0.1775, abs=1e-6)


def test_chunks_and_neighbours_never_change_a_bit():
    bands, clear = as_scenes((23, 45, 52), seed=3)
    whole = ndvi_of_period(bands, clear)
    lazy = ndvi_of_period(bands.chunk(time=4, y=13, x=17), clear)
    assert all(lazy[name].chunks for name in lazy.data_vars)
    xr.testing.assert_identical(lazy.compute(), whole)
    window = {"y": slice(7, 21), "x": slice(11, 12)}
    xr.testing.assert_identical(ndvi_of_period(bands.isel(window), clear.isel(window)), whole.isel(window))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=1, max_size=40), st.floats(0, 100))
def test_any_series_equals_numpy(series, percentile):
    time = np.datetime64("2019-01-01", "ns") + np.arange(len(series)) * np.timedelta64(9, "D")
    values = xr.DataArray(np.array(series, np.float32)[:, None, None], dims=("time", "y", "x"), coords={"time": time})
    found = statistics_of_dates(values, percentiles=[percentile])
    known = np.array(series, np.float64)[np.isfinite(series)]
    assert found["count"].item() == len(known)
    name = percentile_name(percentile)
    if len(known) == 0:
        assert np.isnan(found[name].item())
    else:
        assert found[name].item() == pytest.approx(np.percentile(known, percentile), rel=1e-6, abs=1e-6)
        assert found["mean"].item() == pytest.approx(known.mean(), rel=1e-6, abs=1e-6)
        assert (found["min"].item(), found["max"].item()) == (known.min(), known.max())


def test_published_statistics_of_two_scenes(sample_folder):
    rioxarray = pytest.importorskip("rioxarray")
    folder = sample_folder / "eo" / "stack_statistics_reference_colombia"
    times = {"020601": "2002-06-01", "020823": "2002-08-23"}
    scenes = []
    for name in times:
        path = folder / f"Landsat_8_53_{name}_7ETM_Reflec_SR_Enmask.tif"
        with rioxarray.open_rasterio(path, masked=True) as scene:
            scenes.append(scene.isel(band=0, drop=True).load())
    values = xr.concat(scenes, "time", join="outer").sortby("y", ascending=False)
    values = values.assign_coords(time=dates(*times.values()))
    found = statistics_of_dates(values, percentiles=(38, 50))
    expected = {"min": "min", "max": "max", "mean": "mean", "median": "p50", "percentile_38": "p38"}
    for program, ours in expected.items():
        with rioxarray.open_rasterio(folder / f"stack_composed_{program}_band1.tif") as raster:
            published = raster.isel(band=0).values.astype(float)
        published[published == -2147483648] = np.nan
        np.testing.assert_allclose(found[ours], published, rtol=1e-6, err_msg=program)
    with rioxarray.open_rasterio(folder / "stack_composed_valid_pixels_band1.tif") as raster:
        np.testing.assert_array_equal(found["count"], raster.isel(band=0))


def test_refuses_what_makes_no_statistics():
    bands, clear = as_scenes((3, 2, 2))
    with pytest.raises(InputError, match="NDVI needs red and nir; missing: nir"):
        ndvi_of_period(bands[["red"]], clear)
    with pytest.raises(InputError, match=r"percentiles are \[101\]"):
        ndvi_of_period(bands, clear, percentiles=[101])
    with pytest.raises(InputError, match="time as datetime64"):
        ndvi_of_period(bands.assign_coords(time=[1, 2, 3]), clear.assign_coords(time=[1, 2, 3]))
    with pytest.raises(InputError, match="values are uint16"):
        statistics_of_dates(bands.red)
