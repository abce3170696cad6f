"""Composites by every method: worked by hand, against a slow second way, and a published program's last pixels."""

import numpy as np
import pytest
import xarray as xr

from ceiba.errors import InputError
from ceiba.mosaics.composites import METHODS, SELECTING, composite, cwbg, dated_composite, ndvi_bands, open_water_stack
from ceiba.mosaics.geomedian import geomedian
from ceiba.mosaics.water import annual_water

ROMANIA = "eo/s2_l2a_timeseries_romania"
# Published in the README of the sample: median NDVI of the dates, mean over the area.
YEARLY_NDVI = {2016: 0.7999, 2017: 0.8443, 2018: 0.7712, 2019: 0.7853, 2020: 0.7487}
SHARE_BELOW_06 = {2016: 0.025, 2017: 0.045, 2018: 0.029, 2019: 0.035, 2020: 0.083}
ENCODING = {"nodata": 0, "scale": 1e-4, "offset": 0.0}
NAMES = ("blue", "green", "red", "nir", "swir_1", "swir_2")


@pytest.mark.parametrize("year", YEARLY_NDVI)
def test_yearly_ndvi_of_the_sample(sample_folder, year):
    with xr.open_dataset(sample_folder / ROMANIA / "s2_l2a_romania_10m.nc", mask_and_scale=False) as cube:
        scenes = cube.sel(time=str(year)).load()
    bands = scenes[["B4", "B8"]].rename(B4="red", B8="nir")
    for band in bands.data_vars.values():
        band.attrs = dict(ENCODING)
    found = ndvi_bands(bands, scenes.SCL.isin([4, 5, 6, 7]))
    assert float(found.ndvi_median.mean()) == pytest.approx(YEARLY_NDVI[year], abs=5e-4)
    assert float((found.ndvi_median < 0.6).mean()) == pytest.approx(SHARE_BELOW_06[year], abs=1e-3)
    assert found.ndvi_median.dtype == np.float32
    ordered = [found[f"ndvi_{name}"] for name in ("min", "p10", "median", "p90", "max")]
    assert all(bool((low <= high).all()) for low, high in zip(ordered, ordered[1:], strict=False))


def as_scenes(
    shape: tuple[int, int, int], *, names: tuple[str, ...] = NAMES, seed: int = 0
) -> tuple[xr.Dataset, xr.DataArray]:
    """Random integer scenes, a third of them clouded, some bands without data."""
    random = np.random.default_rng(seed)
    coords = {"time": np.datetime64("2020-01-03", "ns") + np.arange(shape[0]) * np.timedelta64(9, "D")}
    bands = {}
    for name in names:
        values = random.integers(1, 5000, shape).astype(np.uint16)
        values[random.random(shape) < 0.02] = 0
        bands[name] = (("time", "y", "x"), values, ENCODING)
    clear = xr.DataArray(random.random(shape) > 0.35, dims=("time", "y", "x"), coords=coords)
    return xr.Dataset(bands, coords=coords), clear


def series(time: list[str], **bands: list[float]) -> xr.Dataset:
    """One pixel in reflectance."""
    data = {name: (("time", "y", "x"), np.array(values, np.float32)[:, None, None]) for name, values in bands.items()}
    return xr.Dataset(data, coords={"time": np.array(time, "datetime64[ns]")})


def days_of(date: str) -> int:
    return int((np.datetime64(date) - np.datetime64("1970-01-01")).astype(int))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_the_same_variables(method):
    bands, clear = as_scenes((9, 6, 7))
    mosaic = composite(bands, clear, method=method, min_observations=2)
    assert list(mosaic.data_vars) == [*NAMES, "count", *(["date"] if method in SELECTING else [])]
    usable = clear & (bands.to_array() != 0).all("variable")
    np.testing.assert_array_equal(mosaic["count"], usable.sum("time"))
    assert mosaic["count"].dtype == np.uint16 and mosaic.attrs["method"] == method
    for name in NAMES:
        assert (mosaic[name].dtype, mosaic[name].dims, mosaic[name].attrs["units"]) == (np.float32, ("y", "x"), "1")
        np.testing.assert_array_equal(mosaic[name].notnull(), mosaic["count"] >= 2)
    if method in SELECTING:
        assert (mosaic["date"].dtype, mosaic["date"].attrs["nodata"]) == (np.int32, -1)
        assert mosaic["date"].attrs["units"] == "days since 1970-01-01"
        np.testing.assert_array_equal(mosaic["date"] == -1, mosaic["count"] < 2)


