"""Smoothing and minimum unit on simulated countries, borders of tiles and states, and the memory of a map by blocks."""

import json
import subprocess
import sys
import time
import warnings

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.maps.blocks import MapSettings, map_by_blocks
from ceiba.classification.models.calibration import Softening
from ceiba.classification.models.classifiers import fit_classifier
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.legends import load_legend
from ceiba.simulation.country import PIXEL_M, CountrySettings, make_country
from ceiba.simulation.country_series import block_series

LEGEND = load_legend("mexico_31")
COARSER = (load_legend("mexico_17"), load_legend("mexico_8"))
SIDE_PX, BLOCK_PX, SAMPLES, TILE_PX = 192, 64, 2000, 64
# Settings are chosen on the first countries; the effect that is told is that on the others.
CHOOSING, TELLING = (101, 102), (103, 104)
TRIED = {
    "plain": MapSettings(window_px=1),
    "coarse first": MapSettings(window_px=1, first="coarse"),
    "smoothing 5, 5": MapSettings(window_px=5, smoothness=5.0),
    "smoothing 5, 20": MapSettings(window_px=5, smoothness=20.0),
    "smoothing 7, 20": MapSettings(window_px=7, smoothness=20.0),
    "smoothing 5, 5, all neighbors": MapSettings(window_px=5, smoothness=5.0, share=1.0),
    "unit 0.5 ha": MapSettings(window_px=1, unit_ha=0.5),
    "smoothing 5, 5, unit 0.5 ha": MapSettings(window_px=5, smoothness=5.0, unit_ha=0.5),
}
MEMORY_SIDE_PX, MEMORY_FEATURES = 4000, 40


def main() -> dict[str, object]:
    """Every figure by name."""
    figures: dict[str, object] = {}
    chosen: dict[int, dict[str, list[float]]] = {}
    for seed in (*CHOOSING, *TELLING):
        chosen[seed] = measure_country(seed)
    for name, seeds in (("chosen on", CHOOSING), ("told of", TELLING)):
        figures[f"overall accuracy of 31, 17, 8 classes, {name} countries {seeds} [%]"] = {
            setting: np.round(np.mean([chosen[seed][setting] for seed in seeds], axis=0), 2).tolist() for setting in TRIED
        }
    best = max(TRIED, key=lambda setting: np.mean([chosen[seed][setting][0] for seed in CHOOSING]))
    gains = [chosen[seed][best][0] - chosen[seed]["plain"][0] for seed in TELLING]
    figures["best where chosen"] = best
    figures["its gain on the other countries, 31 classes [points]"] = np.round(gains, 2).tolist()
    figures["borders"] = measure_borders(TELLING[0])
    figures["memory"] = measure_memory()
    print(json.dumps(figures, indent=1))
    return figures


def make_case(seed: int) -> tuple[LandCoverModel, xr.Dataset, np.ndarray, xr.DataArray, np.ndarray]:
    """A model trained on half of the blocks of a country; features, true classes and areas of all; the other half."""
    country = make_country(seed, CountrySettings(side_px=SIDE_PX, years=(2018,)))
    series = block_series(country, row=0, column=0, side_px=SIDE_PX)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pixel without any clear date has no features
        layers = {
            f"{name}_{share}": (("y", "x"), values)
            for name, band in series.data_vars.items()
            for share, values in zip((10, 50, 90), np.nanpercentile(band.values, (10, 50, 90), axis=0).astype("float32"), strict=True)
        }
    features = xr.Dataset(layers)
    row, column = np.mgrid[:SIDE_PX, :SIDE_PX] // BLOCK_PX
    held_out = (row + column) % 2 == 1
    seen = np.isfinite(np.stack([layer.values for layer in features.values()])).all(axis=0)
    truth = country.first_codes
    random = np.random.default_rng(seed)
    at = random.choice(np.flatnonzero(~held_out & seen), SAMPLES, replace=False)
    columns = np.stack([layer.values.ravel()[at] for layer in features.values()], axis=-1)
    trees = fit_classifier("extra_trees", columns, truth.ravel()[at], seed=seed, options={"trees": 60})
    model = LandCoverModel(trees, tuple(features.data_vars), LEGEND.name, LEGEND.fingerprint, Softening(1.0, 0.01))
    geobox = GeoBox((SIDE_PX, SIDE_PX), Affine(PIXEL_M, 0, 4e6, 0, -PIXEL_M, 1.2e6), "EPSG:6372")
    return model, features, truth, pixel_areas(geobox), held_out & seen


def measure_country(seed: int) -> dict[str, list[float]]:
    """Overall accuracy [%] of 31, 17 and 8 classes in held-out blocks by setting."""
    model, features, truth, areas, held_out = make_case(seed)
    out = {}
    for name, settings in TRIED.items():
        found = map_by_blocks(model, features, LEGEND, areas, settings=settings)["land_cover"].values[held_out]
        true = truth[held_out]
        scores = [float((found == true).mean())]
        for above in COARSER:
            table = np.zeros(256, dtype="uint8")
            for code, parent in LEGEND.parents(above).items():
                table[code] = parent
            scores.append(float((table[found] == table[true]).mean()))
        out[name] = [100 * score for score in scores]
    return out


