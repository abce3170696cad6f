"""Geomedians of scenes on disk, block by block: reading, decoding and computing overlap, and no year is ever in memory."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import psutil
import rasterio
import rioxarray
import xarray as xr
from odc.geo.xr import xr_coords
from rasterio.windows import Window
from tqdm.auto import tqdm

from ceiba.ard.stack_blocks import StackBlock
from ceiba.ard.stacks import BLOCK_BYTES, BLOCK_PX, CACHE_MB, SceneStack
from ceiba.config import Config
from ceiba.mosaics.geomedian import STATISTICS, TOLERANCE, choose_engine, geomedian_of_arrays

IN_MEMORY_BYTES = 100_000_000  # a mosaic up to this size needs no file of its own
TILE_PX = 512
FOLDER_PREFIX = "mosaic-"


def geomedian_of_stack(
    stack: SceneStack,
    *,
    min_observations: int = 1,
    threads: int = 1,
    tolerance: float = TOLERANCE,
    deviations: bool = True,
    engine: str = "auto",
    block_bytes: int = BLOCK_BYTES,
    folder: Path | None = None,
) -> xr.Dataset:
    """Geometric median of the clear observations of a stack of scenes, with its deviations and their number.

    The result is the same to the bit whatever the blocks and threads, within one engine. Each thread holds one block, of at most
    ``block_bytes`` of numbers as stored.

    Parameters
    ----------
    stack
        Scenes of a tile and period.
    min_observations, tolerance
        As in :func:`ceiba.mosaics.geomedian.geomedian`.
    threads
        Blocks that are read and computed at a time.
    deviations
        Whether to compute ``emad``, ``smad`` and ``bcmad`` too.
    engine
        As in :func:`ceiba.mosaics.geomedian.choose_engine`.
    folder
        Where a mosaic that is too large for memory waits as a file until it is written as a product; a temporary
        folder of the store by default, removed with the result.

    Returns
    -------
    xr.Dataset
        dims ``(y, x)``: every band in reflectance [1], ``emad`` [1], ``smad`` [1], ``bcmad`` [1], float32, NaN where there
        is none, and ``count`` [1], uint16. Lazy where it is larger than 100 MB.

    Raises
    ------
    InputError
        Where a file cannot be read, naming it, or there is no such engine.
    """
    engine = choose_engine(engine)
    names = [*stack.measurements, *(STATISTICS if deviations else ()), "count"]
    attrs = {
        name: {"units": "1", "nodata": np.nan, "long_name": STATISTICS.get(name, f"geomedian of {name}")} for name in names
    }
    attrs["count"] = {"units": "1", "nodata": 0, "long_name": "clear observations"}

    def compute(window: Window) -> np.ndarray:
        block = stack.read(window)
        if not len(block.times):
            empty = np.full((len(names), int(window.height), int(window.width)), np.nan, np.float32)
            empty[-1] = 0
            return empty
        return geomedian_of_arrays(
            list(block.bands),
            block.clear,
            nodata=block.nodata,
            scale=block.scale,
            offset=block.offset,
            min_observations=min_observations,
            tolerance=tolerance,
            deviations=deviations,
            engine=engine,
        )

    types = {name: np.dtype(np.uint16 if name == "count" else np.float32) for name in names}
    return _assemble(compute, stack, stack.blocks(block_bytes=block_bytes), types, attrs, threads, folder)


def reduce_stack(
    stack: SceneStack,
    reduce: Callable[[xr.Dataset, xr.DataArray], xr.Dataset],
    *,
    threads: int = 1,
    block_bytes: int = BLOCK_BYTES,
    folder: Path | None = None,
) -> xr.Dataset:
    """What ``reduce`` makes of a stack over time, block by block.

    Parameters
    ----------
    stack
        Scenes of a tile and period.
    reduce
        Takes the bands, dims ``(time, y, x)``, and their clear mask, as of :func:`ceiba.ard.open_clear`, and returns layers
        ``(y, x)``, each pixel from its own observations. Their numbers must be exact in float32.
    threads, block_bytes, folder
        As in :func:`geomedian_of_stack`.

    Returns
    -------
    xr.Dataset
        The layers of ``reduce``, with its attributes, dims ``(y, x)``.
    """
    # scenes stored in several ways, or adjusted to one sensor, come as floats, twice as large as what is stored
    bands, _ = stack.read(Window(0, 0, 1, 1), all_dates=True).as_dataset()
    is_float = any(band.dtype.kind == "f" for band in bands.data_vars.values())

    def reduce_block(block: StackBlock) -> xr.Dataset:
        return reduce(*block.as_dataset())

    options = {"block_bytes": block_bytes // 2 if is_float else block_bytes, "folder": folder}
    return reduce_blocks_of_stack(stack, reduce_block, threads=threads, **options)


def reduce_blocks_of_stack(
    stack: SceneStack,
    reduce: Callable[[StackBlock], xr.Dataset],
    *,
    threads: int = 1,
    block_bytes: int = BLOCK_BYTES,
    folder: Path | None = None,
) -> xr.Dataset:
    """As :func:`reduce_stack`, with a ``reduce`` that takes a block as it was read, with all dates of the stack."""
    # what the layers are called, and of what type, is seen on one pixel with all its dates
    pixel = reduce(stack.read(Window(0, 0, 1, 1), all_dates=True))
    windows = stack.blocks(block_bytes=block_bytes)
    types = {str(name): layer.dtype for name, layer in pixel.data_vars.items()}
    attrs = {str(name): dict(layer.attrs) for name, layer in pixel.data_vars.items()}

    def compute(window: Window) -> np.ndarray:
        layers = reduce(stack.read(window, all_dates=True))
        return np.stack([layers[name].values.astype(np.float32) for name in types])

    return _assemble(compute, stack, windows, types, attrs, threads, folder).assign_attrs(pixel.attrs)


def _assemble(
    compute: Callable[[Window], np.ndarray],
    stack: SceneStack,
    windows: list[Window],
    types: Mapping[str, np.dtype],
    attrs: Mapping[str, Mapping],
    threads: int,
    folder: Path | None,
) -> xr.Dataset:
    """Layers from blocks (layer, y, x), in memory or, where they are large, from a file."""
    height, width = stack.geobox.shape
    blocks = tqdm(_in_turn(compute, windows, threads), total=len(windows), desc="blocks", unit="block", mininterval=1)
    if height * width * len(types) * 4 <= IN_MEMORY_BYTES:
        layers = np.empty((len(types), height, width), np.float32)
        for window, values in blocks:
            layers[:, *window.toslices()] = values
    else:
        layers = _through_a_file(blocks, stack, len(types), folder).data
    result = xr.Dataset(coords=xr_coords(stack.geobox))
    for position, (name, dtype) in enumerate(types.items()):
        values = layers[position].astype(dtype)
        result[name] = (("y", "x"), values, {**attrs[name], "grid_mapping": "spatial_ref"})
    return result


def _in_turn(
    compute: Callable[[Window], np.ndarray], windows: list[Window], threads: int
) -> Iterator[tuple[Window, np.ndarray]]:
    """Results in the order in which they are ready, with at most ``threads`` blocks in work and one result waiting."""
    if threads == 1:
        for window in windows:
            yield window, compute(window)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting = list(reversed(windows))
        running: dict[Future, Window] = {}

        def submit() -> None:
            if waiting:
                window = waiting.pop()
                running[pool.submit(compute, window)] = window

        for _ in range(threads):
            submit()
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                window, values = running.pop(future), future.result()
                submit()  # before the result is taken, so that no thread waits for that
                yield window, values


def _through_a_file(
    blocks: Iterator[tuple[Window, np.ndarray]], stack: SceneStack, layers: int, folder: Path | None
) -> xr.DataArray:
    """Layers (band, y, x) in an uncompressed file, which goes with this process."""
    work = folder or Config.from_environment().local / "work"
    work.mkdir(parents=True, exist_ok=True)
    _remove_left_over(work)
    own = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-", dir=work))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    height, width = stack.geobox.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": layers, "dtype": "float32"}
    profile |= {"nodata": np.nan, "crs": str(stack.geobox.crs), "transform": stack.geobox.affine}
    profile |= {"tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX, "interleave": "band", "bigtiff": "yes"}
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), rasterio.open(own / "layers.tif", "w", **profile) as file:
        for window, values in blocks:
            file.write(values, window=window)
    return rioxarray.open_rasterio(own / "layers.tif", chunks={"band": 1, "y": BLOCK_PX, "x": -1}, cache=False)


def _remove_left_over(work: Path) -> None:
    """Remove the layers of processes of this machine that were killed."""
    for folder in work.glob(f"{FOLDER_PREFIX}*"):
        process = int(folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0])
        if not psutil.pid_exists(process):
            shutil.rmtree(folder, ignore_errors=True)
