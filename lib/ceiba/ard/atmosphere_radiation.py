"""Surface reflectance under a known atmosphere: the equation of 6S, solved for the ground."""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import xarray as xr

from ceiba.ard.atmosphere_table import MAX_ALTITUDE_KM, MAX_AOT_550, SCALE_HEIGHT_KM, Sky, sky_above

Reflectance = TypeVar("Reflectance", float, np.ndarray, xr.DataArray)

ALTITUDE_STEP_KM, AOT_STEP = 0.5, 0.04
ALTITUDES_KM = np.linspace(0, MAX_ALTITUDE_KM, 9)
AOTS_550 = np.linspace(0, MAX_AOT_550, 41)


@dataclass(frozen=True)
class SceneSky:
    """The atmosphere of a scene in one band: :class:`Sky` with arrays of dims ``(altitude, aot)``, every 500 m and 0.04."""

    sky: Sky

    def above(self, altitude_km: np.ndarray | float, aot_550: np.ndarray | float) -> Sky:
        """The atmosphere above ground of some altitudes [km] under some aerosol [1], bilinear, of their common shape.

        Beyond 0 to 4 km and 0 to 1.6 it is that of these limits; NaN gives NaN.
        """
        rows, row_share = _place(altitude_km, ALTITUDE_STEP_KM, len(ALTITUDES_KM))
        columns, column_share = _place(aot_550, AOT_STEP, len(AOTS_550))
        rows, row_share, columns, column_share = np.broadcast_arrays(rows, row_share, columns, column_share)

        def between(values: np.ndarray) -> np.ndarray:
            low = (1 - column_share) * values[rows, columns] + column_share * values[rows, columns + 1]
            high = (1 - column_share) * values[rows + 1, columns] + column_share * values[rows + 1, columns + 1]
            return (1 - row_share) * low + row_share * high

        return Sky(**{field.name: between(getattr(self.sky, field.name)) for field in fields(Sky)})


def sky_of_scene(
    instrument: str, band: str, *, sun_zenith_deg: float, water_g_cm2: float, ozone_cm_atm: float
) -> SceneSky:
    """The atmosphere of a scene in one band, for all altitudes and aerosols.

    Parameters
    ----------
    instrument, band
        As in ``catalogs/atmosphere/instruments.yml``.
    sun_zenith_deg
        Zenith angle of the sun [degree].
    water_g_cm2, ozone_cm_atm
        Columns above the sea [g cm-2], [cm atm]; water vapor thins out with a scale height of 2 km.
    """
    altitude_km, aot_550 = (values.ravel() for values in np.meshgrid(ALTITUDES_KM, AOTS_550, indexing="ij"))
    flat = sky_above(
        instrument, band, sun_zenith_deg=sun_zenith_deg, altitude_km=altitude_km, aot_550=aot_550,
        water_g_cm2=water_g_cm2 * np.exp(-altitude_km / SCALE_HEIGHT_KM), ozone_cm_atm=ozone_cm_atm,
    )  # fmt: skip
    shape = (len(ALTITUDES_KM), len(AOTS_550))
    return SceneSky(Sky(**{name: values.reshape(shape) for name, values in vars(flat).items()}))


def surface_reflectance(toa: Reflectance, sky: Sky) -> Reflectance:
    """Reflectance of a uniform Lambertian surface [1] from that at the top of the atmosphere.

    Solves ``toa = Tg [Rr + (Ra - Rr) Tw(U/2) + T Tw(U) s / (1 - S s)]`` for ``s`` (Vermote et al. 1997,
    doi:10.1109/36.581987): aerosol lies in the middle of the water vapor, molecules above it.

    Parameters
    ----------
    toa
        Reflectance at the top of the atmosphere [1], any dims, NaN is no data.
    sky
        The atmosphere, of shapes that broadcast with ``toa``.
    """
    haze = (sky.path_reflectance - sky.rayleigh_reflectance) * sky.half_water_transmittance
    lit = (toa / sky.gas_transmittance - sky.rayleigh_reflectance - haze) / (sky.transmittance * sky.water_transmittance)
    return lit / (1 + sky.spherical_albedo * lit)


def aot_above(altitude_km: Reflectance, *, aot_at_sea: Reflectance) -> Reflectance:
    """Optical depth of the aerosol above ground [1], from that above the sea; it thins out with a scale height of 2 km."""
    return aot_at_sea * np.exp(-altitude_km / SCALE_HEIGHT_KM)


def remove_atmosphere(
    toa: xr.DataArray, sky: SceneSky, *, elevation_m: xr.DataArray | float, aot_at_sea: xr.DataArray | float
) -> xr.DataArray:
    """Surface reflectance [1] of a band, dims as ``toa``; lazy where an input is.

    Parameters
    ----------
    toa
        Reflectance at the top of the atmosphere [1], dims ``(..., y, x)``.
    sky
        The atmosphere of the scene in this band.
    elevation_m
        Height of the ground [m], by pixel or one number; no data where it is NaN.
    aot_at_sea
        Optical depth of the aerosol at 550 nm, reduced to the sea [1], by pixel or one number.
    """

    def correct(toa: np.ndarray, elevation_m: np.ndarray, aot_at_sea: np.ndarray) -> np.ndarray:
        altitude_km = elevation_m / 1000
        return surface_reflectance(toa, sky.above(altitude_km, aot_above(altitude_km, aot_at_sea=aot_at_sea)))

    return xr.apply_ufunc(
        correct, toa, elevation_m, aot_at_sea, dask="parallelized", output_dtypes=[np.float64]
    ).transpose(*toa.dims)


def _place(value: np.ndarray | float, step: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Node below a value and the share of the way to the next; NaN gives a share that is NaN."""
    place = np.clip(np.asarray(value, dtype=float) / step, 0, count - 1)
    below = np.minimum(np.nan_to_num(place).astype(int), count - 2)
    return below, place - below
