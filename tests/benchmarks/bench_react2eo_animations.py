"""Animations of React-2-EO as they are asked for: 20 noisy years of 1024 pixels, cold and kept, with reading and without."""

import importlib.util
import io
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
import yaml
from odc.geo.xr import xr_coords
from PIL import Image
from scipy.ndimage import gaussian_filter

YEARS = range(2001, 2021)
SIDE_PX, PIXEL_M, WIDTH_PX = 1024, 10, 640
REPEATS = 5
KEPT_REPEATS = 50
LIMITS = "animations=1000000 pages=1000000"
"""One client asks more here than the server would let it."""
LAYERS = ("natural_color", "ndvi", "land_cover")
PRODUCTS = {"geomedian_10m": ("red", "green", "blue"), "ndvi": ("ndvi",), "land_cover": ("land_cover",)}
GRAIN = {"geomedian_10m": 0.008, "ndvi": 0.02}
"""Standard deviation of what differs from pixel to pixel and year to year."""
SPECKLE = 0.02
"""Share of pixels of a map whose class is another one each year."""
AREA = {
    "title": {"es": "Veinte años", "en": "Twenty years"},
    "catalog": "catalog.yml",
    "simulated": True,
    "places": {
        "land": {
            "title": {"es": "Veinte años", "en": "Twenty years"},
            "crs": "EPSG:6372",
            "bounds": [3_000_000, 1_000_000, 3_000_000 + SIDE_PX * PIXEL_M, 1_000_000 + SIDE_PX * PIXEL_M],
            "years": [YEARS[0], YEARS[-1]],
            "settings": {"classification": {"legend": "mexico_31"}},
        }
    },
}


def load_gallery():
    """The module that writes small stores for the tests."""
    path = Path(__file__).resolve().parents[1] / "gallery.py"
    specification = importlib.util.spec_from_file_location("gallery", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def write_store(store: Path) -> None:
    """An area of one tile with 20 years of three products."""
    gallery = load_gallery()
    folder = store / "areas" / gallery.AREA
    folder.mkdir(parents=True)
    (folder / "area.yml").write_text(yaml.safe_dump(AREA), "utf-8")
    (folder / "catalog.yml").write_text("sources: {}\n", "utf-8")
    random = np.random.default_rng(0)
    noise = random.standard_normal((4, SIDE_PX, SIDE_PX), dtype=np.float32)
    cover = sum(size * gaussian_filter(layer, size) for layer, size in zip(noise, (1, 3, 10, 40), strict=True))
    cover = (cover - cover.min()) / np.ptp(cover)

    def make_bands(definition, geobox, period) -> xr.Dataset:
        year = period.first_year - YEARS[0]
        pattern = np.clip(cover + 0.1 * np.sin(year + 9 * cover), 0, 1)
        bands = {}
        for band in definition.measurements:
            if band.name not in PRODUCTS[definition.name]:
                values = np.ones((SIDE_PX, SIDE_PX))
            elif band.units == "class":
                values = 1 + (pattern * 30).astype("uint8")
                speckle = random.integers(1, 32, values.shape)
                values = np.where(random.random(values.shape) < SPECKLE, speckle, values)
            else:
                dark, bright = {"red": (0.04, 0.25), "green": (0.06, 0.2), "blue": (0.03, 0.15)}.get(band.name, (0.1, 0.9))
                grain = GRAIN[definition.name] * random.standard_normal(pattern.shape, dtype=np.float32)
                values = dark + (bright - dark) * pattern + grain
            bands[band.name] = (("y", "x"), values.astype(band.dtype))
        return xr.Dataset(bands, coords=xr_coords(geobox, dims=("y", "x")))

    gallery.make_bands = make_bands
    from ceiba.grids import Period, find_area

    (place,) = find_area(gallery.AREA).places
    for year in YEARS:
        for name in PRODUCTS:
            gallery.write_raster(name, place.tiles[0], Period(year, year), PIXEL_M)


def measure(client, layer: str) -> dict[str, float]:
    """Figures of GIFs of one layer: seconds cold with reading, seconds after reading, milliseconds when kept, MB."""
    from ceiba.react2eo.animations import animation_frames
    from ceiba.react2eo.animations.animation_frames import View

    shown = client.app.state.snapshots.current().find_layer("land", layer)
    west, south, east, north = shown.bounds
    inset = 0.1 * (east - west)
    cold, cpu, kept, drawn = [], [], [], []
    for repeat in range(REPEATS):
        # Other bounds each time, so that none was made before.
        left = west + inset * repeat / REPEATS
        bounds = (left, south, left + (east - west) - inset, south + (north - south) * (1 - inset / (east - west)))
        asked = {"region": "land", "layer": layer, "first": "2001", "last": "2020", "bounds": bounds, "width": WIDTH_PX}
        started, cpu_s = time.perf_counter(), time.process_time()
        answer = client.post("/api/animations", json=asked)
        assert answer.status_code == 201, answer.text
        content = client.get(answer.json()["url"]).content
        cold.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_s)

        view = View(shown, shown.periods, bounds, WIDTH_PX, "es")
        pictures = {period: animation_frames.read_whole(shown, period, view.window) for period in view.periods}
        read = animation_frames.read_whole
        animation_frames.read_whole = lambda _, period, __, ready=pictures: ready[period]
        started = time.perf_counter()
        frames, _ = animation_frames.render(view)
        animation_frames.encode(view, frames, format="gif", frame_ms=800)
        drawn.append(time.perf_counter() - started)
        animation_frames.read_whole = read
    for _ in range(KEPT_REPEATS):
        started = time.perf_counter()
        answer = client.post("/api/animations", json=asked)
        client.get(answer.json()["url"])
        kept.append(time.perf_counter() - started)
    assert answer.status_code == 200
    with Image.open(io.BytesIO(content)) as file:
        assert file.n_frames == len(YEARS) and file.width == WIDTH_PX
    return {
        "cold with reading, s": statistics.median(cold),
        "cold with reading, CPU s": statistics.median(cpu),
        "cold without reading, s": statistics.median(drawn),
        "kept, ms": 1000 * statistics.median(kept),
        "kept, slowest, ms": 1000 * max(kept),
        "MB": len(content) / 1e6,
    }


def main() -> dict[str, dict[str, float]]:
    """GIFs of 20 frames, 640 pixels wide, through the service in this process (without a network)."""
    from fastapi.testclient import TestClient

    folder = Path(tempfile.mkdtemp(prefix="ceiba-animations-"))
    folder.chmod(0o755)  # the database's own system user must reach it
    before = dict(os.environ)
    os.environ |= {"CEIBA_STORE": str(folder / "store"), "CEIBA_LOCAL": "", "CEIBA_DB_URL": "", "CEIBA_LIMITS": LIMITS}
    try:
        write_store(folder / "store")
        from ceiba.react2eo.server import create_app

        with TestClient(create_app()) as client:
            figures = {f"gif of {layer}": measure(client, layer) for layer in LAYERS}
    finally:
        os.environ.clear()
        os.environ |= before
        shutil.rmtree(folder, ignore_errors=True)
    for name, values in figures.items():
        print(name, ", ".join(f"{key} {value:.3g}" for key, value in values.items()))
    return figures


if __name__ == "__main__":
    main()
