"""The Web Map Service: requests, maps, values in words, legends and exceptions."""

import io
import json
from datetime import date
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from ceiba.grids import Period
from ceiba.react2eo.maps import wms_requests
from ceiba.react2eo.maps.map_crs import find_crs, region_bounds, region_crs_names
from ceiba.react2eo.maps.rendering import Window, paint, read_window
from ceiba.react2eo.maps.tiles import GRID
from ceiba.react2eo.maps.wms_maps import clip_window
from ceiba.react2eo.maps.wms_requests import WmsError, find_period, negotiate_version, period_text

OGC = "{http://www.opengis.net/ogc}"
NDVI = "land.ndvi"


@pytest.fixture(scope="module")
def client(module_client):
    return module_client


@pytest.fixture(scope="module")
def region(client):
    return client.app.state.snapshots.current().find_region("land")


@pytest.fixture(scope="module")
def degrees(region) -> tuple[float, float, float, float]:
    """A part of the region that is not square and lies to one side, so that swapped axes show."""
    west, south, east, north = region.bounds
    return west + 0.1 * (east - west), south + 0.05 * (north - south), east - 0.3 * (east - west), north - 0.15 * (north - south)


def parameters(bounds, *, version="1.3.0", crs="CRS:84", layers=NDVI, width=90, height=60, **others) -> dict:
    """A GetMap request; ``others`` are further parameters, or None to leave one out."""
    asked = {
        "SERVICE": "WMS", "VERSION": version, "REQUEST": "GetMap", "LAYERS": layers, "STYLES": "",
        "CRS" if version == "1.3.0" else "SRS": crs, "BBOX": ",".join(map(repr, map(float, bounds))),
        "WIDTH": str(width), "HEIGHT": str(height), "FORMAT": "image/png", "TRANSPARENT": "TRUE",
    }  # fmt: skip
    return {name: value for name, value in (asked | others).items() if value is not None}


def get_picture(client, asked: dict) -> np.ndarray:
    answer = client.get("/wms", params=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == asked["FORMAT"]
    return np.array(Image.open(io.BytesIO(answer.content)).convert("RGBA"))


def exception_of(answer) -> tuple[str, str]:
    """Code and text of a service exception report of version 1.3.0."""
    assert answer.status_code == 400 and answer.headers["content-type"].startswith("text/xml"), answer.text
    (exception,) = ElementTree.fromstring(answer.text).findall(f"{OGC}ServiceException")
    return exception.get("code", ""), exception.text


# ---- requests ----


def layer_of(*periods: str):
    return SimpleNamespace(
        region=SimpleNamespace(name="land"), name="ndvi", periods=tuple(sorted(map(Period.parse, periods)))
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "2020"), ("current", "2020"), ("2018", "2018"), ("2018-07", "2018"), ("2018-07-01", "2018"), ("2019-12-31T23:59:59Z", "2019"),
        ("2018-01-01T00:00:00.000Z", "2018"), ("2018-02-03T04:05+06:00", "2018"),
        # What QGIS sends while its time control steps through the years, with and without the last moment.
        ("2018-01-01T00:00:00Z/2018-12-31T23:59:59Z", "2018"), ("2018-01-01/2019-01-01", "2018"), ("2018-03-01/2018-04-01", "2018"),
    ],
)  # fmt: skip
def test_a_time_means_one_year(text, found):
    assert str(find_period(layer_of("2018", "2019", "2020"), text)) == found


def test_a_time_means_one_span_of_years():
    layer = layer_of("2016--2018", "2016--2020", "2018--2020")
    assert str(find_period(layer, "2017-05-01")) == "2016--2020"
    assert str(find_period(layer, "2016")) == "2016--2020" and str(find_period(layer, "")) == "2018--2020"
    assert str(find_period(layer, wms_requests.default_time(layer))) == "2018--2020"
    for period in layer.periods:
        assert find_period(layer, period_text(period)) == find_period(layer, str(period)) == period
    assert period_text(layer.periods[0]) == "2016-01-01/2018-12-31/P3Y"
    assert str(find_period(layer, "2016-01-01/2018-12-31")) == "2016--2018"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1999", "has 2018, 2019, 2020"), ("2018-13-01", "no ISO 8601 date"), ("2018-02-30", "no ISO 8601 date"), ("yesterday", "no ISO"),
        ("2018,2019", "one time, not several"), ("2018-01-01/2021-01-01", "holds 2018, 2019, 2020: ask for one"),
        ("2018/2020/P1Y", "not several"), ("a/b", "no ISO"), ("2030-01-01/2031-01-01", "has 2018"), ("0000", "no ISO"), ("٢٠١٨", "no ISO"),
    ],
)  # fmt: skip
def test_a_time_that_means_no_year_is_told(text, message):
    with pytest.raises(WmsError, match=message) as told:
        find_period(layer_of("2018", "2019", "2020"), text)
    assert told.value.code == "InvalidDimensionValue"


