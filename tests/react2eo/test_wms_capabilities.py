"""Capabilities of the Web Map Service, held against the order of elements that the schema and the DTD of the standard demand."""

from xml.etree import ElementTree

import pytest

WMS, SLD, XLINK = "{http://www.opengis.net/wms}", "{http://www.opengis.net/sld}", "{http://www.w3.org/1999/xlink}"
# Children in their order: capabilities_1_3_0.xsd (OGC 06-042, annex E), sld_capabilities.xsd, and the DTD of OGC 01-068r3, annex A.
ORDER = {
    "1.3.0": {
        "WMS_Capabilities": "Service Capability",
        "Service": "Name Title Abstract KeywordList OnlineResource ContactInformation Fees AccessConstraints LayerLimit MaxWidth MaxHeight",
        "Capability": "Request Exception Layer",
        "Request": "GetCapabilities GetMap GetFeatureInfo GetLegendGraphic",
        "Layer": "Name Title Abstract KeywordList CRS EX_GeographicBoundingBox BoundingBox Dimension Attribution AuthorityURL Identifier "
        "MetadataURL DataURL FeatureListURL Style MinScaleDenominator MaxScaleDenominator Layer",
        "EX_GeographicBoundingBox": "westBoundLongitude eastBoundLongitude southBoundLatitude northBoundLatitude",
    },
    "1.1.1": {
        "WMT_MS_Capabilities": "Service Capability",
        "Service": "Name Title Abstract KeywordList OnlineResource ContactInformation Fees AccessConstraints",
        "Capability": "Request Exception VendorSpecificCapabilities UserDefinedSymbolization Layer",
        "Request": "GetCapabilities GetMap GetFeatureInfo DescribeLayer GetLegendGraphic GetStyles PutStyles",
        "Layer": "Name Title Abstract KeywordList SRS LatLonBoundingBox BoundingBox Dimension Extent Attribution AuthorityURL Identifier "
        "MetadataURL DataURL FeatureListURL Style ScaleHint Layer",
    },
}
BOTH = {
    **dict.fromkeys(("GetCapabilities", "GetMap", "GetFeatureInfo", "GetLegendGraphic"), "Format DCPType"),
    "DCPType": "HTTP", "HTTP": "Get Post", "Get": "OnlineResource", "Post": "OnlineResource", "Exception": "Format",
    "Attribution": "Title OnlineResource LogoURL", "Style": "Name Title Abstract LegendURL", "LegendURL": "Format OnlineResource",
}  # fmt: skip


@pytest.fixture(scope="module")
def client(module_client):
    return module_client


def get_capabilities(client, version: str, **others) -> ElementTree.Element:
    answer = client.get("/wms", params={"SERVICE": "WMS", "REQUEST": "GetCapabilities", "VERSION": version} | others)
    assert answer.status_code == 200
    kind = {"1.1.1": "application/vnd.ogc.wms_xml", "1.3.0": "text/xml; charset=utf-8"}[version]
    assert answer.headers["content-type"] == kind
    return ElementTree.fromstring(answer.content)


def local_name(element) -> str:
    return element.tag.rpartition("}")[2]


@pytest.mark.parametrize("version", ["1.1.1", "1.3.0"])
def test_elements_are_in_the_order_of_the_standard(client, version):
    root = get_capabilities(client, version)
    assert root.get("version") == version
    orders = {name: order.split() for name, order in (BOTH | ORDER[version]).items()}
    for element in root.iter():
        namespace = WMS if version == "1.3.0" else ""
        name = local_name(element)
        assert element.tag == (f"{SLD}{name}" if version == "1.3.0" and name == "GetLegendGraphic" else f"{namespace}{name}")
        children = [local_name(child) for child in element]
        order = orders.get(name, [])
        assert set(children) <= set(order), f"{name} has {set(children) - set(order)}"
        assert [order.index(child) for child in children] == sorted(order.index(child) for child in children), name
        assert (element.text or "").strip() or children or element.attrib


def layer_elements(root, prefix: str) -> dict:
    return {each.findtext(f"{prefix}Name"): each for each in root.iter(f"{prefix}Layer") if each.find(f"{prefix}Name") is not None}


