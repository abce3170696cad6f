"""Landsat's own tiling, the Worldwide Reference System 2 (WRS-2): centers, outlines and pixel grids of its paths and rows."""

import math
import re
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely

from ceiba.errors import AreaError

PATHS, ROWS, DAYS = 233, 248, 16
EQUATOR_ROW = 60
FIRST_NODE_LONGITUDE = -64.6  # where path 1 crosses the equator southwards
INCLINATION = 98.2
DAY_ROWS = 122
WIDTH_M, HEIGHT_M = 185_000, 180_000
PIXEL_M = 30
WGS84 = pyproj.Geod(ellps="WGS84")


@dataclass(frozen=True)
class PathRow:
    """A path and row of WRS-2 on the day side, where the satellite flies south."""

    path: int
    row: int

    def __post_init__(self):
        if not (1 <= self.path <= PATHS and 1 <= self.row <= DAY_ROWS):
            raise AreaError(
                f"path {self.path}, row {self.row}: paths are 1 to {PATHS}, rows of the day side 1 to {DAY_ROWS}"
            )

    @classmethod
    def parse(cls, text: str) -> "PathRow":
        """Read "7/59" or "007059"; raises :class:`AreaError`."""
        match = re.fullmatch(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*", text) or re.fullmatch(r"\s*(\d{3})(\d{3})\s*", text)
        if not match:
            raise AreaError(f"path-row {text!r}: write path/row (7/59) or six digits (007059)")
        return cls(int(match[1]), int(match[2]))

    @property
    def center(self) -> tuple[float, float]:
        """Longitude and latitude [degrees] of the nominal center.

        A circular orbit of inclination 98.2 degrees over a turning Earth: 233 orbits in 16 days, 248 rows an orbit, row 60 on
        the equator, path 1 crossing it at 64.60 degrees west. The scenes at hand lie within 3 km of it (7/59, 224/63, 139/45);
        the orbit itself is kept to about 5 km. Source: USGS, Landsat 8 Data Users Handbook, WRS-2.
        """
        return center_at(self.path, self.row)

    @property
    def outline(self) -> shapely.Polygon:
        """Nominal scene of 185 km by 180 km, longitude and latitude [degrees].

        Scenes as delivered reach up to 15 km further, each a little differently.
        """
        (lon, lat), (before_lon, before_lat), (after_lon, after_lat) = (
            center_at(self.path, self.row + step) for step in (0, -0.5, 0.5)
        )
        azimuth, _, _ = WGS84.inv(before_lon, before_lat, after_lon, after_lat)
        along = [WGS84.fwd(lon, lat, azimuth + turn, HEIGHT_M / 2) for turn in (180, 0)]
        corners = []
        for (side_lon, side_lat, _), turns in zip(along, ((90, -90), (-90, 90)), strict=True):
            corners += [WGS84.fwd(side_lon, side_lat, azimuth + turn, WIDTH_M / 2)[:2] for turn in turns]
        return shapely.Polygon(corners)

    @property
    def crs(self) -> str:
        """UTM zone of the center; always the northern one, as USGS delivers, with negative northings south of the equator."""
        zone = int((self.center[0] + 180) // 6) + 1
        return f"EPSG:{32600 + zone}"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """left, bottom, right, top [m] in :attr:`crs` of the box around the outline, on the pixels of Landsat.

        USGS puts the centers of pixels on multiples of 30 m, so that their edges lie 15 m beside them.
        """
        transformer = pyproj.Transformer.from_crs("EPSG:4326", self.crs, always_xy=True)
        dense = shapely.segmentize(self.outline, 0.1)
        x, y = transformer.transform(*np.asarray(dense.exterior.coords).T)
        half = PIXEL_M / 2
        low = [math.floor((value - half) / PIXEL_M) * PIXEL_M + half for value in (min(x), min(y))]
        high = [math.ceil((value - half) / PIXEL_M) * PIXEL_M + half for value in (max(x), max(y))]
        return (low[0], low[1], high[0], high[1])

    def __str__(self) -> str:
        return f"{self.path:03d}{self.row:03d}"


def center_at(path: float, row: float) -> tuple[float, float]:
    """Longitude and latitude [degrees] of the ground track at a row, which may be a fraction; see :attr:`PathRow.center`."""
    angle, inclination = math.radians((row - EQUATOR_ROW) * 360 / ROWS), math.radians(INCLINATION)
    geocentric = math.asin(-math.sin(inclination) * math.sin(angle))
    geodetic = math.atan(math.tan(geocentric) / (1 - WGS84.es))
    node = FIRST_NODE_LONGITUDE - (path - 1) * 360 / PATHS
    in_orbit = math.degrees(math.atan2(math.sin(angle) * math.cos(inclination), math.cos(angle)))
    turned = math.degrees(angle) * DAYS / PATHS
    return (node + in_orbit - turned + 180) % 360 - 180, math.degrees(geodetic)


def path_rows_within(bounds: tuple[float, float, float, float]) -> list[PathRow]:
    """Every path-row whose nominal outline touches a box of west, south, east, north [degrees]."""
    asked = shapely.box(*bounds)
    near = shapely.box(bounds[0] - 2, bounds[1] - 2, bounds[2] + 2, bounds[3] + 2)
    every = (PathRow(path, row) for path in range(1, PATHS + 1) for row in range(1, DAY_ROWS + 1))
    return [each for each in every if near.contains(shapely.Point(each.center)) and each.outline.intersects(asked)]
