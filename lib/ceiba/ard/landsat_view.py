"""From where Landsat looks at a pixel, by its place in the swath."""

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from pyproj import Transformer

EARTH_RADIUS_KM, ALTITUDE_KM = 6371.0, 705.0
INCLINATION_DEG = 98.2  # of the orbit of Landsat 4 to 9 (USGS, Landsat 8 Data Users Handbook, LSDS-1574, 2.1)
# 233 orbits in 16 days: so much faster than the ground at the equator turns east is the ground track.
ORBITS_A_DAY = 233 / 16
GRID_STEPS = 32  # along each side; the angles bend by less than 0.01 degree between them


def track_azimuth_deg(latitude_deg: float) -> float:
    """Direction of flight over the ground on the day side, clockwise from true north [degree].

    ``sin(heading) = cos(inclination) / cos(latitude)`` on a sphere, southward, turned by the ground's own way east (Capderou
    2005, ISBN 978-2-287-27469-5, chapter 5). ``latitude_deg`` is between -81 and 81 degrees.
    """
    east = np.cos(np.radians(INCLINATION_DEG)) / np.cos(np.radians(latitude_deg))
    south = np.sqrt(1 - east**2)
    ground_east = np.cos(np.radians(latitude_deg)) / ORBITS_A_DAY
    return float(np.degrees(np.arctan2(east - ground_east, -south)) % 360)


def view_zenith_deg(distance_km: np.ndarray | float) -> np.ndarray | float:
    """Zenith angle of the satellite [degree] at a distance [km] from its ground track, any dims, on a sphere."""
    angle = np.asarray(distance_km) / EARTH_RADIUS_KM
    nadir = np.arctan2(EARTH_RADIUS_KM * np.sin(angle), EARTH_RADIUS_KM * (1 - np.cos(angle)) + ALTITUDE_KM)
    return np.degrees(nadir + angle)


def view_angles(geobox: GeoBox, center: tuple[float, float]) -> tuple[xr.DataArray, xr.DataArray]:
    """Zenith angle and azimuth of the satellite at every pixel.

    The ground track is taken as straight, through the center of the whole scene. What this leaves out: the center of the
    image's frame lies up to some 5 km beside the track (0.4 degree of zenith angle), and the modules of OLI look up to 1
    degree ahead and behind in turn, which near the track turns the azimuth by up to a right angle.

    Parameters
    ----------
    geobox
        Grid of the pixels.
    center
        Longitude and latitude of the whole scene's center [degree].

    Returns
    -------
    zenith, azimuth
        [degree], float32, dims ``(y, x)``; azimuth of the satellite seen from the ground, clockwise from true north.
    """
    rows, columns = (np.linspace(0, size - 1, min(size, GRID_STEPS + 1)) for size in geobox.shape)
    x, y = geobox.affine * np.meshgrid(columns + 0.5, rows + 0.5)
    longitude, latitude = Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True).transform(x, y)
    heading = np.radians(track_azimuth_deg(center[1]))
    km_a_degree = np.pi * EARTH_RADIUS_KM / 180
    east = ((longitude - center[0] + 180) % 360 - 180) * np.cos(np.radians(latitude)) * km_a_degree
    north = (latitude - center[1]) * km_a_degree
    # To the right of the flight; the satellite stands on the other side.
    right = east * np.cos(heading) - north * np.sin(heading)
    coarse = xr.DataArray(right, coords={"y": rows, "x": columns}, dims=("y", "x"))
    fine = coarse.interp(y=np.arange(geobox.shape[0]), x=np.arange(geobox.shape[1]), method="linear").drop_vars(["y", "x"])
    zenith = fine.copy(data=view_zenith_deg(np.abs(fine.values)).astype(np.float32))
    turned = np.where(fine.values > 0, np.degrees(heading) - 90, np.degrees(heading) + 90) % 360
    return zenith.assign_attrs(units="degree"), fine.copy(data=turned.astype(np.float32)).assign_attrs(units="degree")
