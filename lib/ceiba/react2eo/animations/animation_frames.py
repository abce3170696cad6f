"""The frames of an animation of what is on the screen, with year, scale bar, colors explained, and source burnt in."""

import functools
import hashlib
import importlib.metadata
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ceiba import labels
from ceiba.errors import InputError
from ceiba.grids import Period
from ceiba.legends import NODATA
from ceiba.mosaics.animation import encode_animation
from ceiba.mosaics.display import NO_DATA_COLOR, render_frame
from ceiba.mosaics.scale_frames import STEPS, coarsen_steps, scale_sheet, scale_steps
from ceiba.mosaics.thematic_frames import thematic_sheet
from ceiba.react2eo.animations.workers import BusyError
from ceiba.react2eo.credits import credit_lines, source_line
from ceiba.react2eo.layers import Layer
from ceiba.react2eo.maps.rendering import Window, paint, read

DRAWING = 1
"""Raised whenever frames are drawn differently, so that older files are not taken for new ones."""
READERS = 2
MAX_BYTES = 8_000_000
WIDTHS_PX = (120, 1024)
HEIGHTS_PX = (60, 1600)
MOST_FRAMES = 40
MOST_PIXELS = 40_000_000
FINEST_M = 0.1
"""A pixel of a frame is not smaller than this in Web Mercator [m]: beyond it a layer has nothing more to show."""
WORDS = ("react2eo.frame_without_data", "react2eo.gray", "react2eo.more_classes")
FEWEST_STEPS = 16
MOST_NAMES = 16
"""Classes named below a map, those that cover most: 31 names would take more room than the map on a phone."""
EARTH_M = 6_378_137.0
"""Radius of Web Mercator's sphere, which is the larger one of WGS 84 [m]."""
ECCENTRICITY_2 = 0.00669437999014
"""Squared first eccentricity of WGS 84."""
MOST_LATITUDE = 85.05


@dataclass(frozen=True)
class View:
    """What is asked for.

    Attributes
    ----------
    bounds
        West, south, east, north [degrees, WGS 84].
    width
        Of a frame [pixels].
    """

    layer: Layer
    periods: tuple[Period, ...]
    bounds: tuple[float, float, float, float]
    width: int
    language: str

    @property
    def window(self) -> Window:
        """The map part of a frame in Web Mercator."""
        west, south, east, north = self.bounds
        left, right = (EARTH_M * math.radians(value) for value in (west, east))
        bottom, top = (EARTH_M * math.asinh(math.tan(math.radians(value))) for value in (south, north))
        height = max(1, round(self.width * (top - bottom) / (right - left)))
        return Window((left, bottom, right, top), "EPSG:3857", self.width, height)

    @property
    def pixel_size_m(self) -> float:
        """Size of a pixel on the ground from west to east, at the middle of the map [m]."""
        left, bottom, right, top = self.window.bounds
        latitude = math.atan(math.sinh((bottom + top) / 2 / EARTH_M))
        return (right - left) / self.width * ground_scale(latitude)

    @property
    def notes(self) -> list[str]:
        """Lines below the map."""
        layer, language = self.layer, self.language
        title = f"{layer.content.title[language]} · {layer.region.title[language]}"
        return [title, layer.content.text[language], source_line(layer, language), *credit_lines(layer, language)]

    def check(self) -> None:
        """Raise :class:`InputError` where it is more than allowed, or shows none of the layer."""
        west, south, east, north = self.bounds
        if not (-180 <= west < east <= 180 and -MOST_LATITUDE <= south < north <= MOST_LATITUDE):
            raise InputError(
                f"bounds {list(self.bounds)}: give west, south, east, north in degrees, west below east, south below north, "
                f"latitudes from -{MOST_LATITUDE} to {MOST_LATITUDE}"
            )
        if not WIDTHS_PX[0] <= self.width <= WIDTHS_PX[1]:
            raise InputError(f"width {self.width}: give {WIDTHS_PX[0]} to {WIDTHS_PX[1]} pixels")
        window, count = self.window, len(self.periods)
        if not HEIGHTS_PX[0] <= window.height <= HEIGHTS_PX[1]:
            raise InputError(
                f"bounds {list(self.bounds)} are {window.height} pixels high at a width of {self.width}; "
                f"allowed are {HEIGHTS_PX[0]} to {HEIGHTS_PX[1]}: choose bounds of another shape, or another width"
            )
        if (window.bounds[2] - window.bounds[0]) / self.width < FINEST_M:
            raise InputError(f"bounds {list(self.bounds)}: pixels smaller than {FINEST_M} m show nothing more; choose wider bounds")
        if count > MOST_FRAMES:
            raise InputError(f"{count} periods; an animation has {MOST_FRAMES} at most: choose fewer years")
        if count * window.width * window.height > MOST_PIXELS:
            most = int(self.width * math.sqrt(MOST_PIXELS / (count * window.width * window.height)))
            raise InputError(
                f"{count} frames of {window.width} x {window.height} pixels are more than {MOST_PIXELS:,} pixels; "
                f"give a width of {most} or less, or fewer years"
            )
        other = self.layer.bounds
        if west >= other[2] or east <= other[0] or south >= other[3] or north <= other[1]:
            raise InputError(f"bounds {list(self.bounds)} show nothing of {self.layer.region.name}; it lies in {list(other)}")

    def key(self, **options: object) -> str:
        """Hash of all that decides the file: 32 hexadecimal digits; ``options`` are those of the encoding."""
        legend = self.layer.legend
        names = [(each.code, each.label(self.language), each.color) for each in legend.classes] if legend else ()
        words = [labels.text(key, self.language) for key in ("mosaics.no_data", *WORDS)]
        shown = (self.layer.region.name, self.layer.name, self.layer.version, self.periods, self.bounds, self.width)
        parts = (DRAWING, shown, self.notes, names, words, sorted(options.items()), _versions())
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@functools.cache
def _versions() -> tuple[str, ...]:
    return tuple(importlib.metadata.version(name) for name in ("pillow", "av", "rio-tiler", "rasterio"))


