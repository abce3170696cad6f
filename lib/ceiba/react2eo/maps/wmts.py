"""``/wmts``: map tiles as an OGC Web Map Tile Service 1.0.0, by parameters or by addresses, for QGIS, GDAL and other systems."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ceiba.errors import InputError, NotFoundError
from ceiba.grids import Period
from ceiba.react2eo.layers import Layer, Snapshot
from ceiba.react2eo.maps.pictures import MEDIA_TYPES
from ceiba.react2eo.maps.positions import find_transformer
from ceiba.react2eo.maps.rendering import read_point
from ceiba.react2eo.maps.tiles import TILE_PX, answer_tile, native_zoom, tile_window
from ceiba.react2eo.maps.wms_requests import layer_name
from ceiba.react2eo.maps.wmts_capabilities import (
    INFO_FORMAT,
    MATRIX_SET,
    STYLE,
    VERSION,
    matrix_set,
    write_capabilities,
    write_exception,
)

router = APIRouter(tags=["maps"])

OPERATIONS = ("GetCapabilities", "GetTile", "GetFeatureInfo")
SHORTLY = "public, max-age=300"
"""The parameters of a tile do not tell which version of the data it shows."""
DESCRIBED = {
    "service": "WMTS", "request": ", ".join(OPERATIONS), "version": VERSION, "layer": "Name, romania.ndvi.", "style": STYLE,
    "format": ", ".join(MEDIA_TYPES.values()), "tilematrixset": MATRIX_SET, "tilematrix": "Zoom.", "tilerow": "Row from the north.",
    "tilecol": "Column from the west.", "time": "A year, 2018, or years, 2018--2020; the latest if empty.",
    "i": "Column of a pixel in the tile.", "j": "Row of a pixel in the tile.", "infoformat": INFO_FORMAT,
}  # fmt: skip
OPENAPI = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string", "maxLength": 200}}
        for name, text in DESCRIBED.items()
    ]
}
CONTENT = {media_type: {"schema": {"type": "string"}} for media_type in ("application/xml", INFO_FORMAT, *MEDIA_TYPES.values())}
RESPONSES = {
    200: {"description": "Capabilities, a tile, or values at a pixel.", "content": CONTENT},
    400: {"description": "An exception report.", "content": {"application/xml": {"schema": {"type": "string"}}}},
}


class WmtsError(InputError):
    """A request that the service cannot answer."""

    def __init__(self, message: str, *, code: str = "InvalidParameterValue", locator: str = ""):
        super().__init__(message)
        self.code = code
        self.locator = locator


@router.get("/wmts", summary="Web Map Tile Service 1.0.0", response_class=Response, responses=RESPONSES, openapi_extra=OPENAPI)
def answer_parameters(request: Request) -> Response:
    """OGC Web Map Tile Service: GetCapabilities, GetTile and GetFeatureInfo; names of parameters in any case."""
    asked = {name.lower(): value for name, value in request.query_params.items()}
    try:
        return _answer(request, asked)
    except WmtsError as error:
        content = write_exception(str(error), code=error.code, locator=error.locator)
        return Response(content, 400, {"Cache-Control": "no-store"}, "application/xml")


@router.get(
    f"/wmts/{VERSION}/WMTSCapabilities.xml",
    summary="What the Web Map Tile Service offers",
    response_class=Response,
    responses={200: {"content": {"application/xml": {}}}},
)
def answer_capabilities(request: Request) -> Response:
    """The capabilities, whose addresses of tiles are those of ``/tiles``."""
    snapshot: Snapshot = request.app.state.snapshots.current()
    address = request.app.state.settings.public_url or str(request.base_url).rstrip("/")
    content = write_capabilities(snapshot, address=address)
    return Response(content, media_type="application/xml", headers={"Cache-Control": "no-cache"})


def _answer(request: Request, asked: Mapping[str, str]) -> Response:
    if asked.get("service", "").upper() != "WMTS":
        raise WmtsError(f"service is {asked.get('service', '')!r:.40}; write WMTS", locator="service")
    operation = asked.get("request", "").lower()
    if operation == "getcapabilities":
        return answer_capabilities(request)
    if operation not in ("gettile", "getfeatureinfo"):
        raise WmtsError(f"there are {', '.join(OPERATIONS)}", code="OperationNotSupported", locator="request")
    layer, period = _read_layer(asked, request.app.state.snapshots.current())
    _check(asked, "style", ("", STYLE))
    _check(asked, "tilematrixset", (MATRIX_SET, matrix_set(native_zoom(layer))))
    zoom, column, row = (_read_number(asked, name) for name in ("tilematrix", "tilecol", "tilerow"))
    try:
        window = tile_window(zoom, column, row)
    except NotFoundError as error:
        raise WmtsError(str(error), code="TileOutOfRange") from error
    if operation == "gettile":
        _check(asked, "format", tuple(MEDIA_TYPES.values()))
        format = next(name for name, media_type in MEDIA_TYPES.items() if media_type == asked["format"])
        return answer_tile(layer, period, zoom, column, row, format, caching=SHORTLY)
    _check(asked, "infoformat", ("", INFO_FORMAT))
    place = [_read_number(asked, name) for name in ("i", "j")]
    if max(place) >= TILE_PX:
        raise WmtsError(f"pixel {place}: columns and rows are 0 to {TILE_PX - 1}", code="PointIJOutOfRange")
    left, _, _, top = window.bounds
    width, height = window.pixel
    x, y = left + (place[0] + 0.5) * width, top - (place[1] + 0.5) * height
    longitude, latitude = find_transformer(window.crs, "EPSG:4326").transform(x, y)
    return JSONResponse(describe_point(layer, period, longitude, latitude), headers={"Cache-Control": "no-cache"})


def describe_point(layer: Layer, period: Period, longitude: float, latitude: float) -> dict:
    """Values of a layer at a point [degrees, WGS 84], null where there are none, with the words of a class."""
    values = read_point(layer, period, longitude, latitude)
    known = {name: None if value != value else value for name, value in values.items()}
    answer = {"layer": layer_name(layer), "time": str(period), "longitude": longitude, "latitude": latitude, "values": known}
    code = next(iter(known.values()))
    if layer.kind == "classes" and code is not None and int(code) in layer.legend.colors():
        each = layer.legend.find(int(code))
        answer["class"] = {"es": each.name_es, "en": each.name_en, "color": each.color}
    return answer


def _read_layer(asked: Mapping[str, str], snapshot: Snapshot) -> tuple[Layer, Period]:
    region, _, name = _needed(asked, "layer").partition(".")
    try:
        layer = snapshot.find_layer(region, name)
    except NotFoundError as error:
        raise WmtsError(str(error), locator="layer") from error
    time = asked.get("time", "")
    if time in ("", "default", "current"):
        return layer, layer.periods[-1]
    try:
        return layer, layer.find_period(time)
    except NotFoundError as error:
        raise WmtsError(str(error), locator="time") from error


def _needed(asked: Mapping[str, str], name: str) -> str:
    if not asked.get(name):
        raise WmtsError(f"{name} is missing", code="MissingParameterValue", locator=name)
    return asked[name]


def _check(asked: Mapping[str, str], name: str, known: tuple[str, ...]) -> None:
    value = asked.get(name, "") if "" in known else _needed(asked, name)
    if value not in known:
        raise WmtsError(f"{name} is {value!r:.60}; there are {', '.join(filter(None, known))}", locator=name)


def _read_number(asked: Mapping[str, str], name: str) -> int:
    text = _needed(asked, name)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise WmtsError(f"{name} is {text!r:.40}; write a whole number from 0 on", locator=name)
    return int(text)
