"""What the Web Map Tile Service offers, in the XML of OGC 07-057r7."""

from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

import morecantile

from ceiba import labels
from ceiba.react2eo.layers import Layer, Snapshot, Words
from ceiba.react2eo.maps.pictures import MEDIA_TYPES
from ceiba.react2eo.maps.tiles import GRID, TILE_PX, native_zoom
from ceiba.react2eo.maps.wms_requests import layer_name

VERSION = "1.0.0"
MATRIX_SET = "WebMercatorQuad"
"""Tile matrices of the whole world; those that a layer names end where its tiles show every pixel."""
STYLE = "default"
INFO_FORMAT = "application/json"
WMTS, OWS, XLINK = "http://www.opengis.net/wmts/1.0", "http://www.opengis.net/ows/1.1", "http://www.w3.org/1999/xlink"
PIXEL_M = 0.28e-3
"""Size of a pixel by which the standard tells scales."""
MERCATOR_LATITUDE = 85.05

register_namespace("", WMTS)
register_namespace("ows", OWS)
register_namespace("xlink", XLINK)


def write_capabilities(snapshot: Snapshot, *, address: str) -> bytes:
    """The document; ``address`` is that of the server, without a slash at its end."""
    root = Element(f"{{{WMTS}}}Capabilities", version=VERSION)
    theme = snapshot.themes.find("")
    service = SubElement(root, f"{{{OWS}}}ServiceIdentification")
    _add(service, OWS, Title=both(theme.title), Abstract=both(theme.text), ServiceType="OGC WMTS", ServiceTypeVersion=VERSION)
    operations = SubElement(root, f"{{{OWS}}}OperationsMetadata")
    for name in ("GetCapabilities", "GetTile", "GetFeatureInfo"):
        _add_operation(operations, name, f"{address}/wmts?")
    contents = SubElement(root, f"{{{WMTS}}}Contents")
    for layer in snapshot.layers():
        _add_layer(contents, layer, address)
    for zoom in sorted({native_zoom(layer) for layer in snapshot.layers()}):
        _add_matrix_set(contents, zoom)
    SubElement(root, f"{{{WMTS}}}ServiceMetadataURL", {f"{{{XLINK}}}href": f"{address}/wmts/{VERSION}/WMTSCapabilities.xml"})
    return tostring(root, encoding="utf-8", xml_declaration=True)


def matrix_set(zoom: int) -> str:
    """Name of the tile matrices down to a zoom: programs take the finest one as the size of a layer's pixels."""
    return f"{MATRIX_SET}_{zoom}"


def write_exception(message: str, *, code: str, locator: str = "") -> bytes:
    """An exception report."""
    root = Element(f"{{{OWS}}}ExceptionReport", version="1.1.0")
    exception = SubElement(root, f"{{{OWS}}}Exception", {"exceptionCode": code} | ({"locator": locator} if locator else {}))
    _add(exception, OWS, ExceptionText=message)
    return tostring(root, encoding="utf-8", xml_declaration=True)


def both(words: Words) -> str:
    """Words in all languages."""
    return " | ".join(dict.fromkeys(words[language] for language in labels.LANGUAGES))


def _add(parent: Element, namespace: str, **texts: object) -> None:
    for name, text in texts.items():
        SubElement(parent, f"{{{namespace}}}{name}").text = str(text)


def _add_operation(parent: Element, name: str, address: str) -> None:
    http = SubElement(SubElement(SubElement(parent, f"{{{OWS}}}Operation", name=name), f"{{{OWS}}}DCP"), f"{{{OWS}}}HTTP")
    get = SubElement(http, f"{{{OWS}}}Get", {f"{{{XLINK}}}href": address})
    values = SubElement(SubElement(get, f"{{{OWS}}}Constraint", name="GetEncoding"), f"{{{OWS}}}AllowedValues")
    _add(values, OWS, Value="KVP")


