"""Accuracy of analysis-ready data: surface reflectance beside that of USGS, terrain correction beside a known truth.

The scene of Momotombo (Nicaragua, 2015-12-05, a volcano erupting) exists at level 1 and, by LaSRC of USGS, at level 2. USGS
made its own estimate of the aerosol, which is no truth either: around the plume and between clouds it has holes. So the
error is given outside of haze as well as for all pixels. Haze is what Fmask finds in the scene at the top of the atmosphere,
dilated as Fmask does: it knows no surface reflectance, neither ours nor theirs. The figures without that dilation are beside.
"""

import datetime
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from scipy import ndimage

from ceiba.ard.atmosphere import correct_atmosphere
from ceiba.ard.topography import correct_topography, cos_incidence, slope_and_aspect_deg
from ceiba.simulation.land_cover import land_cover_on
from ceiba.simulation.layout import PIXEL_M
from ceiba.simulation.spectra import BANDS, green_cover, mix_spectra
from ceiba.simulation.world import make_world

ROOT = Path(__file__).resolve().parents[2]
MOMOTOMBO = "landsat8_l1_l2_momotombo_nicaragua"
OLI_BANDS = {"B2": "blue", "B3": "green", "B4": "red", "B5": "nir", "B6": "swir_1", "B7": "swir_2"}
METHODS = ("6s", "dos", "cost")


def read_band(path: Path) -> xr.DataArray:
    """Numbers of a one-band file, 0 as NaN, dims ``(y, x)`` with coordinates of the pixels' centres."""
    with rasterio.open(path) as file:
        values, transform = file.read(1).astype(float), file.transform
    y = transform.f + transform.e * (np.arange(values.shape[0]) + 0.5)
    x = transform.c + transform.a * (np.arange(values.shape[1]) + 0.5)
    return xr.DataArray(np.where(values == 0, np.nan, values), dims=("y", "x"), coords={"y": y, "x": x})


def read_momotombo(folder: Path) -> tuple[xr.Dataset, xr.Dataset, float]:
    """Reflectance at the top of the atmosphere, that of the surface by USGS [1], and the sun's elevation [degree]."""
    metadata = next(folder.glob("L1TP/*_MTL.txt")).read_text()

    def number(key: str) -> float:
        return float(re.search(rf"\b{key} = (\S+)", metadata).group(1))

    elevation = number("SUN_ELEVATION")
    toa, surface = {}, {}
    for file, band in OLI_BANDS.items():
        counts = read_band(next(folder.glob(f"L1TP/*_{file}.TIF")))
        scaled = number(f"REFLECTANCE_MULT_BAND_{file[1]}") * counts + number(f"REFLECTANCE_ADD_BAND_{file[1]}")
        toa[band] = scaled / np.sin(np.radians(elevation))
        surface[band] = 2.75e-5 * read_band(next(folder.glob(f"L2SP/*_SR_{file}.TIF"))) - 0.2
    return xr.Dataset(toa), xr.Dataset(surface), elevation


def is_hazy(toa: xr.Dataset, *, dilation_px: int) -> xr.DataArray:
    """Pixels within ``dilation_px`` of haze, plume or cloud: ``blue - 0.5 red - 0.08 > 0`` at the top of the atmosphere.

    The haze test of Fmask and, with 3 pixels, its dilation (Zhu & Woodcock 2012, doi:10.1016/j.rse.2011.10.028).
    """
    hazy = toa["blue"] - 0.5 * toa["red"] - 0.08 > 0
    near = ndimage.maximum_filter(hazy.values, size=2 * dilation_px + 1)
    return hazy.copy(data=near)


def measure_atmosphere(folder: Path) -> Mapping[str, object]:
    """Difference to USGS by method, band and mask."""
    toa, expected, elevation_deg = read_momotombo(folder)
    time = datetime.datetime(2015, 12, 5, 16, 6)
    hazy, core = is_hazy(toa, dilation_px=3), is_hazy(toa, dilation_px=0)
    figures: dict[str, object] = {"share of pixels under or near haze, plume or cloud": float(hazy.mean())}
    for method in METHODS:
        found = correct_atmosphere(
            toa, sensor="landsat_8_l1_c2", sun_elevation_deg=elevation_deg, time=time, method=method, latitude_deg=12.43
        )
        if method == "6s":
            figures["aerosol optical depth at 550 nm, median"] = found.attrs["aot_550"]
        for file, band in OLI_BANDS.items():
            # The grids differ by a row and a column: arithmetic keeps the pixels that both have.
            error = found[band] - expected[band]
            parts = {
                "outside the plume": error.where(~hazy),
                "outside the plume, not dilated": error.where(~core),
                "all pixels": error,
            }
            for name, part in parts.items():
                label = f"{method}, {file}, {name}"
                figures[f"{label}, RMSE"] = float(np.sqrt((part**2).mean()))
                figures[f"{label}, mean difference"] = float(part.mean())
    return figures


def measure_topography() -> Mapping[str, object]:
    """RMSE of lit and of corrected reflectance against a simulated truth, by band."""
    world, date = make_world(7), datetime.date(2019, 11, 20)
    codes = land_cover_on(world.first_codes, world.changes, date)
    truth = mix_spectra(codes, green_cover(codes, date))
    coordinates = {"y": -PIXEL_M * np.arange(codes.shape[0]), "x": PIXEL_M * np.arange(codes.shape[1])}
    elevation = xr.DataArray(world.terrain.elevation_m, dims=("y", "x"), coords=coordinates)
    figures = {}
    for sun_elevation_deg in (60.0, 40.0):
        sun = {"sun_elevation_deg": sun_elevation_deg, "sun_azimuth_deg": 145.0}
        light = cos_incidence(*slope_and_aspect_deg(elevation), **sun).clip(0)
        flat = float(np.sin(np.radians(sun_elevation_deg)))
        surface = xr.Dataset({band: light.copy(data=truth[number]) for number, band in enumerate(BANDS)})
        # A quarter of the light on flat ground comes from the sky.
        lit = surface * ((light + 0.25) / (flat + 0.25))
        corrected = correct_topography(lit, elevation, **sun)
        for band in ("red", "nir", "swir_1"):
            for name, values in (("before", lit), ("after", corrected)):
                error = (values[band] - surface[band]).where(corrected[band].notnull())
                figures[f"sun {sun_elevation_deg:.0f} degrees high, {band}, RMSE {name}"] = float(np.sqrt((error**2).mean()))
    return figures


def main() -> Mapping[str, object]:
    """All figures of the stage; those of real scenes only where they are at hand."""
    folder = Path(os.environ.get("CEIBA_SAMPLES") or ROOT.parent / "shared" / "data") / "eo" / MOMOTOMBO
    figures: dict[str, object] = {"simulated hills [reflectance]": measure_topography()}
    if folder.is_dir():
        figures["Momotombo, surface reflectance less that of USGS [reflectance]"] = measure_atmosphere(folder)
    return figures
