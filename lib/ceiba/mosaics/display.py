"""Three bands as a picture, stretched alike for all years: a change of color is a change on the ground."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from PIL import Image, ImageDraw, ImageFont

from ceiba import labels
from ceiba.errors import InputError

# red, green and blue of a picture; in the CWBG composite built-up land is red, vegetation green and water
# blue
COMPOSITES = {"natural_color": ("red", "green", "blue"), "cwbg": ("ndbi", "ndvi", "ndwi")}
# an index means the same everywhere, so its stretch is fixed: a forest must not show "water" for want of any
INDEX_LIMITS = {"ndbi": (-0.4, 0.4), "ndvi": (0.0, 1.0), "ndwi": (-0.6, 0.6)}
NO_DATA_COLOR = (217, 217, 217)
INK, PAPER = (20, 20, 20), (255, 255, 255)
MARGIN_PX = 8
MOST_DRAWN_PX = 1200
"""Rasters with a longer side are drawn from every second, third, ... pixel: a figure has no more, a tile of 100 km eleven million."""

Limits = Sequence[tuple[float, float]]


def stretch_limits(
    images: Iterable[xr.Dataset], bands: Sequence[str], *, percentiles: tuple[float, float] = (2, 98)
) -> list[tuple[float, float]]:
    """Values of each band that are shown as darkest and brightest.

    Those of an index are fixed (:data:`INDEX_LIMITS`); those of reflectance are percentiles over all the images together.

    Parameters
    ----------
    images
        Mosaics, dims ``(..., y, x)``.
    bands
        Names of the bands to show as red, green and blue.
    percentiles
        Lower and upper percentile [%] of the values.

    Returns
    -------
    list
        ``(lowest, highest)`` of each band, in its unit.

    Raises
    ------
    InputError
        A band is missing, or holds no value.
    """
    images = list(images)
    limits = []
    for name in bands:
        if any(name not in image for image in images):
            raise InputError(f"band {name!r} is missing in {_describe(images)}")
        if name in INDEX_LIMITS:
            limits.append(INDEX_LIMITS[name])
            continue
        values = np.concatenate([image[name].values.ravel() for image in images])
        values = values[np.isfinite(values)]
        if values.size == 0:
            raise InputError(f"band {name!r} holds no data to show")
        lowest, highest = (float(value) for value in np.percentile(values, percentiles))
        limits.append((lowest, highest if highest > lowest else lowest + 1e-6))
    return limits


def draw_composite(axes: Axes, image: xr.Dataset, composite: str) -> None:
    """Draw three bands of ``image``, dims ``(y, x)``, as the picture that :data:`COMPOSITES` calls ``composite``."""
    bands = COMPOSITES[composite]
    extent = extent_m(image)
    image = thin(image[[name for name in bands if name in image]]).compute()
    axes.imshow(stretch(image, bands, stretch_limits([image], bands)), extent=extent)
    _label_axes(axes)


def thin(raster: xr.Dataset | xr.DataArray) -> xr.Dataset | xr.DataArray:
    """Every n-th row and column, dims ``(..., y, x)``, so that neither side is longer than :data:`MOST_DRAWN_PX`."""
    step = -(-max(raster.sizes["y"], raster.sizes["x"]) // MOST_DRAWN_PX)
    return raster.isel(y=slice(step // 2, None, step), x=slice(step // 2, None, step))


def platform_table(scenes: pd.DataFrame) -> pd.DataFrame:
    """Number of scenes, first and last day by platform, with headings in all languages, of a table of scenes.

    ``scenes`` has a row a scene, with ``date`` (ISO 8601) and ``platform``, as of :func:`ceiba.ard.tabulate_scenes`.
    """
    days = scenes.groupby("platform")["date"].agg(["count", "min", "max"])
    days.columns = [labels.both(f"mosaics.{name}") for name in ("scenes", "first_day", "last_day")]
    return days.rename_axis(labels.both("mosaics.platform"))


def stretch(image: xr.Dataset, bands: Sequence[str], limits: Limits) -> np.ndarray:
    """Picture of three bands: uint8, dims ``(y, x, color)``; grey where a band has no data."""
    layers = []
    for name, (lowest, highest) in zip(bands, limits, strict=True):
        layers.append((image[name].values - lowest) / (highest - lowest))
    colors = np.stack(layers, axis=-1)
    unknown = ~np.isfinite(colors).all(axis=-1)
    picture = np.where(unknown[..., None], 0, colors.clip(0, 1) * 255).round().astype(np.uint8)
    picture[unknown] = NO_DATA_COLOR
    return picture


def render_frame(
    picture: np.ndarray, *, title: str, notes: Sequence[str], pixel_size_m: float, width_px: int = 480
) -> Image.Image:
    """A picture with title, scale bar and notes burnt in.

    Parameters
    ----------
    picture
        Colors 0 to 255, uint8, dims ``(y, x, color)``.
    title
        Text over the picture, the year.
    notes
        Lines of text below it: what is seen and where it comes from; too long ones are wrapped.
    pixel_size_m
        Size of a pixel on the ground [m].
    width_px
        Width of the frame; small pictures grow in whole steps of sharp pixels, large ones are averaged.

    Returns
    -------
    PIL.Image.Image
        Frame of ``width_px`` pixels.
    """
    size = map_size(picture.shape[:2], width_px)
    enlarged = Image.fromarray(picture).resize(
        size, Image.Resampling.NEAREST if width_px >= picture.shape[1] else Image.Resampling.BOX
    )
    lines = wrap_notes(notes, width_px)
    frame = Image.new("RGB", (width_px, size[1] + height_of_lines(len(lines), width_px)), PAPER)
    frame.paste(enlarged, (0, 0))
    annotate(frame, size, title=title, lines=lines, px_a_m=width_px / picture.shape[1] / pixel_size_m)
    return frame


def map_size(shape: tuple[int, int], width_px: int) -> tuple[int, int]:
    """Width and height [pixels] of a map of ``shape`` (rows, columns) in a frame of ``width_px``."""
    return width_px, max(1, round(width_px * shape[0] / shape[1]))


def wrap_notes(notes: Sequence[str], width_px: int) -> list[str]:
    """Lines of text that fit below a picture of ``width_px``."""
    font = note_font(width_px)
    return [line for note in notes for line in wrap(note, font, width_px - 2 * MARGIN_PX)]


def height_of_lines(number: int, width_px: int) -> int:
    """Height [pixels] of lines of notes with their margins in a frame of ``width_px``."""
    return line_height(note_font(width_px)) * number + 2 * MARGIN_PX


def annotate(
    frame: Image.Image, size: tuple[int, int], *, title: str, lines: Sequence[str], px_a_m: float, top: int | None = None
) -> None:
    """Draw title, scale bar and lines of notes into a frame.

    Parameters
    ----------
    frame
        RGB picture, changed in place; its upper left is the map.
    size
        Width and height of the map [pixels].
    title
        Text in the upper left of the map.
    lines
        Notes, a line each.
    px_a_m
        Pixels of the frame a meter on the ground.
    top
        Where the notes begin [pixels]; below the map where None.
    """
    draw = ImageDraw.Draw(frame)
    small = note_font(size[0])
    draw_title(draw, title, size[0])
    _draw_scale_bar(draw, size, px_a_m, small)
    first = (size[1] if top is None else top) + MARGIN_PX
    for position, line in enumerate(lines):
        draw.text((MARGIN_PX, first + position * line_height(small)), line, fill=INK, font=small)


def extent_m(image: xr.Dataset | xr.DataArray) -> tuple[float, float, float, float]:
    """Left, right, bottom and top edge [m] of a grid with coordinates x and y [m], for Matplotlib's ``imshow``."""
    half_x, half_y = (abs(float(image[axis][1] - image[axis][0])) / 2 for axis in ("x", "y"))
    x, y = image.x.values, image.y.values
    return float(x.min()) - half_x, float(x.max()) + half_x, float(y.min()) - half_y, float(y.max()) + half_y


