"""Slopes and their light against published examples, and the correction on real and simulated hills."""

import datetime

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ceiba.ard.topography import (
    correct_topography,
    correction_factor,
    cos_incidence,
    fit_light,
    slope_and_aspect_deg,
)
from ceiba.errors import SceneError
from ceiba.simulation.land_cover import land_cover_on
from ceiba.simulation.layout import PIXEL_M
from ceiba.simulation.spectra import BANDS, green_cover, mix_spectra
from ceiba.simulation.world import make_world

PARA = "landsat5_l1_para_brazil_1988"
PARA_BANDS = {"blue": 1, "green": 2, "red": 3, "nir": 4, "swir_1": 5, "swir_2": 7}
SUN = {"sun_elevation_deg": 45.0, "sun_azimuth_deg": 120.0}


def heights(values, pixel_m: float = 30.0) -> xr.DataArray:
    values = np.asarray(values, float)
    y = pixel_m * np.arange(values.shape[0], 0, -1)
    return xr.DataArray(values, dims=("y", "x"), coords={"y": y, "x": pixel_m * np.arange(values.shape[1])})


def test_slope_of_the_published_example():
    # Esri, "How Slope works": cells of 5 m, dz/dx 0.05, dz/dy -3.8, slope 75.25762 degrees.
    slope, _ = slope_and_aspect_deg(heights([[50, 45, 50], [30, 30, 30], [8, 10, 10]], 5))
    assert slope.values[1, 1] == pytest.approx(75.25762, abs=1e-4)
    assert slope.attrs["units"] == "degree"


def test_aspect_of_the_published_example():
    # Esri, "How Aspect works": 92.64 degrees.
    _, aspect = slope_and_aspect_deg(heights([[101, 92, 85], [101, 92, 85], [101, 91, 84]], 1))
    assert aspect.values[1, 1] == pytest.approx(92.64, abs=0.005)


@pytest.mark.parametrize(
    ("rise_east", "rise_north", "aspect"), [(1, 0, 270), (-1, 0, 90), (0, 1, 180), (0, -1, 0), (-1, -1, 45)]
)
def test_slopes_look_downhill_up_to_the_edge(rise_east, rise_north, aspect):
    rows, columns = np.mgrid[0:6, 0:7]
    slope, found = slope_and_aspect_deg(heights(30.0 * (rise_east * columns - rise_north * rows)))
    np.testing.assert_allclose(found, aspect, atol=1e-9)
    np.testing.assert_allclose(slope, np.degrees(np.arctan(np.hypot(rise_east, rise_north))))


@pytest.mark.parametrize(
    ("slope", "aspect", "elevation", "azimuth", "incidence"),
    [
        (0, 0, 30, 77, 60),  # flat ground sees the sun at its zenith angle
        (30, 180, 60, 180, 0),  # a slope that faces the sun
        (30, 270, 45, 90, 75),  # one that turns away: 45 + 30
        (60, 270, 45, 90, 105),  # one that lies in its own shadow
    ],
)
def test_incidence_by_hand(slope, aspect, elevation, azimuth, incidence):
    light = cos_incidence(slope, aspect, sun_elevation_deg=elevation, sun_azimuth_deg=azimuth)
    assert light == pytest.approx(np.cos(np.radians(incidence)), abs=1e-12)


def test_factor_by_hand():
    assert correction_factor(0.4, flat_light=0.8, c=0.2) == pytest.approx(5 / 3)  # 1.0 / 0.6
    assert correction_factor(0.9, flat_light=0.8, c=0.0) == pytest.approx(8 / 9)
    assert correction_factor(0.01, flat_light=0.8, c=0.0) == 3.0
    assert correction_factor(-0.5, flat_light=0.8, c=0.5) == 3.0


def test_fit_by_hand_and_against_outliers():
    light = np.linspace(0.2, 1, 1000)
    reflectance = 0.3 * light + 0.06  # c = 0.06 / 0.3
    assert fit_light(reflectance, light).c == pytest.approx(0.2)
    reflectance[::50] = 0.9
    assert fit_light(reflectance, light).c == pytest.approx(0.2, abs=0.01)


