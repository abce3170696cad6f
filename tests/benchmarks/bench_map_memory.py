"""Peak memory of maps and of class change by blocks, of features that lie on disk: it grows by the outputs only."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import rioxarray
import xarray as xr
from affine import Affine

MEBI = 2**20
MAP_SIDES_PX, FEATURES = (1000, 2000, 4000), 40
CHANGE_SIDES_PX, YEARS, CHANGE_FEATURES = (500, 1000), tuple(range(2011, 2019)), 20
FILES = 4  # of which each holds a band that many features read: the values do not matter here, only how many there are
PIXEL_M, BLOCK_PX = 10.0, 512


def main() -> dict[str, object]:
    """Every figure by name."""
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in sorted({*MAP_SIDES_PX, *CHANGE_SIDES_PX}):
            write_bands(Path(folder), side)
        for task, sides, layers in (
            ("map", MAP_SIDES_PX, FEATURES), ("change", CHANGE_SIDES_PX, CHANGE_FEATURES * len(YEARS))
        ):  # fmt: skip
            for side in sides:
                title = f"{task}, {side} x {side} x {layers}, 17 classes"
                command = [sys.executable, __file__, task, str(side), folder]
                # The cube closes files and with them what GDAL keeps of them; here they stay open.
                environment = os.environ | {"GDAL_CACHEMAX": "16"}
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
                figures[title] = json.loads(done.stdout.splitlines()[-1])
                figures[title]["its features alone [MiB]"] = side**2 * layers * 4 / MEBI
    print(json.dumps(figures, indent=1))
    return figures


def write_bands(folder: Path, side: int) -> None:
    """Bands of noise over smooth land, with two corners without data."""
    random = np.random.default_rng(side)
    profile = {
        "driver": "GTiff", "dtype": "float32", "count": 1, "width": side, "height": side, "nodata": np.nan, "crs": "EPSG:6372",
        "transform": Affine(PIXEL_M, 0, 2.5e6, 0, -PIXEL_M, 1.0e6), "tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX,
    }  # fmt: skip
    for number in range(FILES):
        waves = np.sin(np.arange(side) / (40 + 17 * number)).astype("float32")
        band = waves[:, None] * waves + random.normal(scale=0.3, size=(side, side)).astype("float32")
        band[:50, :50] = band[-50:, -50:] = np.nan
        with rasterio.open(folder / f"{side}_{number}.tif", "w", **profile) as file:
            file.write(band, 1)


def open_features(folder: Path, side: int, count: int) -> xr.Dataset:
    """Features that are read when they are used, in blocks as the cube reads them."""
    files = [
        rioxarray.open_rasterio(folder / f"{side}_{number}.tif", chunks=BLOCK_PX).isel(band=0, drop=True) for number in range(FILES)
    ]
    return xr.Dataset({f"f{number}": files[number % FILES] for number in range(count)})


def measure(task: str, side: int, folder: Path) -> dict[str, float]:
    """Peak memory of this process, which does one of both."""
    from ceiba.change.classes.blocks import change_model_of_source, class_change_by_blocks
    from ceiba.change.classes.transitions import load_rules
    from ceiba.classification.accuracy.areas import pixel_areas
    from ceiba.classification.maps.blocks import MapSettings, map_by_blocks
    from ceiba.classification.models.calibration import Softening
    from ceiba.classification.models.classifiers import fit_classifier
    from ceiba.classification.models.land_cover_model import LandCoverModel
    from ceiba.legends import load_legend

    legend, random = load_legend("mexico_17"), np.random.default_rng(0)
    features = open_features(folder, side, FEATURES if task == "map" else CHANGE_FEATURES)
    codes = np.repeat(legend.codes, 50)
    samples = random.normal(scale=0.6, size=(18, len(features)))[codes] + random.normal(scale=0.3, size=(len(codes), len(features)))
    trees = fit_classifier("extra_trees", samples.astype("float32"), codes, seed=0, options={"trees": 3})
    model = LandCoverModel(trees, tuple(features.data_vars), legend.name, legend.fingerprint, Softening(1.0, 0.001))
    before = peak_bytes()
    start = time.process_time()
    if task == "map":
        areas = pixel_areas(features.odc.geobox)
        out = map_by_blocks(model, features, legend, areas, settings=MapSettings(window_px=3))
        known_bytes = areas.nbytes
    else:
        times = np.array([f"{year}-01-01" for year in YEARS], dtype="datetime64[ns]")
        series = xr.concat([features] * len(YEARS), xr.DataArray(times, dims="time", name="time"))
        known = change_model_of_source(model, series, legend, YEARS, load_rules(legend, model.codes))
        out, known_bytes = class_change_by_blocks(model, series, legend, known), 0
    return {
        "peak [MiB]": peak_bytes() / MEBI,
        "imports, model and graph [MiB]": before / MEBI,
        "outputs [MiB]": (out.nbytes + known_bytes) / MEBI,
        "peak beyond both [MiB]": (peak_bytes() - before - out.nbytes - known_bytes) / MEBI,
        "CPU [s]": time.process_time() - start,
    }


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()
