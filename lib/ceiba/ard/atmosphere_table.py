"""The look-up tables of the atmosphere in ``catalogs/atmosphere``: how each band is scattered and absorbed."""

import functools
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import yaml
from scipy.interpolate import CubicSpline, PchipInterpolator

from ceiba.config import project_root
from ceiba.errors import SceneError

MAX_SUN_ZENITH_DEG = 75.0
MAX_ALTITUDE_KM = 5.0
MAX_AOT_550 = 1.6
# Height over which aerosol and water vapor fall to 1/e [km] (Vermote et al. 1997, doi:10.1109/36.581987, for both).
SCALE_HEIGHT_KM = 2.0
SCATTERING = ("path_reflectance", "transmittance", "spherical_albedo")


@dataclass(frozen=True)
class Layers:
    """The atmosphere above ground of some altitudes in one band, all dims ``(altitude,)`` and [1].

    Attributes
    ----------
    altitude_km
        Of the ground [km].
    rayleigh_reflectance
        Path reflectance of molecules alone.
    path_reflectance, transmittance, spherical_albedo
        Of molecules and aerosol, without absorption by gases.
    water_transmittance, half_water_transmittance
        Of the whole column of water vapor, and of half of it (between the aerosol and the sensor).
    gas_transmittance
        Of ozone and all gases but water.
    """

    altitude_km: np.ndarray
    rayleigh_reflectance: np.ndarray
    path_reflectance: np.ndarray
    transmittance: np.ndarray
    spherical_albedo: np.ndarray
    water_transmittance: np.ndarray
    half_water_transmittance: np.ndarray
    gas_transmittance: np.ndarray

    def quantities(self, row: int) -> dict[str, float]:
        """What the equation of 6S needs, above the ground of one altitude."""
        return {name: float(values[row]) for name, values in vars(self).items() if name != "altitude_km"}


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


def layers_of(
    instrument: str,
    band: str,
    *,
    sun_zenith_deg: float,
    altitude_km: np.ndarray,
    aot_550: np.ndarray,
    water_g_cm2: np.ndarray,
    ozone_cm_atm: float,
) -> Layers:
    """The atmosphere above ground of some altitudes, interpolated in the table.

    Cubic splines in the sun's angle, in aerosol and in ozone, monotone cubics in the root of water vapor, linear in the
    pressure of the air.

    Parameters
    ----------
    instrument, band
        As in ``catalogs/atmosphere/instruments.yml``.
    sun_zenith_deg
        Zenith angle of the sun [degree], 0 to 75.
    altitude_km
        Of the ground [km], ``(altitude,)``; what lies beyond 0 to 5 km is taken as these.
    aot_550
        Optical depth of the aerosol above the ground [1], ``(altitude,)``, 0 to 1.6.
    water_g_cm2
        Column of water vapor above the ground [g cm-2], ``(altitude,)``; above 7 is taken as 7.
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
    if np.min(aot_550) < 0 or np.max(aot_550) > MAX_AOT_550:
        raise SceneError(f"aerosol optical depth {np.max(aot_550):.2f}; the tables go from 0 to {MAX_AOT_550}")
    nodes, columns = _load_columns(instrument, band)
    at_sun = {
        name: CubicSpline(nodes["sun_zenith_deg"], values, axis=0)(sun_zenith_deg) for name, values in columns.items()
    }
    at_height = {name: _between_pressures(values, nodes["altitude_km"], altitude_km) for name, values in at_sun.items()}
    scattering = {name: _spline_each(nodes["aot_550"], at_height[name], aot_550) for name in SCATTERING}
    root = np.sqrt(nodes["water_g_cm2"])
    water = np.clip(water_g_cm2, 0, nodes["water_g_cm2"][-1])
    whole, half = (
        _spline_each(root, at_height["water_transmittance"], np.sqrt(column), PchipInterpolator)
        for column in (water, water / 2)
    )
    ozone = np.full(len(altitude_km), np.clip(ozone_cm_atm, 0, nodes["ozone_cm_atm"][-1]))
    return Layers(
        altitude_km=np.asarray(altitude_km, float),
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


def _spline_each(nodes: np.ndarray, rows: np.ndarray, at: np.ndarray, kind: type = CubicSpline) -> np.ndarray:
    return np.array([float(kind(nodes, row)(place)) for row, place in zip(rows, at, strict=True)])


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
