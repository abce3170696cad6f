"""``/tiles``: layers as map tiles (XYZ, Web Mercator)."""

import io
from typing import Annotated, Literal

import morecantile
from fastapi import APIRouter, Path, Query, Request, Response
from PIL import Image

from ceiba.react2eo.rendering import Window, paint, read_window

router = APIRouter(tags=["tiles"])

GRID = morecantile.tms.get("WebMercatorQuad")
TILE_PX = 256
FOREVER = "public, max-age=31536000, immutable"
"""A tile's address holds the version of its layer: another picture has another address."""
MEDIA_TYPES = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg"}


@router.get("/tiles/{region}/{layer}/{period}/{z}/{x}/{y}.{format}", summary="A map tile", response_class=Response)
def get_tile(
    request: Request,
    region: str,
    layer: str,
    period: str,
    z: Annotated[int, Path(ge=0, le=20)],
    x: Annotated[int, Path(ge=0, lt=2**20)],
    y: Annotated[int, Path(ge=0, lt=2**20)],
    format: Literal["png", "webp", "jpg"],
    v: Annotated[str, Query(max_length=20, description="Version of the layer.")] = "",
) -> Response:
    """One tile of 256 pixels; transparent where there is no data."""
    shown = request.app.state.snapshots.current().find_layer(region, layer)
    bounds = GRID.xy_bounds(morecantile.Tile(x, y, z))
    window = Window((bounds.left, bounds.bottom, bounds.right, bounds.top), "EPSG:3857", TILE_PX, TILE_PX)
    picture = Image.fromarray(paint(shown, read_window(shown, shown.find_period(period), window)))
    content = io.BytesIO()
    if format == "jpg":
        picture.convert("RGB").save(content, "JPEG", quality=85)
    else:
        picture.save(content, format.upper(), **({"quality": 85, "method": 0} if format == "webp" else {"compress_level": 1}))
    headers = {"Cache-Control": FOREVER if v == shown.version else "no-cache"}
    return Response(content.getvalue(), media_type=MEDIA_TYPES[format], headers=headers)
