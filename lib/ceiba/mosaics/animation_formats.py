"""Frames as files that move: GIF, WebP and MP4."""

import io
import struct
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image

from ceiba.mosaics.display import NO_DATA_COLOR, PAPER

PALETTE_SAMPLE_PX = 160  # side of the thumbnail of a frame that the palette is chosen from
FIXED_COLORS = (PAPER, NO_DATA_COLOR)  # these keep their exact colors in every palette
APART = 8  # distance of colors [0 to 255] below which Pillow may show one for the other: it looks up steps of 4
MOST_COLORS = 255 - len(FIXED_COLORS)  # one index says "as in the frame before"
FEWEST_COLORS = 16
KEEP_PREVIOUS = 1  # disposal method of GIF89a
WEBP_QUALITIES = (85, 70, 50, 30)  # the next one where a file is too large
LOSSLESS_WEBP = {"lossless": True, "method": 2, "quality": 50}  # of lossless files the quality is only the effort
MP4_RATE_FACTORS = (18, 23, 28, 33)  # of H.264: 18 is hard to tell from the original, 23 is x264's own choice
REC_709 = 1  # number of ITU-R BT.709 in H.273 for primaries, transfer and matrix


def encode_gif(frames: Sequence[Image.Image], durations_ms: Sequence[int], *, max_bytes: int) -> bytes:
    """Frames as an endless GIF with one palette.

    Paletted frames are kept as they are. Others share a palette that is chosen from all of them; where the file is
    larger than ``max_bytes``, colors are given up, down to 16. No dithering: its noise would move and does not compress.
    """
    if frames[0].mode == "P":
        return write_gif([np.asarray(frame) for frame in frames], palette_of(frames[0]), durations_ms)
    colors = MOST_COLORS
    while True:
        palette = shared_palette(frames, colors)
        indices = [np.asarray(frame.quantize(palette=palette, dither=Image.Dither.NONE)) for frame in frames]
        content = write_gif(indices, palette_of(palette), durations_ms)
        if len(content) <= max_bytes or colors == FEWEST_COLORS:
            return content
        # bits a pixel, which are the logarithm of the colors, shrink like the file; 5 % for what LZW adds
        colors = max(FEWEST_COLORS, int(0.95 * colors ** (max_bytes / len(content))))


def write_gif(indices: Sequence[np.ndarray], palette: np.ndarray, durations_ms: Sequence[int]) -> bytes:
    """An endless GIF89a of paletted frames, with exactly this palette and one frame a year.

    Pillow encodes the pictures; its own animations reorder the palette, drop frames that are equal and take four times
    as long. From the second frame on, only what changed is written, where an index is free to say so.

    Parameters
    ----------
    indices
        Frames of one size, uint8, dims ``(y, x)``.
    palette
        Colors, uint8, dims ``(index, color)``, 256 of them.
    durations_ms
        Time of each frame [ms], stored in hundredths of a second.

    Returns
    -------
    bytes
        The file.

    References
    ----------
    Graphics Interchange Format, version 89a, CompuServe 1990, sections 18 to 26.
    """
    used = np.zeros(256, bool)
    for frame in indices:
        used |= np.bincount(frame.ravel(), minlength=256) > 0
    free = None if used.all() else int(np.flatnonzero(~used)[-1])
    height, width = indices[0].shape
    content = io.BytesIO()
    # a global table of 256 colors; then the Netscape extension that repeats without end
    content.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + palette.astype(np.uint8).tobytes())
    content.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", 0) + b"\0")
    previous = None
    for frame, duration_ms in zip(indices, durations_ms, strict=True):
        options: dict[str, int] = {"duration": duration_ms, "disposal": KEEP_PREVIOUS}
        top, left, shown = 0, 0, frame
        if previous is not None and free is not None:
            top, left, shown = changed_part(previous, frame, free)
            options["transparency"] = free
        content.write(b"".join(GifImagePlugin.getdata(Image.fromarray(shown), (left, top), **options)))
        previous = frame
    content.write(b";")
    return content.getvalue()