def test_versions_are_negotiated():
    # OGC 06-042, 6.2.4: the highest that is not above, else the lowest.
    for text, version in {"": "1.3.0", "1.3.0": "1.3.0", "2.0": "1.3.0", "1.2.0": "1.1.1", "1.1.1": "1.1.1", "1.0.0": "1.1.1"}.items():
        assert negotiate_version(text) == version
    with pytest.raises(WmsError, match="there are 1.1.1, 1.3.0"):
        negotiate_version("latest")


def test_axis_orders_are_those_of_the_epsg_registry():
    # EPSG dataset: coordinate systems 6422 (latitude, longitude), 4499 (X, Y), 4500 (north, east).
    assert all(find_crs(name).north_first for name in ("EPSG:4326", "EPSG:3035", "EPSG:9377"))
    assert not any(find_crs(name).north_first for name in ("CRS:84", "EPSG:3857", "EPSG:32615"))


def test_a_region_is_offered_in_the_systems_that_cover_it(region):
    assert region_crs_names(region) == ("EPSG:4326", "CRS:84", "EPSG:3857", "EPSG:6372")
    assert region_bounds(region, find_crs("EPSG:6372")) == pytest.approx(region.place.whole.bounds)


def test_a_region_of_colombia_is_offered_in_its_national_system():
    # Resolution 471 of 2020 of the IGAC: the origin, 4 N 73 W, has 5,000,000 m east and 2,000,000 m north.
    tile = SimpleNamespace(crs="EPSG:4326", bounds=(-73.0, 4.0, -72.5, 4.25))
    region = SimpleNamespace(place=SimpleNamespace(crs="EPSG:4326", whole=tile), bounds=tile.bounds)
    assert region_crs_names(region) == ("EPSG:4326", "CRS:84", "EPSG:3857", "EPSG:9377")
    left, bottom, right, top = region_bounds(region, find_crs("EPSG:9377"))
    assert left == pytest.approx(5e6, abs=0.01) and bottom == pytest.approx(2e6, abs=0.01)
    assert right == pytest.approx(5_055_500, abs=200) and top == pytest.approx(2_027_650, abs=200)


def test_only_the_pixels_over_a_region_are_read():
    window = Window((0.0, 0.0, 100.0, 50.0), "EPSG:3857", 100, 50)
    part, row, column = clip_window(window, (10.2, 20.0, 19.8, 30.0))
    assert (row, column, part.width, part.height) == (19, 9, 12, 12)
    assert part.bounds == pytest.approx((9, 19, 21, 31))
    for near in ((-50, -50, 200, 200), (30, 20, 70, 35)):
        assert clip_window(window, near) == (window, 0, 0)
    assert clip_window(window, (200, 0, 300, 50)) is None
    assert clip_window(Window((-1e10, -1e10, 1e10, 1e10), "EPSG:3857", 100, 50), (0, 0, 100, 100)) is None


# ---- maps ----


def test_a_map_shows_the_same_in_both_axis_orders(client, degrees):
    west, south, east, north = degrees
    plain = get_picture(client, parameters(degrees))
    assert 0.2 < (plain[..., 3] > 0).mean() <= 1 and len(np.unique(plain.reshape(-1, 4), axis=0)) > 50
    swapped = get_picture(client, parameters((south, west, north, east), crs="EPSG:4326"))
    older = get_picture(client, parameters(degrees, version="1.1.1", crs="EPSG:4326"))
    np.testing.assert_array_equal(plain, swapped)
    np.testing.assert_array_equal(plain, older)
    # The same numbers in the wrong order lie in Antarctica.
    assert not get_picture(client, parameters(degrees, crs="EPSG:4326"))[..., 3].any()


