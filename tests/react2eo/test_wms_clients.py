"""The Web Map Service as other programs read it, from the real server: OWSLib, GDAL, and requests as QGIS writes them."""

import io
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
import rasterio
from owslib.util import ServiceException
from owslib.wms import WebMapService
from PIL import Image

from ceiba.grids import Period
from ceiba.react2eo.maps.rendering import Window, paint, read_window
from ceiba.react2eo.maps.tiles import GRID

NAMES = {"land.natural_color", "land.ndvi", "land.land_cover", "land.change", "land.integrity"}
YEARS = ["2018-01-01", "2019-01-01", "2020-01-01"]


@pytest.fixture(scope="module")
def region(module_client):
    return module_client.app.state.snapshots.current().find_region("land")


def expected_colors(region, layer: str, year: int, bounds, crs: str, size: tuple[int, int]) -> np.ndarray:
    found = region.find_layer(layer)
    return paint(found, read_window(found, Period(year, year), Window(tuple(bounds), crs, *size)))


def get(address: str, query: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(f"{address}/wms?{query}", timeout=60) as answer:  # noqa: S310 - loopback
        return answer.headers["Content-Type"], answer.read()


# ---- OWSLib ----


@pytest.mark.parametrize("version", ["1.1.1", "1.3.0"])
def test_owslib_reads_everything(server_url, region, version):
    service = WebMapService(f"{server_url}/wms", version=version)
    assert set(service.contents) == NAMES
    assert service.identification.version == version
    ndvi = service["land.ndvi"]
    assert [time.strip() for time in ndvi.timepositions] == YEARS and ndvi.defaulttimeposition == "2020-01-01"
    assert service["land.change"].timepositions == ["2018-01-01/2020-12-31/P3Y"]
    assert ndvi.boundingBoxWGS84 == pytest.approx(region.bounds, abs=1e-6)
    if version == "1.3.0":  # the boxes as they are written, in the order of the axes
        left, bottom, right, top = region.place.whole.bounds
        assert {box[4]: box[:4] for box in ndvi.crs_list}["EPSG:6372"] == pytest.approx((bottom, left, top, right), abs=0.01)
    assert {"EPSG:4326", "EPSG:3857", "EPSG:6372"} <= set(ndvi.crsOptions)
    assert ndvi.styles["default"]["legend"].startswith(server_url)

    bounds = GRID.xy_bounds(*GRID.tile(region.bounds[0] + 0.003, region.bounds[1] + 0.003, 15))
    answer = service.getmap(
        layers=["land.ndvi"], styles=[""], srs="EPSG:3857", bbox=tuple(bounds), size=(256, 256), format="image/png", transparent=True,
        time="2018-01-01",
    )  # fmt: skip
    picture = np.array(Image.open(io.BytesIO(answer.read())))
    expected = expected_colors(region, "ndvi", 2018, bounds, "EPSG:3857", (256, 256))
    assert (expected[..., 3] > 0).mean() > 0.3
    np.testing.assert_array_equal(picture, expected)

    column, row = np.argwhere(expected[..., 3].T > 0)[1000].tolist()
    told = service.getfeatureinfo(
        layers=["land.ndvi"], srs="EPSG:3857", bbox=tuple(bounds), size=(256, 256), format="image/png", query_layers=["land.ndvi"],
        info_format="text/plain", xy=(column, row), time="2018",
    )  # fmt: skip
    assert told.read().decode().startswith("Verdor (NDVI) | Greenness (NDVI) (Galería | Gallery), 2018: 0.")
    with pytest.raises(ServiceException, match="1999"):
        service.getmap(layers=["land.ndvi"], srs="EPSG:3857", bbox=tuple(bounds), size=(9, 9), format="image/png", time="1999")


def test_owslib_gets_one_picture_in_both_versions(server_url, region):
    west, south, east, north = region.bounds
    box = (west, south, west + (east - west) / 3, north)
    pictures = []
    for version in ("1.1.1", "1.3.0"):
        service = WebMapService(f"{server_url}/wms", version=version)
        answer = service.getmap(layers=["land.land_cover"], srs="EPSG:4326", bbox=box, size=(50, 70), format="image/png", transparent=True)
        pictures.append(np.array(Image.open(io.BytesIO(answer.read()))))
    assert (pictures[0][..., 3] > 0).mean() > 0.8
    np.testing.assert_array_equal(*pictures)


# ---- GDAL ----


DESCRIPTION = """<GDAL_WMS>
  <Service name="WMS"><Version>{version}</Version><ServerUrl>{url}/wms?TIME=2019&amp;TRANSPARENT=TRUE&amp;</ServerUrl>
  <{tag}>EPSG:6372</{tag}><ImageFormat>image/png</ImageFormat><Layers>land.land_cover</Layers><Styles></Styles>{order}</Service>
  <DataWindow><UpperLeftX>{left}</UpperLeftX><UpperLeftY>{top}</UpperLeftY><LowerRightX>{right}</LowerRightX>
  <LowerRightY>{bottom}</LowerRightY><SizeX>{width}</SizeX><SizeY>{height}</SizeY></DataWindow>
  <Projection>EPSG:6372</Projection><BandsCount>4</BandsCount><BlockSizeX>64</BlockSizeX><BlockSizeY>48</BlockSizeY>
</GDAL_WMS>"""


@pytest.mark.parametrize("version", ["1.1.1", "1.3.0"])
def test_gdal_reads_a_described_service(server_url, region, version):
    left, bottom, right, top = region.place.whole.bounds
    width, height = round((right - left) / 20), round((top - bottom) / 20)
    text = DESCRIPTION.format(
        version=version, tag="SRS" if version == "1.1.1" else "CRS", url=server_url, left=left, bottom=bottom, right=right, top=top,
        width=width, height=height, order="" if version == "1.1.1" else "<BBoxOrder>yxYX</BBoxOrder>",
    )  # fmt: skip
    with rasterio.open(text) as file:
        assert file.driver == "WMS" and (file.count, file.width, file.height) == (4, width, height)
        colors = np.moveaxis(file.read(), 0, -1)
    expected = expected_colors(region, "land_cover", 2019, (left, bottom, right, top), "EPSG:6372", (width, height))
    assert (expected[..., 3] > 0).all()
    np.testing.assert_array_equal(colors, expected)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # the service as a whole has no place
@pytest.mark.parametrize("version", ["1.1.1", "1.3.0"])
def test_gdal_opens_the_address_of_the_service_and_of_each_layer(server_url, region, version):
    with rasterio.open(f"WMS:{server_url}/wms?SERVICE=WMS&VERSION={version}&REQUEST=GetCapabilities") as file:
        listed = file.subdatasets
    assert {urllib.parse.parse_qs(each.partition("?")[2])["LAYERS"][0] for each in listed} == NAMES
    (address,) = [each for each in listed if "LAYERS=land.land_cover&" in each]
    with rasterio.open(address) as file:
        assert file.driver == "WMS" and file.count == 3
        west, south, east, north = region.bounds
        assert file.bounds.left == pytest.approx(west, abs=1e-3) and file.bounds.top == pytest.approx(north, abs=1e-3)
        picture = file.read(out_shape=(3, 128, 128))
    assert len(np.unique(picture.reshape(3, -1), axis=1).T) >= 4


# ---- QGIS ----


QGIS = {
    "1.3.0": "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&BBOX={south},{west},{north},{east}&CRS=EPSG:4326&WIDTH=317&HEIGHT=231"
    "&LAYERS=land.land_cover,land.ndvi&STYLES=,&FORMAT=image/png&DPI=96&MAP_RESOLUTION=96&FORMAT_OPTIONS=dpi:96&TRANSPARENT=TRUE",
    "1.1.1": "SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&BBOX={west},{south},{east},{north}&SRS=EPSG:4326&WIDTH=317&HEIGHT=231"
    "&LAYERS=land.land_cover,land.ndvi&STYLES=,&FORMAT=image/png&DPI=96&MAP_RESOLUTION=96&FORMAT_OPTIONS=dpi:96&TRANSPARENT=TRUE",
}
"""What QGIS 3 sends for two layers of one server, added together."""
QGIS_TIME = "&TIME=2019-01-01T00:00:00Z/2019-12-31T23:59:59Z"


def test_requests_as_qgis_sends_them(server_url, region):
    west, south, east, north = region.bounds
    west, north = west + (east - west) / 4, north - (north - south) / 3
    places = {"west": west, "south": south, "east": east, "north": north}
    cover, ndvi = (
        expected_colors(region, name, 2019, (west, south, east, north), "EPSG:4326", (317, 231)) for name in ("land_cover", "ndvi")
    )
    expected = np.where(ndvi[..., 3:] > 0, ndvi, cover)
    for text in QGIS.values():
        query = text.format(**places) + QGIS_TIME
        kind, content = get(server_url, query)
        assert kind == "image/png"
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(content))), expected)
        # Some servers and proxies write names in small letters.
        small = "&".join(f"{name.lower()}={value}" for name, value in (pair.split("=", 1) for pair in query.split("&")))
        assert get(server_url, small)[1] == content
    kind, content = get(server_url, QGIS["1.3.0"].format(**places).replace("image/png", "image/jpeg").replace("&TRANSPARENT=TRUE", ""))
    assert kind == "image/jpeg" and Image.open(io.BytesIO(content)).size == (317, 231)


