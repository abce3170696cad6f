"""``/wms``: every layer of every region and year as an OGC Web Map Service, for QGIS, GDAL and other systems."""

import json
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response

from ceiba.errors import InputError
from ceiba.react2eo.layers import Snapshot
from ceiba.react2eo.maps.legend_pictures import describe_look, draw_legend
from ceiba.react2eo.maps.wms_capabilities import (
    CAPABILITIES_TYPES,
    update_sequence,
    write_capabilities,
    write_exception,
)
from ceiba.react2eo.maps.wms_maps import describe_point, draw_map, encode_map, find_point, write_info
from ceiba.react2eo.maps.wms_requests import (
    VERSIONS,
    WmsError,
    check_style,
    find_layer,
    layer_name,
    negotiate_version,
    read_info_format,
    read_language,
    read_legend_format,
    read_map,
    read_parameters,
    read_picture,
    read_pixel,
    read_queried,
    read_version,
    shown,
)

router = APIRouter(tags=["maps"])

OPERATIONS = ("GetCapabilities", "GetMap", "GetFeatureInfo", "GetLegendGraphic")
MAP_SECONDS = 300
"""How long a client may keep a map or legend [s]; its address does not tell which version of the data it shows."""
EXCEPTION_MEDIA_TYPES = {"1.1.1": "application/vnd.ogc.se_xml", "1.3.0": "text/xml"}
DESCRIBED = {
    "service": "WMS", "version": "1.3.0 or 1.1.1", "request": ", ".join(OPERATIONS), "layers": "Names, the lowest first.",
    "styles": "Empty or default.", "crs": "CRS of 1.3.0, EPSG:4326 with latitude first.", "srs": "CRS of 1.1.1, longitude first.",
    "bbox": "minx,miny,maxx,maxy", "width": "1 to 2048", "height": "1 to 2048", "format": "image/png, image/jpeg or image/webp",
    "transparent": "TRUE or FALSE", "bgcolor": "0xRRGGBB", "time": "A year or day, current, or empty for the latest.",
    "query_layers": "Layers asked at a point.", "i": "Column (1.3.0).", "j": "Row (1.3.0).", "x": "Column (1.1.1).",
    "y": "Row (1.1.1).", "info_format": "text/plain, text/html or application/json", "layer": "Layer of a legend.",
    "language": "es, en, or empty for both.",
}  # fmt: skip
OPENAPI = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in DESCRIBED.items()
    ]
}
MEDIA_TYPES = (
    "image/png", "image/jpeg", "image/webp", "text/xml", "application/vnd.ogc.wms_xml", "text/plain", "text/html", "application/json",
)
TEXT = {"schema": {"type": "string"}}
RESPONSES = {
    200: {"description": "Capabilities, a map, values at a point or a legend.", "content": dict.fromkeys(MEDIA_TYPES, TEXT)},
    400: {"description": "A service exception report.", "content": dict.fromkeys(EXCEPTION_MEDIA_TYPES.values(), TEXT)},
}


async def read_request(request: Request) -> dict[str, str]:
    """Parameters of the query, and of a form that was sent by POST."""
    pairs = list(request.query_params.multi_items())
    if request.method == "POST" and "form" in request.headers.get("content-type", ""):
        pairs += parse_qsl((await request.body()).decode("utf-8", errors="replace"), keep_blank_values=True, max_num_fields=200)
    return read_parameters(pairs)


Parameters = Annotated[dict[str, str], Depends(read_request)]


@router.get(
    "/wms", summary="Web Map Service 1.1.1 and 1.3.0", response_class=Response, responses=RESPONSES, openapi_extra=OPENAPI
)
def answer_get(request: Request, parameters: Parameters) -> Response:
    """OGC Web Map Service: GetCapabilities, GetMap, GetFeatureInfo and GetLegendGraphic; names in any case."""
    return answer(request, parameters)


@router.post("/wms", include_in_schema=False)
def answer_post(request: Request, parameters: Parameters) -> Response:
    """The same with the parameters in a form."""
    return answer(request, parameters)