def changed_part(previous: np.ndarray, frame: np.ndarray, free: int) -> tuple[int, int, np.ndarray]:
    """Top, left and indices of the smallest part of ``frame`` that differs, ``free`` where it does not."""
    changed = previous != frame
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if rows.size == 0:
        return 0, 0, np.full((1, 1), free, np.uint8)
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return int(rows[0]), int(columns[0]), np.where(changed[part], frame[part], np.uint8(free))


def palette_of(frame: Image.Image) -> np.ndarray:
    """Colors of a paletted picture, uint8, dims ``(index, color)``, black beyond its own up to 256."""
    colors = np.array(frame.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return np.pad(colors, ((0, 256 - len(colors)), (0, 0)))


def shared_palette(frames: Sequence[Image.Image], colors: int = MOST_COLORS) -> Image.Image:
    """A paletted picture with the colors of all frames; the octree is 40 times faster than Pillow's default."""
    thumbnails = []
    for frame in frames:
        size = tuple(min(side, PALETTE_SAMPLE_PX) for side in frame.size)
        thumbnails.append(np.asarray(frame.resize(size, Image.Resampling.NEAREST)))
    together = Image.fromarray(np.concatenate(thumbnails))
    octree = together.quantize(colors=colors, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    found = palette_of(octree)[:colors]
    for color in FIXED_COLORS:
        found[np.linalg.norm(found.astype(float) - color, axis=1) < APART] = color
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([np.array(FIXED_COLORS, np.uint8), found]).tobytes())
    return palette


def encode_webp(frames: Sequence[Image.Image], durations_ms: Sequence[int], *, max_bytes: int) -> bytes:
    """Frames as an endless WebP, paletted ones without loss whatever ``max_bytes``."""
    settings = [LOSSLESS_WEBP] if frames[0].mode == "P" else [{"quality": quality} for quality in WEBP_QUALITIES]
    first, *others = (frame.convert("RGB") for frame in frames)
    for options in settings:
        content = io.BytesIO()
        first.save(content, "WEBP", save_all=True, append_images=others, duration=list(durations_ms), loop=0, **options)
        if content.tell() <= max_bytes:
            break
    return content.getvalue()


def encode_mp4(frames: Sequence[Image.Image], frame_ms: int, *, max_bytes: int) -> bytes:
    """Frames as H.264 in MP4, as every browser plays it; the last frame stays twice as long.

    Half of the color resolution is lost (4:2:0), and odd sizes grow by one pixel.
    """
    height, width = (side + side % 2 for side in frames[0].size[::-1])
    pictures = []
    for frame in [*frames, frames[-1]]:
        missing = ((0, height - frame.height), (0, width - frame.width), (0, 0))
        pictures.append(np.pad(np.asarray(frame.convert("RGB")), missing, mode="edge"))
    for rate_factor in MP4_RATE_FACTORS:
        content = write_mp4(pictures, frame_ms, rate_factor=rate_factor)
        if len(content) <= max_bytes:
            break
    return content


def write_mp4(pictures: Sequence[np.ndarray], frame_ms: int, *, rate_factor: int) -> bytes:
    """H.264 in MP4 of pictures, uint8, dims ``(y, x, color)`` with even sizes, at a constant rate factor."""
    import av  # 0.2 s that only who writes a film should pay

    height, width = pictures[0].shape[:2]
    flags = av.video.reformatter.Interpolation
    exact = flags.BILINEAR | flags.ACCURATE_RND | flags.BITEXACT
    with tempfile.TemporaryDirectory() as folder:
        # the table of contents can only be moved to the front of a file that can be read again
        path = Path(folder) / "animation.mp4"
        with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
            options = {"crf": str(rate_factor), "preset": "medium", "bf": "0"}
            stream = container.add_stream("libx264", rate=Fraction(1000, frame_ms), options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            context = stream.codec_context
            context.thread_count = 1  # x264 gives another file for another number of threads
            context.color_primaries = context.color_trc = context.colorspace = REC_709
            context.color_range = av.video.reformatter.ColorRange.MPEG
            for number, picture in enumerate(pictures):
                # one thread and exact rounding, so that the same pictures give the same file
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                    format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", interpolation=exact, threads=1
                )
                frame.pts, frame.time_base = number, Fraction(frame_ms, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path.read_bytes()
