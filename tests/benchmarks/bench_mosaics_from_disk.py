"""The whole way from scenes on disk to the written product against odc-stac and odc-algo, and the memory that it takes.

Both read the same Cloud-Optimised GeoTIFFs (one file a band, as USGS delivers them) and write the geomedian with its three
deviations and the count. The peer is run as its users run it: `odc.stac.load` in chunks, `geomedian_with_mads`, one file a
band by `odc.geo.cog.write_cog`. The memory is shown on 24 dates of 5000 x 5000 pixels under a limit of 2 GiB.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from bench_mosaics import make_scenes
from odc.geo.geobox import GeoBox

DATES, SIDE_PX, PEER_STEP = 24, 2048, 1e-5
LARGE_SIDE_PX, LARGE_SCENES = 5000, 2
NAMES = ("blue", "green", "red", "nir", "swir_1", "swir_2")
CLEAR, CLOUD = 21824, 22280  # QA_PIXEL
CRS, PIXEL_M = "EPSG:6372", 30
LIMIT_BYTES = 2 * 2**30


def grid(side_px: int) -> GeoBox:
    """The grid that all scenes and the mosaic lie on."""
    return GeoBox((side_px, side_px), Affine(PIXEL_M, 0, 2_000_010, 0, -PIXEL_M, 1_000_020), CRS)


def write_band(path: Path, values: np.ndarray, geobox: GeoBox, compress: str = "deflate") -> None:
    """One Cloud-Optimised GeoTIFF, as archives have them."""
    profile = {"driver": "COG", "height": geobox.height, "width": geobox.width, "count": 1, "dtype": "uint16"}
    profile |= {"crs": CRS, "transform": geobox.affine, "nodata": 0, "compress": compress, "predictor": "yes"}
    with rasterio.open(path, "w", blocksize=512, overviews="none", **profile) as file:
        file.write(values, 1)


def write_scenes(folder: Path, side_px: int, dates: int) -> None:
    """Folders ``<date>/<band>.tif`` of reflectance times 10000 and of quality bits."""
    for date in range(dates):
        numbers = make_scenes(1, seed=date, side_px=side_px)[:, 0]
        place = folder / f"{date:02d}"
        place.mkdir(parents=True)
        cloudy = numbers[0] < 0
        # what clouds look like does not matter, they are masked; but they are there and must be decoded
        for name, band in zip(NAMES, numbers, strict=True):
            write_band(place / f"{name}.tif", np.where(cloudy, 7000, band).astype(np.uint16), grid(side_px))
        write_band(place / "quality.tif", np.where(cloudy, CLOUD, CLEAR).astype(np.uint16), grid(side_px))


def time_of(date: int) -> datetime:
    """Time of a scene, two weeks apart."""
    return datetime(2019, 1, 5, 17, tzinfo=UTC) + timedelta(days=14 * date)


def open_stack(folder: Path, side_px: int, dates: int, scenes: int):
    """The scenes as a stack; ``dates`` dates from ``scenes`` folders, which are used again in turn."""
    from datacube.index.eo3 import prep_eo3
    from datacube.model import Dataset, Product, metadata_from_doc

    from ceiba.ard.stacks import SceneStack
    from ceiba.products import eo3_document, find_definition

    eo3 = metadata_from_doc(next(doc for doc in default_metadata_types() if doc["name"] == "eo3"))
    definition = find_definition("landsat_scenes")
    product = Product(eo3, definition.to_odc())
    datasets = []
    for date in range(dates):
        moment = time_of(date).strftime("%Y-%m-%dT%H:%M:%SZ")
        document = eo3_document(
            dataset_id=uuid.UUID(int=date + 1),
            definition=definition,
            region_code=str(date),
            period=(moment, moment),
            geobox=grid(side_px),
            measurements={name: f"{name}.tif" for name in (*NAMES, "quality")},
            accessories={},
            lineage={},
            properties={
                "eo:platform": "landsat-8",
                "ceiba:sensor": "landsat_8_l2_c2",
                "ceiba:reflectance": {"scale": 1e-4, "offset": 0.0, "nodata": 0},
            },
        )
        uri = (folder / f"{date % scenes:02d}" / "dataset.odc-metadata.yaml").as_uri()
        datasets.append(Dataset(product, prep_eo3(document), uri=uri))
    return SceneStack(datasets, measurements=NAMES, geobox=grid(side_px))


def default_metadata_types() -> Iterator[dict]:
    """Metadata types that the data cube comes with."""
    from datacube.index.abstract import default_metadata_type_docs

    return default_metadata_type_docs()


def run_ours(folder: Path, target: Path, threads: int, *, side_px: int = SIDE_PX, dates: int = DATES, scenes: int = DATES):
    """Read, compute and write, as the notebook does."""
    from ceiba.mosaics.streaming import geomedian_of_stack
    from ceiba.rasters import write_cog

    mosaic = geomedian_of_stack(open_stack(folder, side_px, dates, scenes), threads=threads, folder=target / "work")
    target.mkdir(exist_ok=True)
    for name, band in mosaic.data_vars.items():
        dtype, nodata = ("uint16", 0) if name == "count" else ("float32", float("nan"))
        write_cog(target / f"{name}.tif", band, grid(side_px), dtype=dtype, nodata=nodata, threads=threads)


def run_peer(folder: Path, target: Path, threads: int) -> None:
    """The same by odc-stac and odc-algo."""
    import dask
    import odc.stac
    import pystac
    import xarray as xr
    from odc.algo import geomedian_with_mads
    from odc.geo.cog import write_cog

    items = []
    geobox = grid(SIDE_PX)
    for date in range(DATES):
        extent = geobox.geographic_extent
        item = pystac.Item(str(date), extent.json, list(extent.boundingbox.bbox), time_of(date), {})
        item.properties |= {"proj:code": CRS, "proj:shape": list(geobox.shape), "proj:transform": list(geobox.affine)}
        item.stac_extensions = ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"]
        for name in (*NAMES, "quality"):
            item.add_asset(name, pystac.Asset(str(folder / f"{date:02d}" / f"{name}.tif"), roles=["data"]))
        items.append(item)
    bands = dict.fromkeys((*NAMES, "quality"), {"data_type": "uint16", "nodata": 0})
    chunks = {"x": 1024, "y": 1024}
    loaded = odc.stac.load(items, bands=list(bands), geobox=geobox, chunks=chunks, stac_cfg={"*": {"assets": bands}})
    clear = loaded.quality == CLEAR
    # integers lose their nodata in odc-algo (PR 14, issue 8), so that the peer takes floats with NaN
    floats = xr.Dataset({name: (loaded[name] * np.float32(1e-4)).where(clear & (loaded[name] > 0)) for name in NAMES})
    mosaic = geomedian_with_mads(
        floats, eps=PEER_STEP, maxiters=10_000, num_threads=1, work_chunks=(1024, 1024), reshape_strategy="mem"
    )
    target.mkdir(exist_ok=True)
    with dask.config.set(scheduler="threads", num_workers=threads):
        mosaic = mosaic.compute()
    for name, band in mosaic.data_vars.items():
        write_cog(band, target / f"{name}.tif", overwrite=True, overview_levels=[2, 4])


def compare_from_disk(folder: Path) -> dict[str, float]:
    """Seconds and ratios with one and two threads, and the largest difference [reflectance]."""
    write_scenes(folder / "scenes", SIDE_PX, DATES)
    figures: dict[str, float] = {}
    for threads in (1, 2):
        taken = {}
        # one turn of each before the clock, for compiling and the page cache; the files are read three times
        for turn, measured in ((0, False), (1, True), (2, True)):
            for name, run in (("ceiba", run_ours), ("odc-stac and odc-algo", run_peer)):
                if turn == 0 and (threads > 1 or name != "ceiba"):
                    continue
                cpu, wall = time.process_time(), time.perf_counter()
                run(folder / "scenes", folder / name.split()[0], threads)
                if measured:
                    spent = time.process_time() - cpu if threads == 1 else time.perf_counter() - wall
                    taken.setdefault(name, []).append(spent)
        kind = "CPU s, 1 thread" if threads == 1 else "s by the clock, 2 threads"
        for name, seconds in taken.items():
            figures[f"{name}, {kind}"] = min(seconds)
        figures[f"ratio, {threads} thread{'s' * (threads > 1)}"] = min(taken["odc-stac and odc-algo"]) / min(taken["ceiba"])
    differences = []
    for name in NAMES:
        with rasterio.open(folder / "ceiba" / f"{name}.tif") as ours, rasterio.open(folder / "odc-stac" / f"{name}.tif") as peer:
            differences.append(np.nanmax(np.abs(ours.read(1) - peer.read(1))))
    return figures | {"largest difference between the two [reflectance]": float(max(differences))}


def measure_memory(folder: Path) -> dict[str, float]:
    """Peak memory of the large mosaic in a process of its own under the limit."""
    write_scenes(folder / "large", LARGE_SIDE_PX, LARGE_SCENES)
    command = [sys.executable, __file__, "--large", str(folder / "large"), str(folder / "large_mosaic")]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    with memory_group() as (group, kind):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, preexec_fn=lambda: enter(group)
        )
    if done.returncode:
        raise RuntimeError(f"the large mosaic ended with {done.returncode}: {done.stderr[-2000:]}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    block_mib = told["block_bytes"] / 2**20
    return {
        "limit": f"2 GiB, by {kind}",
        f"stored numbers of all {DATES} dates of {LARGE_SIDE_PX} x {LARGE_SIDE_PX} pixels, GiB": told["stored_bytes"] / 2**30,
        "stored numbers of one block, MiB": block_mib,
        "peak of the process, MiB": told["peak_mib"],
        "of that before the first block (Python and libraries), MiB": told["before_mib"],
        "peak beyond that, as a multiple of one block": (told["peak_mib"] - told["before_mib"]) / block_mib,
        "s by the clock": told["seconds"],
    }


class memory_group:
    """A control group with the limit where this user may make one, else the limit on the address space."""

    def __enter__(self) -> tuple[Path | None, str]:
        self.folder: Path | None = Path("/sys/fs/cgroup/memory") / f"ceiba-bench-{os.getpid()}"
        try:
            self.folder.mkdir()
            (self.folder / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
        except OSError:
            self.folder = None
        return self.folder, "control group" if self.folder else "ulimit -v"

    def __exit__(self, *_: object) -> None:
        if self.folder:
            self.folder.rmdir()


def enter(group: Path | None) -> None:
    """Put this process under the limit."""
    if group:
        (group / "cgroup.procs").write_text(str(os.getpid()))
    else:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))


def peak_mib() -> float:
    """Largest resident memory of this program so far [MiB]; not by getrusage, which keeps that of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def make_large(folder: Path, target: Path) -> None:
    """The large mosaic, and what it took, as JSON."""
    target.mkdir(parents=True, exist_ok=True)
    run_ours(folder.parent / "tiny", target / "tiny", 1, side_px=256, dates=2, scenes=1)  # compiles
    before, start = peak_mib(), time.perf_counter()
    options = {"side_px": LARGE_SIDE_PX, "dates": DATES, "scenes": LARGE_SCENES}
    run_ours(folder, target, 1, **options)
    window = open_stack(folder, LARGE_SIDE_PX, DATES, LARGE_SCENES).blocks()[0]
    numbers = DATES * len(NAMES) * 2
    told = {"peak_mib": peak_mib(), "before_mib": before, "seconds": time.perf_counter() - start}
    told |= {"block_bytes": int(window.width * window.height) * numbers, "stored_bytes": LARGE_SIDE_PX**2 * numbers}
    print(json.dumps(told))


def main() -> dict[str, object]:
    """Everything; about ten minutes."""
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="ceiba-bench-") as name:
        folder = Path(name)
        figures["from 24 scenes on disk to the product"] = compare_from_disk(folder)
        print(figures, flush=True)
        write_scenes(folder / "tiny", 256, 1)
        figures["memory"] = measure_memory(folder)
        print(figures["memory"], flush=True)
    return figures


if __name__ == "__main__":
    if sys.argv[1:2] == ["--large"]:
        make_large(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
