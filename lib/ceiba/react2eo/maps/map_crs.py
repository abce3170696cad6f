"""Coordinate reference systems that maps may be asked in: a short list, so that no text of a request ever reaches PROJ or GDAL."""

import functools
from dataclasses import dataclass

import pyproj
from odc.geo.crs import CRS
from rasterio.warp import transform_bounds

from ceiba.react2eo.layers import Region

EVERYWHERE = ("EPSG:4326", "CRS:84", "EPSG:3857")
NATIONAL = ("EPSG:6372", "EPSG:9377")
"""Mexico's and Colombia's own, offered where a region lies within their area of use."""
ALIASES = {"EPSG:900913": "EPSG:3857"}
DENSIFY_POINTS = 21


@dataclass(frozen=True)
class MapCrs:
    """A coordinate reference system.

    Attributes
    ----------
    name
        As requests name it, "CRS:84".
    gdal
        As GDAL takes it, always east before north.
    north_first
        Whether its authority has north before east, which WMS 1.3.0 follows and 1.1.1 does not.
    """

    name: str
    gdal: str
    north_first: bool


@functools.cache
def find_crs(name: str) -> MapCrs:
    """A system by a name of :func:`region_crs_names`; never call it with a text of a request."""
    if name == "CRS:84":
        return MapCrs(name, "EPSG:4326", False)
    return MapCrs(name, name, pyproj.CRS.from_user_input(name).axis_info[0].direction == "north")


def region_crs_names(region: Region) -> tuple[str, ...]:
    """Names of the systems in which maps of a region can be asked, its own among them if that has an EPSG code."""
    return _crs_names(region.place.crs, region.bounds)


@functools.lru_cache(maxsize=512)
def _crs_names(own: str, bounds: tuple[float, float, float, float]) -> tuple[str, ...]:
    code = CRS(own).epsg
    names = [*EVERYWHERE, *(name for name in NATIONAL if _covers(name, bounds)), *([f"EPSG:{code}"] if code else [])]
    return tuple(dict.fromkeys(names))


def _covers(name: str, bounds: tuple[float, float, float, float]) -> bool:
    west, south, east, north = pyproj.CRS.from_user_input(name).area_of_use.bounds
    return west <= bounds[0] and bounds[2] <= east and south <= bounds[1] and bounds[3] <= north


def region_bounds(region: Region, crs: MapCrs) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of a region [units of the CRS], east before north whatever the CRS."""
    whole = region.place.whole
    return _bounds(str(whole.crs), whole.bounds, crs.gdal)


@functools.lru_cache(maxsize=2048)
def _bounds(source: str, bounds: tuple[float, float, float, float], target: str) -> tuple[float, float, float, float]:
    return transform_bounds(source, target, *bounds, densify_pts=DENSIFY_POINTS)