def measure_borders(seed: int) -> dict[str, object]:
    """Share of neighboring pixels of another class across borders and inside, of maps made tile by tile, with and without halo.

    The state border is a line across the tiles; one national model knows no state, so nothing of it may show.
    """
    model, features, truth, areas, _ = make_case(seed)
    settings = MapSettings(window_px=5, smoothness=5.0, unit_ha=0.5)
    whole = map_by_blocks(model, features, LEGEND, areas, settings=settings)["land_cover"].values
    out: dict[str, object] = {}
    for name, halo in (("with halo", settings.halo_px(float(areas.min()))), ("without halo", 0)):
        tiled = np.zeros_like(whole)
        for top in range(0, SIDE_PX, TILE_PX):
            for left in range(0, SIDE_PX, TILE_PX):
                y, x = (slice(max(0, start - halo), min(SIDE_PX, start + TILE_PX + halo)) for start in (top, left))
                part = map_by_blocks(model, features.isel(y=y, x=x), LEGEND, areas[y, x], settings=settings)["land_cover"].values
                tiled[top : top + TILE_PX, left : left + TILE_PX] = part[top - y.start :, left - x.start :][:TILE_PX, :TILE_PX]
        out[f"{name}, pixels that differ from the whole map"] = int((tiled != whole).sum())
        out[f"{name}, map"] = compare_pairs(tiled)
    out["truth"] = compare_pairs(truth)
    return out


def compare_pairs(codes: np.ndarray) -> dict[str, float]:
    """Share of pairs that differ [1] across borders of tiles, a slanted state border and inside; ratio with 95 % interval.

    The interval is that of a bootstrap over stretches of a border of 16 pixels, as neighboring pairs resemble each other.
    """
    down, across = codes[1:] != codes[:-1], codes[:, 1:] != codes[:, :-1]
    tile_rows, tile_columns = (np.arange(TILE_PX, SIDE_PX, TILE_PX) - 1,) * 2
    border = np.concatenate([down[tile_rows].ravel(), across[:, tile_columns].T.ravel()])
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    state = columns + 0.37 * rows > 0.62 * SIDE_PX
    state_pairs = across[state[:, 1:] != state[:, :-1]]
    other_down, other_across = np.ones_like(down), np.ones_like(across)
    other_down[tile_rows], other_across[:, tile_columns] = False, False
    inside = np.concatenate([down[other_down], across[other_across & (state[:, 1:] == state[:, :-1])]]).mean()
    random = np.random.default_rng(0)
    out = {"inside [1]": float(inside)}
    for name, pairs in (("tile borders", border), ("state border", state_pairs)):
        stretches = np.array([part.mean() for part in np.array_split(pairs, max(1, len(pairs) // 16))])
        drawn = random.choice(stretches, (2000, len(stretches))).mean(axis=1) / inside
        out[f"{name} [1]"] = float(pairs.mean())
        out[f"{name} over inside [1]"] = float(pairs.mean() / inside)
        out[f"{name} over inside, 95 % [1]"] = np.round(np.percentile(drawn, [2.5, 97.5]), 3).tolist()
    return out


MEMORY_PROGRAM = """
import resource, sys, time
import numpy as np, xarray as xr, dask.array as da
from ceiba.classification.maps.blocks import MapSettings, map_blocks
from ceiba.classification.models.calibration import Softening
from ceiba.classification.models.classifiers import fit_classifier
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.legends import load_legend
side, count = int(sys.argv[1]), int(sys.argv[2])
legend, random = load_legend("mexico_17"), np.random.default_rng(0)
names = tuple(f"f{i}" for i in range(count))
codes = random.integers(1, 18, 800)
trees = fit_classifier("extra_trees", random.normal(size=(18, count))[codes].astype("float32"), codes, seed=0, options={"trees": 3})
model = LandCoverModel(trees, names, legend.name, legend.fingerprint, Softening(1.0, 0.01))
def layer(i):
    blocks = da.zeros((side, side), chunks=512, dtype="float32")
    return blocks.map_blocks(lambda b, block_id=None: np.random.default_rng((i, *block_id)).normal(size=b.shape).astype("float32"))
features = xr.Dataset({name: (("y", "x"), layer(i)) for i, name in enumerate(names)})
areas = xr.DataArray(np.broadcast_to(np.float64(0.09), (side, side)), dims=("y", "x"))
start = time.process_time()
for _ in map_blocks(model, features, legend, areas, settings=MapSettings(window_px=3)):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.process_time() - start)
"""


def measure_memory() -> dict[str, float]:
    """Peak memory [MB] of a process that maps tiles of 40 lazy features by blocks, of a quarter of the side and of the whole."""
    out = {}
    for side in (MEMORY_SIDE_PX // 4, MEMORY_SIDE_PX):
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", MEMORY_PROGRAM, str(side), str(MEMORY_FEATURES)], capture_output=True, text=True, check=True
        )
        peak_mb, cpu_s = map(float, done.stdout.split())
        out[f"{side} x {side} x {MEMORY_FEATURES}, peak [MB]"] = peak_mb
        out[f"{side} x {side} x {MEMORY_FEATURES}, CPU [s]"] = cpu_s
        out[f"{side} x {side} x {MEMORY_FEATURES}, wall [s]"] = time.monotonic() - start
    out["the features of the large tile alone [MB]"] = MEMORY_SIDE_PX**2 * MEMORY_FEATURES * 4 / 2**20
    return out


if __name__ == "__main__":
    main()
