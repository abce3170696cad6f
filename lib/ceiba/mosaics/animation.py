"""Animations of annual mosaics."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from PIL import Image

from ceiba.errors import InputError
from ceiba.mosaics.display import COMPOSITES, render_frame, stretch, stretch_limits

PRODUCTS = {"natural_color": "geomedian_10m", "cwbg": "cwbg"}  # where the bands of a composite are
PALETTE_SAMPLE_PX = 160  # side of the thumbnail of a frame that the palette is chosen from
PALETTE_COLORS = 255


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
        The composite is unknown, or a band is missing or empty.
    """
    if composite not in COMPOSITES:
        raise InputError(f"there is no composite {composite!r}; there are {', '.join(COMPOSITES)}")
    bands = COMPOSITES[composite]
    limits = stretch_limits([mosaics], bands, percentiles=percentiles)
    pixel_size_m = abs(float(mosaics.x[1] - mosaics.x[0]))
    frames = {}
    for time in np.sort(mosaics.time.values):
        year = int(np.datetime64(time, "Y").astype(int)) + 1970
        picture = stretch(mosaics.sel(time=time), bands, limits)
        frames[year] = render_frame(picture, title=str(year), notes=notes, pixel_size_m=pixel_size_m, width_px=width_px)
    return frames


def encode_gif(frames: Mapping[int, Image.Image], *, frame_ms: int = 800) -> bytes:
    """Encode frames as an endless GIF with one palette for all, so that colors do not flicker.

    Parameters
    ----------
    frames
        Year to frame, all of one size.
    frame_ms
        Time that a frame stays [ms]; the last one stays twice as long.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    InputError
        There is no frame, or sizes differ.
    """
    if not frames:
        raise InputError("an animation needs at least one frame, and there is none")
    sizes = {frame.size for frame in frames.values()}
    if len(sizes) > 1:
        raise InputError(f"frames of one animation have one size; these have {sorted(sizes)}")
    palette = shared_palette(list(frames.values()))
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames.values()]
    durations = [frame_ms] * (len(indexed) - 1) + [2 * frame_ms]
    content = io.BytesIO()
    # without the palette as an option Pillow writes it again with every frame
    options = {"palette": bytes(palette.getpalette()), "duration": durations, "loop": 0, "optimize": False}
    indexed[0].save(content, "GIF", save_all=True, append_images=indexed[1:], **options)
    return content.getvalue()


def shared_palette(frames: Sequence[Image.Image]) -> Image.Image:
    """A paletted image with the colors of all frames; the octree is 40 times faster than Pillow's default."""
    thumbnails = []
    for frame in frames:
        size = tuple(min(side, PALETTE_SAMPLE_PX) for side in frame.size)
        thumbnails.append(np.asarray(frame.resize(size, Image.Resampling.NEAREST)))
    together = Image.fromarray(np.concatenate(thumbnails))
    return together.quantize(colors=PALETTE_COLORS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
