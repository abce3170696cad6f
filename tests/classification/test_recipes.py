"""Recipes: antares3's against values worked by hand and NumPy, and what a sample sees equal to what its pixel has in the map."""

import tracemalloc

import numpy as np
import pytest
import xarray as xr

from ceiba.classification.features.recipes import list_recipes, load_available, load_recipe
from ceiba.classification.features.terrain import describe_terrain
from ceiba.errors import CatalogError, InputError
from ceiba.mosaics.geomedian import geomedian
from ceiba.products import load_definitions

BANDS = ("blue", "green", "red", "red_edge_1", "red_edge_2", "red_edge_3", "nir", "nir_narrow", "swir_1", "swir_2")


def scenes(dates=30, height=9, width=11, seed=0):
    """Random reflectance of two years, a third of it clouded, one pixel never seen."""
    random = np.random.default_rng(seed)
    days = np.datetime64("2017-01-05", "ns") + np.sort(random.choice(720, dates, replace=False)) * np.timedelta64(1, "D")
    shape = (dates, height, width)
    hidden = random.random(shape) < 0.35
    hidden[:, 0, 0] = True
    bands = {
        name: (("time", "y", "x"), np.where(hidden, np.nan, random.uniform(0.01, 0.5, shape)).astype("float32"))
        for name in BANDS
    }
    coords = {"time": days, "y": 3000.0 - 30 * np.arange(height), "x": 30.0 * np.arange(width)}
    return xr.Dataset(bands, coords=coords)


def ground(like, seed=1):
    random = np.random.default_rng(seed)
    heights = xr.DataArray(random.normal(500, 40, (like.sizes["y"], like.sizes["x"])), coords={"y": like.y, "x": like.x})
    zones = heights.copy(data=random.integers(0, 5, heights.shape).astype("uint8"))
    climate = {"annual_temperature": 30 - heights / 200, "annual_precipitation": 2 * heights}
    return describe_terrain(heights).assign(climate | {"life_zone": zones})


def radar(like, seed=2):
    random = np.random.default_rng(seed)
    days = np.datetime64("2017-01-02", "ns") + np.arange(20) * np.timedelta64(12, "D")
    shape = (20, like.sizes["y"], like.sizes["x"])
    layers = {name: (("time", "y", "x"), random.normal(-12, 3, shape).astype("float32")) for name in ("vv", "vh")}
    return xr.Dataset(layers, coords={"time": days, "y": like.y, "x": like.x})


def one_pixel(**series):
    """Scenes of one sample from lists of numbers of 1e-4."""
    dates = np.datetime64("2018-01-01", "ns") + np.arange(len(series["red"])) * np.timedelta64(16, "D")
    values = {name: (("time", "sample"), np.array(numbers, "float32")[:, None] * 1e-4) for name, numbers in series.items()}
    return xr.Dataset(values, coords={"time": dates})


@pytest.mark.parametrize("name", list_recipes())
def test_a_sample_has_the_features_of_its_pixel(name):
    recipe, seen = load_recipe(name), scenes()
    land, echo = ground(seen), radar(seen)
    whole = recipe.compute(seen, land, radar=echo)
    assert list(whole.data_vars) == [feature.name for feature in recipe.features]
    assert all(layer.dtype == np.float32 and layer.dims == ("y", "x") for layer in whole.data_vars.values())
    at = {"y": xr.DataArray([0, 3, 8, 5], dims="sample"), "x": xr.DataArray([0, 7, 2, 10], dims="sample")}
    picked = recipe.compute(seen.isel(at), land.isel(at), radar=echo.isel(at))
    xr.testing.assert_identical(picked.drop_vars(["y", "x"]), whole.isel(at).drop_vars(["y", "x"]))
    chunks = {"y": 4, "x": 5}
    lazy = recipe.compute(seen.chunk(chunks | {"time": 7}), land.chunk(chunks), radar=echo.chunk(chunks))
    assert lazy.chunks
    xr.testing.assert_identical(lazy.compute(), whole)


