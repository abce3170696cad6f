"""Maps of classes as paletted pictures: an index is a code of the legend, so no color is ever changed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ceiba import labels
from ceiba.errors import InputError
from ceiba.legends import NODATA, LandCoverClass, Legend
from ceiba.mosaics.display import INK, MARGIN_PX, NO_DATA_COLOR, line_height, load_font, map_size, wrap
from ceiba.mosaics.sheets import Palette, Sheet, make_palette

COLUMNS = 4  # most columns of names below a map


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
    language: str = "",
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
    language
        Language of the names, both where empty.

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
    _check(codes, legend)
    sheet = thematic_sheet(
        codes.shape, legend=legend, shown=shown, notes=notes, pixel_size_m=pixel_size_m, width_px=width_px, language=language
    )
    return render_on_sheet(sheet, codes, legend=legend, title=title)


def thematic_sheet(
    shape: tuple[int, int],
    *,
    legend: Legend,
    shown: Sequence[int],
    notes: Sequence[str],
    pixel_size_m: float,
    width_px: int = 480,
    language: str = "",
) -> Sheet:
    """The fixed part of frames of maps of ``shape`` (rows, columns); the rest as for :func:`render_thematic_frame`."""
    size = map_size(shape, width_px)
    key = ClassKey(_names(legend, shown, language), width_px, top=size[1] + MARGIN_PX)
    return Sheet(
        size, palette=thematic_palette(legend), key=key, notes=notes, px_a_m=width_px / shape[1] / pixel_size_m
    )


def render_on_sheet(sheet: Sheet, codes: np.ndarray, *, legend: Legend, title: str) -> Image.Image:
    """A frame of a map on a sheet of its legend; raises as :func:`render_thematic_frame`."""
    _check(codes, legend)
    return sheet.render(np.asarray(Image.fromarray(codes).resize(sheet.size, Image.Resampling.NEAREST)), title=title)


def _check(codes: np.ndarray, legend: Legend) -> None:
    if codes.dtype != np.uint8:
        raise InputError(f"a map of classes is uint8; this one is {codes.dtype}")
    legend.check_map(codes)


def thematic_palette(legend: Legend) -> Palette:
    """The color of each class at its code, that of no data at 0, and greys for letters elsewhere."""
    colors = np.zeros((256, 3), np.uint8)
    colors[NODATA] = NO_DATA_COLOR
    for code, color in legend.colors().items():
        colors[code] = ImageColor.getrgb(color)
    return make_palette(colors, [NODATA, *legend.codes.tolist()])


class ClassKey:
    """Swatches with names of classes, a :class:`ceiba.mosaics.sheets.Key`."""

    def __init__(self, names: Sequence[tuple[int, str]], width_px: int, *, top: int):
        # a little smaller than the notes: there can be many names
        self._font = load_font(max(10, width_px // 50))
        self._strip = lay_out_strip(names, self._font, width_px, top=top)
        ends = (entry.corner[1] + line_height(self._font) * len(entry.lines) for entry in self._strip)
        self.bottom = max(ends, default=top - MARGIN_PX)

    def draw(self, layer: Image.Image) -> None:
        """Draw frames of the swatches, and the names."""
        draw = ImageDraw.Draw(layer)
        for entry in self._strip:
            draw.rectangle(_swatch(entry.corner, self._font), outline=INK)
            for number, line in enumerate(entry.lines):
                at = (entry.corner[0] + round(1.5 * self._font.size), entry.corner[1] + number * line_height(self._font))
                draw.text(at, line, fill=INK, font=self._font)

    def fill(self, indices: np.ndarray) -> None:
        """Fill each swatch with the code of its class."""
        for entry in self._strip:
            left, top, right, bottom = _swatch(entry.corner, self._font)
            indices[top + 1 : bottom, left + 1 : right] = entry.code


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


def _names(legend: Legend, shown: Sequence[int], language: str) -> list[tuple[int, str]]:
    """Code and name in a language, or in both where it is empty; no data last."""
    named = [legend.find(int(code)) for code in shown if code != NODATA]
    names = [(entry.code, entry.label(language) if language else _both_names(entry)) for entry in named]
    if NODATA not in list(shown):
        return names
    return [*names, (NODATA, labels.text("mosaics.no_data", language) if language else labels.both("mosaics.no_data"))]


def _both_names(entry: LandCoverClass) -> str:
    return entry.name_es if entry.name_es == entry.name_en else f"{entry.name_es} | {entry.name_en}"


def _swatch(corner: tuple[int, int], font: ImageFont.FreeTypeFont) -> tuple[int, int, int, int]:
    """Left, top, right and bottom pixel of the frame of a swatch."""
    left, top = corner
    return left, top + round(0.15 * font.size), left + font.size, top + round(1.05 * font.size)
