"""Speed and size of animations of 20 frames, 640 pixels wide: mosaics in natural color and a map of classes."""

import io
import statistics
import time

import numpy as np
import xarray as xr
from PIL import Image
from scipy.ndimage import gaussian_filter

from ceiba.legends import load_legend
from ceiba.mosaics.animation import FORMATS, encode_animation, render_thematic_years, render_years

YEARS, SIDE_PX, WIDTH_PX = 20, 1000, 640
REPEATS = 5
LOSSLESS = ("gif", "webp")
GRAIN = 0.008  # standard deviation [reflectance] of what differs from pixel to pixel and year to year
SPECKLE = 0.02  # share of pixels of a map whose class is another one each year
NOTES = ["Simulado | Simulated"]


def make_coordinates() -> dict[str, np.ndarray]:
    """One mosaic a year on a grid of 10 m."""
    times = np.array([f"{2000 + number}-07-01" for number in range(YEARS)], "datetime64[ns]")
    return {"time": times, "y": -10.0 * np.arange(SIDE_PX), "x": 10.0 * np.arange(SIDE_PX)}


def make_mosaics(random: np.random.Generator) -> xr.Dataset:
    """Reflectance [1] with patches of all sizes, years that differ, and grain: harder to compress than geomedians."""
    noise = random.standard_normal((4, SIDE_PX, SIDE_PX), dtype=np.float32)
    cover = sum(size * gaussian_filter(layer, size) for layer, size in zip(noise, (1, 3, 10, 40), strict=True))
    cover = (cover - cover.min()) / np.ptp(cover)
    bands = {}
    for name, (dark, bright) in {"red": (0.04, 0.25), "green": (0.06, 0.2), "blue": (0.03, 0.15)}.items():
        years = [dark + (bright - dark) * np.clip(cover + 0.1 * np.sin(year + 9 * cover), 0, 1) for year in range(YEARS)]
        grain = GRAIN * random.standard_normal((YEARS, SIDE_PX, SIDE_PX), dtype=np.float32)
        bands[name] = (("time", "y", "x"), np.stack(years) + grain)
    return xr.Dataset(bands, coords=make_coordinates())


def make_maps(random: np.random.Generator, classes: int) -> xr.DataArray:
    """Codes 1 to ``classes`` in patches, of which 3 % change each year, with speckle."""
    fields = [gaussian_filter(random.standard_normal((SIDE_PX, SIDE_PX), dtype=np.float32), 8) for _ in range(classes)]
    codes = np.argmax(fields, axis=0).astype(np.uint8) + np.uint8(1)
    years = []
    for _ in range(YEARS):
        change = gaussian_filter(random.standard_normal(codes.shape), 5)
        codes = np.where(change > np.quantile(change, 0.97), np.uint8(random.integers(1, classes + 1)), codes)
        speckle = random.integers(1, classes + 1, codes.shape, dtype=np.uint8)
        years.append(np.where(random.random(codes.shape) < SPECKLE, speckle, codes))
    return xr.DataArray(np.stack(years), dims=("time", "y", "x"), coords=make_coordinates())


def count_changed_pixels(content: bytes, frames: dict[int, Image.Image]) -> int:
    """Pixels of an encoded animation that differ from its frames."""
    changed = 0
    with Image.open(io.BytesIO(content)) as animation:
        for position, frame in enumerate(frames.values()):
            animation.seek(position)
            shown, expected = (np.asarray(each.convert("RGB")) for each in (animation, frame))
            changed += int((shown != expected).any(axis=2).sum())
    return changed


def main() -> dict[str, float]:
    """Encode everything in every format; returns CPU and wall seconds (medians), MB, and changed pixels of maps."""
    random = np.random.default_rng(0)
    legend = load_legend("mexico_17")
    sets = {
        "mosaics": render_years(make_mosaics(random), composite="natural_color", notes=NOTES, width_px=WIDTH_PX),
        "maps": render_thematic_years(make_maps(random, len(legend)), legend=legend, notes=NOTES, width_px=WIDTH_PX),
    }
    figures: dict[str, float] = {}
    for name, frames in sets.items():
        for format in FORMATS:
            cpu, wall = [], []
            for _ in range(REPEATS):
                started = time.process_time(), time.perf_counter()
                content = encode_animation(frames, format=format)
                cpu.append(time.process_time() - started[0])
                wall.append(time.perf_counter() - started[1])
            figures[f"{format} of {name}, CPU s"] = statistics.median(cpu)
            figures[f"{format} of {name}, wall s"] = statistics.median(wall)
            figures[f"{format} of {name}, MB"] = len(content) / 1e6
            if name == "maps" and format in LOSSLESS:
                figures[f"{format} of {name}, changed pixels"] = count_changed_pixels(content, frames)
    print(f"Animations of {YEARS} frames, {WIDTH_PX} pixels wide")
    for name, value in figures.items():
        print(f"  {name:35s} {value:.3g}")
    return figures


if __name__ == "__main__":
    main()