def test_layers_have_times_boxes_and_legends(client):
    region = client.app.state.snapshots.current().find_region("land")
    west, south, east, north = region.bounds
    newer = layer_elements(get_capabilities(client, "1.3.0"), WMS)
    older = layer_elements(get_capabilities(client, "1.1.1"), "")
    assert set(newer) == set(older) == {f"land.{name}" for name in region.layers}
    dimension = newer["land.ndvi"].find(f"{WMS}Dimension")
    assert dimension.text == "2018-01-01,2019-01-01,2020-01-01" and dimension.get("default") == "2020-01-01"
    extent = older["land.change"].find("Extent")
    assert extent.text == "2018-01-01/2020-12-31/P3Y" and extent.get("name") == older["land.change"].find("Dimension").get("name") == "time"
    boxes = {box.get("CRS"): box for box in newer["land.ndvi"].findall(f"{WMS}BoundingBox")}
    assert list(boxes) == [each.text for each in newer["land.ndvi"].findall(f"{WMS}CRS")]
    corners = ("minx", "miny", "maxx", "maxy")
    assert [float(boxes["EPSG:4326"].get(name)) for name in corners] == pytest.approx((south, west, north, east), abs=1e-6)
    assert [float(boxes["CRS:84"].get(name)) for name in corners] == pytest.approx((west, south, east, north), abs=1e-6)
    left, bottom, right, top = region.place.whole.bounds
    assert [float(boxes["EPSG:6372"].get(name)) for name in corners] == pytest.approx((bottom, left, top, right), abs=0.01)
    boxes = {box.get("SRS"): box for box in older["land.ndvi"].findall("BoundingBox")}
    assert [float(boxes["EPSG:4326"].get(name)) for name in corners] == pytest.approx((west, south, east, north), abs=1e-6)
    assert [float(boxes["EPSG:6372"].get(name)) for name in corners] == pytest.approx((left, bottom, right, top), abs=0.01)
    for prefix, layers in ((WMS, newer), ("", older)):
        for layer in layers.values():
            legend = layer.find(f"{prefix}Style/{prefix}LegendURL")
            answer = client.get(legend.find(f"{prefix}OnlineResource").get(f"{XLINK}href"))
            assert answer.headers["content-type"] == "image/png"
            width, height = int.from_bytes(answer.content[16:20]), int.from_bytes(answer.content[20:24])
            assert (legend.get("width"), legend.get("height")) == (str(width), str(height))
            assert layer.findtext(f"{prefix}Attribution/{prefix}Title").startswith("Datos simulados")


def test_titles_are_in_the_language_asked_for(client):
    titles = {}
    for language in ("", "es", "eng", "fr"):
        layers = layer_elements(get_capabilities(client, "1.3.0", LANGUAGE=language), WMS)
        titles[language] = layers["land.ndvi"].findtext(f"{WMS}Title")
    assert titles["es"] == "Verdor (NDVI), Galería" and titles["eng"] == "Greenness (NDVI), Gallery"
    assert titles[""] == titles["fr"] == f"{titles['es']} | {titles['eng']}"


def test_capabilities_that_have_not_changed_are_told(client):
    root = get_capabilities(client, "1.3.0")
    again = {"SERVICE": "WMS", "REQUEST": "GetCapabilities", "UPDATESEQUENCE": root.get("updateSequence")}
    assert "CurrentUpdateSequence" in client.get("/wms", params=again).text


def test_addresses_are_those_that_people_know(gallery, monkeypatch):
    from fastapi.testclient import TestClient

    from ceiba.react2eo.server import create_app

    monkeypatch.setenv("CEIBA_PUBLIC_URL", "https://maps.example/")
    root = get_capabilities(TestClient(create_app()), "1.3.0", LANGUAGE="es")
    addresses = {each.get(f"{XLINK}href") for each in root.iter(f"{WMS}OnlineResource")}
    assert all(address.startswith("https://maps.example/") for address in addresses)
    assert "https://maps.example/wms?language=es" in addresses
