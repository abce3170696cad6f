"""Aerosol of dark vegetation: the colors by hand, and skies put over simulated forests and found again."""

import datetime

import numpy as np
import pytest
import xarray as xr

from ceiba.ard.atmosphere import correct_atmosphere
from ceiba.ard.atmosphere_aerosol import (
    USUAL_AOT_550,
    Aerosol,
    estimate_aerosol,
    fill_squares,
    find_targets,
    smooth_squares,
    visible_of_vegetation,
)
from ceiba.ard.atmosphere_radiation import aot_above, sky_of_scene
from ceiba.errors import SceneError

BANDS = ("blue", "green", "red", "nir", "swir_1", "swir_2")
SUN_ZENITH_DEG = 35.0
GASES = {"water_g_cm2": 3.0, "ozone_cm_atm": 0.28}
SCENE = {
    "sensor": "landsat_8_l1_c2", "sun_elevation_deg": 90 - SUN_ZENITH_DEG, "time": datetime.datetime(2019, 3, 1),
}  # fmt: skip


def skies(bands=BANDS) -> dict:
    return {band: sky_of_scene("oli", band, sun_zenith_deg=SUN_ZENITH_DEG, **GASES) for band in bands}


def forest(size: int = 300, bare_share: float = 0.3) -> xr.Dataset:
    """Surface of vegetation as Levy et al. saw it, with bright bare ground and a dark lake between."""
    random = np.random.default_rng(4)
    swir_2 = random.uniform(0.03, 0.12, (size, size))
    nir = random.uniform(0.28, 0.4, (size, size))
    blue, red = visible_of_vegetation(swir_2, (nir - swir_2) / (nir + swir_2), 180 - SUN_ZENITH_DEG)
    bands = {"blue": blue, "green": 0.02 + red, "red": red, "nir": nir, "swir_1": 2 * swir_2, "swir_2": swir_2}
    bare = random.random((size, size)) < bare_share
    for value, name in zip((0.1, 0.13, 0.17, 0.25, 0.32, 0.28), bands, strict=True):
        bands[name] = np.where(bare, value, bands[name])
        bands[name][: size // 6] = 0.02 if name in ("blue", "green") else 0.002
    coordinates = {"y": -30.0 * np.arange(size), "x": 30.0 * np.arange(size)}
    return xr.Dataset({name: (("y", "x"), values) for name, values in bands.items()}, coordinates)


def under(surface: xr.Dataset, aot_at_sea, elevation_m=0.0) -> xr.Dataset:
    """Reflectance at the top of the atmosphere, by the equation of 6S read forwards."""
    toa = {}
    for band, sky in skies(surface.data_vars).items():
        altitude_km = elevation_m / 1000
        air = sky.above(altitude_km, aot_above(altitude_km, aot_at_sea=aot_at_sea))
        ground = surface[band] / (1 - air.spherical_albedo * surface[band])
        haze = (air.path_reflectance - air.rayleigh_reflectance) * air.half_water_transmittance
        toa[band] = air.gas_transmittance * (
            air.rayleigh_reflectance + haze + air.transmittance * air.water_transmittance * ground
        )
    return xr.Dataset(toa)


def test_colors_of_vegetation_by_hand():
    # Levy et al. 2007 at 140 degrees, NDVI of the short-wave infrared over 0.75: slope 0.58 + 0.28 - 0.27 = 0.59,
    # offset -0.035 + 0.033 = -0.002.
    blue, red = visible_of_vegetation(np.array([0.1]), np.array([0.8]), 140)
    assert red[0] == pytest.approx(0.057)
    assert blue[0] == pytest.approx(0.49 * 0.057 + 0.005)
    _, sparse = visible_of_vegetation(np.array([0.1]), np.array([0.1]), 140)
    assert sparse[0] == pytest.approx(0.047)


@pytest.mark.parametrize(("aot_550", "elevation_m"), [(0.02, 0.0), (0.16, 0.0), (0.5, 0.0), (0.3, 1500.0)])
def test_a_known_sky_is_found_and_taken_off(aot_550, elevation_m):
    surface = forest()
    toa = under(surface, aot_550, elevation_m)
    result = correct_atmosphere(toa, elevation_m=elevation_m, method="6s", **SCENE, **GASES)
    above = aot_550 * np.exp(-elevation_m / 2000)
    assert result.attrs["aot_550"] == pytest.approx(above, abs=0.015)
    assert "pixels of dark vegetation" in result.attrs["atmosphere_assumptions"]
    for band in BANDS:
        assert float(abs(result[band] - surface[band]).max()) < 0.004, band


def test_haze_that_differs_from_place_to_place_is_followed():
    surface = forest(600)
    haze = 0.1 + 0.3 * surface["x"].values / surface["x"].values.max() * np.ones((600, 1))
    toa = under(surface, haze)
    result = correct_atmosphere(toa, method="6s", **SCENE, **GASES)
    error = abs(result["blue"] - surface["blue"]).isel(y=slice(100, None))
    assert float(error.quantile(0.99)) < 0.01
    uniform = correct_atmosphere(toa, method="6s", aot_550=result.attrs["aot_550"], **SCENE, **GASES)
    assert float(error.mean()) < 0.5 * float(abs(uniform["blue"] - surface["blue"]).isel(y=slice(100, None)).mean())


def test_heights_by_pixel_and_lazy():
    surface = forest(200)
    heights = xr.full_like(surface["blue"], 0.0) + np.linspace(0, 2000, 200)
    toa = under(surface, 0.2, heights.values)
    eager = correct_atmosphere(toa, elevation_m=heights, method="6s", **SCENE, **GASES)
    assert float(abs(eager["blue"] - surface["blue"]).isel(y=slice(40, None)).mean()) < 0.004
    lazy = correct_atmosphere(
        toa.chunk({"y": 64}), elevation_m=heights.chunk({"y": 64}), method="6s", **SCENE, **GASES
    )
    assert lazy["blue"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(), eager)


def test_without_vegetation_the_usual_aerosol_is_taken_and_told():
    toa = under(forest(120, bare_share=1.0), 0.3)
    result = correct_atmosphere(toa, method="6s", **SCENE, **GASES)
    assert result.attrs["aot_550"] == USUAL_AOT_550
    assert "too little dark vegetation" in result.attrs["atmosphere_assumptions"]
    without = correct_atmosphere(toa[["blue", "nir"]], method="6s", **SCENE, **GASES)
    assert without.attrs["aot_550"] == USUAL_AOT_550


def test_auto_prefers_the_table_and_falls_back():
    toa = under(forest(120), 0.2)
    assert correct_atmosphere(toa, **SCENE, latitude_deg=19).attrs["atmosphere_method"] == "6s"
    assert "tropical" in correct_atmosphere(toa, **SCENE, latitude_deg=19).attrs["atmosphere_assumptions"]
    low = SCENE | {"sun_elevation_deg": 10.0}
    assert correct_atmosphere(toa, **low).attrs["atmosphere_method"] == "dos"
    assert correct_atmosphere(toa, **SCENE | {"sensor": "rapideye"}).attrs["atmosphere_method"] == "dos"


def test_the_latitude_comes_from_the_grid_or_is_asked_for():
    toa = under(forest(120), 0.2)
    with pytest.raises(SceneError, match="give latitude_deg"):
        correct_atmosphere(toa, method="6s", **SCENE)
    placed = toa.assign_coords(y=toa.y + 2_000_000, x=toa.x + 500_000).odc.assign_crs("EPSG:32614")
    assert "tropical" in correct_atmosphere(placed, method="6s", **SCENE).attrs["atmosphere_assumptions"]


def test_targets_are_green_dark_and_of_middling_red():
    surface = forest(200)
    found, cells, shape = find_targets(surface, 100.0)
    assert shape == (2, 2)
    assert set(cells) == {0, 1, 2, 3}
    red, swir_2 = (surface[band].values.ravel() for band in ("red", "swir_2"))
    assert (swir_2[found] < 0.15).all()
    green = (surface["nir"] - surface["swir_2"]) / (surface["nir"] + surface["swir_2"]) > 0.5
    first = surface["red"].where(green & (surface["swir_2"] > 0.01)).values[:100, :100]
    vegetation = np.sort(first[np.isfinite(first)])
    kept = red[found[cells == 0]]
    assert (kept.min(), kept.max()) == (vegetation[int(0.2 * len(vegetation))], vegetation[int(0.5 * len(vegetation)) - 1])
    nothing, _, _ = find_targets(surface * np.nan, 100.0)
    assert len(nothing) == 0


def test_squares_without_targets_come_between_their_neighbors():
    field = np.array([[0.1, np.nan, 0.3], [0.1, 0.2, 0.3]])
    filled = fill_squares(field)
    assert filled[0, 1] == pytest.approx(0.2, abs=0.01)
    np.testing.assert_array_equal(filled[np.isfinite(field)], field[np.isfinite(field)])
    far = np.full((1, 40), np.nan)
    far[0, :3] = 0.1, 0.2, 0.6
    assert 0.1 < fill_squares(far)[0, -1] < 0.6


def test_an_odd_square_is_no_haze():
    field = np.full((4, 4), 0.2)
    field[1, 1], field[3, 3] = 1.4, np.nan
    smooth = smooth_squares(field)
    assert smooth[1, 1] == 0.2
    assert np.isnan(smooth[3, 3])


def test_squares_become_pixels_without_steps():
    aerosol = Aerosol(0.2, np.array([[0.1, 0.3]]), cell_px=10.0)
    pixels = aerosol.by_pixel(1, xr.DataArray(np.zeros((10, 20)), dims=("y", "x")))
    assert pixels.shape == (10, 20)
    assert float(pixels[0, 0]) == pytest.approx(0.1)
    assert float(pixels[0, 10]) == pytest.approx(0.21)  # half a pixel beyond the middle
    assert float(abs(pixels.diff("x")).max()) < 0.021
    assert Aerosol(0.2, 0.25).by_pixel(1, pixels) == 0.25


def test_nothing_is_assumed_of_a_sky_without_bands():
    toa = under(forest(60), 0.1)[["blue", "red"]]
    aerosol = estimate_aerosol(toa, 0.0, skies(toa.data_vars), sun_zenith_deg=SUN_ZENITH_DEG, pixel_m=30.0)
    assert aerosol == Aerosol(USUAL_AOT_550, USUAL_AOT_550)
