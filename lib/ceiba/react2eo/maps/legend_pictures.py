"""Legends of layers as pictures: classes, scales with units, and what the colors of a composite mean."""

import functools
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ceiba import labels
from ceiba.mosaics.display import INK, PAPER, line_height, load_font, wrap
from ceiba.mosaics.styles import find_style
from ceiba.react2eo.layers import Layer
from ceiba.react2eo.maps.wms_requests import BOTH

WIDTH_PX = 280
MARGIN_PX = 10
TEXT_PX, TITLE_PX, SMALL_PX = 12, 13, 11
SWATCH_PX = (22, 14)
BAR_PX = 16
GAP_PX = 5
EDGE = (120, 120, 120)
SECOND = (90, 90, 90)
"""Color of words in the second language, where a legend has both."""
PRIMARIES = {"wms.red": "#e60000", "wms.green": "#00a000", "wms.blue": "#0050e6"}


@dataclass(frozen=True)
class Look:
    """All that decides the picture of a legend: layers of several regions that look alike share it.

    Attributes
    ----------
    title, text, notes
        Lines above and below the colors.
    classes
        Color of each, and its name in every language asked for.
    stops
        Value and color from the lowest value; empty where there is no scale.
    unit
        Unit of the values, empty where they have none.
    """

    title: tuple[str, ...]
    text: tuple[str, ...]
    notes: tuple[str, ...] = ()
    classes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    stops: tuple[tuple[float, str], ...] = ()
    unit: str = ""


def describe_look(layer: Layer, language: str) -> Look:
    """The legend of a layer in "es", "en", or both where the language is empty."""
    title, text = _lines(layer.content.title, language), _lines(layer.content.text, language)
    notes = _label_lines("wms.simulated", language) if layer.region.simulated else ()
    if layer.kind == "composite":
        return Look(title, text, notes, classes=_composite_classes(layer, language))
    if layer.kind == "classes":
        names = ((each.color, _lines({"es": each.name_es, "en": each.name_en}, language)) for each in layer.legend.classes)
        return Look(title, text, notes, classes=tuple(names))
    unit = layer.measurements[0].units
    return Look(title, text, notes, stops=layer.style.stops, unit="" if unit == "1" else unit)


def _composite_classes(layer: Layer, language: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rows = []
    for (key, color), measurement in zip(PRIMARIES.items(), layer.measurements, strict=True):
        names = {}
        for each in labels.LANGUAGES:
            primary, band = labels.text(key, each), labels.text(find_style(layer.definition.name, measurement.name).label, each)
            band = band.removesuffix(" [1]")
            names[each] = band if band.startswith(primary) else f"{primary}: {band}"
        rows.append((color, _lines(names, language)))
    return tuple(rows)


def draw_legend(layer: Layer, language: str = BOTH) -> bytes:
    """PNG file of a layer's legend."""
    return _draw(describe_look(layer, language))[0]


def legend_size(layer: Layer, language: str = BOTH) -> tuple[int, int]:
    """Width and height [pixels] of :func:`draw_legend`."""
    return _draw(describe_look(layer, language))[1]


@functools.lru_cache(maxsize=512)
def _draw(look: Look) -> tuple[bytes, tuple[int, int]]:
    # Text is laid out on a sheet that is long enough, which is then cut where it ends.
    sheet = Image.new("RGB", (WIDTH_PX, 4000), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = MARGIN_PX
    y = _write(draw, look.title, load_font(TITLE_PX, bold=True), y)
    y = _write(draw, look.text, load_font(SMALL_PX), y) + GAP_PX
    if look.stops:
        y = _draw_scale(draw, look, y)
    for color, names in look.classes:
        y = _draw_class(draw, color, names, y)
    y = _write(draw, look.notes, load_font(SMALL_PX, bold=True), y)
    content = io.BytesIO()
    picture = sheet.crop((0, 0, WIDTH_PX, y + MARGIN_PX - GAP_PX))
    picture.save(content, "PNG")
    return content.getvalue(), picture.size


def _write(draw: ImageDraw.ImageDraw, texts: tuple[str, ...], font: ImageFont.FreeTypeFont, y: int, *, left: int = MARGIN_PX) -> int:
    for position, text in enumerate(texts):
        for line in wrap(text, font, WIDTH_PX - left - MARGIN_PX):
            draw.text((left, y), line, fill=SECOND if position else INK, font=font)
            y += line_height(font)
    return y + (GAP_PX if texts else 0)


def _draw_class(draw: ImageDraw.ImageDraw, color: str, names: tuple[str, ...], y: int) -> int:
    width, height = SWATCH_PX
    draw.rectangle((MARGIN_PX, y, MARGIN_PX + width, y + height), fill=color, outline=EDGE)
    end = _write(draw, names, load_font(TEXT_PX), y, left=MARGIN_PX + width + 8)
    return max(end, y + height + GAP_PX)


def _draw_scale(draw: ImageDraw.ImageDraw, look: Look, y: int) -> int:
    # The first and last number are centered under the ends of the bar, so it is shorter than the sheet by half of each.
    font = load_font(SMALL_PX)
    values = [value for value, _ in look.stops]
    low, high = values[0], values[-1]
    texts = {value: f"{value:g}" for value in _ticks(low, high)}
    left = MARGIN_PX + round(font.getlength(texts[low]) / 2)
    right = WIDTH_PX - MARGIN_PX - round(font.getlength(texts[high]) / 2)
    colors = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for _, color in look.stops])
    for x in range(left, right + 1):
        value = low + (high - low) * (x - left) / (right - left)
        color = tuple(round(float(np.interp(value, values, colors[:, channel]))) for channel in range(3))
        draw.line((x, y, x, y + BAR_PX), fill=color)
    draw.rectangle((left, y, right, y + BAR_PX), outline=EDGE)
    y += BAR_PX
    for value, text in texts.items():
        x = left + round((value - low) / (high - low) * (right - left))
        draw.line((x, y, x, y + 4), fill=INK)
        draw.text((x, y + 5), text, fill=INK, font=font, anchor="ma")
    y += 5 + line_height(font)
    if look.unit:
        draw.text(((left + right) / 2, y), f"[{look.unit}]", fill=INK, font=font, anchor="ma")
        y += line_height(font)
    return y + GAP_PX


def _ticks(low: float, high: float) -> list[float]:
    """The ends of a scale, and round numbers between that are not too near to them."""
    power = 10.0 ** np.floor(np.log10((high - low) / 6))
    step = next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= 6)
    first = np.ceil((low + step / 2) / step)
    inner = [round(float(each) * step, 6) + 0.0 for each in np.arange(first, (high - step / 2) / step + 1e-9)]
    return [low, *(value for value in inner if low < value < high), high]


def _languages(language: str) -> tuple[str, ...]:
    return (language,) if language != BOTH else labels.LANGUAGES


def _lines(words, language: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words[each] for each in _languages(language)))


def _label_lines(key: str, language: str) -> tuple[str, ...]:
    return _lines({each: labels.text(key, each) for each in labels.LANGUAGES}, language)
