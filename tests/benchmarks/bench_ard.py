"""Accuracy of analysis-ready data: surface reflectance beside that of USGS, terrain correction beside a known truth.

The scene of Momotombo (Nicaragua, 2015-12-05, a volcano erupting) exists at level 1 and, by LaSRC of USGS, at level 2. USGS
made its own estimate of the aerosol, which is no truth either: around the plume and between clouds it has holes. So the
error is given outside of haze as well as for all pixels. Haze is what Fmask finds in the scene at the top of the atmosphere:
it knows no surface reflectance, neither ours nor theirs. That mask was set before the first result. Its dilation, which Fmask
also has, was added after a look at results: both are given side by side.
"""

import datetime
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from scipy import ndimage

from ceiba.ard.atmosphere import correct_atmosphere
from ceiba.ard.calibration import toa_reflectance
from ceiba.ard.landsat import LandsatFolderSource
from ceiba.ard.landsat_metadata import read_mtl
from ceiba.ard.quality import clear_pixels, has_class
from ceiba.ard.sensors import find_sensor
from ceiba.ard.topography import correct_topography, cos_incidence, slope_and_aspect_deg
from ceiba.simulation.land_cover import land_cover_on
from ceiba.simulation.layout import PIXEL_M
from ceiba.simulation.spectra import BANDS, green_cover, mix_spectra
from ceiba.simulation.world import make_world

ROOT = Path(__file__).resolve().parents[2]
MOMOTOMBO = "landsat8_l1_l2_momotombo_nicaragua"
OLI_BANDS = {"B2": "blue", "B3": "green", "B4": "red", "B5": "nir", "B6": "swir_1", "B7": "swir_2"}
METHODS = ("6s", "dos", "cost")
CHAINS = {
    "Caquetá, Landsat 7 level 1": ("landsat7_l1_caqueta_colombia", {}),
    "Pará, Landsat 5 level 1": ("landsat5_l1_para_brazil_1988", {"elevation": "srtm_dem_30m.tif"}),
}


def read_band(path: Path) -> xr.DataArray:
    """Numbers of a one-band file, 0 as NaN, dims ``(y, x)`` with coordinates of the pixels' centres."""
    with rasterio.open(path) as file:
        values, transform = file.read(1).astype(float), file.transform
    y = transform.f + transform.e * (np.arange(values.shape[0]) + 0.5)
    x = transform.c + transform.a * (np.arange(values.shape[1]) + 0.5)
    return xr.DataArray(np.where(values == 0, np.nan, values), dims=("y", "x"), coords={"y": y, "x": x})


def read_momotombo(folder: Path) -> tuple[xr.Dataset, xr.Dataset, float]:
    """Reflectance at the top of the atmosphere, that of the surface by USGS [1], and the sun's elevation [degree]."""
    path = next(folder.glob("L1TP/*_MTL.txt"))
    metadata = read_mtl(path.read_bytes(), name=path.name)
    numbers = {
        band: read_band(next(folder.glob(f"L1TP/*_{file}.TIF"))).fillna(0).astype("uint16") for file, band in OLI_BANDS.items()
    }
    toa = toa_reflectance(xr.Dataset(numbers), metadata, find_sensor("landsat_8_l1_c2")).astype(float)
    surface = {
        band: 2.75e-5 * read_band(next(folder.glob(f"L2SP/*_SR_{file}.TIF"))) - 0.2 for file, band in OLI_BANDS.items()
    }
    return toa, xr.Dataset(surface), metadata.sun_elevation_deg


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
    figures: dict[str, object] = {
        "share of pixels in the mask as first set": float(core.mean()),
        "share of pixels in the mask dilated after a look at results": float(hazy.mean()),
    }
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
                "outside the plume, mask as first set": error.where(~core),
                "outside the plume, mask dilated after a look at results": error.where(~hazy),
                "all pixels": error,
            }
            for name, part in parts.items():
                figures[f"{method}, {file}, {name}, RMSE"] = float(np.sqrt((part**2).mean()))
            for name, part in parts.items():
                figures[f"{method}, {file}, {name}, mean difference"] = float(part.mean())
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


