"""Documents of the Web Map Service in XML: capabilities of both versions, and exceptions."""

import hashlib
from urllib.parse import urlencode
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ceiba import labels
from ceiba.react2eo.layers import Layer, Region, Snapshot
from ceiba.react2eo.maps.legend_pictures import legend_size
from ceiba.react2eo.maps.map_crs import find_crs, region_bounds, region_crs_names
from ceiba.react2eo.maps.wms_maps import say, say_label
from ceiba.react2eo.maps.wms_requests import (
    FORMATS,
    INFO_FORMATS,
    LAYERS_AT_MOST,
    LEGEND_FORMATS,
    SIZE_PX_AT_MOST,
    STYLE,
    default_time,
    layer_name,
    period_text,
)

WMS, SLD, OGC = "http://www.opengis.net/wms", "http://www.opengis.net/sld", "http://www.opengis.net/ogc"
XLINK, XSI = "http://www.w3.org/1999/xlink", "http://www.w3.org/2001/XMLSchema-instance"
SCHEMAS = "http://schemas.opengis.net"
SCHEMA_LOCATION = f"{WMS} {SCHEMAS}/wms/1.3.0/capabilities_1_3_0.xsd {SLD} {SCHEMAS}/sld/1.1.0/sld_capabilities.xsd"
DOCTYPE = f'<!DOCTYPE WMT_MS_Capabilities SYSTEM "{SCHEMAS}/wms/1.1.1/capabilities_1_1_1.dtd">\n'
EXCEPTION_DOCTYPE = f'<!DOCTYPE ServiceExceptionReport SYSTEM "{SCHEMAS}/wms/1.1.1/exception_1_1_1.dtd">\n'
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
CAPABILITIES_TYPES = {"1.1.1": "application/vnd.ogc.wms_xml", "1.3.0": "text/xml"}
EXCEPTION_TYPES = {"1.1.1": "application/vnd.ogc.se_xml", "1.3.0": "XML"}


def write_capabilities(snapshot: Snapshot, *, version: str, address: str, language: str) -> str:
    """What the service offers.

    Parameters
    ----------
    snapshot
        What there is to show.
    version
        "1.1.1" or "1.3.0".
    address
        Address of the service, without a query.
    language
        "es", "en", or empty for titles in both.
    """
    writer = _Writer(version, address, language)
    return writer.write(snapshot)


def update_sequence(snapshot: Snapshot) -> str:
    """A word that changes whenever the capabilities do."""
    versions = [f"{layer_name(layer)} {layer.version}" for layer in snapshot.layers()]
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()[:12]


def write_exception(message: str, *, code: str, version: str) -> str:
    """A service exception report."""
    latest = version != "1.1.1"
    attributes = {"version": "1.3.0" if latest else "1.1.1"}
    if latest:
        attributes |= {"xmlns": OGC, "xmlns:xsi": XSI, "xsi:schemaLocation": f"{OGC} {SCHEMAS}/wms/1.3.0/exceptions_1_3_0.xsd"}
    report = Element("ServiceExceptionReport", attributes)
    SubElement(report, "ServiceException", {"code": code} if code else {}).text = message
    return DECLARATION + ("" if latest else EXCEPTION_DOCTYPE) + ElementTree.tostring(report, encoding="unicode")


