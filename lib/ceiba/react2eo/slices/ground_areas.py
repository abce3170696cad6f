"""True areas on the ground of pixels of any CRS, and polygons brought from GeoJSON into it."""

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import transform
from shapely.validation import explain_validity

from ceiba.errors import InputError
from ceiba.react2eo.maps.positions import find_transformer

MAJOR_AXIS_M = 6_378_137.0
ECCENTRICITY_2 = 0.00669437999014
"""Of the ellipsoid WGS 84, squared."""
WGS84 = "EPSG:4326"
MOST_VERTICES = 2000
SEGMENTS = 64
"""Edges are straight in longitude and latitude; in a CRS they are drawn with a vertex each so many parts of the polygon's extent."""
M2_A_HA = 10_000.0
NODES = 9
EQUAL_AREA = "+proj=cea +ellps=WGS84"


def area_scale(crs: str, x: np.ndarray, y: np.ndarray, *, step: float) -> np.ndarray:
    """True area on the ellipsoid WGS 84 [m2] a unit of area of a CRS, at points of it.

    It is the determinant of longitude and latitude after x and y, found from points half a ``step`` away, times the area of a unit
    of longitude and latitude, M N cos(latitude) (Snyder 1987, equations 4-18 to 4-20). For a CRS in meters it is the inverse of
    its areal scale factor; it also holds for one in degrees, and for one on a sphere, as MODIS has it.

    Parameters
    ----------
    crs
        Anything that pyproj reads.
    x, y
        Points [units of the CRS].
    step
        Distance over which the CRS is taken as linear, such as a pixel [units of the CRS].
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    half = step / 2
    longitude, latitude = find_transformer(crs, WGS84).transform(
        np.stack([x + half, x - half, x, x]), np.stack([y, y, y + half, y - half])
    )
    longitude, latitude = np.radians(longitude), np.radians(latitude)
    across = longitude[0] - longitude[1], latitude[0] - latitude[1]
    along = longitude[2] - longitude[3], latitude[2] - latitude[3]
    middle = latitude.mean(axis=0)
    squared = 1 - ECCENTRICITY_2 * np.sin(middle) ** 2
    meridian = MAJOR_AXIS_M * (1 - ECCENTRICITY_2) / squared**1.5
    parallel = MAJOR_AXIS_M / np.sqrt(squared) * np.cos(middle)
    return np.abs(across[0] * along[1] - across[1] * along[0]) / step**2 * meridian * parallel


def pixel_areas_m2(crs: str, bounds: tuple[float, float, float, float], shape: tuple[int, int]) -> np.ndarray:
    """True area of each pixel of a block [m2], dims ``(y, x)``: found at :data:`NODES` places each way, linear between them.

    Parameters
    ----------
    bounds
        Left, bottom, right, top of the block [units of the CRS].
    shape
        Rows and columns.
    """
    left, bottom, right, top = bounds
    rows, columns = shape
    width, height = (right - left) / columns, (top - bottom) / rows
    x, y = np.meshgrid(np.linspace(left, right, NODES), np.linspace(top, bottom, NODES))
    scales = area_scale(crs, x, y, step=width)
    return _weights(rows) @ scales @ _weights(columns).T * (width * height)


def _weights(count: int) -> np.ndarray:
    """Shares of the nodes in the middles of pixels, dims ``(pixel, node)``."""
    place = (np.arange(count) + 0.5) / count * (NODES - 1)
    return np.clip(1 - abs(place[:, np.newaxis] - np.arange(NODES)), 0, None)


def read_polygon(geometry: dict) -> Polygon | MultiPolygon:
    """Polygon of a GeoJSON geometry (RFC 7946: longitude and latitude, WGS 84); raises :class:`InputError` that says what is wrong."""
    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    count = sum(len(ring) for part in parts for ring in part)
    if count > MOST_VERTICES:
        raise InputError(f"polygon of {count} vertices; allowed are {MOST_VERTICES}: simplify it")
    for part in parts:
        for ring in part:
            if len(ring) < 4 or list(ring[0][:2]) != list(ring[-1][:2]):
                raise InputError(f"a ring of {len(ring)} vertices; a ring has 4 or more, and its last one repeats the first")
            outside = [vertex[:2] for vertex in ring if abs(vertex[0]) > 180 or abs(vertex[1]) > 90]
            if outside:
                raise InputError(f"vertex {outside[0]}: give longitude and latitude in degrees")
    polygon = MultiPolygon([(part[0], part[1:]) for part in ([[v[:2] for v in ring] for ring in part] for part in parts)])
    if not polygon.is_valid:
        raise InputError(f"the polygon is not valid: {explain_validity(polygon)}; its edges must not cross")
    return polygon


def polygon_area_ha(polygon: BaseGeometry) -> float:
    """Area on the ellipsoid WGS 84 with straight edges in longitude and latitude [ha], by way of an equal-area projection."""
    dense = shapely.segmentize(polygon, max(_extent(polygon) / SEGMENTS, 1e-9))
    return transform(find_transformer(WGS84, EQUAL_AREA).transform, dense).area / M2_A_HA


def bring_into(polygon: BaseGeometry, crs: str, *, within: tuple[float, float, float, float]) -> BaseGeometry:
    """The part of a polygon within bounds (west, south, east, north [degrees]) in a CRS; empty where there is none."""
    west, south, east, north = within
    around_x, around_y = (east - west) / 20, (north - south) / 20
    box = shapely.box(west - around_x, south - around_y, east + around_x, north + around_y)
    part = polygon.intersection(box)
    if part.is_empty or not part.area:
        return Polygon()
    dense = shapely.segmentize(part, _extent(part) / SEGMENTS)
    return transform(find_transformer(WGS84, crs).transform, dense)


def _extent(polygon: BaseGeometry) -> float:
    left, bottom, right, top = polygon.bounds
    return max(right - left, top - bottom)
