"""Answers of the Web Map Service: maps as pictures, and the values at a point in words."""

import functools
import html
import io
import json
import math
from collections.abc import Sequence

import numpy as np
import pyproj
from PIL import Image

from ceiba import labels
from ceiba.grids import Period
from ceiba.react2eo.layers import Layer
from ceiba.react2eo.maps.map_crs import MapCrs, region_bounds
from ceiba.react2eo.maps.rendering import Window, paint, read, read_point
from ceiba.react2eo.maps.wms_requests import BOTH, FORMATS, MapRequest, Picture, layer_name

COARSEST = 4.0
"""A region that would be smaller than one over so many pixels is not drawn."""
NEAR = 2.0
"""A window that goes beyond a region by no more than so many times its size is read as it is."""
INFO_CRS = "urn:ogc:def:crs:OGC:1.3:CRS84"
SETTINGS = {
    "image/png": {"compress_level": 1}, "image/jpeg": {"quality": 88}, "image/webp": {"quality": 88, "method": 0},
}  # fmt: skip


def draw_map(asked: MapRequest) -> tuple[np.ndarray, bool]:
    """Colors of a map, uint8, dims ``(y, x, 4)``: later layers over earlier ones, opacity 0 where none has data.

    With it the word whether that is all: a wide view of very many files is empty until their coarse raster is made.
    """
    canvas, whole = np.zeros((asked.window.height, asked.window.width, 4), np.uint8), True
    for layer, period in asked.layers:
        part = clip_window(asked.window, region_bounds(layer.region, asked.crs))
        if part is None:
            continue
        window, top, left = part
        reading = read(layer, period, window)
        colors, whole = paint(layer, reading.values), whole and reading.whole
        under = canvas[top : top + window.height, left : left + window.width]
        np.copyto(under, colors, where=colors[..., 3:] > 0)
    return canvas, whole


def clip_window(
    window: Window, bounds: tuple[float, float, float, float]
) -> tuple[Window, int, int] | None:
    """The part of a window to read for a region with these bounds, with its first row and column; None where there is none.

    It is the whole window where that is near the region, so that its pixels equal those of the same window anywhere else. Of a
    larger one it is what lies over the region: far from its own area a CRS has no sensible coordinates.
    """
    left, bottom, right, top = window.bounds
    across, along = NEAR * (bounds[2] - bounds[0]), NEAR * (bounds[3] - bounds[1])
    if not (left < bounds[2] and bounds[0] < right and bottom < bounds[3] and bounds[1] < top):
        return None
    if bounds[0] - across <= left and right <= bounds[2] + across and bounds[1] - along <= bottom and top <= bounds[3] + along:
        return window, 0, 0
    pixel_x, pixel_y = (right - left) / window.width, (top - bottom) / window.height
    if pixel_x > COARSEST * (bounds[2] - bounds[0]) or pixel_y > COARSEST * (bounds[3] - bounds[1]):
        return None
    # A pixel more on every side, for bounds of a region are those of its outline, which may be curved in another CRS.
    first_column = max(0, math.floor((bounds[0] - left) / pixel_x) - 1)
    last_column = min(window.width, math.ceil((bounds[2] - left) / pixel_x) + 1)
    first_row = max(0, math.floor((top - bounds[3]) / pixel_y) - 1)
    last_row = min(window.height, math.ceil((top - bounds[1]) / pixel_y) + 1)
    inner = (
        left + first_column * pixel_x, top - last_row * pixel_y, left + last_column * pixel_x, top - first_row * pixel_y,
    )  # fmt: skip
    return Window(inner, window.crs, last_column - first_column, last_row - first_row), first_row, first_column


def encode_map(colors: np.ndarray, picture: Picture) -> bytes:
    """A map, dims ``(y, x, 4)``, as a file."""
    if picture.background is None:
        image = Image.fromarray(colors)
    else:
        opaque = np.where(colors[..., 3:] > 0, colors[..., :3], np.array(picture.background, np.uint8))
        image = Image.fromarray(opaque)
    content = io.BytesIO()
    image.save(content, FORMATS[picture.format], **SETTINGS[picture.format])
    return content.getvalue()


