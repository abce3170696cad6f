"""The look-up tables of the atmosphere in ``catalogs/atmosphere``: how each band is scattered and absorbed."""

import functools
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import yaml
from scipy.interpolate import CubicSpline

from ceiba.config import project_root
from ceiba.errors import SceneError

MAX_SUN_ZENITH_DEG = 75.0
MAX_ALTITUDE_KM = 4.0
MAX_AOT_550 = 1.6
# Height over which aerosol and water vapor fall to 1/e [km] (Vermote et al. 1997, doi:10.1109/36.581987, for both).
SCALE_HEIGHT_KM = 2.0
SCATTERING = ("path_reflectance", "transmittance", "spherical_albedo")


@dataclass(frozen=True)
class Sky:
    """The atmosphere above some places in one band, all arrays of one shape and [1].

    Attributes
    ----------
    rayleigh_reflectance
        Path reflectance of molecules alone.
    path_reflectance, transmittance, spherical_albedo
        Of molecules and aerosol, without absorption by gases.
    water_transmittance, half_water_transmittance
        Of the whole column of water vapor, and of half of it (between the aerosol and the sensor).
    gas_transmittance
        Of ozone and all gases but water.
    """

    rayleigh_reflectance: np.ndarray
    path_reflectance: np.ndarray
    transmittance: np.ndarray
    spherical_albedo: np.ndarray
    water_transmittance: np.ndarray
    half_water_transmittance: np.ndarray
    gas_transmittance: np.ndarray


@functools.cache
def load_instruments() -> dict[str, dict]:
    """Instruments by name, with ``sensors`` and ``bands`` (``catalogs/atmosphere/instruments.yml``)."""
    return yaml.safe_load((_folder() / "instruments.yml").read_text("utf-8"))


def find_instrument(sensor: str) -> str | None:
    """Instrument of a sensor (``catalogs/sensors.yml``), or None where there is no table of it."""
    for name, entry in load_instruments().items():
        if sensor.startswith(tuple(entry["sensors"])) and (_folder() / f"table_{name}.csv").exists():
            return name
    return None


def known_sensors() -> list[str]:
    """How the names of sensors with a table begin."""
    return [prefix for entry in load_instruments().values() for prefix in entry["sensors"]]


def bands_of(instrument: str) -> tuple[str, ...]:
    """Bands of the table of an instrument."""
    return tuple(load_instruments()[instrument]["bands"])


