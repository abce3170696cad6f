"""Aerosol of a scene, seen over dark vegetation whose colors are known."""

import logging
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ceiba.ard.atmosphere_radiation import surface_reflectance
from ceiba.ard.atmosphere_table import MAX_AOT_550, SCALE_HEIGHT_KM, layers_of

log = logging.getLogger(__name__)

# Mean over land of MODIS, 2000 to 2006 (Remer et al. 2008, doi:10.1029/2007JD009661): for scenes without targets.
USUAL_AOT_550 = 0.19
# Short-wave infrared reflectance of targets [1] (Kaufman et al. 1997, doi:10.1109/36.628795: below, water and shadow;
# above, the relation between the colors scatters).
TARGET_SWIR_2 = (0.01, 0.15)
# Only green targets: the slope of Levy et al. reaches that of vegetation at 0.75, its middle is at 0.5.
TARGET_NDVI_SWIR = 0.5
# Shares of targets put aside as shadow, and as clouds and bright ground (Remer et al. 2005, doi:10.1175/JAS3385.1).
DARKEST, BRIGHTEST = 0.2, 0.5
MIN_TARGETS, MAX_TARGETS = 100, 5000
CANDIDATES = np.linspace(0, MAX_AOT_550, 161)
NEEDED_BANDS = ("blue", "red", "nir", "swir_2")


@dataclass(frozen=True)
class Aerosol:
    """Aerosol of a scene.

    Attributes
    ----------
    aot_550
        Optical depth at 550 nm [1] above ground of ``altitude_km`` [km].
    targets
        How many pixels showed it; 0 where it is the usual value or was given.
    spread
        Half the range of the middle 68 % of the targets' values [1], NaN without targets.
    """

    aot_550: float
    altitude_km: float
    targets: int
    spread: float


def visible_of_vegetation(
    swir_2: np.ndarray, ndvi_swir: np.ndarray, scattering_angle_deg: float
) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance of vegetation in blue and red [1] from that at 2.1 um.

    Levy et al. 2007, doi:10.1029/2006JD007811, eq. 10 to 12, of MODIS bands at 0.47, 0.65 and 2.12 um.

    Parameters
    ----------
    swir_2
        Surface reflectance at 2.1 um [1], any dims.
    ndvi_swir
        Normalized difference of near and short-wave infrared [1]. The paper has the band at 1.24 um, which Landsat and
        Sentinel-2 lack; over dense vegetation that at 0.86 um is about as bright.
    scattering_angle_deg
        Angle between the ways of light in and out [degree]: 180 is back to the sun.
    """
    slope = 0.48 + 0.2 * (np.clip(ndvi_swir, 0.25, 0.75) - 0.25) + 0.002 * scattering_angle_deg - 0.27
    red = slope * swir_2 - 0.00025 * scattering_angle_deg + 0.033
    return 0.49 * red + 0.005, red


def find_targets(toa: xr.Dataset) -> np.ndarray:
    """Pixels of dark vegetation, the flat positions in the arrays of ``toa`` [1]; at most 5,000, evenly spread.

    Green and dark at 2.1 um; of these the 20 % darkest and 50 % brightest in red are left out.
    """
    red, nir, swir_2 = (toa[name].values.ravel() for name in ("red", "nir", "swir_2"))
    with np.errstate(invalid="ignore", divide="ignore"):
        green = (nir - swir_2) / (nir + swir_2) > TARGET_NDVI_SWIR
        dark = (swir_2 > TARGET_SWIR_2[0]) & (swir_2 < TARGET_SWIR_2[1])
    found = np.flatnonzero(green & dark & np.isfinite(red) & np.isfinite(toa["blue"].values.ravel()))
    if not found.size:
        return found
    low, high = np.quantile(red[found], [DARKEST, 1 - BRIGHTEST])
    found = found[(red[found] >= low) & (red[found] <= high)]
    return found[:: max(1, len(found) // MAX_TARGETS)]


def estimate_aerosol(
    toa: xr.Dataset,
    elevation_m: xr.DataArray | float,
    *,
    instrument: str,
    sun_zenith_deg: float,
    water_g_cm2: float,
    ozone_cm_atm: float,
) -> Aerosol:
    """Aerosol of a scene from its dark vegetation, as the dark-target method of MODIS.

    For each target, the optical depth at which surface reflectance in blue and red differs least (sum of squares) from
    what vegetation of its short-wave infrared has; the median of the targets is the scene's. Where there are fewer than
    100 targets, or a band is missing, it is the usual value over land, 0.19.

    Parameters
    ----------
    toa
        Reflectance at the top of the atmosphere [1], any dims, in memory; NaN is no data.
    elevation_m
        Height of the ground [m], dims as ``toa``, or one number.
    instrument
        As in ``catalogs/atmosphere/instruments.yml``.
    sun_zenith_deg
        Zenith angle of the sun [degree].
    water_g_cm2, ozone_cm_atm
        Columns above the sea [g cm-2], [cm atm].
    """
    targets = find_targets(toa) if set(NEEDED_BANDS) <= set(toa.data_vars) else np.array([], int)
    if len(targets) < MIN_TARGETS:
        log.warning("%d pixels of dark vegetation: the usual aerosol of land is assumed", len(targets))
        return Aerosol(USUAL_AOT_550, 0.0, 0, float("nan"))
    altitude_km = _median_altitude_km(elevation_m, targets)
    seen = {band: toa[band].values.ravel()[targets].astype(float) for band in NEEDED_BANDS}
    skies = {
        band: layers_of(
            instrument, band, sun_zenith_deg=sun_zenith_deg, altitude_km=np.full(len(CANDIDATES), altitude_km),
            aot_550=CANDIDATES, water_g_cm2=np.full(len(CANDIDATES), water_g_cm2 * np.exp(-altitude_km / SCALE_HEIGHT_KM)),
            ozone_cm_atm=ozone_cm_atm,
        )
        for band in NEEDED_BANDS
    }  # fmt: skip
    misfit = np.empty((len(CANDIDATES), len(targets)))
    for row in range(len(CANDIDATES)):
        surface = {band: surface_reflectance(seen[band], **sky.quantities(row)) for band, sky in skies.items()}
        ndvi_swir = (surface["nir"] - surface["swir_2"]) / (surface["nir"] + surface["swir_2"])
        blue, red = visible_of_vegetation(surface["swir_2"], ndvi_swir, 180 - sun_zenith_deg)
        misfit[row] = (surface["blue"] - blue) ** 2 + (surface["red"] - red) ** 2
    values = CANDIDATES[misfit.argmin(axis=0)]
    low, middle, high = np.quantile(values, [0.16, 0.5, 0.84])
    return Aerosol(float(middle), altitude_km, len(targets), float(high - low) / 2)


def _median_altitude_km(elevation_m: xr.DataArray | float, targets: np.ndarray) -> float:
    if not isinstance(elevation_m, xr.DataArray):
        return float(elevation_m) / 1000
    heights = elevation_m.values.ravel()[targets]
    return float(np.nanmedian(heights)) / 1000 if np.isfinite(heights).any() else 0.0
