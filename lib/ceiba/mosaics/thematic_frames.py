"""Maps of classes as paletted pictures: an index is a code of the legend, so no color is ever changed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ceiba import labels
from ceiba.errors import InputError
from ceiba.legends import NODATA, Legend
from ceiba.mosaics.display import (
    INK,
    MARGIN_PX,
    NO_DATA_COLOR,
    PAPER,
    annotate,
    height_of_lines,
    line_height,
    load_font,
    map_size,
    wrap,
    wrap_notes,
)

TEXT_SHADES = 16  # greys from ink to paper that smooth the edges of letters
COLUMNS = 4  # most columns of names below a map
HALF_COVERED = 128  # of 255: a pixel of the map that letters cover to this part belongs to them


class StripEntry(NamedTuple):
    """One class in the strip below a map: its code, the corner of its swatch [pixels], and its name in lines."""

    code: int
    corner: tuple[int, int]
    lines: list[str]


def render_thematic_frame(
    codes: np.ndarray,
    *,
    legend: Legend,
    shown: Sequence[int],
    title: str,
    notes: Sequence[str],
    pixel_size_m: float,
    width_px: int = 480,
) -> Image.Image:
    """A map of classes with title, scale bar, names of the classes and notes burnt in.

    Parameters
    ----------
    codes
        Codes of ``legend``, 0 is no data, uint8, dims ``(y, x)``.
    legend
        The classes.
    shown
        Codes that are named below the map, 0 for no data: those of all years, so that frames have one size.
    title, notes, pixel_size_m, width_px
        As for :func:`ceiba.mosaics.display.render_frame`. Pixels are repeated or left out, never averaged.

    Returns
    -------
    PIL.Image.Image
        Paletted frame of ``width_px`` pixels. The palette has the color of each class at its code; letters have shades
        at indices that are no class, or the nearest colors of classes where there is no room.

    Raises
    ------
    InputError
        The codes are not uint8.
    LegendError
        A code is not in the legend.
    """
    if codes.dtype != np.uint8:
        raise InputError(f"a map of classes is uint8; this one is {codes.dtype}")
    legend.check_map(codes)
    size = map_size(codes.shape, width_px)
    font = load_font(max(10, width_px // 50))  # a little smaller than the notes: there can be many names
    strip = lay_out_strip(_names(legend, shown), font, width_px, top=size[1] + MARGIN_PX)
    names_end = max((corner[1] + line_height(font) * len(lines) for _, corner, lines in strip), default=size[1])
    lines = wrap_notes(notes, width_px)
    canvas = (width_px, names_end + height_of_lines(len(lines), width_px))
    layers = []
    for background in (0, 255):  # what differs between black and white below shows how much letters cover
        layer = Image.new("RGB", canvas, PAPER)
        layer.paste((background,) * 3, (0, 0, *size))
        px_a_m = width_px / codes.shape[1] / pixel_size_m
        annotate(layer, size, title=title, lines=lines, px_a_m=px_a_m, top=names_end)
        _draw_names(layer, strip, font)
        layers.append(np.asarray(layer)[..., 0].astype(int))
    cover = 255 - (layers[1] - layers[0])
    shade = (layers[0] * 255 // np.maximum(cover, 1)).clip(0, 255)
    palette, index_of_shade = thematic_palette(legend)
    indices = np.zeros(canvas[::-1], np.uint8)
    indices[: size[1]] = np.asarray(Image.fromarray(codes).resize(size, Image.Resampling.NEAREST))
    indices = np.where(cover >= HALF_COVERED, index_of_shade[shade], indices)
    _fill_swatches(indices, strip, font)
    frame = Image.frombytes("P", canvas, indices.tobytes())
    frame.putpalette(palette.tobytes())
    return frame


def thematic_palette(legend: Legend) -> tuple[np.ndarray, np.ndarray]:
    """Colors by index, and the index for a shade of grey.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        uint8, dims ``(index, color)``: the color of a class at its code, that of no data at 0; and uint8, dims
        ``(shade,)``: which index shows the greys 0 to 255 of letters. One index stays free where it can.
    """
    palette = np.zeros((256, 3), np.uint8)
    palette[NODATA] = NO_DATA_COLOR
    for code, color in legend.colors().items():
        palette[code] = ImageColor.getrgb(color)
    taken = [NODATA, *legend.codes.tolist()]
    free = [index for index in range(255, 0, -1) if index not in set(taken)]
    ours = free[: min(TEXT_SHADES, len(free) - 1 if len(free) > 2 else len(free))]
    palette[ours] = np.linspace(INK[0], PAPER[0], len(ours)).round()[:, None]
    usable = np.array(ours if len(ours) > 1 else [*taken, *ours])
    distance = abs(palette[usable].astype(int)[None] - np.arange(256)[:, None, None]).sum(axis=2)
    return palette, usable[distance.argmin(axis=1)].astype(np.uint8)


def lay_out_strip(
    names: Sequence[tuple[int, str]], font: ImageFont.FreeTypeFont, width_px: int, *, top: int
) -> list[StripEntry]:
    """Places of the classes below a map: in as many columns as let every name keep one line, else in one.

    Parameters
    ----------
    names
        Code and name of each class.
    font
        Font of the names.
    width_px
        Width of the frame.
    top
        Upper edge of the first row [pixels].

    Returns
    -------
    list
        Entries in the order given, downwards column by column.
    """
    row_px, indent = line_height(font), round(1.5 * font.size)
    longest = max((font.getlength(name) for _, name in names), default=0)
    columns = max(1, min(COLUMNS, len(names), int((width_px - MARGIN_PX) // (indent + longest + MARGIN_PX))))
    column_px = (width_px - MARGIN_PX) // columns
    rows = -(-len(names) // columns)
    strip, y = [], top
    for position, (code, name) in enumerate(names):
        if position % rows == 0:
            y = top
        lines = wrap(name, font, column_px - indent - MARGIN_PX)
        strip.append(StripEntry(code, (MARGIN_PX + position // rows * column_px, y), lines))
        y += row_px * len(lines)
    return strip


def _names(legend: Legend, shown: Sequence[int]) -> list[tuple[int, str]]:
    """Code and name in both languages, no data last."""
    named = [legend.find(int(code)) for code in shown if code != NODATA]
    names = [
        (entry.code, entry.name_es if entry.name_es == entry.name_en else f"{entry.name_es} | {entry.name_en}")
        for entry in named
    ]
    return [*names, (NODATA, labels.both("mosaics.no_data"))] if NODATA in list(shown) else names


def _swatch(corner: tuple[int, int], font: ImageFont.FreeTypeFont) -> tuple[int, int, int, int]:
    """Left, top, right and bottom pixel of the frame of a swatch."""
    left, top = corner
    return left, top + round(0.15 * font.size), left + font.size, top + round(1.05 * font.size)


def _draw_names(layer: Image.Image, strip: Sequence[StripEntry], font: ImageFont.FreeTypeFont) -> None:
    draw = ImageDraw.Draw(layer)
    for entry in strip:
        draw.rectangle(_swatch(entry.corner, font), outline=INK)
        for number, line in enumerate(entry.lines):
            at = (entry.corner[0] + round(1.5 * font.size), entry.corner[1] + number * line_height(font))
            draw.text(at, line, fill=INK, font=font)


def _fill_swatches(indices: np.ndarray, strip: Sequence[StripEntry], font: ImageFont.FreeTypeFont) -> None:
    for entry in strip:
        left, top, right, bottom = _swatch(entry.corner, font)
        indices[top + 1 : bottom, left + 1 : right] = entry.code
