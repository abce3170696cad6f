"""Where the sun stands: its distance, elevation and azimuth, for a place and time or for every pixel of a scene."""

from datetime import UTC, datetime

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from pyproj import Proj, Transformer

EPOCH = datetime(2000, 1, 1, 12, tzinfo=UTC)  # J2000.0
SECONDS_A_DAY = 86_400
GRID_STEPS = 64  # along each side; the sun's elevation bends by less than 1e-4 degree between them


def _days_since_epoch(time: datetime) -> float:
    return (time - EPOCH).total_seconds() / SECONDS_A_DAY


def earth_sun_distance_au(time: datetime) -> float:
    """Distance from the Earth to the Sun [astronomical unit].

    Low-precision formula of the Astronomical Almanac (US Naval Observatory, "Computing approximate solar coordinates"), within
    1e-4 between 1950 and 2050. ``time`` carries its time zone.
    """
    anomaly = np.radians(357.529 + 0.98560028 * _days_since_epoch(time))
    return float(1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly))


def sun_position(
    time: datetime, longitude_deg: float | np.ndarray, latitude_deg: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Elevation and azimuth of the sun, without refraction.

    Parameters
    ----------
    time
        With its time zone.
    longitude_deg, latitude_deg
        East and north [degree], any dims.

    Returns
    -------
    elevation_deg, azimuth_deg
        Above the horizon, and from north by east [degree], dims as given. Low-precision formulas of the Astronomical Almanac
        (Michalsky 1988, doi:10.1016/0038-092X(88)90045-X), within 0.01 degree between 1950 and 2050.
    """
    days = _days_since_epoch(time)
    anomaly = np.radians(357.529 + 0.98560028 * days)
    mean_longitude = 280.459 + 0.98564736 * days
    ecliptic = np.radians(mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 0.00000036 * days)
    right_ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(obliquity) * np.sin(ecliptic))
    sidereal = np.radians(15 * (18.697374558 + 24.06570982441908 * days) + np.asarray(longitude_deg, dtype=float))
    hour_angle = sidereal - right_ascension
    latitude = np.radians(np.asarray(latitude_deg, dtype=float))
    elevation = np.arcsin(
        np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    )
    azimuth = np.arctan2(
        -np.cos(declination) * np.sin(hour_angle),
        np.sin(declination) * np.cos(latitude) - np.cos(declination) * np.sin(latitude) * np.cos(hour_angle),
    )
    return np.degrees(elevation), np.degrees(azimuth) % 360


def grid_convergence_deg(geobox: GeoBox) -> float:
    """Angle from true north to the north of a projected grid at its center [degree], positive to the east.

    An azimuth from true north less this is one from grid north.
    """
    longitude, latitude = geobox.geographic_extent.centroid.coords[0]
    return float(Proj(str(geobox.crs)).get_factors(longitude, latitude).meridian_convergence)


def sun_elevation_of_pixels(geobox: GeoBox, time: datetime) -> xr.DataArray:
    """Elevation of the sun at every pixel's center [degree], dims ``(y, x)``.

    Computed at 65 by 65 points and interpolated between them. All pixels have the same ``time`` [with its zone], that of the
    scene's center: a scene is taken within half a minute, in which the sun moves 0.1 degree.
    """
    rows, columns = (np.linspace(0, size - 1, min(size, GRID_STEPS + 1)) for size in geobox.shape)
    x, y = geobox.affine * np.meshgrid(columns + 0.5, rows + 0.5)
    longitude, latitude = Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True).transform(x, y)
    coarse = xr.DataArray(
        sun_position(time, longitude, latitude)[0], coords={"y": rows, "x": columns}, dims=("y", "x")
    )
    if coarse.shape == tuple(geobox.shape):
        fine = coarse
    else:
        fine = coarse.interp(y=np.arange(geobox.shape[0]), x=np.arange(geobox.shape[1]), method="linear")
    return fine.drop_vars(["y", "x"]).astype("float32").assign_attrs(units="degree")
