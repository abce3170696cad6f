"""Coarse rasters of layers that have many files: a view of a whole country opens one file instead of hundreds."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.transform import from_origin
from rasterio.windows import Window as FileWindow

from ceiba.config import Config
from ceiba.errors import StoreError
from ceiba.grids import Period
from ceiba.react2eo.layers import Band, Layer, Raster, Snapshot
from ceiba.react2eo.maps.positions import Window
from ceiba.react2eo.maps.sampling import read_files

FEW_RASTERS = 12
"""A layer with at most so many rasters a period needs no coarse ones: their own overviews are read as fast."""
MANY_RASTERS = 48
"""No picture opens more rasters than this."""
SIDE_PX = 4096
BLOCK_PX = 512
FINE_ENOUGH = 0.75
"""A coarse raster is shown where the pixels asked for are at least so wide as a part of its own."""
WANTED_AT_MOST = 100
PARTIAL = ".making"


@dataclass(frozen=True)
class Coarse:
    """A coarse raster of a layer and period; it covers the whole region.

    Attributes
    ----------
    pixel
        Width of a pixel [units of the region's CRS].
    """

    path: Path
    layer: Layer
    pixel: float
    width: int
    height: int

    @property
    def raster(self) -> Raster:
        """The file as the rasters of the layer are told."""
        nodata = self.layer.measurements[0].nodata if self.layer.kind == "classes" else math.nan
        bands = tuple(Band(str(self.path), number, nodata) for number in range(1, len(self.layer.measurements) + 1))
        return Raster(self.layer.region.place.whole, bands, "")

    def is_shown_at(self, step: float) -> bool:
        """Whether it serves pixels of a width of ``step`` [units of the region's CRS]."""
        return step >= self.pixel * FINE_ENOUGH


def needs_coarse(layer: Layer) -> bool:
    """Whether the files of a period are too many for a view of the whole region."""
    return max(map(len, layer.rasters.values())) > FEW_RASTERS


def plan_coarse(layer: Layer, period: Period) -> Coarse:
    """The coarse raster that a period of a layer should have.

    Its file is named by what the period is made of, so that a new year leaves those of the older ones as they are.
    """
    left, bottom, right, top = layer.region.place.whole.bounds
    side = max(right - left, top - bottom) / layer.resolution_m
    # Twice and twice again, as the overviews of the files are, so that these are read as they stand.
    pixel = layer.resolution_m * 2 ** max(0, math.ceil(math.log2(side / SIDE_PX)))
    parts = [raster.dataset_id for raster in layer.rasters[period]] + [band.name for band in layer.measurements]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    path = coarse_folder() / layer.region.name / layer.name / f"{period}-{digest}.tif"
    return Coarse(path, layer, pixel, math.ceil((right - left) / pixel), math.ceil((top - bottom) / pixel))


def coarse_folder() -> Path:
    """Where coarse rasters are kept; everything in it can be made again."""
    return Config.from_environment().local / "react2eo" / "overviews"


def make_coarse(coarse: Coarse, period: Period) -> None:
    """Write a coarse raster whole or not at all; raises :class:`StoreError`.

    Only one process may do so at a time (:class:`ceiba.react2eo.maps.preparation.Preparation` sees to it).
    """
    layer, classes = coarse.layer, coarse.layer.kind == "classes"
    left, _, _, top = layer.region.place.whole.bounds
    profile = {
        "driver": "GTiff",
        "width": coarse.width,
        "height": coarse.height,
        "count": len(layer.measurements),
        "dtype": layer.measurements[0].dtype if classes else "float32",
        "nodata": coarse.raster.bands[0].nodata,
        "crs": rasterio.crs.CRS.from_user_input(layer.region.place.crs),
        "transform": from_origin(left, top, coarse.pixel, coarse.pixel),
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "interleave": "pixel",
    }
    blocks, partial = (coarse.path.with_name(f"{coarse.path.name}.{kind}{PARTIAL}") for kind in ("blocks", "whole"))
    try:
        coarse.path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(blocks, "w", **profile) as file:
            for window in _blocks(coarse):
                bounds = file.window_bounds(window)
                asked = Window(bounds, layer.region.place.crs, window.width, window.height)
                values = read_files(layer, period, asked)
                values = np.where(np.isnan(values), profile["nodata"], values) if classes else round_numbers(values)
                file.write(values.astype(profile["dtype"]), window=window)
        rasterio.shutil.copy(
            blocks, partial, driver="COG", compress="zstd", level=1, blocksize=BLOCK_PX, predictor="yes",
            overview_resampling="mode" if classes else "average", overviews="auto",
        )  # fmt: skip
        partial.replace(coarse.path)
    except (RasterioError, OSError) as error:
        raise StoreError(f"{coarse.path} cannot be written: {error}") from error
    finally:
        blocks.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def round_numbers(values: np.ndarray) -> np.ndarray:
    """Float32 with 12 binary digits, an error of at most one in 8000: what follows is noise that would double the file."""
    whole = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((whole + np.uint32(0x400)) & np.uint32(0xFFFFF800)).view(np.float32)


def _blocks(coarse: Coarse) -> Iterator[FileWindow]:
    for row in range(0, coarse.height, BLOCK_PX):
        for column in range(0, coarse.width, BLOCK_PX):
            yield FileWindow(column, row, min(BLOCK_PX, coarse.width - column), min(BLOCK_PX, coarse.height - row))


def plan_all(snapshot: Snapshot) -> dict[Path, tuple[Coarse, Period]]:
    """The coarse rasters that a snapshot should have, by path: the newest period of every layer first."""
    plan = [(plan_coarse(layer, period), period) for layer in snapshot.layers() if needs_coarse(layer) for period in layer.periods]
    return {coarse.path: (coarse, period) for coarse, period in sorted(plan, key=lambda each: each[1], reverse=True)}


def remove_old(wanted: set[Path]) -> int:
    """Remove what is not wanted, also what a killed process left half; returns how many files."""
    old = [path for path in coarse_folder().rglob("*") if path.is_file() and path not in wanted]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


class Wanted:
    """Coarse rasters that somebody looked for and that were not there, the latest last; they are made first."""

    def __init__(self):
        self._paths: OrderedDict[Path, None] = OrderedDict()

    def add(self, path: Path) -> None:
        """Note one; safe from any thread."""
        self._paths[path] = None
        if len(self._paths) > WANTED_AT_MOST:
            self._paths.pop(next(iter(self._paths), path), None)

    def choose(self, missing: set[Path]) -> Path | None:
        """Take out the latest one that is missing."""
        while self._paths:
            path, _ = self._paths.popitem()
            if path in missing:
                return path
        return None


WANTED = Wanted()
"""Those of this process."""
