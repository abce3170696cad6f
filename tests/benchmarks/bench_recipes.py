"""Speed of the recipes of land-cover features, and of antares3's 002 beside plain xarray, in turn in one process.

antares3's national runs came to about 3 Mpx an hour of a virtual processor (30 machines of 8, 3 hours, Mexico at 30 m), reading and
writing included; here the scenes are in memory, so that it is the computation alone that is measured. Times are the processor's.
"""

import gc
import json
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import xarray as xr

from ceiba.classification.features.recipes import list_recipes, load_recipe
from ceiba.classification.features.terrain import describe_terrain

DATES, SIDE_PX, SMALL_PX = (24, 46), 512, 192
REPEATS = 3
BANDS = ("blue", "green", "red", "red_edge_1", "red_edge_2", "red_edge_3", "nir", "nir_narrow", "swir_1", "swir_2")
CLOUDY = 0.35
ANTARES3_MPX_PER_H = 3.0


def main() -> dict[str, object]:
    """Every figure by name."""
    figures: dict[str, object] = {f"landsat_madmex_002, {dates} dates": measure_madmex(dates) for dates in DATES}
    figures["all recipes, 24 dates [Mpx per vCPU-hour]"] = measure_all()
    print(json.dumps(figures, indent=1))
    return figures


def measure_madmex(dates: int) -> dict[str, float]:
    """Recipe 002 on one year of scenes, against the same reductions by xarray."""
    recipe = load_recipe("landsat_madmex_002")
    scenes = make_scenes(dates, SIDE_PX, recipe.inputs)
    ground = make_ground(scenes)
    recipe.compute(scenes.isel(x=slice(8)), ground.isel(x=slice(8)))
    ours_s, theirs_s = [], []
    for _ in range(REPEATS):
        ours, seconds = timed(lambda: recipe.compute(scenes, ground))
        ours_s.append(seconds)
        theirs, seconds = timed(lambda: plain_madmex(scenes))
        theirs_s.append(seconds)
    differing = [float((abs(ours[name] - theirs[name]) > 0).mean()) for name in theirs]
    far = [float(abs(ours[name] - theirs[name]).max()) for name in theirs]
    speed = mpx_per_hour(SIDE_PX**2, min(ours_s))
    return {
        "ceiba [Mpx per vCPU-hour]": speed,
        "plain xarray [Mpx per vCPU-hour]": mpx_per_hour(SIDE_PX**2, min(theirs_s)),
        "times faster than plain xarray": min(theirs_s) / min(ours_s),
        "times antares3's 3 Mpx per vCPU-hour": speed / ANTARES3_MPX_PER_H,
        "largest difference from plain xarray [1e-4]": max(far),
        "share of numbers that differ [1]": float(np.mean(differing)),
        "memory beside the scenes, ceiba [MB]": peak_mb(lambda: recipe.compute(scenes, ground)),
        "memory beside the scenes, plain xarray [MB]": peak_mb(lambda: plain_madmex(scenes)),
        "result [MB]": sum(layer.nbytes for layer in ours.data_vars.values()) / 1e6,
    }


def measure_all() -> dict[str, float]:
    """Speed of every recipe that reads scenes or radar, on a smaller area."""
    scenes = make_scenes(DATES[0], SMALL_PX, BANDS)
    ground = make_ground(scenes)
    echo = (20 * np.log10(scenes[["red", "nir"]])).rename(red="vv", nir="vh")
    speeds = {}
    for name in list_recipes():
        recipe = load_recipe(name)
        if recipe.inputs or recipe.radar:
            recipe.compute(scenes.isel(x=slice(8)), ground.isel(x=slice(8)), radar=echo.isel(x=slice(8)))
            _, seconds = timed(lambda recipe=recipe: recipe.compute(scenes, ground, radar=echo))
            speeds[f"{name} ({len(recipe.features)} features)"] = mpx_per_hour(SMALL_PX**2, seconds)
    return speeds


def make_scenes(dates: int, side_px: int, bands: tuple[str, ...]) -> xr.Dataset:
    """Reflectance [1] of a season, float32 with NaN under clouds, dims ``(time, y, x)``."""
    random = np.random.default_rng(0)
    shape = (dates, side_px, side_px)
    hidden = random.random(shape, dtype=np.float32) < CLOUDY
    season = 0.1 * np.sin(2 * np.pi * np.arange(dates, dtype=np.float32) / dates)[:, None, None]
    layers = {}
    for position, name in enumerate(bands):
        values = 0.15 + 0.02 * position + season + 0.05 * random.random(shape, dtype=np.float32)
        values[hidden] = np.nan
        layers[name] = (("time", "y", "x"), values.astype(np.float32))
    days = np.datetime64("2018-01-01", "ns") + (np.arange(dates) * (365 // dates)) * np.timedelta64(1, "D")
    coords = {"time": days, "y": -30.0 * np.arange(side_px), "x": 30.0 * np.arange(side_px)}
    return xr.Dataset(layers, coords=coords)


def make_ground(scenes: xr.Dataset) -> xr.Dataset:
    """Terrain on the grid of the scenes."""
    heights = 100 * np.sin(scenes.x / 900) + 100 * np.cos(scenes.y / 700)
    return describe_terrain(heights.transpose("y", "x"))


def plain_madmex(scenes: xr.Dataset) -> xr.Dataset:
    """The twelve temporal features of recipe 002 by xarray's own reductions, over all dates at once."""
    numbers = (scenes * np.float32(10_000)).round()
    numbers["ndvi"] = 10_000 * (numbers.nir - numbers.red) / (numbers.nir + numbers.red)
    numbers["ndmi"] = 10_000 * (numbers.nir - numbers.swir_1) / (numbers.nir + numbers.swir_1)
    means = numbers.mean("time").rename({name: f"{name.replace('_', '')}_mean" for name in numbers})
    for name in ("ndvi", "ndmi"):
        means[f"{name}_max"], means[f"{name}_min"] = numbers[name].max("time"), numbers[name].min("time")
    return np.trunc(means)


def timed(compute: Callable[[], xr.Dataset]) -> tuple[xr.Dataset, float]:
    """Result and seconds of the processor."""
    gc.collect()
    start = time.process_time()
    result = compute()
    return result, time.process_time() - start


def peak_mb(compute: Callable[[], xr.Dataset]) -> float:
    """The most memory that arrays took while it computed, its result with it [MB]."""
    tracemalloc.start()
    compute()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def mpx_per_hour(pixels: int, seconds: float) -> float:
    """Megapixels in an hour of one processor."""
    return pixels / seconds * 3600 / 1e6


if __name__ == "__main__":
    main()