def find_point(asked: MapRequest, column: int, row: int) -> tuple[float, float]:
    """Longitude and latitude [degrees] of the middle of a pixel, infinite where the CRS has no place there."""
    left, bottom, right, top = asked.window.bounds
    x = left + (column + 0.5) * (right - left) / asked.window.width
    y = top - (row + 0.5) * (top - bottom) / asked.window.height
    return _to_degrees(asked.crs).transform(x, y)


@functools.lru_cache(maxsize=64)
def _to_degrees(crs: MapCrs) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(crs.gdal, "EPSG:4326", always_xy=True)


def describe_point(layer: Layer, period: Period, longitude: float, latitude: float, *, language: str) -> dict:
    """What a layer has at a point [degrees], with words in ``language``, or in both where it is empty."""
    west, south, east, north = layer.bounds
    values = {measurement.name: math.nan for measurement in layer.measurements}
    if west <= longitude <= east and south <= latitude <= north:
        values = read_point(layer, period, longitude, latitude)
    found = {
        "layer": layer_name(layer),
        "title": say(layer.content.title, language),
        "region": say(layer.region.title, language),
        "period": str(period),
        "values": {name: None if math.isnan(value) else float(f"{value:.6g}") for name, value in values.items()},
    }
    found["text"] = _value_text(layer, values, language)
    return found


def say(words, language: str) -> str:
    """Words in a language, or "Español | English" once where they are equal."""
    if language != BOTH:
        return words[language]
    return words["es"] if words["es"] == words["en"] else f"{words['es']} | {words['en']}"


def say_label(key: str, language: str) -> str:
    """A label of ``catalogs/labels`` in a language, or in both."""
    return say({each: labels.text(key, each) for each in labels.LANGUAGES}, language)


def _value_text(layer: Layer, values: dict[str, float], language: str) -> str:
    if any(math.isnan(value) for value in values.values()):
        return say_label("wms.no_data", language)
    if layer.kind == "classes":
        code = round(next(iter(values.values())))
        known = {each.code: {"es": each.name_es, "en": each.name_en} for each in layer.legend.classes}
        return say(known[code], language) if code in known else f"{say_label('wms.unknown_class', language)} {code}"
    parts = []
    for measurement in layer.measurements:
        unit = "" if measurement.units == "1" else f" {measurement.units}"
        name = f"{measurement.name} " if len(layer.measurements) > 1 else ""
        parts.append(f"{name}{values[measurement.name]:.4g}{unit}")
    return ", ".join(parts)


def write_info(found: Sequence[dict], longitude: float, latitude: float, *, format: str, language: str) -> str:
    """Values at a point as text, page or GeoJSON (one feature a layer)."""
    if format == "application/json":
        return _as_geojson(found, longitude, latitude)
    rows = [(each["title"], each["period"], each["text"]) for each in found]
    if format == "text/plain":
        return "".join(f"{title} ({found['region']}), {period}: {text}\n" for found, (title, period, text) in zip(found, rows, strict=True))
    heads = "".join(f"<th>{html.escape(say_label(key, language))}</th>" for key in ("wms.layer", "wms.period", "wms.value"))
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<!DOCTYPE html><html lang="{language or "es"}"><head><meta charset="utf-8"><title>React-2-EO</title></head>'
        f"<body><table><tr>{heads}</tr>{lines}</table></body></html>"
    )


def _as_geojson(found: Sequence[dict], longitude: float, latitude: float) -> str:
    known = math.isfinite(longitude) and math.isfinite(latitude)
    geometry = {"type": "Point", "coordinates": [round(longitude, 7), round(latitude, 7)]} if known else None
    features = [
        {"type": "Feature", "id": each["layer"], "geometry": geometry, "properties": each | each["values"]} for each in found
    ]
    for feature in features:
        del feature["properties"]["values"]
    crs = {"type": "name", "properties": {"name": INFO_CRS}}
    return json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}, ensure_ascii=False)