def test_a_map_in_the_regions_own_system_is_its_pixels(client, region):
    left, bottom, right, top = region.place.whole.bounds
    layer = region.find_layer("land_cover")
    shape = (round((right - left) / 20), round((top - bottom) / 20))
    window = Window((left, bottom, right, top), "EPSG:6372", *shape)
    expected = paint(layer, read_window(layer, Period(2019, 2019), window))
    asked = {"layers": "land.land_cover", "width": shape[0], "height": shape[1], "TIME": "2019-06-01"}
    older = get_picture(client, parameters((left, bottom, right, top), version="1.1.1", crs="EPSG:6372", **asked))
    np.testing.assert_array_equal(older, expected)
    newer = get_picture(client, parameters((bottom, left, top, right), crs="epsg:6372", **asked))
    np.testing.assert_array_equal(newer, expected)
    assert (expected != get_picture(client, parameters((bottom, left, top, right), crs="EPSG:6372", **asked | {"TIME": "2018"}))).any()


def test_a_part_of_a_larger_map_is_the_same(client, region):
    west, south, east, north = region.bounds
    width, height = (east - west) / 40, (north - south) / 30
    whole = get_picture(client, parameters(region.bounds, width=40, height=30, layers="land.land_cover"))
    beyond = (west - 105 * width, south - 4 * height, east + 3 * width, north + 2 * height)
    larger = get_picture(client, parameters(beyond, width=148, height=36, layers="land.land_cover"))
    np.testing.assert_array_equal(larger[2:32, 105:145], whole)
    larger[2:32, 105:145] = 0
    # The outline of a region in meters is a little crooked in degrees.
    assert (larger[..., 3] > 0).mean() < 0.02


@pytest.mark.parametrize("name", ["natural_color", "ndvi", "land_cover"])
def test_a_map_of_the_place_of_a_tile_is_the_tile(client, region, name):
    tile = GRID.tile(region.bounds[0] + 0.003, region.bounds[1] + 0.003, 16)
    answer = client.get(f"/tiles/land/{name}/2018/{tile.z}/{tile.x}/{tile.y}.png")
    expected = np.array(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
    assert (expected[..., 3] > 0).mean() > 0.3
    asked = parameters(GRID.xy_bounds(tile), crs="EPSG:3857", width=256, height=256, layers=f"land.{name}", TIME="2018")
    np.testing.assert_array_equal(get_picture(client, asked), expected)


def test_layers_lie_over_each_other(client, degrees):
    cover, ndvi = (get_picture(client, parameters(degrees, layers=f"land.{name}")) for name in ("land_cover", "ndvi"))
    both = get_picture(client, parameters(degrees, layers="land.land_cover,land.ndvi", STYLES="default,"))
    np.testing.assert_array_equal(both, np.where(ndvi[..., 3:] > 0, ndvi, cover))
    assert (both != get_picture(client, parameters(degrees, layers="land.ndvi,land.land_cover"))).any()


def test_formats_and_background(client, region):
    asked = parameters(region.bounds, TRANSPARENT="FALSE", BGCOLOR="0xff0080")
    transparent = get_picture(client, parameters(region.bounds))
    colored = get_picture(client, asked)
    empty = transparent[..., 3] == 0
    assert empty.any() and (colored[empty] == (255, 0, 128, 255)).all()
    np.testing.assert_array_equal(colored[~empty], transparent[~empty])
    assert (get_picture(client, parameters(region.bounds, TRANSPARENT=None))[empty] == 255).all()
    webp = get_picture(client, parameters(region.bounds, FORMAT="image/webp"))
    np.testing.assert_array_equal(webp[..., 3] == 0, empty)
    jpeg = get_picture(client, asked | {"FORMAT": "image/jpeg", "TRANSPARENT": "true"})
    assert np.abs(jpeg[empty].astype(int) - (255, 0, 128, 255)).mean() < 25


def test_names_may_be_in_any_case_and_in_a_form(client, degrees):
    asked = parameters(degrees)
    expected = get_picture(client, asked)
    small = client.get("/wms", params={name.lower(): value for name, value in asked.items()})
    posted = client.post("/wms", data=asked)
    for answer in (small, posted):
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(answer.content))), expected)


def test_a_map_of_the_whole_world_is_empty_but_no_error(client):
    for crs, bounds in (("CRS:84", (-180, -90, 180, 90)), ("CRS:84", (-1e6, -1e6, 1e6, 1e6)), ("EPSG:3857", (-1e9, -1e9, 1e9, 1e9))):
        assert not get_picture(client, parameters(bounds, crs=crs))[..., 3].any()


# ---- values and legends ----