def _add_layer(parent: Element, layer: Layer, address: str) -> None:
    element = SubElement(parent, f"{{{WMTS}}}Layer")
    titles = {language: f"{layer.region.title[language]}: {layer.content.title[language]}" for language in labels.LANGUAGES}
    _add(element, OWS, Title=both(titles), Abstract=f"{both(layer.content.text)} ({both(layer.source)})")
    west, south, east, north = layer.bounds
    box = SubElement(element, f"{{{OWS}}}WGS84BoundingBox")
    _add(box, OWS, LowerCorner=f"{west} {south}", UpperCorner=f"{east} {north}")
    _add(element, OWS, Identifier=layer_name(layer))
    style = SubElement(element, f"{{{WMTS}}}Style", isDefault="true")
    _add(style, OWS, Identifier=STYLE)
    legend = f"{address}/wms?service=WMS&version=1.3.0&request=GetLegendGraphic&layer={layer_name(layer)}&format=image/png"
    SubElement(style, f"{{{WMTS}}}LegendURL", {"format": "image/png", f"{{{XLINK}}}href": legend})
    for media_type in MEDIA_TYPES.values():
        _add(element, WMTS, Format=media_type)
    _add(element, WMTS, InfoFormat=INFO_FORMAT)
    time = SubElement(element, f"{{{WMTS}}}Dimension")
    _add(time, OWS, Identifier="Time", UOM="ISO8601")
    _add(time, WMTS, Default=layer.periods[-1], Current="false")
    for period in layer.periods:
        _add(time, WMTS, Value=period)
    _add_limits(element, layer)
    tiles = f"{address}/tiles/{layer.region.name}/{layer.name}/{{Time}}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}"
    for ending, media_type in MEDIA_TYPES.items():
        template = f"{tiles}.{ending}?v={layer.version}"
        SubElement(element, f"{{{WMTS}}}ResourceURL", format=media_type, resourceType="tile", template=template)


def _add_limits(parent: Element, layer: Layer) -> None:
    """Tiles that hold anything, down to the zoom that shows every pixel."""
    link = SubElement(parent, f"{{{WMTS}}}TileMatrixSetLink")
    finest = native_zoom(layer)
    _add(link, WMTS, TileMatrixSet=matrix_set(finest))
    limits = SubElement(link, f"{{{WMTS}}}TileMatrixSetLimits")
    west, south, east, north = layer.bounds
    south, north = max(south, -MERCATOR_LATITUDE), min(north, MERCATOR_LATITUDE)
    for zoom in range(finest + 1):
        first, last = GRID.tile(west, north, zoom), GRID.tile(east, south, zoom)
        most = 2**zoom - 1
        _add(
            SubElement(limits, f"{{{WMTS}}}TileMatrixLimits"), WMTS, TileMatrix=zoom,
            MinTileRow=max(first.y, 0), MaxTileRow=min(last.y, most), MinTileCol=max(first.x, 0), MaxTileCol=min(last.x, most),
        )  # fmt: skip


def _add_matrix_set(parent: Element, finest: int) -> None:
    element = SubElement(parent, f"{{{WMTS}}}TileMatrixSet")
    _add(element, OWS, Identifier=matrix_set(finest), SupportedCRS="urn:ogc:def:crs:EPSG::3857")
    _add(element, WMTS, WellKnownScaleSet="urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible")
    corner = GRID.xy_bounds(morecantile.Tile(0, 0, 0))
    for zoom in range(finest + 1):
        matrix = SubElement(element, f"{{{WMTS}}}TileMatrix")
        _add(matrix, OWS, Identifier=zoom)
        _add(
            matrix, WMTS, ScaleDenominator=(corner.right - corner.left) / TILE_PX / 2**zoom / PIXEL_M,
            TopLeftCorner=f"{corner.left} {corner.top}", TileWidth=TILE_PX, TileHeight=TILE_PX,
            MatrixWidth=2**zoom, MatrixHeight=2**zoom,
        )  # fmt: skip