def test_recipes_of_antares3_have_its_features():
    sizes = {"landsat_8_madmex_001": 28 + 3, "landsat_madmex_002": 15, "s2_20m_001": 18}
    for name, size in sizes.items():
        assert len(load_recipe(name).features) == size
    assert load_recipe("landsat_8_madmex_002").name == "landsat_madmex_002"
    assert {"swir1_mean", "ndvi_max", "ndmi_min", "aspect"} <= {f.name for f in load_recipe("landsat_madmex_002").features}
    assert load_recipe("s2_20m_001").inputs == tuple(band for band in BANDS if band != "nir")
    assert load_recipe("landsat_madmex_002").table()["units"].tolist() == ["1e-4"] * 12 + ["m", "degree", "degree"]


def test_madmex_002_by_hand():
    """Three dates, one of them hidden in red, of which NDVI is 0.6, 0.2 and none, and NDMI 0.25, -0.2, 0.5."""
    seen = one_pixel(
        blue=[100, 200, 201], green=[100, 100, 101], red=[500, 2000, np.nan],
        nir=[2000, 3000, 3000], swir_1=[1200, 4500, 1000], swir_2=[1000, 1000, 1002],
    )  # fmt: skip
    land = xr.Dataset({"elevation": ("sample", [12.0]), "slope": ("sample", [3.5]), "aspect": ("sample", [359.0])})
    found = load_recipe("landsat_madmex_002").compute(seen, land).isel(sample=0)
    expected = {
        "blue_mean": 167, "green_mean": 100, "red_mean": 1250, "nir_mean": 2666, "swir1_mean": 2233, "swir2_mean": 1000,
        "ndvi_mean": 4000, "ndvi_max": 6000, "ndvi_min": 2000, "ndmi_mean": 1833, "ndmi_max": 5000, "ndmi_min": -2000,
        "elevation": 12, "slope": 3.5, "aspect": 359,
    }  # fmt: skip
    assert {name: float(value) for name, value in found.data_vars.items()} == expected


def test_madmex_001_equals_numpy_cut_to_whole_numbers():
    seen = scenes()
    found = load_recipe("landsat_8_madmex_001").compute(seen, ground(seen))
    numbers = {name: np.rint(seen[name].values.astype("float64") * 1e4) for name in BANDS}
    numbers["ndvi"] = 1e4 * (numbers["nir"] - numbers["red"]) / (numbers["nir"] + numbers["red"])
    for quantity, band in {"blue": "blue", "nir": "nir", "swir2": "swir_2", "ndvi": "ndvi"}.items():
        for statistic in ("mean", "min", "max", "std"):
            values = numbers[band].reshape(len(seen.time), -1)[:, 1:]
            exact = getattr(np, f"nan{statistic}")(values, axis=0)
            ours = found[f"{quantity}_{statistic}"].values.ravel()
            assert np.isnan(ours[0])
            # an index is computed in float32, so that it may fall on the other side of a whole number
            allowed = 0 if quantity != "ndvi" else (np.abs(exact - np.rint(exact)) < 2e-3)
            assert (np.abs(ours[1:] - np.trunc(exact)) <= allowed).all(), (quantity, statistic)


def test_a_number_without_meaning_is_missing():
    seen = one_pixel(
        blue=[100], green=[100], red=[100], nir=[-100], swir_1=[-20], swir_2=[np.nan],
    )  # fmt: skip
    land = xr.Dataset({name: ("sample", [0.0]) for name in ("elevation", "slope", "aspect")})
    found = load_recipe("landsat_madmex_002").compute(seen, land).isel(sample=0)
    # NDVI of a sum of 0 has no value, NDMI is -80 / -120 and fits, no date has swir_2
    assert np.isnan(found["ndvi_mean"]) and np.isnan(found["swir2_mean"])
    assert found["ndmi_mean"] == 6666
    wide = one_pixel(blue=[1], green=[1], red=[-90], nir=[100], swir_1=[50], swir_2=[1])
    assert np.isnan(load_recipe("landsat_madmex_002").compute(wide, land)["ndvi_max"]).all()  # 190 / 10 = 19


