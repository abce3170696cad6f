"""Speed of the geomedian against other packages, at equal or better accuracy, in one run.

``eps`` of the peers is the length of a step, not an error: at 1e-5 their 99th percentile is 2.5e-5 reflectance. So they
are run at 1e-5, and the error of everybody is measured against a float64 reference on a sample of pixels.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from ceiba.mosaics.geomedian import geomedian_of_arrays
from ceiba.mosaics.geomedian_reference import geomedian_float64

DATES, BANDS, SIDE_PX = 25, 6, 256
NODATA, SCALE = -999, 1e-4
VEGETATION = np.array([450, 700, 800, 3000, 1900, 1100], np.float32)
SOIL = np.array([900, 1300, 1800, 2600, 3300, 2700], np.float32)
PEER_STEP = 1e-5
REPEATS = 3
CHECKED_PIXELS = 300


def make_scenes(seed: int = 0) -> np.ndarray:
    """Counts (band, time, y, x), int16: vegetation and soil with a season, haze, and 35 % of coherent clouds."""
    random = np.random.default_rng(seed)
    cover = gaussian_filter(random.standard_normal((SIDE_PX, SIDE_PX)).astype(np.float32), 6)
    cover = (cover - cover.min()) / (cover.max() - cover.min())
    scenes = np.empty((BANDS, DATES, SIDE_PX, SIDE_PX), np.int16)
    for date in range(DATES):
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


def time_cpu(run: Callable[[], object]) -> float:
    """CPU time of one call [s]."""
    start = time.process_time()
    run()
    return time.process_time() - start


def measure_error(found: np.ndarray, scenes: np.ndarray) -> float:
    """Largest difference to the float64 reference [reflectance] over a sample of pixels; ``found`` (band, y, x)."""
    random = np.random.default_rng(1)
    errors = []
    for y, x in random.integers(0, SIDE_PX, (CHECKED_PIXELS, 2)):
        counts = scenes[:, :, y, x].T
        spectra = np.where(counts == NODATA, np.nan, counts * SCALE)
        expected, certificate = geomedian_float64(spectra, steps=20_000)
        if certificate < 1e-6 and np.isfinite(expected).all():
            errors.append(abs(found[:, y, x] - expected).max())
    return float(max(errors))


def peer_runs(scenes: np.ndarray) -> dict[str, tuple[Callable[[], np.ndarray], bool]]:
    """Peers that are installed: name to (run, whether the deviations are included)."""
    try:
        import geomad
    except ImportError:
        return {}
    # the layout that the peer needs is made before the clock starts
    values = np.where(scenes == NODATA, np.nan, scenes * np.float32(SCALE)).astype(np.float32)
    stack = np.ascontiguousarray(values.transpose(2, 3, 0, 1))
    options = {"eps": PEER_STEP, "maxiters": 10_000, "num_threads": 1}

    def run() -> np.ndarray:
        return geomad.nangeomedian_pcm(stack, **options)

    def run_with_deviations() -> np.ndarray:
        middle = geomad.nangeomedian_pcm(stack, **options)
        for deviation in (geomad.emad_pcm, geomad.smad_pcm, geomad.bcmad_pcm):
            deviation(stack, middle, num_threads=1)
        return middle

    return {"geomad": (run, False), "geomad with deviations": (run_with_deviations, True)}


def main() -> dict[str, float]:
    """Run everything in turns in one process; returns speeds [Mpx per CPU second], errors [reflectance] and ratios [1]."""
    scenes = make_scenes()
    bands, clear = list(scenes), np.ones(scenes.shape[1:], bool)

    def ours() -> np.ndarray:
        return geomedian_of_arrays(bands, clear, nodata=NODATA, scale=SCALE, offset=0.0)

    runs = {"ceiba with deviations": ours} | {name: run for name, (run, _) in peer_runs(scenes).items()}
    found = {name: run() for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPEATS):
        for name, run in runs.items():
            seconds[name].append(time_cpu(run))
    figures = {}
    for name, times in seconds.items():
        result = found[name][:BANDS] if name.startswith("ceiba") else found[name].transpose(2, 0, 1)
        figures[f"{name}, Mpx per CPU s"] = SIDE_PX**2 / statistics.median(times) / 1e6
        figures[f"{name}, largest error [reflectance]"] = measure_error(result, scenes)
    for name in list(runs)[1:]:
        figures[f"ratio to {name}"] = (
            figures["ceiba with deviations, Mpx per CPU s"] / figures[f"{name}, Mpx per CPU s"]
        )
    print(f"Geomedian, {DATES} dates, {BANDS} bands, {SIDE_PX} x {SIDE_PX} pixels, int16, one thread")
    for name, value in figures.items():
        print(f"  {name:40s} {value:.3g}")
    if len(runs) == 1:
        print("  geomad is not installed: no ratio (pip install geomad)")
    return figures


if __name__ == "__main__":
    main()