def test_a_band_that_does_not_follow_the_light_has_no_coefficient():
    random = np.random.default_rng(1)
    light = random.uniform(0.2, 1, 3000)
    assert np.isnan(fit_light(random.normal(0.2, 0.01, 3000), light).c)
    assert np.isnan(fit_light(0.3 - 0.2 * light, light).c)
    assert np.isnan(fit_light(0.3 * light[:100], light[:100]).c)
    assert np.isnan(fit_light(np.full(3000, 0.2), light).c)


def hills(seed: int = 3, pixels: int = 120) -> xr.DataArray:
    rows, columns = np.mgrid[0:pixels, 0:pixels] / 9
    return heights(60 * np.sin(rows + seed) * np.cos(1.3 * columns))


def scene_on(elevation: xr.DataArray, c: float = 0.3) -> tuple[xr.Dataset, xr.Dataset]:
    """Two bands of forest under known light, and the truth without it."""
    light = cos_incidence(*slope_and_aspect_deg(elevation), **SUN)
    flat = np.sin(np.radians(SUN["sun_elevation_deg"]))
    texture = 1 + 0.05 * np.random.default_rng(5).standard_normal(light.shape)
    truth = xr.Dataset({"red": xr.full_like(light, 0.04) * texture, "nir": xr.full_like(light, 0.3) * texture})
    return truth * ((light + c) / (flat + c)), truth


def test_known_light_is_taken_out():
    lit, truth = scene_on(hills())
    corrected = correct_topography(lit, hills(), **SUN)
    for band in truth.data_vars:
        assert float(abs(corrected[band] / truth[band] - 1).max()) < 0.02
    assert corrected.attrs["topography_method"] == "c-correction"
    assert "c 0.30" in corrected.attrs["topography_c"]


def test_flat_ground_is_unchanged_exactly():
    elevation = hills()
    elevation[:, :60] = 250.0
    lit, _ = scene_on(elevation)
    lit = lit.astype("float32")
    corrected = correct_topography(lit, elevation, **SUN)
    assert corrected["nir"].dtype == np.float32
    np.testing.assert_array_equal(corrected["nir"][:, :59], lit["nir"][:, :59])
    everywhere = heights(np.full((40, 40), 12.0))
    level = lit.isel(y=slice(40), x=slice(40)).assign_coords(everywhere.coords)
    for elevation_deg in (50, 3):
        result = correct_topography(level, everywhere, sun_elevation_deg=elevation_deg, sun_azimuth_deg=0)
        np.testing.assert_array_equal(result["red"], level["red"])


def test_slopes_in_their_own_shadow_are_no_data_and_nothing_blows_up():
    elevation = hills() * 4
    lit, _ = scene_on(elevation)
    light = cos_incidence(*slope_and_aspect_deg(elevation), **SUN)
    corrected = correct_topography(lit, elevation, **SUN)
    dark = light < 0.087
    assert 0.01 < float(dark.mean()) < 0.5
    assert bool(corrected["nir"].isnull().where(dark, True).all())
    assert bool(corrected["nir"].notnull().where(~dark, True).all())
    assert float((corrected["nir"] / lit["nir"]).max()) <= 3.0


def test_unknown_height_is_no_data():
    elevation = hills()
    elevation[50, 50] = np.nan
    lit, _ = scene_on(hills())
    corrected = correct_topography(lit, elevation, **SUN)
    assert np.isnan(corrected["nir"].values[49:52, 49:52]).all()
    assert int(corrected["nir"].isnull().sum()) == 9


def test_stays_lazy():
    lit, _ = scene_on(hills())
    lazy = correct_topography(lit.chunk({"y": 50, "x": 50}), hills(), **SUN)
    assert lazy["nir"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(), correct_topography(lit, hills(), **SUN))


def test_simulated_hills_come_closer_to_the_truth():
    world = make_world(7)
    date = datetime.date(2019, 11, 20)
    codes = land_cover_on(world.first_codes, world.changes, date)
    truth = mix_spectra(codes, green_cover(codes, date))
    elevation = heights(world.terrain.elevation_m, PIXEL_M)
    sun = {"sun_elevation_deg": 40.0, "sun_azimuth_deg": 145.0}
    light = cos_incidence(*slope_and_aspect_deg(elevation), **sun)
    truth = xr.Dataset({name: light.copy(data=truth[number]) for number, name in enumerate(BANDS)})
    flat = np.sin(np.radians(40))
    lit = truth * ((light.clip(0) + 0.25) / (flat + 0.25))
    corrected = correct_topography(lit, elevation, **sun)
    for band in ("red", "nir", "swir_1"):
        before = float(np.sqrt(((lit[band] - truth[band]) ** 2).mean()))
        after = float(np.sqrt(((corrected[band] - truth[band]) ** 2).mean()))
        assert after < 0.8 * before, band