def measure_top_of_atmosphere(samples: Path) -> Mapping[str, object]:
    """Reflectance at the top of the atmosphere beside rio-toa, and beside the formula in float64 with the numbers written out."""
    figures = {}
    folder = samples / "landsat8_toa_reference_rio_toa"
    if folder.is_dir():
        metadata = read_mtl((folder / "LC81390452014295LGN00_MTL.json").read_bytes())
        band, expected = (rasterio.open(folder / f"tiny_LC81390452014295LGN00_B5{part}.TIF").read(1) for part in ("", "_refl"))
        toa = toa_reflectance(xr.Dataset({"nir": (("y", "x"), band)}), metadata, find_sensor("landsat_8_l1_c1"))["nir"]
        counts = np.clip(np.nan_to_num(toa.values) * 55_000, 1, 65_535)
        difference = np.abs(counts - expected)[band != 0]
        figures["rio-toa, largest difference [counts of 1/55000]"] = float(difference.max())
        figures["rio-toa, pixels"] = int(difference.size)
    folder = samples / MOMOTOMBO
    if folder.is_dir():
        toa, _, _ = read_momotombo(folder)
        for file, band in OLI_BANDS.items():
            numbers = read_band(next(folder.glob(f"L1TP/*_{file}.TIF")))
            by_hand = (2.0e-5 * numbers - 0.1) / np.sin(np.radians(48.24450155))
            figures[f"Momotombo, {file}, largest difference [reflectance]"] = float(np.abs(toa[band] - by_hand).max())
            figures[f"Momotombo, {file}, median [reflectance]"] = float(toa[band][:-1, 1:].median())
    return figures


def measure_chain(folder: Path, **options) -> Mapping[str, object]:
    """Counts of a level 1 scene that went through the whole chain, as its document tells them and as its bands hold."""
    (scene,) = LandsatFolderSource(urlpath=str(folder), **options).list_scenes()
    (grid,) = scene.read().values()
    told = grid.properties
    kind = scene.sensor.quality
    quality = xr.DataArray(grid.bands["quality"], dims=("y", "x"))
    clear, observed = clear_pixels(quality, kind), ~has_class(quality, kind, "fill")
    figures = {
        "atmospheric correction": told["ceiba:atmosphere_method"],
        "aerosol optical depth at 550 nm": told.get("ceiba:aot_550", float("nan")),
        "terrain corrected": told["ceiba:terrain_corrected"],
        "quality band": told["ceiba:quality_source"],
        "fill [pixels]": told["ceiba:fill_count"],
        "fill [share]": told["ceiba:fill_count"] / quality.size,
    }
    figures |= {f"saturated, {band} [pixels]": count for band, count in told["ceiba:saturated_count"].items()}
    if told["ceiba:clouds_masked"]:
        figures |= {
            f"{name}, of the observed [share]": float(mask.sum() / observed.sum())
            for name, mask in {
                "clear": clear, "cloud": has_class(quality, kind, "cloud"), "shadow": has_class(quality, kind, "cloud_shadow")
            }.items()
        }  # fmt: skip
    for band in ("red", "nir"):
        numbers = grid.bands[band][clear.values & (grid.bands[band] != 0)]
        encoding = scene.encoding()
        figures[f"median of clear pixels, {band} [reflectance]"] = float(np.median(numbers) * encoding.scale + encoding.offset)
    return figures


def main() -> Mapping[str, object]:
    """All figures of the stage; those of real scenes only where they are at hand."""
    samples = Path(os.environ.get("CEIBA_SAMPLES") or ROOT.parent / "shared" / "data") / "eo"
    figures: dict[str, object] = {"simulated hills [reflectance]": measure_topography()}
    figures["top of the atmosphere"] = measure_top_of_atmosphere(samples)
    if (samples / MOMOTOMBO).is_dir():
        figures["Momotombo, surface reflectance less that of USGS [reflectance]"] = measure_atmosphere(samples / MOMOTOMBO)
    for name, (folder, options) in CHAINS.items():
        if (samples / folder).is_dir():
            figures[name] = measure_chain(samples / folder, **options)
    return figures
