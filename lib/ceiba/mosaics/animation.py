"""Animations of annual mosaics and maps."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from PIL import Image

from ceiba.errors import InputError
from ceiba.legends import Legend
from ceiba.mosaics.animation_formats import encode_gif, encode_mp4, encode_webp, palette_of
from ceiba.mosaics.display import COMPOSITES, render_frame, stretch, stretch_limits
from ceiba.mosaics.thematic_frames import render_thematic_frame

PRODUCTS = {"natural_color": "geomedian_10m", "cwbg": "cwbg"}  # where the bands of a composite are
FORMATS = ("gif", "webp", "mp4")
FRAME_MS = (20, 60_000)  # browsers play GIF frames of less than 20 ms slowly


def render_years(
    mosaics: xr.Dataset,
    *,
    composite: str,
    notes: Sequence[str],
    width_px: int = 480,
    percentiles: tuple[float, float] = (2, 98),
) -> dict[int, Image.Image]:
    """One frame a year, all with the same stretch.

    Parameters
    ----------
    mosaics
        Annual mosaics, dims ``(time, y, x)``, coordinates x and y [m].
    composite
        What to show: a name in :data:`ceiba.mosaics.display.COMPOSITES`.
    notes
        Lines below the picture.
    width_px
        Width of a frame.
    percentiles
        Percentiles [%] of all years together that are shown as darkest and brightest.

    Returns
    -------
    dict
        Year to frame, in order of time.

    Raises
    ------
    InputError
        The composite is unknown, a band is missing or empty, or a year is there twice.
    """
    if composite not in COMPOSITES:
        raise InputError(f"there is no composite {composite!r}; there are {', '.join(COMPOSITES)}")
    bands = COMPOSITES[composite]
    limits = stretch_limits([mosaics], bands, percentiles=percentiles)
    options = {"notes": notes, "pixel_size_m": _pixel_size_m(mosaics), "width_px": width_px}
    return {
        year: render_frame(stretch(mosaic, bands, limits), title=str(year), **options)
        for year, mosaic in _by_year(mosaics)
    }


def render_thematic_years(
    maps: xr.DataArray, *, legend: Legend, notes: Sequence[str], width_px: int = 480
) -> dict[int, Image.Image]:
    """One paletted frame a year of a map of classes, with the names of the classes that occur in any year.

    Parameters
    ----------
    maps
        Codes of ``legend``, 0 is no data, uint8, dims ``(time, y, x)``, coordinates x and y [m].
    legend
        The classes; their colors are the palette, so that no format without loss changes one.
    notes
        Lines below the map.
    width_px
        Width of a frame.

    Returns
    -------
    dict
        Year to frame, in order of time. An index of a frame is the code of the class.

    Raises
    ------
    InputError
        The map is not uint8, or a year is there twice.
    LegendError
        A code is not in the legend.
    """
    shown = np.unique(maps.values).tolist()
    options = {"legend": legend, "shown": shown, "notes": notes}
    options |= {"pixel_size_m": _pixel_size_m(maps), "width_px": width_px}
    return {
        year: render_thematic_frame(codes.values, title=str(year), **options) for year, codes in _by_year(maps)
    }


def encode_animation(
    frames: Mapping[int, Image.Image], *, format: str, frame_ms: int = 800, max_bytes: int = 8_000_000
) -> bytes:
    """Encode frames as an animation that repeats, in one of three formats.

    Parameters
    ----------
    frames
        Year to frame, all of one size: RGB, or paletted with one palette (maps of classes), which GIF and WebP keep
        exactly.
    format
        "gif" for every program there is, "webp" for all colors, "mp4" (H.264) for video players and social networks.
    frame_ms
        Time that a frame stays [ms]; the last one stays twice as long. GIF rounds down to 10 ms.
    max_bytes
        Size above which RGB frames give up colors (GIF, but for 16 of them) or detail (WebP, MP4) in a few steps; a file
        that no step makes small enough is larger, and so may one of paletted frames be.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    InputError
        The format is unknown, the time is not from 20 ms to a minute, there is no frame, or frames differ in size, kind
        or palette.
    """
    if format not in FORMATS:
        raise InputError(f"there is no format {format!r} for animations; there are {', '.join(FORMATS)}")
    if not FRAME_MS[0] <= frame_ms <= FRAME_MS[1]:
        raise InputError(f"a frame cannot stay {frame_ms} ms; give {FRAME_MS[0]} to {FRAME_MS[1]} ms")
    pictures = list(frames.values())
    _check_frames(pictures)
    if format == "mp4":
        return encode_mp4(pictures, frame_ms, max_bytes=max_bytes)
    durations_ms = [frame_ms] * (len(pictures) - 1) + [2 * frame_ms]
    if format == "webp":
        return encode_webp(pictures, durations_ms, max_bytes=max_bytes)
    return encode_gif(pictures, durations_ms, max_bytes=max_bytes)


def _check_frames(frames: Sequence[Image.Image]) -> None:
    """Raise :class:`InputError` where frames cannot be one animation."""
    if not frames:
        raise InputError("an animation needs at least one frame, and there is none")
    sizes = sorted({frame.size for frame in frames})
    if len(sizes) > 1:
        raise InputError(f"frames of one animation have one size; these have {sizes}")
    modes = sorted({frame.mode for frame in frames})
    if len(modes) > 1 or modes[0] not in ("RGB", "P"):
        raise InputError(f"frames of one animation are all RGB or all paletted; these are {', '.join(modes)}")
    if modes == ["P"] and len({palette_of(frame).tobytes() for frame in frames}) > 1:
        raise InputError("paletted frames of one animation have one palette; these differ")


def _by_year(data: xr.Dataset | xr.DataArray) -> Iterator[tuple[int, xr.Dataset | xr.DataArray]]:
    """Year and what is there, in order of time; raises :class:`InputError` where a year is there twice."""
    times = data.time.values.astype("datetime64[Y]")
    years = (times.astype(int) + 1970).tolist()
    twice = sorted({year for year in years if years.count(year) > 1})
    if twice:
        raise InputError(f"an animation shows a year once; there are more of {', '.join(map(str, twice))}")
    for position in np.argsort(times):
        yield years[position], data.isel(time=position)


def _pixel_size_m(data: xr.Dataset | xr.DataArray) -> float:
    return abs(float(data.x[1] - data.x[0]))