def test_the_light_goes_out_of_the_hills_of_para(sample_folder):
    scene, elevation, sun = read_para(sample_folder / "eo" / PARA)
    corrected = correct_topography(scene, elevation, **sun)
    slope, aspect = slope_and_aspect_deg(elevation)
    light = cos_incidence(slope, aspect, **sun)
    forest = ((scene["nir"] - scene["red"]) / (scene["nir"] + scene["red"]) > 0.5) & (slope >= 5)

    def follows(values: xr.DataArray) -> float:
        return float(np.corrcoef(values.values[forest.values], light.values[forest.values])[0, 1])

    for band in PARA_BANDS:
        assert follows(scene[band]) > 0.2
        assert abs(follows(corrected[band])) < 0.06
        assert float(corrected[band].where(forest).std()) < float(scene[band].where(forest).std())


def read_para(folder) -> tuple[xr.Dataset, xr.DataArray, dict]:
    """Radiance above the haze of the Landsat 5 scene, in relative units: the factor to reflectance changes no correlation."""
    metadata = (folder / "LT52240631988227CUB02_MTL.txt").read_text()
    values = dict(line.split("=") for line in metadata.replace(" ", "").splitlines() if line.count("=") == 1)

    def read(name: str) -> xr.DataArray:
        with rasterio.open(folder / name) as file:
            x = file.transform.c + file.transform.a * (np.arange(file.width) + 0.5)
            y = file.transform.f + file.transform.e * (np.arange(file.height) + 0.5)
            return xr.DataArray(file.read(1).astype(float), dims=("y", "x"), coords={"y": y, "x": x})

    # Mean solar irradiance of TM (Chander et al. 2009, doi:10.1016/j.rse.2009.01.007), so that NDVI means what it says.
    irradiance = dict(zip(PARA_BANDS, (1958, 1827, 1551, 1036, 214.9, 80.65), strict=True))
    scene = xr.Dataset({
        name: (float(values[f"RADIANCE_MULT_BAND_{number}"]) * read(f"LT52240631988227CUB02_B{number}.TIF")
               + float(values[f"RADIANCE_ADD_BAND_{number}"])) * np.pi / irradiance[name]
        for name, number in PARA_BANDS.items()
    })  # fmt: skip
    sun = {"sun_elevation_deg": float(values["SUN_ELEVATION"]), "sun_azimuth_deg": float(values["SUN_AZIMUTH"])}
    return scene, read("srtm_dem_30m.tif"), sun


@given(st.floats(-1, 1), st.floats(0.05, 1), st.floats(0, 50))
def test_the_factor_is_always_between_a_third_and_three(light, flat_light, c):
    factor = correction_factor(light, flat_light=flat_light, c=c)
    assert np.isnan(factor) or 1 / 3 <= factor <= 3


def test_refuses_what_cannot_be_corrected():
    lit, _ = scene_on(hills())
    with pytest.raises(SceneError, match="missing: red"):
        correct_topography(lit[["nir"]], hills(), **SUN)
    with pytest.raises(SceneError, match="not on the grid"):
        correct_topography(lit, hills().isel(x=slice(50)), **SUN)
    with pytest.raises(SceneError, match="sun is -3"):
        correct_topography(lit, hills(), sun_elevation_deg=-3, sun_azimuth_deg=0)
    with pytest.raises(SceneError, match="metres, not degrees"):
        slope_and_aspect_deg(heights(np.zeros((5, 5)), 0.0003))
    with pytest.raises(SceneError, match="at least 3 pixels"):
        slope_and_aspect_deg(heights(np.zeros((2, 5))))
    uneven = heights(np.zeros((4, 4))).assign_coords(x=[0, 30, 70, 90])
    with pytest.raises(SceneError, match="not evenly spaced"):
        slope_and_aspect_deg(uneven)
