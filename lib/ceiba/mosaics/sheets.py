"""What paletted frames of one animation share: palette, scale bar, key and notes are drawn once, a frame only adds its picture."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageDraw

from ceiba.mosaics.display import INK, MARGIN_PX, PAPER, annotate, draw_title, height_of_lines, title_font, wrap_notes

TEXT_SHADES = 16  # greys from ink to paper that smooth the edges of letters
HALF_COVERED = 128  # of 255: a pixel of the map that letters cover to this part belongs to them


class Palette(NamedTuple):
    """Colors by index, uint8, dims ``(index, color)``, and the index that shows a grey of letters, uint8, dims ``(shade,)``."""

    colors: np.ndarray
    index_of_shade: np.ndarray


class Key(Protocol):
    """What explains the colors below a map."""

    bottom: int
    """Where it ends [pixels]."""

    def draw(self, layer: Image.Image) -> None:
        """Draw outlines and words into an RGB picture."""

    def fill(self, indices: np.ndarray) -> None:
        """Fill swatches of a paletted picture, uint8, dims ``(y, x)``, in place."""


def make_palette(colors: np.ndarray, used: Sequence[int]) -> Palette:
    """Add greys for letters to a palette, at indices that are not in use; one index stays free where it can.

    Parameters
    ----------
    colors
        uint8, dims ``(index, color)``, 256 of them.
    used
        Indices whose colors must stay.
    """
    palette = colors.copy()
    taken = set(used)
    free = [index for index in range(255, 0, -1) if index not in taken]
    ours = free[: min(TEXT_SHADES, len(free) - 1 if len(free) > 2 else len(free))]
    palette[ours] = np.linspace(INK[0], PAPER[0], len(ours)).round()[:, None]
    usable = np.array(ours if len(ours) > 1 else [*used, *ours])
    distance = abs(palette[usable].astype(int)[None] - np.arange(256)[:, None, None]).sum(axis=2)
    return Palette(palette, usable[distance.argmin(axis=1)].astype(np.uint8))


class Sheet:
    """The fixed part of paletted frames.

    Parameters
    ----------
    size
        Width and height of the map [pixels].
    palette
        Colors and indices of letters.
    key
        What explains the colors, laid out below the map.
    notes
        Lines of text below the key; too long ones are wrapped.
    px_a_m
        Pixels of the frame a meter on the ground.
    """

    def __init__(self, size: tuple[int, int], *, palette: Palette, key: Key, notes: Sequence[str], px_a_m: float):
        self.size, self.palette = size, palette
        lines = wrap_notes(notes, size[0])
        self.canvas = (size[0], key.bottom + height_of_lines(len(lines), size[0]))

        def draw(layer: Image.Image) -> None:
            annotate(layer, size, title="", lines=lines, px_a_m=px_a_m, top=key.bottom)
            key.draw(layer)

        covered, letters = self._measure(self.canvas, draw)
        self._free = ~covered[: size[1]]
        self._paper = np.where(covered, letters, np.uint8(0))
        key.fill(self._paper)

    def render(self, indices: np.ndarray, *, title: str) -> Image.Image:
        """A frame of a map (uint8, dims ``(y, x)``, of the sheet's size) with its title."""
        width, height = self.size
        frame = self._paper.copy()
        np.copyto(frame[:height], indices, where=self._free)
        box = (width, min(height, round(1.5 * title_font(title, width).size) + 2 * MARGIN_PX))
        covered, letters = self._measure(box, lambda layer: draw_title(ImageDraw.Draw(layer), title, width))
        np.copyto(frame[: box[1]], letters, where=covered)
        picture = Image.frombytes("P", self.canvas, frame.tobytes())
        picture.putpalette(self.palette.colors.tobytes())
        return picture

    def _measure(self, canvas: tuple[int, int], draw) -> tuple[np.ndarray, np.ndarray]:
        """Where letters are, and the indices that show them."""
        layers = []
        for background in (0, 255):  # what differs between black and white below shows how much letters cover
            layer = Image.new("RGB", canvas, PAPER)
            layer.paste((background,) * 3, (0, 0, *self.size))
            draw(layer)
            layers.append(np.asarray(layer)[..., 0].astype(np.int16))
        cover = 255 - (layers[1] - layers[0])
        # Where nothing is covered the shade does not matter.
        shade = (layers[0].astype(np.int32) * 255 // np.maximum(cover, 1)).clip(0, 255)
        return cover >= HALF_COVERED, self.palette.index_of_shade[shade]
