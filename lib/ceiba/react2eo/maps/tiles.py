"""``/tiles``: layers as map tiles (XYZ, Web Mercator)."""

import math
from typing import Annotated

import morecantile
from fastapi import APIRouter, Path, Query, Request, Response
from pyproj import CRS

from ceiba.errors import NotFoundError
from ceiba.grids import Period
from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.layers import Layer
from ceiba.react2eo.maps.pictures import MEDIA_TYPES, Format, draw, draw_nothing
from ceiba.react2eo.maps.rendering import Window, has_rasters, read

router = APIRouter(tags=["tiles"])

GRID = morecantile.tms.get("WebMercatorQuad")
TILE_PX = 256
MAX_ZOOM = 20
FOREVER = "public, max-age=31536000, immutable"
"""A tile's address holds the version of its layer: another picture has another address."""
DEGREE_M = 111_320.0


@router.get(
    "/tiles/{region}/{layer}/{period}/{z}/{x}/{y}.{format}",
    summary="A map tile",
    response_class=Response,
    responses={200: {"content": {name: {} for name in MEDIA_TYPES.values()}}} | describe_errors(404),
)
def get_tile(
    request: Request,
    region: str,
    layer: str,
    period: str,
    z: Annotated[int, Path(ge=0, le=MAX_ZOOM)],
    x: Annotated[int, Path(ge=0, lt=2**MAX_ZOOM)],
    y: Annotated[int, Path(ge=0, lt=2**MAX_ZOOM)],
    format: Format,
    v: Annotated[str, Query(max_length=20, description="Version of the layer.")] = "",
) -> Response:
    """One tile of 256 pixels; transparent where there is no data."""
    shown = request.app.state.snapshots.current().find_layer(region, layer)
    caching = FOREVER if v == shown.version else "no-cache"
    return answer_tile(shown, shown.find_period(period), z, x, y, format, caching=caching)


def answer_tile(layer: Layer, period: Period, z: int, x: int, y: int, format: Format, *, caching: str) -> Response:
    """A tile for a browser, which may keep it as ``caching`` says if it is whole; raises :class:`NotFoundError` where there is none."""
    window = tile_window(z, x, y)
    if not has_rasters(layer, period, window):
        content = draw_nothing(format, TILE_PX, TILE_PX)
    else:
        reading = read(layer, period, window)
        content = draw(layer, reading.values, format)
        caching = caching if reading.whole else "no-store"
    return Response(content, media_type=MEDIA_TYPES[format], headers={"Cache-Control": caching})


def tile_window(z: int, x: int, y: int) -> Window:
    """Bounds of a tile in Web Mercator; raises :class:`NotFoundError` where the zoom has no such tile."""
    if not (0 <= z <= MAX_ZOOM and 0 <= x < 2**z and 0 <= y < 2**z):
        raise NotFoundError(f"no tile {z}/{x}/{y}; zooms are 0 to {MAX_ZOOM}, with columns and rows 0 to 2**zoom - 1")
    bounds = GRID.xy_bounds(morecantile.Tile(x, y, z))
    return Window((bounds.left, bounds.bottom, bounds.right, bounds.top), "EPSG:3857", TILE_PX, TILE_PX)


def native_zoom(layer: Layer) -> int:
    """Zoom from which on tiles show every pixel of a layer: finer ones are only larger."""
    _, south, _, north = layer.bounds
    wide_m = layer.resolution_m * (DEGREE_M if CRS.from_user_input(layer.region.place.crs).is_geographic else 1)
    widest_m = 2 * math.pi * 6_378_137 / TILE_PX * math.cos(math.radians((south + north) / 2))
    return min(max(math.ceil(math.log2(widest_m / wide_m)), 0), MAX_ZOOM)
