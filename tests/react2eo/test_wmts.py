"""The Web Map Tile Service as other programs read it: OWSLib, GDAL, and by hand."""

import io
import urllib.request
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from owslib.wmts import WebMapTileService
from PIL import Image

from ceiba.react2eo.maps import rendering, tiles

OWS = "{http://www.opengis.net/ows/1.1}"
ASKED = {"service": "WMTS", "request": "GetTile", "version": "1.0.0", "layer": "land.ndvi", "style": "default",
         "format": "image/png", "tilematrixset": "WebMercatorQuad"}  # fmt: skip


def middle_tile(layer, zoom: int):
    west, south, east, north = layer.bounds
    return tiles.GRID.tile((west + east) / 2, (south + north) / 2, zoom)


def place_of(tile) -> dict[str, str]:
    return {"tilematrix": str(tile.z), "tilecol": str(tile.x), "tilerow": str(tile.y)}


def test_owslib_reads_it(server_url, snapshot):
    service = WebMapTileService(f"{server_url}/wmts")
    assert service.identification.version == "1.0.0"
    assert list(service.contents) == [f"land.{name}" for name in snapshot.find_region("land").layers]
    layer = snapshot.find_layer("land", "ndvi")
    found = service["land.ndvi"]
    assert found.boundingBoxWGS84 == pytest.approx(layer.bounds)
    assert found.dimensions["Time"]["values"] == ["2018", "2019", "2020"] and found.dimensions["Time"]["default"] == "2020"
    assert found.title == "Galería: Verdor (NDVI) | Gallery: Greenness (NDVI)"
    matrices = service.tilematrixsets["WebMercatorQuad_14"].tilematrix
    # Scale of zoom 0 in the well-known set "GoogleMapsCompatible" of OGC 07-057r7, annex E.4.
    assert matrices["0"].scaledenominator == pytest.approx(559082264.0287178, rel=1e-9) and len(matrices) == 15
    tile = middle_tile(layer, 14)
    picture = service.gettile(
        layer="land.ndvi", tilematrixset="WebMercatorQuad_14", tilematrix="14", row=tile.y, column=tile.x, format="image/png",
        Time="2019",
    )  # fmt: skip
    legend = service["land.ndvi"].styles["default"]["legend"]
    assert urllib.request.urlopen(legend, timeout=60).headers["Content-Type"] == "image/png"
    same = tiles.answer_tile(layer, layer.periods[1], 14, tile.x, tile.y, "png", caching="")
    assert picture.read() == same.body


@pytest.mark.parametrize("name", ["ndvi", "natural_color", "land_cover"])
def test_gdal_opens_it(server_url, snapshot, name):
    layer = snapshot.find_layer("land", name)
    with rasterio.open(f"WMTS:{server_url}/wmts/1.0.0/WMTSCapabilities.xml,layer=land.{name}") as file:
        assert file.crs == "EPSG:3857" and file.count == 4
        tile = middle_tile(layer, tiles.native_zoom(layer))
        bounds = tiles.GRID.xy_bounds(tile)
        window = rasterio.windows.from_bounds(*bounds, file.transform).round()
        # The raster ends where the data do; what lies beyond is filled up.
        shown = file.read(window=window, boundless=True)
    assert file.res[0] == pytest.approx((bounds.right - bounds.left) / 256)
    values = rendering.read_window(layer, layer.periods[-1], tiles.tile_window(tile.z, tile.x, tile.y))
    expected = rendering.paint(layer, values).transpose(2, 0, 1)
    assert shown.shape == expected.shape
    both = (shown[3] == 255) & (expected[3] == 255)
    assert both.mean() > 0.9 * (expected[3] == 255).mean() and np.abs(shown[:3, both].astype(int) - expected[:3, both]).mean() < 4


def test_tiles_by_parameters_are_tiles_by_address(client, snapshot):
    layer = snapshot.find_layer("land", "ndvi")
    tile = middle_tile(layer, 15)
    asked = ASKED | place_of(tile)
    for time, period in (("2019", "2019"), ("", "2020"), ("current", "2020")):
        answer = client.get("/wmts", params={name.upper(): value for name, value in asked.items()} | {"Time": time})
        assert answer.status_code == 200 and answer.headers["Content-Type"] == "image/png"
        assert answer.content == client.get(f"/tiles/land/ndvi/{period}/15/{tile.x}/{tile.y}.png").content
    assert Image.open(io.BytesIO(client.get("/wmts", params=asked | {"format": "image/webp"}).content)).format == "WEBP"


def test_a_pixel_tells_its_values(client, snapshot):
    layer = snapshot.find_layer("land", "land_cover")
    tile = middle_tile(layer, 16)
    asked = ASKED | place_of(tile) | {"request": "GetFeatureInfo", "layer": "land.land_cover", "i": "40", "j": "70"}
    answer = client.get("/wmts", params=asked | {"infoformat": "application/json"}).json()
    values = rendering.read_window(layer, layer.periods[-1], tiles.tile_window(tile.z, tile.x, tile.y))
    assert answer["values"]["land_cover"] == values[0, 70, 40] and answer["time"] == "2020"
    assert answer["class"]["es"] == layer.legend.find(int(values[0, 70, 40])).name_es
    west = client.get("/wmts", params=asked | {"tilematrix": "3", "tilecol": "7", "tilerow": "1"}).json()
    assert west["values"] == {"land_cover": None} and "class" not in west


@pytest.mark.parametrize(
    ("change", "code", "locator"),
    [
        ({"service": "WMS"}, "InvalidParameterValue", "service"),
        ({"request": "GetMap"}, "OperationNotSupported", "request"),
        ({"layer": ""}, "MissingParameterValue", "layer"),
        ({"layer": "land.fire"}, "InvalidParameterValue", "layer"),
        ({"layer": "../../etc/passwd"}, "InvalidParameterValue", "layer"),
        ({"style": "red"}, "InvalidParameterValue", "style"),
        ({"format": "image/gif"}, "InvalidParameterValue", "format"),
        ({"tilematrixset": "other"}, "InvalidParameterValue", "tilematrixset"),
        ({"tilematrix": "-1"}, "InvalidParameterValue", "tilematrix"),
        ({"tilematrix": "²"}, "InvalidParameterValue", "tilematrix"),
        ({"tilematrix": "21"}, "TileOutOfRange", None),
        ({"tilecol": "99999"}, "TileOutOfRange", None),
        ({"time": "1999"}, "InvalidParameterValue", "time"),
        ({"request": "GetFeatureInfo", "i": "256", "j": "0"}, "PointIJOutOfRange", None),
        ({"request": "GetFeatureInfo", "i": "0", "j": "0", "infoformat": "text/html"}, "InvalidParameterValue", "infoformat"),
    ],
)
def test_what_is_wrong_is_told_in_the_standards_words(client, change, code, locator):
    asked = ASKED | {"tilematrix": "3", "tilecol": "1", "tilerow": "1"} | change
    answer = client.get("/wmts", params=asked)
    assert answer.status_code == 400 and answer.headers["Content-Type"] == "application/xml"
    exception = ElementTree.fromstring(answer.content).find(f"{OWS}Exception")
    assert exception.get("exceptionCode") == code and exception.get("locator") == locator and exception[0].text
