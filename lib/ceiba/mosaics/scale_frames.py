"""Maps of a measurement as paletted pictures: an index is a step of its color map, so every color is one of the scale."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ceiba import labels
from ceiba.mosaics.display import INK, MARGIN_PX, NO_DATA_COLOR, line_height, load_font, map_size
from ceiba.mosaics.sheets import Palette, Sheet, make_palette
from ceiba.mosaics.styles import Style

STEPS = 224
"""Steps of a scale; the other indices are no data, letters, and one that says "as in the frame before"."""
NO_DATA = 0
BAR_SHARE = 0.6  # of the width of the frame


def scale_steps(values: np.ndarray, style: Style) -> np.ndarray:
    """Steps 1 to :data:`STEPS` of values, 0 where they are NaN; uint8, dims as given."""
    low, high = style.range
    known = np.isfinite(values)
    steps = np.where(known, (values - low) * ((STEPS - 1) / (high - low)), 0).clip(0, STEPS - 1).round().astype(np.uint8)
    return np.where(known, steps + np.uint8(1), np.uint8(NO_DATA))


def scale_palette(style: Style) -> Palette:
    """Colors of the steps of a scale at 1 to :data:`STEPS`, that of no data at 0, and greys for letters elsewhere."""
    colors = np.zeros((256, 3), np.uint8)
    colors[NO_DATA] = NO_DATA_COLOR
    colors[1 : STEPS + 1] = (style.colormap(np.linspace(0, 1, STEPS))[:, :3] * 255).round()
    return make_palette(colors, range(STEPS + 1))


def scale_sheet(
    shape: tuple[int, int],
    *,
    style: Style,
    stops: Sequence[tuple[float, str]],
    unknown: bool,
    notes: Sequence[str],
    pixel_size_m: float,
    language: str,
) -> Sheet:
    """The fixed part of frames of a scale.

    Parameters
    ----------
    shape
        Rows and columns of the map, a pixel of the frame each.
    style
        The scale.
    stops
        Values with their texts, written below the bar.
    unknown
        Whether the color of no data is explained.
    notes, pixel_size_m
        As for :func:`ceiba.mosaics.display.render_frame`.
    language
        Language of the words for no data.
    """
    width_px = shape[1]
    size = map_size(shape, width_px)
    words = labels.text("mosaics.no_data", language) if unknown else ""
    key = ScaleKey(style, stops, words, width_px, top=size[1] + MARGIN_PX)
    return Sheet(size, palette=scale_palette(style), key=key, notes=notes, px_a_m=1 / pixel_size_m)


def coarsen_steps(frame: Image.Image, steps: int) -> Image.Image:
    """The frame with so many steps of its scale at most; the bar shows them too."""
    table = np.arange(256, dtype=np.uint8)
    groups = np.minimum(np.arange(STEPS) * steps // STEPS, steps - 1)
    for group in range(steps):
        members = np.flatnonzero(groups == group) + 1
        table[members] = members[len(members) // 2]
    coarse = Image.frombytes("P", frame.size, table[np.asarray(frame)].tobytes())
    coarse.putpalette(frame.getpalette())
    return coarse


class ScaleKey:
    """A color bar with values below it, a :class:`ceiba.mosaics.sheets.Key`."""

    def __init__(self, style: Style, stops: Sequence[tuple[float, str]], unknown: str, width_px: int, *, top: int):
        self._font = load_font(max(10, width_px // 50))
        self._top, self._height = top, max(8, round(1.1 * self._font.size))
        self._left, self._right = MARGIN_PX, round(BAR_SHARE * width_px)
        self._swatch = self._right + 2 * MARGIN_PX
        self._unknown = unknown
        low, high = style.range
        self._stops = self._thin([((value - low) / (high - low), text) for value, text in stops])
        self.bottom = top + self._height + line_height(self._font)

    def draw(self, layer: Image.Image) -> None:
        """Draw the outline of the bar, the values, and the words for no data."""
        draw = ImageDraw.Draw(layer)
        bottom = self._top + self._height
        draw.rectangle((self._left, self._top, self._right, bottom), outline=INK)
        for share, text in self._stops:
            draw.text((self._place(share, text), bottom + 2), text, fill=INK, font=self._font, anchor="lt")
        if self._unknown:
            draw.rectangle((self._swatch, self._top, self._swatch + self._height, bottom), outline=INK)
            at = (self._swatch + self._height + MARGIN_PX, self._top + self._height / 2)
            draw.text(at, self._unknown, fill=INK, font=self._font, anchor="lm")

    def fill(self, indices: np.ndarray) -> None:
        """Fill the bar with all steps."""
        rows = slice(self._top + 1, self._top + self._height)
        across = np.linspace(1, STEPS, self._right - self._left - 1).round().astype(np.uint8)
        indices[rows, self._left + 1 : self._right] = across
        if self._unknown:
            indices[rows, self._swatch + 1 : self._swatch + self._height] = NO_DATA

    def _place(self, share: float, text: str) -> float:
        """Left edge of a value: below its color, yet within the bar."""
        length = self._font.getlength(text)
        middle = self._left + share * (self._right - self._left)
        return min(max(middle - length / 2, self._left), self._right - length)

    def _thin(self, stops: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
        """The first and the last stop, and those between that have room."""
        if len(stops) < 2:
            return list(stops)
        *between, last = stops
        kept, end = [], -1e9
        limit = self._place(*last) - self._font.size
        for stop in between:
            start = self._place(*stop)
            if start > end and start + self._font.getlength(stop[1]) < limit:
                kept.append(stop)
                end = start + self._font.getlength(stop[1]) + self._font.size
        return [*kept, last]
