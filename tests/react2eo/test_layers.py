"""What there is to show: themes, regions and layers, read from a store."""

import copy

import pytest
import yaml

from ceiba.config import project_root
from ceiba.errors import CatalogError, NotFoundError
from ceiba.react2eo import themes


@pytest.fixture
def document() -> dict:
    return yaml.safe_load((project_root() / "catalogs" / "themes.yml").read_text("utf-8"))


def test_shipped_themes_can_be_read(document):
    read = themes.read_themes(document)
    assert read.find("").name == "ceiba"
    assert read.find("water").contents[0] == "water"
    with pytest.raises(NotFoundError, match="no theme 'fire'; there are ceiba, water"):
        read.find("fire")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("themes", "water", "contents"), ["fire"], "no content fire"),
        (("themes", "water", "color"), "blue", "write #rrggbb"),
        (("contents", "ndvi", "title"), {"es": "Verdor"}, "needs title in es and en"),
        (("contents", "ndvi", "from"), [{"product": "ndvy", "measurement": "ndvi"}], "no product 'ndvy'"),
        (("contents", "ndvi", "from"), [{"product": "ndvi", "measurement": "red"}], "ndvi has no red"),
        (("contents", "ndvi", "from"), [{"product": "ndvi"}], "either composite or measurement"),
        (("contents", "ndvi", "from"), [{"product": "ndvi", "composite": "warm"}], "no composite 'warm'"),
    ],
)
def test_a_wrong_theme_is_told(document, path, value, message):
    wrong = copy.deepcopy(document)
    place = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(CatalogError, match=message):
        themes.read_themes(wrong)


def test_a_snapshot_lists_what_the_store_holds(snapshot):
    region = snapshot.find_region("land")
    assert list(region.layers) == ["natural_color", "ndvi", "land_cover", "change", "integrity"]
    ndvi = region.find_layer("ndvi")
    assert [str(period) for period in ndvi.periods] == ["2018", "2019", "2020"]
    assert len(ndvi.rasters[ndvi.periods[0]]) == 2
    assert ndvi.kind == "scale" and region.find_layer("land_cover").kind == "classes"
    assert region.find_layer("change").legend.find(2).name_en == "Change"
    west, south, east, north = region.bounds
    assert -180 < west < east < 0 and 0 < south < north < 90
    with pytest.raises(NotFoundError, match="no layer 'fire'; it has natural_color"):
        region.find_layer("fire")
    with pytest.raises(NotFoundError, match="no region 'mars'"):
        snapshot.find_region("mars")
    with pytest.raises(NotFoundError, match="no period '1999'; it has 2018"):
        ndvi.find_period("1999")


def test_products_are_described(client):
    answer = client.get("/api/products").json()
    assert answer["dashboards"] is False, "they run apart here"
    assert answer["theme"]["region"] == "land"
    layers = {layer["name"]: layer for layer in answer["regions"][0]["layers"]}
    assert layers["land_cover"]["legend"]["classes"][0]["es"]
    assert layers["ndvi"]["legend"]["stops"][0] == {"value": -0.2, "color": "#ffffe5"}
    assert client.get("/api/products", params={"theme": "water"}).json()["theme"]["name"] == "water"
    assert client.get("/api/products", params={"theme": "fire"}).status_code == 404
