"""A configuration of datacube-ows, the map server of the Open Data Cube, with the layers and colors of React-2-EO.

``environments/datacube-ows`` writes it; production may serve WMS and WMTS to other systems by it, beside this server's own.
"""

from collections.abc import Mapping

from pyproj import CRS

from ceiba import labels
from ceiba.react2eo.layers import Layer, Snapshot, Words
from ceiba.react2eo.maps.rendering import layer_limits

MAX_PX = 2048
MAX_DATASETS = 36
"""Datasets that datacube-ows may open for one picture; above, it shows that one must zoom in."""
CHANNELS = ("red", "green", "blue")


def make_configuration(snapshot: Snapshot, *, url: str) -> dict:
    """Everything datacube-ows needs, as JSON has it: a folder of layers, one a content, each with its style.

    A layer of datacube-ows is a product with all its areas, and its colors are the same everywhere: a composite takes the stretch of the
    region with most layers. Regions whose CRS has no EPSG code cannot be published.

    Parameters
    ----------
    snapshot
        What there is to show.
    url
        Address at which people will reach datacube-ows.
    """
    layers: dict[str, Layer] = {}
    codes: set[int] = set()
    for layer in snapshot.layers():
        code = epsg_code(layer)
        if code:
            codes.add(code)
            layers.setdefault(layer.name, layer)
    title = snapshot.themes.find("").title
    return {
        "global": {
            "title": both(title),
            "allowed_urls": [url],
            "info_url": url,
            "abstract": both(snapshot.themes.find("").text),
            "keywords": ["open data cube", "land"],
            "services": {"wms": True, "wmts": True, "wcs": False},
            "published_CRSs": published_crs(codes),
            "supported_languages": ["es"],
        },
        "wms": {"max_width": MAX_PX, "max_height": MAX_PX},
        "layers": [
            {
                "title": both(title),
                "abstract": both(snapshot.themes.find("").text),
                "layers": [describe_layer(layer) for layer in layers.values()],
            }
        ],
    }


def both(words: Words) -> str:
    """Words in all languages: datacube-ows translates by files of its own, which would have to be compiled."""
    return " | ".join(dict.fromkeys(words[language] for language in labels.LANGUAGES))


def epsg_code(layer: Layer) -> int | None:
    """EPSG code of a layer's CRS, None where it has none."""
    return CRS.from_user_input(layer.region.place.crs).to_epsg()


def published_crs(codes: set[int]) -> dict[str, dict]:
    """Coordinate reference systems offered, with the order of their axes: Web Mercator, degrees, and those of the products."""
    offered = {}
    for code in (3857, 4326, *sorted(codes - {3857, 4326})):
        crs = CRS.from_epsg(code)
        north_first = crs.axis_info[0].direction == "north"
        offered[f"EPSG:{code}"] = {
            "geographic": crs.is_geographic,
            "horizontal_coord": "longitude" if crs.is_geographic else "x",
            "vertical_coord": "latitude" if crs.is_geographic else "y",
            "vertical_coord_first": north_first,
        }
    return offered


def describe_layer(layer: Layer) -> dict:
    """A layer of datacube-ows; annual products have a start time that is asked for exactly ("summary")."""
    bands = {band.name: [] for band in layer.measurements}
    categorical = layer.kind == "classes"
    return {
        "name": layer.name,
        "title": both(layer.content.title),
        "abstract": both(layer.content.text),
        "product_name": layer.definition.name,
        "bands": bands,
        "time_resolution": "summary",
        "native_crs": f"EPSG:{epsg_code(layer)}",
        "native_resolution": [layer.resolution_m, -layer.resolution_m],
        "resource_limits": {"wms": {"max_datasets": MAX_DATASETS, "zoomed_out_fill_colour": [217, 217, 217]}},
        "image_processing": {
            "extent_mask_func": f"datacube_ows.ogc_utils.{'mask_by_val' if categorical else 'mask_by_nan'}",
            "always_fetch_bands": [],
            "manual_merge": False,
        },
        "styling": {"default_style": layer.name, "styles": [describe_style(layer)]},
    }


def describe_style(layer: Layer) -> dict:
    """The colors of a layer as datacube-ows tells them."""
    style: dict[str, object] = {
        "name": layer.name, "title": both(layer.content.title), "abstract": both(layer.content.text),
    }  # fmt: skip
    if layer.kind == "composite":
        return style | {"components": describe_components(layer)}
    band = layer.measurements[0].name
    if layer.kind == "classes":
        classes = [
            {"title": f"{each.name_es} | {each.name_en}", "values": [each.code], "color": each.color}
            for each in layer.legend.classes
        ]
        return style | {"value_map": {band: classes}}
    stops = [{"value": value, "color": color} for value, color in layer.style.stops]
    return style | {"index_expression": band, "color_ramp": stops}


def describe_components(layer: Layer) -> Mapping[str, dict]:
    """Bands shown as red, green and blue with the values shown as darkest and brightest."""
    parts = zip(CHANNELS, layer.measurements, layer_limits(layer), strict=True)
    return {color: {band.name: 1.0, "scale_range": list(limits)} for color, band, limits in parts}