def ground_scale(latitude: float) -> float:
    """Meters on the ground a meter of Web Mercator from west to east, at a latitude [radians], on the ellipsoid WGS 84.

    The circle of latitude has radius N cos(latitude), N = a / sqrt(1 - e2 sin2(latitude)) (Snyder 1987, equation 4-20); Web
    Mercator draws it as long as the equator.
    """
    return math.cos(latitude) / math.sqrt(1 - ECCENTRICITY_2 * math.sin(latitude) ** 2)


def render(view: View) -> tuple[dict[Period, Image.Image], list[Period]]:
    """A frame a period, and the periods without any data here, whose frames say so; raises :class:`InputError` where all are."""
    window, layer = view.window, view.layer
    with ThreadPoolExecutor(READERS, thread_name_prefix="frames") as readers:
        pictures = dict(zip(view.periods, readers.map(lambda period: _read(layer, period, window), view.periods), strict=True))
    empty = [period for period in view.periods if not pictures[period].any()]
    if len(empty) == len(view.periods):
        raise InputError(f"bounds {list(view.bounds)}: {layer.region.name}/{layer.name} has no data there in any of these years")
    titles = {period: title_of(view, period, period in empty) for period in view.periods}
    if layer.kind == "composite":
        gray = [] if all(picture[..., 3].all() for picture in pictures.values()) else [labels.text("react2eo.gray", view.language)]
        options = {"notes": [*view.notes[:2], *gray, *view.notes[2:]], "pixel_size_m": view.pixel_size_m, "width_px": view.width}
        frames = {period: render_frame(_on_gray(pictures[period]), title=titles[period], **options) for period in view.periods}
        return frames, empty
    sheet = _make_sheet(view, list(pictures.values()))
    return {period: sheet.render(pictures[period], title=titles[period]) for period in view.periods}, empty


def title_of(view: View, period: Period, empty: bool) -> str:
    """What stands in the upper left of a frame: the years, and that there are no data where there are none."""
    years = str(period).replace("--", "–")
    return labels.text("react2eo.frame_without_data", view.language).format(period=years) if empty else years


def encode(view: View, frames: dict[Period, Image.Image], *, format: str, frame_ms: int) -> bytes:
    """The file, of 8 MB at most where giving up steps of a scale, colors or detail allows it; classes stay as they are."""
    if view.layer.kind == "scale" and format != "gif":
        # Steps without loss would be larger than what WebP and MP4 are chosen for.
        frames = {period: frame.convert("RGB") for period, frame in frames.items()}
    content = encode_animation(frames, format=format, frame_ms=frame_ms, max_bytes=MAX_BYTES)
    steps = STEPS
    while view.layer.kind == "scale" and len(content) > MAX_BYTES and steps > FEWEST_STEPS and format == "gif":
        # Bits a pixel, which are the logarithm of the steps, shrink like the file; 10 % for what LZW adds.
        steps = max(FEWEST_STEPS, int(0.9 * steps ** (MAX_BYTES / len(content))))
        coarse = {period: coarsen_steps(frame, steps) for period, frame in frames.items()}
        content = encode_animation(coarse, format=format, frame_ms=frame_ms, max_bytes=MAX_BYTES)
    return content


def _read(layer: Layer, period: Period, window: Window) -> np.ndarray:
    """Colors with opacity of a composite, else codes or steps; 0 throughout where there are no data."""
    values = read_whole(layer, period, window)
    if layer.kind == "composite":
        return paint(layer, values)
    if layer.kind == "scale":
        return scale_steps(values[0], layer.style)
    known = np.zeros(256, np.uint8)
    known[layer.legend.codes] = layer.legend.codes
    return known[np.nan_to_num(values[0], nan=NODATA).astype(np.uint8)]


def read_whole(layer: Layer, period: Period, window: Window) -> np.ndarray:
    """Values of a window; raises :class:`BusyError` where a wide view must wait until its coarse raster has been made."""
    reading = read(layer, period, window)
    if not reading.whole:
        raise BusyError(f"the wide view of {layer.region.name}/{layer.name} is being prepared; try again soon, or zoom in")
    return reading.values


def _on_gray(picture: np.ndarray) -> np.ndarray:
    shown = picture[..., :3].copy()
    shown[picture[..., 3] == 0] = NO_DATA_COLOR
    return shown


def _make_sheet(view: View, pictures: Sequence[np.ndarray]):
    layer, shape = view.layer, pictures[0].shape
    counts = sum(np.bincount(picture.ravel(), minlength=256) for picture in pictures)
    occurring = np.flatnonzero(counts).tolist()
    options = {"notes": view.notes, "pixel_size_m": view.pixel_size_m, "language": view.language}
    if layer.kind == "classes":
        frequent = sorted((code for code in occurring if code != NODATA), key=lambda code: -counts[code])
        if len(frequent) > MOST_NAMES:
            others = labels.text("react2eo.more_classes", view.language).format(count=len(frequent) - MOST_NAMES)
            options["notes"] = [others, *view.notes]
        named = sorted({*frequent[:MOST_NAMES], *set(occurring) & {NODATA}})
        return thematic_sheet(shape, legend=layer.legend, shown=named, width_px=view.width, **options)
    units = layer.measurements[0].units
    stops = [(value, f"{value:g}" if units == "1" else f"{value:g} {units}") for value, _ in layer.style.stops]
    return scale_sheet(shape, style=layer.style, stops=stops, unknown=0 in occurring, **options)
