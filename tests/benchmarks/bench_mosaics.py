"""Speed and error of the geomedian against other packages.

``eps`` of the peers is the length of a step, not an error: at 1e-5 their 99th percentile is 2.5e-5 reflectance. So they
are run at 1e-5, and the error of everybody is measured against a float64 reference. Runs take turns in one process;
one thread is timed by the processor, two threads by the clock. Ratios are the result, speeds move with the machine.

``hdstats`` and ``hdmedians`` join where they can be imported: they are built from source and not part of the lock.
"""

import importlib
import statistics
import sys
import time
import types
from collections.abc import Callable

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

from ceiba.mosaics.geomedian import geomedian_of_arrays

BANDS, SIDE_PX = 6, 512
NODATA, SCALE = -999, 1e-4
VEGETATION = np.array([450, 700, 800, 3000, 1900, 1100], np.float32)
SOIL = np.array([900, 1300, 1800, 2600, 3300, 2700], np.float32)
PEER_STEP = 1e-5
PEER_ERROR = 1e-4  # what the peers come to with that step, and what is asked of ours at most
REPEATS, PEER_REPEATS = 7, 3
CHECKED_STEP_PX = 4  # every fourth pixel in both directions is compared with the reference


def make_scenes(dates: int, *, seed: int = 0, side_px: int = SIDE_PX) -> np.ndarray:
    """Counts (band, time, y, x), int16: vegetation and soil with a season, haze, and 35 % of coherent clouds."""
    random = np.random.default_rng(seed)
    cover = gaussian_filter(random.standard_normal((side_px, side_px)).astype(np.float32), 6)
    cover = (cover - cover.min()) / (cover.max() - cover.min())
    scenes = np.empty((BANDS, dates, side_px, side_px), np.int16)
    for date in range(dates):
        green = np.clip(cover * (1 + 0.35 * np.sin(2 * np.pi * date / 23)), 0, 1)
        brightness = 1 + 0.08 * random.standard_normal() + 0.04 * random.standard_normal(cover.shape)
        hazy = gaussian_filter(random.standard_normal(cover.shape), 8)
        haze = (hazy > np.quantile(hazy, 0.94)) * abs(random.standard_normal(cover.shape)) * 2500
        clouds = gaussian_filter(random.standard_normal(cover.shape), 12)
        cloudy = clouds > np.quantile(clouds, 1 - np.clip(random.beta(1.2, 2.2), 0.01, 0.99))
        for band in range(BANDS):
            values = (VEGETATION[band] * green + SOIL[band] * (1 - green)) * brightness
            values += haze * (1.2 - 0.1 * band) + 40 * random.standard_normal(cover.shape)
            scenes[band, date] = np.where(cloudy, NODATA, np.clip(np.rint(values), 1, 12000))
    return scenes