def test_further_requests_as_qgis_sends_them(server_url, region):
    west, south, east, north = region.bounds
    common = "&LAYERS=land.ndvi&STYLES=default&FORMAT=image/png&QUERY_LAYERS=land.ndvi&INFO_FORMAT=text/html&FEATURE_COUNT=10"
    newer = f"SERVICE=WMS&VERSION=1.3.0&REQUEST=GetFeatureInfo&BBOX={south},{west},{north},{east}&CRS=EPSG:4326&WIDTH=100&HEIGHT=80"
    older = f"SERVICE=WMS&VERSION=1.1.1&REQUEST=GetFeatureInfo&BBOX={west},{south},{east},{north}&SRS=EPSG:4326&WIDTH=100&HEIGHT=80"
    pages = [get(server_url, query + common + point) for query, point in ((newer, "&I=60&J=40"), (older, "&X=60&Y=40"))]
    assert pages[0] == pages[1] and pages[0][0].startswith("text/html") and b"<td>2020</td>" in pages[0][1]
    legend = "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetLegendGraphic&LAYER=land.ndvi&FORMAT=image/png&STYLE=default&SLD_VERSION=1.1.0"
    kind, content = get(server_url, legend + "&TRANSPARENT=true")
    assert kind == "image/png" and Image.open(io.BytesIO(content)).width == 280
    kind, content = get(server_url, "SERVICE=WMS&REQUEST=GetCapabilities")
    assert kind.startswith("text/xml") and b'<WMS_Capabilities version="1.3.0"' in content
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(server_url, "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=land.fire")
    assert refused.value.code == 400 and b"LayerNotDefined" in refused.value.read()
