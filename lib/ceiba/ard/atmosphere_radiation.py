"""Surface reflectance under a known atmosphere: the equation of 6S, solved for the ground."""

from typing import TypeVar

import numpy as np
import xarray as xr

from ceiba.ard.atmosphere_table import MAX_ALTITUDE_KM, MAX_AOT_550, SCALE_HEIGHT_KM, Layers, layers_of

Reflectance = TypeVar("Reflectance", float, np.ndarray, xr.DataArray)

LAYERS_KM = np.linspace(0, MAX_ALTITUDE_KM, 11)


def surface_reflectance(
    toa: Reflectance,
    *,
    path_reflectance: Reflectance,
    rayleigh_reflectance: Reflectance,
    transmittance: Reflectance,
    spherical_albedo: Reflectance,
    water_transmittance: Reflectance,
    half_water_transmittance: Reflectance,
    gas_transmittance: Reflectance,
) -> Reflectance:
    """Reflectance of a uniform Lambertian surface [1] from that at the top of the atmosphere.

    Solves ``toa = Tg [Rr + (Ra - Rr) Tw(U/2) + T Tw(U) s / (1 - S s)]`` for ``s`` (Vermote et al. 1997,
    doi:10.1109/36.581987, eq. 5 and 6): aerosol lies in the middle of the water vapor, molecules above it.

    Parameters
    ----------
    toa
        Reflectance at the top of the atmosphere [1], any dims, NaN is no data.
    path_reflectance, rayleigh_reflectance
        Of molecules and aerosol, and of molecules alone [1].
    transmittance, spherical_albedo
        Of scattering, both ways, and of the atmosphere seen from the ground [1].
    water_transmittance, half_water_transmittance, gas_transmittance
        Both ways: of the whole water vapor, of half of it, and of all other gases [1].
    """
    path = rayleigh_reflectance + (path_reflectance - rayleigh_reflectance) * half_water_transmittance
    lit = (toa / gas_transmittance - path) / (transmittance * water_transmittance)
    return lit / (1 + spherical_albedo * lit)


def layers_above(
    instrument: str,
    band: str,
    *,
    sun_zenith_deg: float,
    aot_550: float,
    aot_altitude_km: float,
    water_g_cm2: float,
    ozone_cm_atm: float,
) -> Layers:
    """The atmosphere of a scene above ground of 0 to 5 km, every 500 m.

    Aerosol and water vapor thin out with a scale height of 2 km.

    Parameters
    ----------
    instrument, band
        As in ``catalogs/atmosphere/instruments.yml``.
    sun_zenith_deg
        Zenith angle of the sun [degree].
    aot_550, aot_altitude_km
        Optical depth of the aerosol [1] above ground of this altitude [km].
    water_g_cm2, ozone_cm_atm
        Columns above the sea [g cm-2], [cm atm].
    """
    aot = np.minimum(aot_550 * np.exp((aot_altitude_km - LAYERS_KM) / SCALE_HEIGHT_KM), MAX_AOT_550)
    water = water_g_cm2 * np.exp(-LAYERS_KM / SCALE_HEIGHT_KM)
    return layers_of(
        instrument,
        band,
        sun_zenith_deg=sun_zenith_deg,
        altitude_km=LAYERS_KM,
        aot_550=aot,
        water_g_cm2=water,
        ozone_cm_atm=ozone_cm_atm,
    )


def remove_atmosphere(toa: xr.DataArray, layers: Layers, elevation_m: xr.DataArray | float) -> xr.DataArray:
    """Surface reflectance [1] of a band over ground of some elevation [m], dims as ``toa``; lazy where that is."""
    quantities = {
        name: _at_elevation(layers.altitude_km, values, elevation_m)
        for name, values in vars(layers).items()
        if name != "altitude_km"
    }
    return surface_reflectance(toa, **quantities)


def _at_elevation(
    altitude_km: np.ndarray, values: np.ndarray, elevation_m: xr.DataArray | float
) -> xr.DataArray | float:
    if isinstance(elevation_m, xr.DataArray):
        return xr.apply_ufunc(
            lambda metres: np.interp(metres / 1000, altitude_km, values).astype(np.float32),
            elevation_m,
            dask="parallelized",
            output_dtypes=[np.float32],
        )
    return float(np.interp(elevation_m / 1000, altitude_km, values))