@njit
def reference_geomedians(spectra: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Geomedians of pixels (pixel, time, band) in float64 by the vertex test, else Weiszfeld to ``tolerance``.

    The second result is the norm of the sum of unit vectors that is left, 0 at the exact minimum.
    """
    pixels, times, bands = spectra.shape
    result = np.full((pixels, bands), np.nan)
    left = np.zeros(pixels)
    for pixel in range(pixels):
        seen = np.empty((times, bands))
        n = 0
        for t in range(times):
            if not np.isnan(spectra[pixel, t]).any():
                seen[n] = spectra[pixel, t]
                n += 1
        if n == 0:
            continue
        center = np.zeros(bands)
        for t in range(n):
            center += seen[t] / n
        found = n <= 2
        for vertex in range(n):
            if found:
                break
            pull, same = np.zeros(bands), 0
            for t in range(n):
                difference = seen[t] - seen[vertex]
                distance = np.sqrt((difference * difference).sum())
                if distance < 1e-12:
                    same += 1
                else:
                    pull += difference / distance
            if np.sqrt((pull * pull).sum()) <= same:
                center[:] = seen[vertex]
                found = True
        for _ in range(0 if found else 50_000):
            pull, weights = np.zeros(bands), 0.0
            for t in range(n):
                difference = seen[t] - center
                distance = np.sqrt((difference * difference).sum()) + 1e-30
                pull += difference / distance
                weights += 1 / distance
            center += pull / weights
            left[pixel] = np.sqrt((pull * pull).sum())
            if left[pixel] / weights < tolerance:
                break
        result[pixel] = center
    return result, left


def measure_error(found: np.ndarray, expected: np.ndarray, left: np.ndarray) -> float:
    """Largest difference of ``found`` (band, y, x) to the reference [reflectance], where that has arrived."""
    sample = found[:, ::CHECKED_STEP_PX, ::CHECKED_STEP_PX].reshape(BANDS, -1).T
    return float(np.nanmax(np.abs(sample - expected)[left < 1e-7]))


def time_in_turn(
    runs: dict[str, tuple[Callable[[], object], int]], clock: Callable[[], float]
) -> dict[str, float]:
    """Median seconds of each run, of so many calls, forwards and backwards in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(max(repeats for _, repeats in runs.values())):
        for name in list(runs)[:: 1 if turn % 2 == 0 else -1]:
            run, repeats = runs[name]
            if turn < repeats:
                start = clock()
                run()
                seconds[name].append(clock() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def peer_runs(scenes: np.ndarray, threads: int) -> dict[str, Callable[[], np.ndarray]]:
    """Peers that are installed; each gives (band, y, x) in reflectance. The layout that one needs is made before."""
    import geomad
    import xarray as xr
    from odc.algo import int_geomedian

    values = np.where(scenes == NODATA, np.nan, scenes * np.float32(SCALE)).astype(np.float32)
    stack = np.ascontiguousarray(values.transpose(2, 3, 0, 1))
    options = {"eps": PEER_STEP, "maxiters": 10_000, "num_threads": threads}
    names = [f"b{number}" for number in range(BANDS)]
    attrs = {"nodata": NODATA}
    dataset = xr.Dataset({name: (("time", "y", "x"), band, attrs) for name, band in zip(names, scenes, strict=True)})

    def by_geomad() -> np.ndarray:
        return geomad.nangeomedian_pcm(stack, **options).transpose(2, 0, 1)

    def by_geomad_with_deviations() -> np.ndarray:
        middle = geomad.nangeomedian_pcm(stack, **options)
        for deviation in (geomad.emad_pcm, geomad.smad_pcm, geomad.bcmad_pcm):
            deviation(stack, middle, num_threads=threads)
        return middle.transpose(2, 0, 1)

    def by_odc_algo() -> np.ndarray:
        mosaic = int_geomedian(
            dataset, scale=SCALE, offset=0, eps=PEER_STEP, maxiters=10_000, num_threads=threads
        )
        return np.stack([mosaic[name].values for name in names]) * SCALE

    runs = {
        "geomad": by_geomad,
        "geomad with deviations": by_geomad_with_deviations,
        "odc-algo int_geomedian": by_odc_algo,
    }
    if threads == 1:
        runs |= built_from_source(stack)
    return runs


def built_from_source(stack: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Runs of hdstats and hdmedians where they are there, on a part of the pixels: they are slow."""
    part = stack[:64, :64]
    runs = {}
    try:
        import scipy.signal

        for gone in ("cwt", "ricker"):  # hdstats imports them from SciPy, which has them no longer
            if not hasattr(scipy.signal, gone):
                setattr(scipy.signal, gone, None)
        hdstats = importlib.import_module("hdstats")
        runs["hdstats"] = lambda: hdstats.nangeomedian_pcm(part, eps=PEER_STEP, maxiters=10_000).transpose(2, 0, 1)
    except ImportError:
        pass
    try:
        sys.modules.setdefault("imp", types.ModuleType("imp"))
        hdmedians = importlib.import_module("hdmedians")

        def by_hdmedians() -> np.ndarray:
            found = np.empty((*part.shape[:2], BANDS))
            for y, x in np.ndindex(*part.shape[:2]):
                seen = part[y, x][:, ~np.isnan(part[y, x]).any(axis=0)]
                found[y, x] = hdmedians.geomedian(seen, axis=1, eps=PEER_STEP) if seen.shape[1] > 2 else np.nan
            return found.transpose(2, 0, 1)

        runs["hdmedians"] = by_hdmedians
    except ImportError:
        pass
    return runs


def compare_kernels(dates: int) -> dict[str, float]:
    """Speeds [Mpx/s], errors [reflectance] and ratios [1] for so many dates."""
    scenes = make_scenes(dates)
    bands, clear = list(scenes), np.ones(scenes.shape[1:], bool)
    spectra = np.where(scenes == NODATA, np.nan, scenes * SCALE)[:, :, ::CHECKED_STEP_PX, ::CHECKED_STEP_PX]
    expected, left = reference_geomedians(
        np.ascontiguousarray(spectra.reshape(BANDS, dates, -1).transpose(2, 1, 0)), 1e-12
    )
    stored = {"nodata": NODATA, "scale": SCALE, "offset": 0.0}
    figures = {}
    for threads in (1, 2):
        clock = time.process_time if threads == 1 else time.perf_counter

        def ours(threads=threads) -> np.ndarray:
            return geomedian_of_arrays(bands, clear, **stored, threads=threads, deviations=False)

        def ours_with_deviations(threads=threads) -> np.ndarray:
            return geomedian_of_arrays(bands, clear, **stored, threads=threads)

        def ours_as_near_as_peers(threads=threads) -> np.ndarray:
            options = {"threads": threads, "deviations": False, "tolerance": PEER_ERROR}
            return geomedian_of_arrays(bands, clear, **stored, **options)

        peers = peer_runs(scenes, threads)
        runs = {
            "ceiba": ours,
            "ceiba with deviations": ours_with_deviations,
            f"ceiba to {PEER_ERROR:g}": ours_as_near_as_peers,
            **peers,
        }
        found = {name: run() for name, run in runs.items()}
        seconds = time_in_turn(
            {name: (run, REPEATS if name.startswith("ceiba") else PEER_REPEATS) for name, run in runs.items()}, clock
        )
        speeds = {name: found[name][0].size / seconds[name] / 1e6 for name in runs}
        label = f"{threads} thread{'s' if threads > 1 else ''}"
        for name in runs:
            figures[f"{name}, {label}, Mpx/s"] = speeds[name]
            if threads == 1 and found[name].shape[-1] == SIDE_PX:
                figures[f"{name}, largest error [reflectance]"] = measure_error(found[name][:BANDS], expected, left)
        alone = [name for name in peers if not name.endswith("deviations")]
        fastest = max(alone, key=speeds.get)
        figures[f"fastest peer, {label}"] = fastest
        figures[f"ratio to the fastest peer, {label}"] = speeds["ceiba"] / speeds[fastest]
        figures[f"ratio to the fastest peer at its error, {label}"] = speeds[f"ceiba to {PEER_ERROR:g}"] / speeds[fastest]
        figures[f"ratio with deviations to geomad with deviations, {label}"] = (
            speeds["ceiba with deviations"] / speeds["geomad with deviations"]
        )
        if threads == 2:
            one = time_in_turn({"one": (lambda: ours(1), REPEATS)}, clock)["one"]
            figures["two threads to one, by the clock"] = one / seconds["ceiba"]
    return figures


def main() -> dict[str, object]:
    """Everything; prints as it goes."""
    figures: dict[str, object] = {}
    for dates in (25, 60):
        figures[f"kernel, {dates} dates, {BANDS} bands, {SIDE_PX} x {SIDE_PX}, int16"] = compare_kernels(dates)
        show(figures)
    return figures


def show(figures: dict[str, object]) -> None:
    """Print the newest part."""
    part, values = list(figures.items())[-1]
    print(part)
    for name, value in values.items():
        print(f"  {name:70s} {value if isinstance(value, str) else format(value, '.4g')}", flush=True)


if __name__ == "__main__":
    main()