def gases_of(*, latitude_deg: float, time: datetime) -> tuple[str, float, float]:
    """Usual gases of a place and season.

    The standard atmosphere of the season-latitude table of the FLAASH User's Guide (table 2-2), with the columns that 6S
    gives it (Vermote et al. 1997).

    Returns
    -------
    profile, water_g_cm2, ozone_cm_atm
        Name of the standard atmosphere, and its columns above the sea of water vapor [g cm-2] and ozone [cm atm].

    Raises
    ------
    SceneError
        Where the latitude is none.
    """
    if not -90 <= latitude_deg <= 90:
        raise SceneError(f"latitude {latitude_deg} degrees; a latitude is between -90 and 90")
    table = pd.read_csv(_folder() / "climatology.csv", index_col="latitude_deg")
    row = table.loc[table.index[np.argmin(np.abs(table.index.to_numpy() - latitude_deg))]]
    profile = str(row.iloc[(time.month - 1) // 2])
    columns = pd.read_csv(_folder() / "profiles.csv", index_col="profile").loc[profile]
    return profile, float(columns["water_g_cm2"]), float(columns["ozone_cm_atm"])


def sky_above(
    instrument: str,
    band: str,
    *,
    sun_zenith_deg: float,
    altitude_km: np.ndarray,
    aot_550: np.ndarray,
    water_g_cm2: np.ndarray,
    ozone_cm_atm: float,
) -> Sky:
    """The atmosphere above some places, interpolated in the table.

    Cubic splines in the sun's angle, in aerosol, in ozone and in the root of water vapor, linear in the pressure of the air.

    Parameters
    ----------
    instrument, band
        As in ``catalogs/atmosphere/instruments.yml``.
    sun_zenith_deg
        Zenith angle of the sun [degree], 0 to 75.
    altitude_km
        Of the ground [km], ``(place,)``; what lies beyond 0 to 4 km is taken as these.
    aot_550
        Optical depth of the aerosol above the ground [1], ``(place,)``, 0 to 1.6.
    water_g_cm2
        Column of water vapor above the ground [g cm-2], ``(place,)``; above 7 is taken as 7.
    ozone_cm_atm
        Column of ozone [cm atm]; above 0.5 is taken as 0.5.

    Raises
    ------
    SceneError
        Where the sun is lower or the aerosol thicker than the table goes.
    """
    if not 0 <= sun_zenith_deg <= MAX_SUN_ZENITH_DEG:
        raise SceneError(
            f"the sun is {sun_zenith_deg:.1f} degrees from the zenith; the tables go from 0 to {MAX_SUN_ZENITH_DEG:.0f}: "
            "use method 'dos'"
        )
    if not 0 <= np.min(aot_550) <= np.max(aot_550) <= MAX_AOT_550:
        raise SceneError(
            f"aerosol optical depths from {np.min(aot_550):.2f} to {np.max(aot_550):.2f}; the tables go from 0 to {MAX_AOT_550}"
        )
    nodes, columns = _load_columns(instrument, band)
    at_sun = {
        name: CubicSpline(nodes["sun_zenith_deg"], values, axis=0)(sun_zenith_deg) for name, values in columns.items()
    }
    at_height = {name: _between_pressures(values, nodes["altitude_km"], altitude_km) for name, values in at_sun.items()}
    scattering = {name: _spline_each(nodes["aot_550"], at_height[name], aot_550) for name in SCATTERING}
    root = np.sqrt(nodes["water_g_cm2"])
    water = np.clip(water_g_cm2, 0, nodes["water_g_cm2"][-1])
    # 6S takes the column as that above the sea and thins it out with height itself: so the rows at the sea are used, with
    # the column that is left above the ground.
    by_water = CubicSpline(root, at_sun["water_transmittance"][0])
    whole, half = (by_water(np.sqrt(column)) for column in (water, water / 2))
    ozone = np.full(len(altitude_km), np.clip(ozone_cm_atm, 0, nodes["ozone_cm_atm"][-1]))
    return Sky(
        rayleigh_reflectance=at_height["path_reflectance"][:, 0],
        **scattering,
        water_transmittance=whole,
        half_water_transmittance=half,
        gas_transmittance=_spline_each(nodes["ozone_cm_atm"], at_height["ozone_transmittance"], ozone)
        * at_height["other_transmittance"][:, 0],
    )


def pressure_hpa(altitude_km: np.ndarray | float) -> np.ndarray:
    """Pressure [hPa] of the US standard atmosphere 1976 below 11 km."""
    return 1013.25 * (1 - 0.0225577 * np.asarray(altitude_km)) ** 5.25588


def _between_pressures(values: np.ndarray, nodes_km: np.ndarray, altitude_km: np.ndarray) -> np.ndarray:
    pressures = pressure_hpa(np.clip(altitude_km, nodes_km[0], nodes_km[-1]))
    place = np.interp(-pressures, -pressure_hpa(nodes_km), np.arange(len(nodes_km)))
    below = np.minimum(place.astype(int), len(nodes_km) - 2)
    share = (place - below)[:, None]
    return (1 - share) * values[below] + share * values[below + 1]


def _spline_each(nodes: np.ndarray, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A spline through each of ``rows`` at ``nodes``, each evaluated at its own place."""
    # A spline is linear in its values: those of the unit vectors are the weights of the nodes.
    weights = CubicSpline(nodes, np.eye(len(nodes)))(at)
    return np.einsum("pn,pn->p", weights, rows)


@functools.cache
def _load_columns(instrument: str, band: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    path = _folder() / f"table_{instrument}.csv"
    table = pd.read_csv(path)
    table = table[table["band"] == band]
    if table.empty:
        raise SceneError(f"{path.name} has no band {band!r}; it has {', '.join(bands_of(instrument))}")
    names = ("sun_zenith_deg", "altitude_km", "aot_550", "water_g_cm2", "ozone_cm_atm")
    nodes = {name: np.sort(table[name].unique()).astype(float) for name in names}
    shape = tuple(len(nodes[name]) for name in names[:3])
    table = table.sort_values(list(names[:3]))
    columns = {name: table[name].to_numpy(float).reshape(shape) for name in table.columns[6:]}
    return nodes, columns


def _folder():
    return project_root() / "catalogs" / "atmosphere"