def test_values_at_a_point_are_told_in_words(client, region):
    left, bottom, right, top = region.place.whole.bounds
    layer = region.find_layer("land_cover")
    window = Window((left, bottom, right, top), "EPSG:6372", 96, 48)
    code = int(read_window(layer, Period(2018, 2018), window)[0, 30, 40])
    asked = parameters(
        (left, bottom, right, top), version="1.1.1", crs="EPSG:6372", width=96, height=48, layers="land.land_cover,land.ndvi,land.change",
        REQUEST="GetFeatureInfo", QUERY_LAYERS="land.land_cover,land.ndvi", X="40", Y="30", TIME="2018",
    )  # fmt: skip
    answer = client.get("/wms", params=asked | {"INFO_FORMAT": "application/json"}).json()
    cover, ndvi = (feature["properties"] for feature in answer["features"])
    known = layer.legend.find(code)
    assert cover["land_cover"] == code and cover["text"] == f"{known.name_es} | {known.name_en}" and cover["period"] == "2018"
    assert 0.1 <= ndvi["ndvi"] <= 0.9 and ndvi["text"] == f"{ndvi['ndvi']:.4g}"
    longitude, latitude = answer["features"][0]["geometry"]["coordinates"]
    assert region.bounds[0] < longitude < region.bounds[2] and region.bounds[1] < latitude < region.bounds[3]
    plain = client.get("/wms", params=asked | {"LANGUAGE": "en"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert plain.text.splitlines()[0] == f"Land cover (Gallery), 2018: {known.name_en}"
    page = client.get("/wms", params=asked | {"LANGUAGE": "spa", "INFO_FORMAT": "text/html"}).text
    assert f"<td>{known.name_es}</td>" in page and "<th>Periodo</th>" in page


def test_values_outside_of_the_data_are_no_data(client, region):
    west, south, east, north = region.bounds
    asked = parameters((west - 1, south, west, north), REQUEST="GetFeatureInfo", QUERY_LAYERS=NDVI, I="0", J="0")
    assert "sin datos | no data" in client.get("/wms", params=asked).text
    asked = parameters((-1e9, -1e9, 1e9, 1e9), crs="EPSG:3857", REQUEST="GetFeatureInfo", QUERY_LAYERS=NDVI, I="0", J="0")
    feature = client.get("/wms", params=asked | {"INFO_FORMAT": "application/json"}).json()["features"][0]
    assert feature["properties"]["ndvi"] is None


def test_words_in_pages_are_escaped():
    from ceiba.react2eo.maps.wms_maps import write_info

    found = {"layer": "a", "title": "<script>alert(1)</script>", "region": "r", "period": "2018", "values": {}, "text": "a & b"}
    page = write_info([found], 0.0, 0.0, format="text/html", language="es")
    assert "<script>" not in page and "&lt;script&gt;" in page and "a &amp; b" in page


@pytest.mark.parametrize("name", ["natural_color", "ndvi", "land_cover", "change", "integrity"])
@pytest.mark.parametrize("language", ["", "es", "en"])
def test_legends_are_pictures_and_words(client, region, name, language):
    asked = {"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetLegendGraphic", "LAYER": f"land.{name}", "LANGUAGE": language}
    answer = client.get("/wms", params=asked)
    picture = np.array(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    assert answer.headers["content-type"] == "image/png" and 80 < picture.shape[0] < 2000
    layer = region.find_layer(name)
    colors = set(map(tuple, np.unique(picture.reshape(-1, 3), axis=0).tolist()))
    if layer.kind == "classes":
        assert {tuple(bytes.fromhex(color[1:])) for color in layer.legend.colors().values()} <= colors
    words = client.get("/wms", params=asked | {"FORMAT": "application/json"}).json()
    assert words["title"].startswith(layer.content.title[language or "es"])
    assert len(words["classes"]) == {"classes": len(layer.legend or ()), "composite": 3, "scale": 0}[layer.kind]
    assert (words["stops"] != []) == (layer.kind == "scale")


def test_the_colors_of_a_scale_are_those_of_the_map(client, region):
    answer = client.get("/wms", params={"VERSION": "1.1.1", "REQUEST": "GetLegendGraphic", "LAYER": NDVI, "FORMAT": "image/png"})
    picture = np.array(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    stops = [tuple(bytes.fromhex(color[1:])) for _, color in region.find_layer("ndvi").style.stops]
    near = [np.abs(picture.reshape(-1, 3).astype(int) - stop).sum(axis=1).min() for stop in stops]
    assert max(near) <= 6


# ---- exceptions ----


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"FORMAT": "image/tiff"}, "InvalidFormat", "there are image/png, image/jpeg, image/webp"),
        ({"FORMAT": None}, "InvalidFormat", "there are image/png"),
        ({"CRS": "EPSG:27700"}, "InvalidCRS", "can be had in EPSG:4326, CRS:84, EPSG:3857, EPSG:6372"),
        ({"CRS": "EPSG:9377"}, "InvalidCRS", "can be had in"),
        ({"CRS": "+proj=longlat"}, "InvalidCRS", "can be had in"),
        ({"CRS": None}, "InvalidCRS", "CRS is missing"),
        ({"LAYERS": "land.fire"}, "LayerNotDefined", "no layer 'land.fire'"),
        ({"LAYERS": "../../etc/passwd"}, "LayerNotDefined", "no layer"),
        ({"LAYERS": ""}, "MissingParameterValue", "LAYERS is missing"),
        ({"LAYERS": ",".join([NDVI] * 9)}, "", "at most 8"),
        ({"STYLES": "heat"}, "StyleNotDefined", "no style 'heat'"),
        ({"STYLES": "default,default"}, "StyleNotDefined", "2 styles for 1 layers"),
        ({"TIME": "1999"}, "InvalidDimensionValue", "land.ndvi has 2018, 2019, 2020"),
        ({"BBOX": "1,2,3"}, "InvalidParameterValue", "four numbers"),
        ({"BBOX": "3,0,1,1"}, "InvalidParameterValue", "minimum must be below"),
        ({"BBOX": "nan,0,1,1"}, "InvalidParameterValue", "not within any map"),
        ({"BBOX": "-1e308,0,1e308,1"}, "InvalidParameterValue", "not within any map"),
        ({"WIDTH": "2049"}, "InvalidParameterValue", "from 1 to 2048"),
        ({"HEIGHT": "0"}, "InvalidParameterValue", "from 1 to 2048"),
        ({"HEIGHT": "1e3"}, "InvalidParameterValue", "from 1 to 2048"),
        ({"BGCOLOR": "red"}, "", "write 0xRRGGBB"),
        ({"TRANSPARENT": "maybe"}, "", "write TRUE or FALSE"),
        ({"VERSION": "1.2.0"}, "VersionNegotiationFailed", "there are 1.1.1, 1.3.0"),
        ({"VERSION": None}, "MissingParameterValue", "VERSION is missing"),
        ({"REQUEST": "GetStyles"}, "OperationNotSupported", "there are GetCapabilities, GetMap"),
        ({"REQUEST": None}, "MissingParameterValue", "REQUEST is missing"),
        ({"SERVICE": "WFS"}, "InvalidParameterValue", "this is a WMS"),
        ({"REQUEST": "GetFeatureInfo", "QUERY_LAYERS": NDVI, "I": "90", "J": "0"}, "InvalidPoint", "from 0 to 89"),
        ({"REQUEST": "GetFeatureInfo", "QUERY_LAYERS": NDVI, "J": "0"}, "InvalidPoint", "I is missing"),
        ({"REQUEST": "GetFeatureInfo", "QUERY_LAYERS": "land.change", "I": "0", "J": "0"}, "LayerNotDefined", "not among LAYERS"),
        ({"REQUEST": "GetFeatureInfo", "QUERY_LAYERS": NDVI, "I": "0", "J": "0", "INFO_FORMAT": "text/xml"}, "InvalidFormat", "text/html"),
        ({"REQUEST": "GetLegendGraphic", "LAYER": "land.fire"}, "LayerNotDefined", "no layer"),
        ({"REQUEST": "GetLegendGraphic", "LAYER": NDVI, "FORMAT": "image/gif"}, "InvalidFormat", "there are image/png"),
        ({"LAYERS": "\x00<&]]>\ud7ff"}, "LayerNotDefined", "no layer"),
    ],
)
def test_what_cannot_be_answered_is_told_by_its_code(client, change, code, message):
    answer = client.get("/wms", params=parameters((-90, 20, -89, 21), **change))
    told, text = exception_of(answer)
    assert told == code and message in text


def test_an_exception_of_the_older_version_has_its_form(client):
    answer = client.get("/wms", params=parameters((-90, 20, -89, 21), version="1.1.1", crs="EPSG:27700"))
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/vnd.ogc.se_xml"
    report = ElementTree.fromstring(answer.content)
    assert report.tag == "ServiceExceptionReport" and report.get("version") == "1.1.1"
    assert report.find("ServiceException").get("code") == "InvalidSRS"
    assert "CRS:84" not in report.find("ServiceException").text


def test_dates_of_the_capabilities_are_days():
    assert date.fromisoformat(period_text(Period(2018, 2018))) == date(2018, 1, 1)
    assert json.dumps(period_text(Period(2018, 2020))) == '"2018-01-01/2020-12-31/P3Y"'