class _Writer:
    """Writes the capabilities of one version at one address in one language."""

    def __init__(self, version: str, address: str, language: str):
        self.latest = version == "1.3.0"
        self.version = version
        self.address = address
        self.language = language

    def write(self, snapshot: Snapshot) -> str:
        attributes = {"version": self.version, "updateSequence": update_sequence(snapshot)}
        if self.latest:
            attributes |= {"xmlns": WMS, "xmlns:sld": SLD, "xmlns:xlink": XLINK, "xmlns:xsi": XSI, "xsi:schemaLocation": SCHEMA_LOCATION}
        root = Element("WMS_Capabilities" if self.latest else "WMT_MS_Capabilities", attributes)
        self._add_service(root)
        capability = SubElement(root, "Capability")
        self._add_requests(capability)
        exception = SubElement(capability, "Exception")
        SubElement(exception, "Format").text = EXCEPTION_TYPES[self.version]
        if not self.latest:
            attributes = {"SupportSLD": "0", "UserLayer": "0", "UserStyle": "0", "RemoteWFS": "0"}
            SubElement(capability, "UserDefinedSymbolization", attributes)
        self._add_layers(capability, snapshot)
        ElementTree.indent(root)
        return DECLARATION + ("" if self.latest else DOCTYPE) + ElementTree.tostring(root, encoding="unicode") + "\n"

    def _add_service(self, root: Element) -> None:
        service = SubElement(root, "Service")
        SubElement(service, "Name").text = "WMS" if self.latest else "OGC:WMS"
        SubElement(service, "Title").text = say_label("wms.service_title", self.language)
        SubElement(service, "Abstract").text = say_label("wms.service_abstract", self.language)
        self._add_link(service, self.address)
        SubElement(service, "Fees").text = "none"
        SubElement(service, "AccessConstraints").text = "none"
        if self.latest:
            SubElement(service, "LayerLimit").text = str(LAYERS_AT_MOST)
            SubElement(service, "MaxWidth").text = str(SIZE_PX_AT_MOST)
            SubElement(service, "MaxHeight").text = str(SIZE_PX_AT_MOST)

    def _add_requests(self, capability: Element) -> None:
        requests = SubElement(capability, "Request")
        self._add_operation(requests, "GetCapabilities", ("text/xml",) if self.latest else (CAPABILITIES_TYPES["1.1.1"],))
        self._add_operation(requests, "GetMap", tuple(FORMATS))
        self._add_operation(requests, "GetFeatureInfo", INFO_FORMATS)
        self._add_operation(requests, "sld:GetLegendGraphic" if self.latest else "GetLegendGraphic", LEGEND_FORMATS)

    def _add_operation(self, requests: Element, name: str, formats: tuple[str, ...]) -> None:
        operation = SubElement(requests, name)
        for format in formats:
            SubElement(operation, "Format").text = format
        http = SubElement(SubElement(operation, "DCPType"), "HTTP")
        for method in ("Get", "Post"):
            self._add_link(SubElement(http, method), self._url({}))

    def _add_layers(self, capability: Element, snapshot: Snapshot) -> None:
        top = SubElement(capability, "Layer")
        SubElement(top, "Title").text = say_label("wms.service_title", self.language)
        for region in snapshot.regions.values():
            self._add_region(top, region)

    def _add_region(self, top: Element, region: Region) -> None:
        folder = SubElement(top, "Layer")
        SubElement(folder, "Title").text = say(region.title, self.language)
        if region.simulated:
            SubElement(folder, "Abstract").text = say_label("wms.simulated", self.language)
        self._add_extent(folder, region)
        for layer in region.layers.values():
            self._add_layer(folder, layer)

    def _add_layer(self, folder: Element, layer: Layer) -> None:
        element = SubElement(folder, "Layer", {"queryable": "1", "opaque": "0"})
        SubElement(element, "Name").text = layer_name(layer)
        titles = {each: f"{layer.content.title[each]}, {layer.region.title[each]}" for each in labels.LANGUAGES}
        SubElement(element, "Title").text = say(titles, self.language)
        SubElement(element, "Abstract").text = say(layer.content.text, self.language)
        # A client that reads a layer alone, as GDAL does, finds here what 1.3.0 lets it inherit.
        self._add_extent(element, layer.region)
        times = ",".join(period_text(period) for period in layer.periods)
        dimension = {"name": "time", "units": "ISO8601"}
        extent = {"default": default_time(layer), "multipleValues": "0", "nearestValue": "0", "current": "1"}
        if self.latest:
            SubElement(element, "Dimension", dimension | extent).text = times
        else:
            SubElement(element, "Dimension", dimension)
            del extent["current"]
            SubElement(element, "Extent", {"name": "time"} | extent).text = times
        attribution = SubElement(element, "Attribution")
        SubElement(attribution, "Title").text = say(layer.source, self.language) or "React-2-EO"
        self._add_link(attribution, self.address.removesuffix("wms"))
        self._add_style(element, layer)

    def _add_extent(self, element: Element, region: Region) -> None:
        names = [name for name in region_crs_names(region) if self.latest or name != "CRS:84"]
        for name in names:
            SubElement(element, "CRS" if self.latest else "SRS").text = name
        west, south, east, north = (f"{value:.7f}" for value in region.bounds)
        if self.latest:
            box = SubElement(element, "EX_GeographicBoundingBox")
            for tag, value in (
                ("westBoundLongitude", west), ("eastBoundLongitude", east),
                ("southBoundLatitude", south), ("northBoundLatitude", north),
            ):  # fmt: skip
                SubElement(box, tag).text = value
        else:
            SubElement(element, "LatLonBoundingBox", {"minx": west, "miny": south, "maxx": east, "maxy": north})
        for name in names:
            crs = find_crs(name)
            left, bottom, right, top = region_bounds(region, crs)
            digits = 7 if max(abs(left), abs(right), abs(bottom), abs(top)) <= 360 else 3
            corners = (bottom, left, top, right) if self.latest and crs.north_first else (left, bottom, right, top)
            box = dict(zip(("minx", "miny", "maxx", "maxy"), (f"{value:.{digits}f}" for value in corners), strict=True))
            SubElement(element, "BoundingBox", {"CRS" if self.latest else "SRS": name} | box)

    def _add_style(self, element: Element, layer: Layer) -> None:
        style = SubElement(element, "Style")
        SubElement(style, "Name").text = STYLE
        SubElement(style, "Title").text = say_label("wms.style_title", self.language)
        width, height = legend_size(layer, self.language)
        legend = SubElement(style, "LegendURL", {"width": str(width), "height": str(height)})
        SubElement(legend, "Format").text = "image/png"
        query = {"service": "WMS", "version": self.version, "request": "GetLegendGraphic", "format": "image/png"}
        query["layer"] = layer_name(layer)
        if self.latest:
            query["sld_version"] = "1.1.0"
        self._add_link(legend, self._url(query))

    def _url(self, query: dict[str, str]) -> str:
        # The language goes on in every address, so that a client in English stays in English.
        return f"{self.address}?{urlencode(query | ({'language': self.language} if self.language else {}))}"

    def _add_link(self, element: Element, address: str) -> None:
        attributes = {"xlink:type": "simple", "xlink:href": address}
        if not self.latest:
            attributes = {"xmlns:xlink": XLINK} | attributes
        SubElement(element, "OnlineResource", attributes)