@pytest.mark.parametrize("method", METHODS)
def test_chunks_and_neighbours_never_change_a_bit(method):
    bands, clear = as_scenes((12, 21, 45), names=("red", "nir", "swir_1"), seed=1)
    whole = composite(bands, clear, method=method)
    lazy = composite(bands.chunk(time=5, y=9, x=14), clear.chunk(y=8), method=method)
    assert all(lazy[name].chunks for name in lazy.data_vars)
    xr.testing.assert_equal(lazy.compute(), whole)
    window = {"y": slice(3, 10), "x": slice(20, 21)}
    part = composite(bands.isel(window), clear.isel(window), method=method)
    xr.testing.assert_equal(part, whole.isel(window))


def test_medoid_by_hand():
    # points on a line at 0.1, 0.2, 0.25 and 0.9: sums of distances 1.05, 0.85, 0.85, 2.15; the earlier of the two
    time = ["2020-01-01", "2020-03-01", "2020-02-01", "2020-04-01"]
    mosaic = composite(series(time, red=[0.125, 0.25, 0.375, 0.875], nir=[0.5] * 4), method="medoid")
    assert mosaic.red.item() == 0.375  # 0.25 has the same sum, but is of March
    assert mosaic["date"].item() == days_of("2020-02-01")
    outlier = series(time, red=[0.1, 0.2, 0.3, 0.9], nir=[0.3, 0.3, 0.3, 0.9])
    # sums: 1.300, 1.022, 1.149, 2.821
    assert composite(outlier, method="medoid").red.item() == pytest.approx(0.2)


def test_medoid_equals_the_definition_of_flood_2013():
    bands, clear = as_scenes((14, 11, 13), seed=2)
    mosaic = composite(bands, clear, method="medoid")
    spectra = bands.to_array().values.astype(np.float64) * 1e-4
    usable = clear.values & (spectra > 0).all(axis=0)
    for y, x in np.ndindex(11, 13):
        own = spectra[:, usable[:, y, x], y, x].T
        if len(own) == 0:
            assert np.isnan(mosaic.red.values[y, x])
            continue
        distances = np.sqrt(((own[:, None] - own[None]) ** 2).sum(axis=2)).sum(axis=1)
        found = mosaic.to_array().sel(variable=list(NAMES)).values[:, y, x]
        chosen = int(np.abs(own - found).sum(axis=1).argmin())
        assert np.abs(own[chosen] - found).max() < 1e-7
        assert distances[chosen] == pytest.approx(distances.min(), abs=1e-7)


def test_median_equals_xarray():
    bands, clear = as_scenes((13, 20, 35), seed=4)
    usable = clear & (bands.to_array() != 0).all("variable")
    mosaic = composite(bands, clear, method="median")
    for name in NAMES:
        expected = (bands[name].astype(np.float32) * np.float32(1e-4)).where(usable).median("time", skipna=True)
        np.testing.assert_array_equal(mosaic[name], expected)


def test_geomedian_is_the_geomedian():
    bands, clear = as_scenes((10, 8, 9))
    mosaic, expected = composite(bands, clear, method="geomedian"), geomedian(bands, clear)
    for name in (*NAMES, "count"):
        np.testing.assert_array_equal(mosaic[name], expected[name])


def test_greenest_and_latest_by_hand():
    time = ["2020-05-01", "2020-02-01", "2020-08-01", "2020-11-01", "2020-09-01"]
    # NDVI 0.5, 0.5, 1.5 (red is negative), 0, missing
    bands = series(time, red=[0.1, 0.2, -0.01, 0.2, np.nan], nir=[0.3, 0.6, 0.05, 0.2, 0.9])
    greenest = composite(bands, method="max_ndvi")
    assert greenest.red.item() == pytest.approx(0.2)  # of two equal ones that of February
    assert greenest["date"].item() == days_of("2020-02-01")
    latest = composite(bands, method="most_recent")
    assert (latest.nir.item(), latest["date"].item()) == (pytest.approx(0.2), days_of("2020-11-01"))
    assert greenest["count"].item() == latest["count"].item() == 4
    clear = xr.DataArray(np.array([1, 0, 0, 0, 1], bool)[:, None, None], dims=("time", "y", "x"))
    assert composite(bands, clear, method="most_recent")["date"].item() == days_of("2020-05-01")


def test_two_observations_of_one_time():
    bands = series(["2020-05-01", "2020-05-01"], red=[0.1, 0.2], nir=[0.2, 0.4])
    assert composite(bands, method="max_ndvi").red.item() == pytest.approx(0.1)
    assert composite(bands, method="most_recent").red.item() == pytest.approx(0.2)


def test_where_no_date_is_green_there_is_none():
    bands = series(["2020-05-01"], red=[0.0], nir=[0.0])
    mosaic = composite(bands, method="max_ndvi")
    assert np.isnan(mosaic.red.item()) and (mosaic["count"].item(), mosaic["date"].item()) == (1, -1)