def test_terrain_of_planes_by_hand():
    """Land that rises 30 m a pixel of 30 m to the east faces west; to the north-east, south-west."""
    east = np.broadcast_to(30.0 * np.arange(5), (5, 5))
    coords = {"y": 120.0 - 30 * np.arange(5), "x": 30.0 * np.arange(5)}
    recipe = load_recipe("terrain")
    found = recipe.compute(None, describe_terrain(xr.DataArray(east, coords=coords, dims=("y", "x"))))
    np.testing.assert_allclose(found["slope"], 45, atol=1e-4)
    np.testing.assert_allclose(found["aspect_sin"], -1, atol=1e-6)
    np.testing.assert_allclose(found["aspect_cos"], 0, atol=1e-6)
    both = east + east.T[::-1]
    found = recipe.compute(None, describe_terrain(xr.DataArray(both, coords=coords, dims=("y", "x"))))
    np.testing.assert_allclose(found["slope"], np.degrees(np.arctan(np.sqrt(2))), atol=1e-4)
    for name in ("aspect_sin", "aspect_cos"):
        np.testing.assert_allclose(found[name], -np.sqrt(0.5), atol=1e-6)
    flat = recipe.compute(None, describe_terrain(xr.DataArray(0 * both, coords=coords, dims=("y", "x"))))
    assert (flat["aspect_sin"] == 0).all() and (flat["aspect_cos"] == 0).all()


def test_what_is_missing_is_named():
    seen = scenes(dates=4)
    recipe = load_recipe("landsat_madmex_002")
    with pytest.raises(InputError, match=r"needs swir_2 of its scenes"):
        recipe.compute(seen.drop_vars("swir_2"), ground(seen))
    with pytest.raises(InputError, match=r"needs elevation, slope, aspect of its terrain; given: nothing"):
        recipe.compute(seen)
    with pytest.raises(InputError, match=r"has dims \('y', 'x'\)"):
        recipe.compute(seen.isel(time=0), ground(seen))
    with pytest.raises(InputError, match=r"has no date"):
        recipe.compute(seen.isel(time=slice(0)), ground(seen))
    with pytest.raises(InputError, match=r"not on one grid"):
        recipe.compute(seen, ground(seen).isel(x=slice(1, None)))
    with pytest.raises(CatalogError, match=r"no recipe 'madmex'.*landsat_madmex_002"):
        load_recipe("madmex")
    with pytest.raises(CatalogError, match=r"one name twice: .*ndvi_mean"):
        load_recipe("landsat_8_madmex_001+landsat_madmex_002")


def test_recipes_are_joined_by_plus():
    joined = load_recipe("landsat_madmex_002+landsat_8_madmex_002")
    assert [feature.name for feature in joined.features] == [f.name for f in load_recipe("landsat_madmex_002").features]


def test_sentinel_2_takes_its_narrow_near_infrared():
    names = ("blue", "green", "red_edge_1", "red_edge_2", "red_edge_3", "swir_2")
    seen = one_pixel(red=[1000, 500], nir_narrow=[3000, 3500], swir_1=[1000, 1500], **dict.fromkeys(names, [700, 701]))
    land = xr.Dataset({name: ("sample", [0.0]) for name in ("elevation", "slope", "aspect")})
    found = load_recipe("s2_20m_001").compute(seen, land).isel(sample=0)
    # NDVI 0.5 and 0.75, NDMI 0.5 and 0.4
    expected = {"nir_mean": 3250, "re1_mean": 700, "ndvi_mean": 6250, "ndvi_max": 7500, "ndmi_mean": 4500, "ndmi_min": 4000}
    assert {name: float(found[name]) for name in expected} == expected


def test_annual_features_are_those_of_the_mosaics():
    """The geomedian is the product's, the percentiles are NumPy's, and a year is not confused with a season."""
    seen = scenes()
    found = load_recipe("ceiba_annual+ceiba_seasonal").compute(seen)
    bands = seen[["blue", "green", "red", "nir", "swir_1", "swir_2"]]
    mosaic = geomedian(bands, engine="numba")
    rain = geomedian(bands.isel(time=np.isin(bands.time.dt.month, range(5, 11))), engine="numba")
    for name in bands:
        np.testing.assert_array_equal(found[f"{name}_geomedian"], mosaic[name])
        np.testing.assert_array_equal(found[f"{name}_rain"], rain[name])
    for name in ("emad", "smad", "bcmad"):
        np.testing.assert_array_equal(found[name], mosaic[name])
    np.testing.assert_array_equal(found["clear_count"], mosaic["count"])
    ndmi = ((seen.nir - seen.swir_1) / (seen.nir + seen.swir_1)).values
    with np.errstate(all="ignore"):
        expected = np.nanpercentile(ndmi[:, 1:], [10, 50, 90], axis=0)
    for name, values in zip(("ndmi_p10", "ndmi_p50", "ndmi_p90"), expected, strict=True):
        np.testing.assert_allclose(found[name][1:], values, atol=1e-6)
    index = (mosaic.nir - mosaic.swir_2) / (mosaic.nir + mosaic.swir_2)
    np.testing.assert_allclose(found["nbr_geomedian"], index, atol=1e-6)


