"""Values of a layer's files at the pixels of a window, or at a point."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window as FileWindow
from rio_tiler.errors import PointOutsideBounds

from ceiba.grids import Period
from ceiba.react2eo.layers import Band, Layer, Raster
from ceiba.react2eo.maps.positions import Part, Positions, Window, find_rasters, locate, unite
from ceiba.react2eo.maps.readers import READERS, SHRINK_MARGIN, Shape

EDGE_PX = 1e-3
"""Rounding at the edge of a file must leave no crack between two of them [pixels of the file]."""


def read_files(layer: Layer, period: Period, window: Window) -> np.ndarray:
    """Values of a layer from all files that a window meets, float32, dims ``(band, y, x)``, NaN where there is no data."""
    values = np.full((len(layer.measurements), window.height, window.width), np.nan, np.float32)
    parts = find_rasters(layer, period, window)
    positions = locate(window, unite(list(parts.values())), layer.region.place.crs) if parts else None
    if positions:
        fill_from_files(values, layer, period, parts, positions)
    return values


def fill_from_files(values: np.ndarray, layer: Layer, period: Period, parts: Mapping[int, Part], positions: Positions) -> None:
    """Write values of the rasters ``parts`` (:func:`ceiba.react2eo.maps.positions.find_rasters`) where ``values`` have none yet."""
    for number, part in parts.items():
        raster = layer.rasters[period][number]
        fill(values[:, *part.slices], raster, positions.cut(part), classes=layer.kind == "classes")


def fill(target: np.ndarray, raster: Raster, positions: Positions, *, classes: bool) -> None:
    """Write values of a raster where ``target`` has none yet.

    Where the pixels asked for are wider than those of a file, its overviews are read: means, or the commonest class. A pixel has no
    data exactly where the nearest one of the file has none.

    Parameters
    ----------
    target
        Float32, dims ``(band, y, x)``, NaN where there is no data; changed in place.
    positions
        Middles of the pixels of ``target`` in the CRS of the raster.
    classes
        Whether values are taken from the nearest pixel instead of being interpolated between four.
    """
    located = None
    for path, bands in group_by_file(raster.bands).items():
        places, numbers = [place for place, _ in bands], [band.number for _, band in bands]
        shape = READERS.describe(path)
        grid = (shape.width, shape.height, shape.left, shape.top, shape.pixel)
        if located != grid:  # most files of a product have the same one
            located = grid
            column, row = _in_pixels(shape, positions)
            inside = (column > -EDGE_PX) & (column < shape.width + EDGE_PX) & (row > -EDGE_PX) & (row < shape.height + EDGE_PX)
            whole = bool(inside.all())
        if not (whole or inside.any()):
            continue
        stack, map_x, map_y = _read(path, shape, numbers, column, row, positions.step, classes)
        nodata = bands[0][1].nodata if shape.nodata is None else shape.nodata
        for place, values in zip(places, stack, strict=True):
            part = _sample(_with_nan(values, nodata), map_x, map_y, classes)
            wanted = np.isnan(target[place])
            if not whole:
                wanted &= inside
            np.copyto(target[place], part, where=wanted)


def read_value(raster: Raster, longitude: float, latitude: float) -> list[float]:
    """Value of each band of a raster at a point [degrees, WGS 84], NaN where it has none or does not reach."""
    values = [math.nan] * len(raster.bands)
    for path, bands in group_by_file(raster.bands).items():
        with READERS.borrow(path) as reader:
            try:
                found = reader.point(longitude, latitude, indexes=[band.number for _, band in bands]).array
            except PointOutsideBounds:
                continue
        for (place, _), value in zip(bands, found.astype("float64").filled(np.nan), strict=True):
            values[place] = float(value)
    return values


def group_by_file(bands: Sequence[Band]) -> dict[str, list[tuple[int, Band]]]:
    """Bands with their places in ``bands``, by the file that holds them: a file is read once."""
    files: dict[str, list[tuple[int, Band]]] = {}
    for place, band in enumerate(bands):
        files.setdefault(band.path, []).append((place, band))
    return files


def _in_pixels(shape: Shape, positions: Positions) -> tuple[np.ndarray, np.ndarray]:
    # The large numbers are subtracted in double precision before they meet the arrays.
    x, y = positions.origin
    width, height = shape.pixel
    column = positions.x * np.float32(1 / width) + np.float32((x - shape.left) / width)
    row = positions.y * np.float32(-1 / height) + np.float32((shape.top - y) / height)
    return column, row


def _read(
    path: str, shape: Shape, numbers: list[int], column: np.ndarray, row: np.ndarray, step: float, classes: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bands around the pixels, and where in them these lie as OpenCV counts: the middle of the first pixel is 0."""
    shrink = step / min(shape.pixel)
    overview = shape.find_overview(shrink)
    with READERS.borrow(path, overview=overview) as reader:
        dataset = reader.dataset
        # Overviews are rounded up to whole pixels, so their pixels are not quite a multiple of the file's.
        factors = shape.width / dataset.width, shape.height / dataset.height
        further = max(1, int(shrink * SHRINK_MARGIN / max(factors)))
        first_column, columns, out_columns = _span(column, factors[0], dataset.width, further)
        first_row, rows, out_rows = _span(row, factors[1], dataset.height, further)
        stack = dataset.read(
            numbers,
            window=FileWindow(first_column, first_row, columns, rows),
            out_shape=(len(numbers), out_rows, out_columns),
            resampling=(Resampling.mode if classes else Resampling.average) if further > 1 else Resampling.nearest,
        )
    maps = []
    for position, factor, first, count, out in (
        (column, factors[0], first_column, columns, out_columns),
        (row, factors[1], first_row, rows, out_rows),
    ):
        scale = out / count
        maps.append(position * np.float32(scale / factor) - np.float32(first * scale + 0.5))
    return stack, *maps


def _span(position: np.ndarray, factor: float, size: int, further: int) -> tuple[int, int, int]:
    """First pixel of an overview of ``size`` pixels, how many, and into how many they are shrunk further."""
    lowest, highest = float(np.nanmin(position)) / factor, float(np.nanmax(position)) / factor
    first = min(max(math.floor(lowest) - 1, 0) // further * further, size - 1)
    last = min(max(math.ceil((math.floor(highest) + 2) / further) * further, first + 1), size)
    return first, last - first, math.ceil((last - first) / further)


def _with_nan(values: np.ndarray, nodata: float | None) -> np.ndarray:
    known = values.astype(np.float32, copy=False)
    if nodata is None or math.isnan(nodata):
        return known
    empty = values == values.dtype.type(nodata)
    if empty.any():
        known = np.where(empty, np.float32(np.nan), known)
    return known


def _sample(values: np.ndarray, map_x: np.ndarray, map_y: np.ndarray, classes: bool) -> np.ndarray:
    nearest = (cv2.INTER_NEAREST, cv2.BORDER_REPLICATE)
    if classes:
        return cv2.remap(values, map_x, map_y, nearest[0], borderMode=nearest[1])
    part = cv2.remap(values, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # One pixel of four without data would make a hole wider than it is.
    holes = np.isnan(part)
    if holes.any():
        np.copyto(part, cv2.remap(values, map_x, map_y, nearest[0], borderMode=nearest[1]), where=holes)
    return part