def answer(request: Request, parameters: Mapping[str, str]) -> Response:
    """Answer of the service; what was asked wrongly is told by an exception report with status 400."""
    try:
        return _answer(request, parameters)
    except InputError as error:
        version = VERSIONS[0] if parameters.get("VERSION", "").startswith(("1.0", "1.1")) else VERSIONS[-1]
        content = write_exception(str(error), code=getattr(error, "code", ""), version=version)
        return Response(content, 400, {"Cache-Control": "no-store"}, EXCEPTION_MEDIA_TYPES[version])


def _answer(request: Request, parameters: Mapping[str, str]) -> Response:
    service = parameters.get("SERVICE", "WMS")
    if service.upper() not in ("WMS", ""):
        raise WmsError(f"SERVICE {shown(service)}: this is a WMS", code="InvalidParameterValue")
    asked = parameters.get("REQUEST", "")
    if not asked:
        raise WmsError(f"REQUEST is missing; there are {', '.join(OPERATIONS)}", code="MissingParameterValue")
    snapshot: Snapshot = request.app.state.snapshots.current()
    match asked.lower():
        case "getcapabilities":
            return _answer_capabilities(request, parameters, snapshot)
        case "getmap":
            asked_map, picture = read_map(parameters, snapshot), read_picture(parameters)
            colors, whole = draw_map(asked_map)
            caching = f"public, max-age={MAP_SECONDS}" if whole else "no-store"
            return Response(encode_map(colors, picture), media_type=picture.format, headers={"Cache-Control": caching})
        case "getfeatureinfo":
            return _answer_info(parameters, snapshot)
        case "getlegendgraphic":
            return _answer_legend(parameters, snapshot)
    raise WmsError(f"REQUEST {shown(asked)}: there are {', '.join(OPERATIONS)}", code="OperationNotSupported")


def _answer_capabilities(request: Request, parameters: Mapping[str, str], snapshot: Snapshot) -> Response:
    version = negotiate_version(parameters.get("VERSION", ""))
    if parameters.get("UPDATESEQUENCE") == update_sequence(snapshot):
        raise WmsError("the capabilities have not changed", code="CurrentUpdateSequence")
    public = request.app.state.settings.public_url
    address = f"{public}/wms" if public else str(request.url_for("answer_get"))
    content = write_capabilities(snapshot, version=version, address=address, language=read_language(parameters))
    return Response(content, media_type=CAPABILITIES_TYPES[version], headers={"Cache-Control": "no-cache"})


def _answer_info(parameters: Mapping[str, str], snapshot: Snapshot) -> Response:
    asked = read_map(parameters, snapshot)
    queried = read_queried(parameters, asked)
    column, row = read_pixel(parameters, asked)
    format, language = read_info_format(parameters), read_language(parameters)
    longitude, latitude = find_point(asked, column, row)
    found = [describe_point(layer, period, longitude, latitude, language=language) for layer, period in queried]
    content = write_info(found, longitude, latitude, format=format, language=language)
    return Response(content, media_type=format, headers={"Cache-Control": "no-cache"})


def _answer_legend(parameters: Mapping[str, str], snapshot: Snapshot) -> Response:
    read_version(parameters)
    layer = find_layer(parameters.get("LAYER", ""), snapshot)
    check_style(parameters.get("STYLE", ""))
    language = read_language(parameters)
    headers = {"Cache-Control": f"public, max-age={MAP_SECONDS}"}
    if read_legend_format(parameters) == "image/png":
        return Response(draw_legend(layer, language), media_type="image/png", headers=headers)
    look = describe_look(layer, language)
    content = {
        "layer": layer_name(layer), "kind": layer.kind, "title": " | ".join(look.title), "text": " | ".join(look.text),
        "classes": [{"color": color, "name": " | ".join(names)} for color, names in look.classes],
        "stops": [{"value": value, "color": color} for value, color in look.stops], "unit": look.unit,
        "notes": list(look.notes),
    }  # fmt: skip
    return Response(json.dumps(content, ensure_ascii=False), media_type="application/json", headers=headers)
