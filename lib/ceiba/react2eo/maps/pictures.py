"""Pictures of layers as PNG, WebP and JPEG files, and the empty ones."""

import functools
import io
from typing import Literal

import numpy as np
from PIL import Image

from ceiba.react2eo.layers import Layer
from ceiba.react2eo.maps.rendering import color_indices, paint, palette

Format = Literal["png", "webp", "jpg"]
MEDIA_TYPES = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg"}
QUALITY = 85
PAPER = (255, 255, 255)
"""What a format without transparency shows where there is no data."""


def draw(layer: Layer, values: np.ndarray, format: Format) -> bytes:
    """Values of a layer, dims ``(band, y, x)``, in its colors as the content of a file.

    Classes and their borders are exact in PNG and WebP, a scale in PNG; all else is rounded by eye to a tenth of the size.
    """
    if format == "png" and layer.kind != "composite":
        # a byte a pixel instead of four
        picture = Image.fromarray(color_indices(layer, values), "P")
        picture.putpalette(palette(layer).tobytes(), "RGBA")
        return _as_png(picture)
    return encode(paint(layer, values), format, exact=layer.kind == "classes")


def encode(colors: np.ndarray, format: Format, *, exact: bool = False) -> bytes:
    """Colors, uint8, dims ``(y, x, 4)``, as the content of a file; ``exact`` keeps each color in WebP too."""
    opaque = bool(colors[..., 3].all())
    if format == "jpg" and not opaque:
        colors = np.where(colors[..., 3:] == 0, np.array((*PAPER, 255), np.uint8), colors)
    picture = Image.fromarray(np.ascontiguousarray(colors[..., :3]) if opaque or format == "jpg" else colors)
    if format == "png":
        return _as_png(picture)
    content = io.BytesIO()
    if format == "jpg":
        picture.save(content, "JPEG", quality=QUALITY)
    else:
        picture.save(content, "WEBP", lossless=exact, quality=0 if exact else QUALITY, method=0)
    return content.getvalue()


@functools.lru_cache(maxsize=64)
def draw_nothing(format: Format, width: int, height: int) -> bytes:
    """A transparent picture; of paper where the format knows no transparency."""
    if format != "png":
        return encode(np.zeros((height, width, 4), np.uint8), format, exact=True)
    picture = Image.new("P", (width, height))
    picture.putpalette(bytes(4), "RGBA")
    return _as_png(picture)


def _as_png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return content.getvalue()
