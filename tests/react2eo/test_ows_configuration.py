"""The configuration of datacube-ows, read by its own parser."""

import importlib.util
import json

import pytest

from ceiba.config import project_root
from ceiba.react2eo.maps import rendering
from ceiba.react2eo.maps.ows_configuration import make_configuration

SCRIPT = project_root() / "environments" / "datacube-ows" / "write_configuration.py"


@pytest.fixture
def configuration(snapshot) -> dict:
    return make_configuration(snapshot, url="https://maps.example/ows")


def test_its_own_parser_takes_it(gallery, tmp_path, monkeypatch, capsys):
    from datacube_ows.ows_configuration import OWSConfig, read_config

    # The parser asks for the address of an index, not for the index itself.
    monkeypatch.setenv("ODC_DEFAULT_DB_URL", "postgresql://nobody@127.0.0.1:1/none")
    specification = importlib.util.spec_from_file_location("write_configuration", SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    target = tmp_path / "ows.json"
    script.main(["--url", "https://maps.example/ows", str(target)])
    assert "ows.json" in capsys.readouterr().out
    parsed = OWSConfig(refresh=True, cfg=read_config(str(target)))
    (folder,) = parsed.root_layer_folder.unready_layers
    named = {layer.name: layer for layer in folder.unready_layers}  # what its parser refuses is left out
    assert set(named) == {"natural_color", "ndvi", "land_cover", "change", "integrity"}
    assert {type(layer.default_style).__name__ for layer in named.values()} == {
        "ComponentStyleDef", "ColorRampDef", "ColorMapStyleDef",
    }  # fmt: skip
    assert named["ndvi"].product_name == "ndvi" and named["ndvi"].time_resolution.is_summary()
    assert named["ndvi"].default_style.color_ramp.values[0] == -0.2


def test_colors_are_those_of_the_catalog(configuration, snapshot):
    layers = {layer["name"]: layer for layer in configuration["layers"][0]["layers"]}
    (style,) = layers["ndvi"]["styling"]["styles"]
    assert style["color_ramp"][0] == {"value": -0.2, "color": "#ffffe5"} and style["color_ramp"][-1]["value"] == 1.0
    (style,) = layers["natural_color"]["styling"]["styles"]
    limits = rendering.layer_limits(snapshot.find_layer("land", "natural_color"))
    assert style["components"]["red"] == {"red": 1.0, "scale_range": list(limits[0])}
    (style,) = layers["change"]["styling"]["styles"]
    assert style["value_map"]["change"][1] == {"title": "Cambio | Change", "values": [2], "color": "#d55e00"}


def test_the_order_of_axes_is_that_of_the_registry(configuration):
    offered = configuration["global"]["published_CRSs"]
    assert set(offered) == {"EPSG:3857", "EPSG:4326", "EPSG:6372"}
    assert offered["EPSG:4326"]["vertical_coord_first"] and not offered["EPSG:3857"]["vertical_coord_first"]
    json.dumps(configuration)
