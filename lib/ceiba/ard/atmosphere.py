"""From reflectance at the top of the atmosphere to reflectance of the surface: by 6S tables, by COST or by DOS."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import numpy as np
import xarray as xr

from ceiba.ard import atmosphere_table
from ceiba.ard.atmosphere_aerosol import NEEDED_BANDS, USUAL_AOT_550, Aerosol, estimate_aerosol
from ceiba.ard.atmosphere_radiation import SceneSky, remove_atmosphere, sky_of_scene
from ceiba.errors import SceneError

Pixels = TypeVar("Pixels", xr.Dataset, xr.DataArray)

METHODS = ("auto", "6s", "cost", "dos")
# The darkest object of a scene is taken to reflect 1 % (Chavez 1996): hardly anything on land is black.
DARK_REFLECTANCE = 0.01
# Share of pixels at or below the dark object (Sobrino et al. 2004, doi:10.1016/j.rse.2004.02.003): a lone dead
# pixel must not set the haze of a whole scene.
DARK_SHARE = 1e-4
# Bands whose scattering on the way down COST estimates by the cosine of the sun's zenith; it takes the short-wave
# infrared as transparent (Chavez 1996, Song et al. 2001, doi:10.1016/S0034-4257(00)00169-3).
SCATTERING_BANDS = ("blue", "green", "red", "red_edge_1", "red_edge_2", "red_edge_3", "nir", "nir_narrow")
SAMPLE_PIXELS = 1_000_000
# Squares of 500 m need more pixels: at this number a Landsat scene is sampled every 60 m, a Sentinel-2 tile every 30 m.
AEROSOL_PIXELS = 16_000_000


def correct_atmosphere(
    toa: xr.Dataset,
    *,
    sensor: str,
    sun_elevation_deg: float,
    time: datetime,
    elevation_m: xr.DataArray | float = 0,
    method: str = "auto",
    latitude_deg: float | None = None,
    aot_550: float | None = None,
    aerosol: Aerosol | None = None,
    water_g_cm2: float | None = None,
    ozone_cm_atm: float | None = None,
) -> xr.Dataset:
    """Surface reflectance of a scene.

    What describes the whole scene (dark objects, aerosol) is computed at once from a sample of pixels; the correction itself
    stays lazy where ``toa`` is.

    Parameters
    ----------
    toa
        Reflectance at the top of the atmosphere [1] corrected for the angle of the sun, dims ``(..., y, x)``, NaN is no
        data. Variables are bands: blue, green, red, nir, swir_1, swir_2 and for Sentinel-2 also red_edge_1, red_edge_2,
        red_edge_3, nir_narrow; some may be absent.
    sensor
        Name of the sensor (``catalogs/sensors.yml``), by which the instrument is found in ``catalogs/atmosphere``.
    sun_elevation_deg
        Height of the sun above the horizon at the centre of the scene [degree].
    time
        When the scene was taken, for the climatology of gases.
    elevation_m
        Height of the ground above the sea [m], dims ``(y, x)`` or one number.
    method
        "dos": dark object subtraction (DOS1; Chavez 1988, doi:10.1016/0034-4257(88)90019-3). "cost": that with the
        transmittance estimated by the sun's angle (Chavez 1996). "6s": tables made by 6S, the aerosol estimated from
        dark vegetation. "auto": "6s" where there is a table for the sensor and bands and the sun is at least 15
        degrees high, else "dos", whose measured error is smaller than that of COST (``reports/published/ard.md``).
    latitude_deg
        Of the scene [degree north], for the climatology of gases; by default that of the centre of ``toa``'s grid.
    aot_550
        Optical depth of the aerosol at 550 nm, reduced to the sea [1], 0 to 1.6; estimated from the scene by default, by
        squares of 500 m. "6s" only.
    aerosol
        What :func:`see_aerosol` saw in other bands of the scene, with squares in pixels of ``toa``; instead of ``aot_550``.
    water_g_cm2, ozone_cm_atm
        Columns of water vapor [g cm-2] and ozone [cm atm] above the sea; by default of the climatology. "6s" only.

    Returns
    -------
    xr.Dataset
        Surface reflectance [1], dims as ``toa``; slightly negative where the surface is darker than the error. attrs:
        ``atmosphere_method``, ``aot_550`` [1] (NaN without 6S), ``atmosphere_assumptions`` in words.

    Raises
    ------
    SceneError
        Where the method, sensor or a band is unknown, there is no valid pixel, the sun is too low, or "6s" has no
        latitude.
    """
    if method not in METHODS:
        raise SceneError(f"no method {method!r} of atmospheric correction; there are {', '.join(METHODS)}")
    if not 0 < sun_elevation_deg <= 90:
        raise SceneError(f"the sun is {sun_elevation_deg} degrees high; surface reflectance needs 0 to 90 degrees")
    _check_bands(toa)
    if method == "auto":
        method = choose_method(toa, sensor=sensor, sun_elevation_deg=sun_elevation_deg)
    _check_grid(toa, elevation_m)
    if method != "6s":
        return _subtract_dark_objects(toa, sun_elevation_deg=sun_elevation_deg, method=method)
    air = _air_above(
        toa, sensor=sensor, sun_elevation_deg=sun_elevation_deg, time=time, latitude_deg=latitude_deg,
        water_g_cm2=water_g_cm2, ozone_cm_atm=ozone_cm_atm,
    )  # fmt: skip
    if aerosol is None and aot_550 is None:
        aerosol = _see_aerosol(toa, elevation_m, air, sun_zenith_deg=90 - sun_elevation_deg)
    return _correct_by_table(toa, air, elevation_m=elevation_m, aerosol=aerosol, aot_550=aot_550)


def choose_method(toa: xr.Dataset, *, sensor: str, sun_elevation_deg: float) -> str:
    """What "auto" is for a scene: "6s" or "dos"; arguments as of :func:`correct_atmosphere`."""
    instrument = atmosphere_table.find_instrument(sensor)
    high = sun_elevation_deg >= 90 - atmosphere_table.MAX_SUN_ZENITH_DEG
    tabled = instrument is not None and set(toa.data_vars) <= set(atmosphere_table.bands_of(instrument))
    return "6s" if tabled and high else "dos"


def see_aerosol(
    toa: xr.Dataset,
    *,
    sensor: str,
    sun_elevation_deg: float,
    time: datetime,
    elevation_m: xr.DataArray | float = 0,
    latitude_deg: float | None = None,
) -> Aerosol:
    """Aerosol of a scene, for bands of it that lie on another grid than those in which it is seen.

    Arguments and errors as of :func:`correct_atmosphere` with method "6s"; it is seen in blue, red, nir and swir_2. Its squares
    are in pixels of ``toa``; :meth:`Aerosol.on_finer_grid` tells them in those of another grid.
    """
    _check_grid(toa, elevation_m)
    air = _air_above(
        toa, sensor=sensor, sun_elevation_deg=sun_elevation_deg, time=time, latitude_deg=latitude_deg,
        water_g_cm2=None, ozone_cm_atm=None,
    )  # fmt: skip
    return _see_aerosol(toa, elevation_m, air, sun_zenith_deg=90 - sun_elevation_deg)


def sample_pixels(pixels: Pixels, most: int = SAMPLE_PIXELS) -> Pixels:
    """At most ``most`` pixels of data with dims ``(..., y, x)``, evenly spread and in memory."""
    step = sample_step(pixels, most)
    return pixels.isel(y=slice(None, None, step), x=slice(None, None, step)).compute()


def sample_step(pixels: xr.Dataset | xr.DataArray, most: int = SAMPLE_PIXELS) -> int:
    """Every how many pixels along ``y`` and ``x`` one is taken, for at most about ``most``."""
    return max(1, int(np.ceil(np.sqrt(pixels.sizes["y"] * pixels.sizes["x"] / most))))


def dark_object(reflectance: np.ndarray) -> float:
    """Reflectance [1] at or below which 0.01 % of the valid pixels lie, NaN where none is valid; any dims."""
    valid = reflectance[np.isfinite(reflectance)]
    return float(np.quantile(valid, DARK_SHARE, method="inverted_cdf")) if valid.size else float("nan")


def haze_reflectance(dark: float, *, transmittance: float) -> float:
    """Reflectance [1] that the atmosphere adds, from that of the darkest object.

    ``dark - 0.01 * transmittance``, at least 0: the object itself reflects 1 % of what reaches it (Chavez 1996).
    """
    return max(dark - DARK_REFLECTANCE * transmittance, 0.0)


def _subtract_dark_objects(toa: xr.Dataset, *, sun_elevation_deg: float, method: str) -> xr.Dataset:
    sample = sample_pixels(toa)
    corrected, haze = {}, {}
    for band in toa.data_vars:
        cost = method == "cost" and band in SCATTERING_BANDS
        transmittance = float(np.sin(np.radians(sun_elevation_deg))) if cost else 1.0
        dark = dark_object(sample[band].values)
        if not np.isfinite(dark):
            raise SceneError(f"band {band} has no valid pixel; there is nothing to correct")
        haze[band] = haze_reflectance(dark, transmittance=transmittance)
        corrected[band] = (toa[band] - haze[band]) / transmittance
    removed = ", ".join(f"{band} {value:.4f}" for band, value in haze.items())
    assumptions = f"the darkest 0.01 % of pixels reflect 1 %; haze removed: {removed}"
    return as_surface_reflectance(toa, corrected, method=method, aot_550=float("nan"), assumptions=assumptions)


@dataclass(frozen=True)
class _Air:
    """The gases of a scene in words, and its atmosphere by band."""

    gases: str
    skies: Mapping[str, SceneSky]


def _air_above(
    toa: xr.Dataset,
    *,
    sensor: str,
    sun_elevation_deg: float,
    time: datetime,
    latitude_deg: float | None,
    water_g_cm2: float | None,
    ozone_cm_atm: float | None,
) -> _Air:
    instrument = atmosphere_table.find_instrument(sensor)
    if instrument is None:
        raise SceneError(
            f"no table of the atmosphere for sensor {sensor!r}; there are tables for "
            f"{', '.join(atmosphere_table.known_sensors())}; make one (catalogs/atmosphere) or use method 'dos'"
        )
    profile = "given"
    if water_g_cm2 is None or ozone_cm_atm is None:
        latitude = _latitude_deg(toa) if latitude_deg is None else latitude_deg
        profile, usual_water, usual_ozone = atmosphere_table.gases_of(latitude_deg=latitude, time=time)
        water_g_cm2 = usual_water if water_g_cm2 is None else water_g_cm2
        ozone_cm_atm = usual_ozone if ozone_cm_atm is None else ozone_cm_atm
    gases = {"water_g_cm2": water_g_cm2, "ozone_cm_atm": ozone_cm_atm}
    words = f"gases: {profile}, water vapor {water_g_cm2:.2f} g cm-2, ozone {ozone_cm_atm:.3f} cm atm above the sea"
    return _Air(
        words,
        {
            str(band): sky_of_scene(instrument, str(band), sun_zenith_deg=90 - sun_elevation_deg, **gases)
            for band in toa.data_vars
        },
    )


def _see_aerosol(toa: xr.Dataset, elevation_m: xr.DataArray | float, air: _Air, *, sun_zenith_deg: float) -> Aerosol:
    step = sample_step(toa, AEROSOL_PIXELS)
    sample = sample_pixels(toa[[band for band in NEEDED_BANDS if band in toa]], AEROSOL_PIXELS)
    heights = sample_pixels(elevation_m, AEROSOL_PIXELS) if isinstance(elevation_m, xr.DataArray) else elevation_m
    pixel_m = _pixel_m(toa) * step
    found = estimate_aerosol(sample, heights, air.skies, sun_zenith_deg=sun_zenith_deg, pixel_m=pixel_m)
    return found.on_finer_grid(step)


def _correct_by_table(
    toa: xr.Dataset,
    air: _Air,
    *,
    elevation_m: xr.DataArray | float,
    aerosol: Aerosol | None,
    aot_550: float | None,
) -> xr.Dataset:
    if aerosol is None:
        aerosol, source = Aerosol(aot_550, float(aot_550)), "given, above the sea"
    elif aerosol.targets:
        source = f"{aerosol.targets} pixels of dark vegetation, by squares of 500 m"
    else:
        source = f"too little dark vegetation, the mean over land ({USUAL_AOT_550})"
    aot_at_sea = aerosol.by_pixel(1, toa[next(iter(toa.data_vars))])
    corrected = {
        band: remove_atmosphere(toa[band], air.skies[str(band)], elevation_m=elevation_m, aot_at_sea=aot_at_sea)
        for band in toa.data_vars
    }
    ground = "heights by pixel" if isinstance(elevation_m, xr.DataArray) else f"all ground at {elevation_m:g} m"
    assumptions = (
        f"urban aerosol of little absorption, optical depth: {source}; {air.gases}; {ground}; seen from nadir; "
        "flat Lambertian ground"
    )
    return as_surface_reflectance(toa, corrected, method="6s", aot_550=aerosol.aot_550, assumptions=assumptions)


def _pixel_m(toa: xr.Dataset) -> float:
    """Side of the pixels [m], infinite where the coordinates do not tell it in metres."""
    if "x" not in toa.coords or toa.sizes["x"] < 2:
        return float("inf")
    step = abs(float(toa["x"][1] - toa["x"][0]))
    return step if step >= 0.1 else float("inf")


def _latitude_deg(toa: xr.Dataset) -> float:
    import odc.geo.xr  # noqa: F401 - gives datasets their .odc

    geobox = toa.odc.geobox
    if geobox is None or geobox.crs is None:
        raise SceneError("the scene has no CRS, so its gases are unknown; give latitude_deg, or water_g_cm2 and ozone_cm_atm")
    return float(geobox.geographic_extent.centroid.coords[0][1])


def as_surface_reflectance(
    toa: xr.Dataset, bands: Mapping[str, xr.DataArray], *, method: str, aot_550: float, assumptions: str
) -> xr.Dataset:
    """A dataset of the bands with the type and attrs of ``toa`` and what the correction was."""
    result = xr.Dataset({name: band.astype(toa[name].dtype) for name, band in bands.items()}, attrs=toa.attrs)
    for name, band in result.data_vars.items():
        band.attrs = toa[name].attrs | {"units": "1", "standard_name": "surface_bidirectional_reflectance"}
    result.attrs |= {"atmosphere_method": method, "aot_550": aot_550, "atmosphere_assumptions": assumptions}
    return result


def _check_bands(toa: xr.Dataset) -> None:
    known = (*SCATTERING_BANDS, "swir_1", "swir_2")
    unknown = [str(name) for name in toa.data_vars if name not in known]
    if unknown or not toa.data_vars:
        raise SceneError(
            f"bands {', '.join(unknown) or '(none)'} cannot be corrected; known are {', '.join(known)}: "
            "drop or rename the others"
        )
    if not {"y", "x"} <= set(toa.dims):
        raise SceneError(f"the scene has dims {', '.join(map(str, toa.dims))}; it needs y and x")


def _check_grid(toa: xr.Dataset, elevation_m: xr.DataArray | float) -> None:
    if not isinstance(elevation_m, xr.DataArray):
        return
    try:
        xr.align(toa, elevation_m, join="exact")
    except ValueError as error:
        raise SceneError(
            f"heights ({dict(elevation_m.sizes)}) are not on the grid of the scene ({dict(toa.sizes)}); reproject them to it"
        ) from error