def test_last_pixels_of_a_published_program(sample_folder):
    rioxarray = pytest.importorskip("rioxarray")
    folder = sample_folder / "eo" / "stack_statistics_reference_colombia"
    scenes = []
    for name in ("020823", "020601"):  # the later one first: the order of the files must not matter
        path = folder / f"Landsat_8_53_{name}_7ETM_Reflec_SR_Enmask.tif"
        with rioxarray.open_rasterio(path, masked=True) as scene:
            scenes.append(scene.isel(band=0, drop=True).load())
    values = xr.concat(scenes, "time", join="outer").sortby("y", ascending=False)
    values = values.assign_coords(time=np.array(["2002-08-23", "2002-06-01"], "datetime64[ns]"))
    mosaic = composite(values.to_dataset(name="enmask").drop_vars("spatial_ref"), method="most_recent")

    def read(name: str) -> np.ndarray:
        with rioxarray.open_rasterio(folder / f"stack_composed_{name}_band1.tif") as raster:
            return raster.isel(band=0).values

    published = read("last_pixel").astype(float)
    published[published == -2147483648] = np.nan
    np.testing.assert_array_equal(mosaic.enmask, published)
    day = mosaic["date"].values - days_of("2002-01-01") + 1
    np.testing.assert_array_equal(np.where(mosaic["date"] == -1, 0, day), read("jday_last_pixel"))
    median = composite(values.to_dataset(name="enmask").drop_vars("spatial_ref"), method="median")
    np.testing.assert_allclose(median.enmask, read("median"), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_dates_or_says_that_it_has_none(method):
    times = np.array(["2019-01-05", "2019-04-05", "2019-09-05"], "datetime64[ns]")
    values = np.array([1000, 2000, 2100], np.uint16)[:, None, None]
    names = ["red", "nir", "swir_1"]  # as many as above: for each number of bands the geomedian is compiled once
    bands = xr.Dataset(dict.fromkeys(names, (("time", "y", "x"), values, ENCODING)), coords={"time": times})
    found = dated_composite(bands, xr.ones_like(bands["red"], dtype=bool), method=method)
    # 2019-01-05, 2019-04-05 and 2019-09-05 are 17901, 17991 and 18144 days after 1970-01-01; NDVI is 0 on all dates.
    expected = {"medoid": 17991, "max_ndvi": 17901, "most_recent": 18144, "median": -1, "geomedian": -1}
    assert found["date"].item() == expected[method] and found["date"].dtype == np.int32
    assert found["date"].attrs["nodata"] == -1 and list(found.data_vars) == [*names, "count", "date"]


def test_refuses_what_makes_no_composite():
    bands, clear = as_scenes((3, 2, 2), names=("red", "green"))
    with pytest.raises(InputError, match="no composite 'mediod'; there are geomedian, medoid"):
        composite(bands, clear, method="mediod")
    with pytest.raises(InputError, match="max_ndvi needs red and nir; the bands are red, green"):
        composite(bands, clear, method="max_ndvi")
    with pytest.raises(InputError, match="at least one band"):
        composite(xr.Dataset(), method="median")
    with pytest.raises(InputError, match="have no dates"):
        composite(bands.drop_vars("time"), clear.drop_vars("time"), method="most_recent")
    bands.green.attrs["scale"] = 1e-3
    with pytest.raises(InputError, match="'green' is stored as"):
        composite(bands, clear, method="median")


def test_cwbg_holds_three_indices():
    pixel = {"green": 0.08, "red": 0.10, "nir": 0.30, "swir_1": 0.20}
    bands = xr.Dataset({name: (("y", "x"), [[value]]) for name, value in pixel.items()})
    result = cwbg(bands)
    assert list(result.data_vars) == ["ndwi", "ndbi", "ndvi"]
    assert [result[name].item() for name in result] == pytest.approx([-0.22 / 0.38, -0.2, 0.5])


@pytest.mark.parametrize(("with_landsat", "method"), [(True, "wofs"), (False, "ndwi")])
def test_water_is_looked_for_in_landsat_where_there_is_any(monkeypatch, with_landsat, method):
    asked = {}

    class Task:
        def has(self, name: str) -> bool:
            assert name == "landsat_scenes"
            return with_landsat

    monkeypatch.setattr("ceiba.ard.open_stack", lambda task, **options: asked.update(options))
    open_water_stack(Task())
    assert (asked["sensor"] == "landsat_scenes") == (asked["resolution_m"] == 30) == with_landsat
    band = xr.DataArray(np.array([300, 0], np.uint16)[:, None, None], dims=("time", "y", "x"), attrs=ENCODING)
    water = annual_water(xr.Dataset(dict.fromkeys(asked["measurements"], band)), band > 0)
    assert water.attrs["method"] == method
    assert water.clear_count.item() == 1