def test_a_season_without_dates_is_missing():
    seen = scenes()
    wet = seen.isel(time=np.isin(seen.time.dt.month, [6, 7, 8]))
    found = load_recipe("ceiba_seasonal").compute(wet)
    assert np.isnan(found["nir_dry"]).all() and np.isnan(found["ndvi_dry"]).all()
    assert np.isfinite(found["nir_rain"][1:]).all()


def test_life_zones_are_columns_of_their_legend():
    codes = xr.Dataset({"life_zone": ("sample", np.array([1, 3, 0, 4], "uint8"))})
    found = load_recipe("life_zones").compute(None, codes).to_dataarray().values
    none = [np.nan] * 4
    np.testing.assert_array_equal(found.T, [[1, 0, 0, 0], [0, 0, 1, 0], none, [0, 0, 0, 1]])
    assert len(load_recipe("life_zones:mexico_8").features) == 8
    with pytest.raises(InputError, match=r"holds \[9.0\], which legend simulated_life_zones lacks"):
        load_recipe("life_zones").compute(None, codes.where(codes != 3, 9))


def test_radar_by_hand():
    """The mean of 1 and 0.01 of power is 0.505, which is -2.967 dB; -20 and 0 dB lie 10 dB from their mean."""
    days = np.array(["2020-01-01", "2020-01-13", "2020-01-25"], "datetime64[ns]")
    echo = xr.Dataset({name: (("time", "sample"), [[0.0], [-20.0], [np.nan]]) for name in ("vv", "vh")}, coords={"time": days})
    found = load_recipe("radar").compute(None, radar=echo)
    np.testing.assert_allclose(found["vv_mean"], 10 * np.log10(0.505), rtol=1e-5)
    np.testing.assert_allclose(found["vh_std"], 10, rtol=1e-6)


def test_what_a_place_lacks_is_left_out_by_name():
    seen = scenes()
    with pytest.raises(InputError, match=r"needs vv, vh of its radar; given: nothing"):
        load_recipe("ceiba_annual+radar").compute(seen)
    plain = load_available("ceiba_annual+radar+climate+terrain", ground=("elevation", "slope", "aspect"))
    assert plain.name == "ceiba_annual+terrain" and not plain.radar
    assert load_available("ceiba_annual+radar", radar=True).radar
    with pytest.raises(CatalogError, match=r"is left without vv, vh"):
        load_available("radar")
    with pytest.raises(CatalogError, match=r"is left without annual_temperature, annual_precipitation"):
        load_available("climate", ground=("elevation",))


def test_no_copy_of_the_scenes_is_made():
    """Of a series of many dates no more than a strip is held beside the scenes and the result."""
    recipe, seen = load_recipe("landsat_madmex_002"), scenes(dates=60, height=200, width=250)
    land = ground(seen)
    recipe.compute(seen.isel(x=slice(3)), land.isel(x=slice(3)))
    before = {name: seen[name].copy(deep=True) for name in recipe.inputs}
    tracemalloc.start()
    found = recipe.compute(seen, land)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    input_bytes = sum(seen[name].nbytes for name in recipe.inputs)
    assert peak < sum(layer.nbytes for layer in found.data_vars.values()) + 0.4 * input_bytes
    for name, band in before.items():
        xr.testing.assert_identical(seen[name], band)


def test_products_of_recipes_hold_what_the_recipe_declares():
    made = [each for each in load_definitions().values() if "recipe" in each.when]
    assert made
    for definition in made:
        recipe = load_recipe(definition.when["recipe"])
        declared = [(feature.name, feature.units, dict(feature.title)) for feature in recipe.features]
        assert [(band.name, band.units, dict(band.title)) for band in definition.measurements] == declared
        assert ("dem" in {rule.name for rule in definition.inputs}) == bool(recipe.ground)