def show_map(
    axes: Axes, values: xr.DataArray, *, label: str, cmap: str, limits: tuple[float, float] | None = None
) -> None:
    """Draw one band as a map with its color bar.

    Parameters
    ----------
    axes
        Where to draw.
    values
        The band, dims ``(y, x)``, coordinates [m].
    label
        Key of the text of the color bar, with its unit (``catalogs/labels``).
    cmap
        Matplotlib color map.
    limits
        Values shown as darkest and brightest; the 2nd and 98th percentile where None.
    """
    extent, values = extent_m(values), thin(values)
    # the name must not be that of an index with fixed limits
    lowest, highest = limits or stretch_limits([values.to_dataset(name="band")], ["band"])[0]
    image = axes.imshow(values, extent=extent, cmap=cmap, vmin=lowest, vmax=highest, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, shrink=0.8).set_label(labels.both(label), fontsize=8)
    _label_axes(axes)


def _label_axes(axes: Axes) -> None:
    axes.set(xlabel=labels.both("mosaics.easting"), ylabel=labels.both("mosaics.northing"))
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=7)


@functools.lru_cache(maxsize=64)
def load_font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as Matplotlib ships it: it has every letter of Spanish and needs no font on the machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size_px)


def note_font(width_px: int) -> ImageFont.FreeTypeFont:
    """Font of the notes in a frame of ``width_px``."""
    return load_font(max(10, width_px // 40))


def line_height(font: ImageFont.FreeTypeFont) -> int:
    """Distance [pixels] from one line of text to the next."""
    return round(1.35 * font.size)


def scale_bar_length_m(width_m: float) -> float:
    """The longest of 1, 2 and 5 times a power of ten that is at most a quarter of the width [m]."""
    power = 10.0 ** np.floor(np.log10(width_m / 4))
    return float(max(step * power for step in (1, 2, 5) if step * power <= width_m / 4))


def title_font(title: str, width_px: int) -> ImageFont.FreeTypeFont:
    """Font of a title in a frame of ``width_px``: smaller where the title is long."""
    size = max(16, width_px // 16)
    length = load_font(size, bold=True).getlength(title)
    room = width_px - 2 * MARGIN_PX
    return load_font(size if length <= room else max(8, int(size * room / length)), bold=True)


def draw_title(draw: ImageDraw.ImageDraw, title: str, width_px: int) -> None:
    """Draw a title into the upper left of a frame of ``width_px``."""
    font = title_font(title, width_px)
    draw.text((MARGIN_PX, MARGIN_PX), title, fill=PAPER, font=font, stroke_width=2, stroke_fill=INK)


def _draw_scale_bar(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], px_a_m: float, font: ImageFont.FreeTypeFont
) -> None:
    width, height = size
    length_m = scale_bar_length_m(width / px_a_m)
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    right, bottom = width - MARGIN_PX, height - MARGIN_PX
    left = right - round(length_m * px_a_m)
    draw.rectangle((left - 1, bottom - 6, right + 1, bottom), fill=INK)
    draw.rectangle((left, bottom - 5, right, bottom - 1), fill=PAPER)
    middle = (left + right) / 2
    draw.text((middle, bottom - 10), label, fill=PAPER, font=font, anchor="ms", stroke_width=2, stroke_fill=INK)


def wrap(text: str, font: ImageFont.FreeTypeFont, width_px: int) -> list[str]:
    """Lines of ``text`` that fit into ``width_px``, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width_px:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _describe(images: Sequence[xr.Dataset]) -> str:
    return "; ".join(", ".join(str(name) for name in image.data_vars) for image in images)
