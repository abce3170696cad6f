"""Statistics of a layer within a polygon, period by period, with true areas on the ground."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from rasterio.features import geometry_mask
from rasterio.transform import from_origin
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from ceiba.errors import InputError
from ceiba.grids import Period
from ceiba.react2eo.layers import Layer, Raster
from ceiba.react2eo.maps.readers import READERS, Shape
from ceiba.react2eo.slices.ground_areas import M2_A_HA, pixel_areas_m2

BLOCK_PX = 1024
MOST_PIXELS = 9_000_000
"""Pixels around a polygon, a period."""
MOST_READ = 120_000_000
"""Pixels around a polygon, in all periods and measurements."""
PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class Block:
    """Part of a file that a polygon touches: what to read, which pixels are inside, and their true areas [m2]."""

    raster: Raster
    window: Window
    inside: np.ndarray
    areas_m2: np.ndarray


@dataclass
class Summary:
    """What a period holds within a polygon.

    Attributes
    ----------
    pixels, known_pixels
        Pixels whose middle lies within the polygon, and those of them with data.
    known_m2
        True area of those with data [m2].
    values
        Statistics by measurement: mean, standard_deviation, min, max, p10, p50, p90.
    classes
        True area [m2] and pixels by code.
    """

    pixels: int = 0
    known_pixels: int = 0
    known_m2: float = 0.0
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    classes: dict[int, tuple[float, int]] = field(default_factory=dict)


def check_size(layer: Layer, periods: list[Period], polygon: BaseGeometry) -> None:
    """Raise :class:`InputError` where a polygon (in the CRS of the layer) is too large to be read."""
    left, bottom, right, top = polygon.bounds
    columns, rows = (math.ceil(length / layer.resolution_m) for length in (right - left, top - bottom))
    pixels = columns * rows
    if pixels > MOST_PIXELS:
        raise InputError(
            f"the polygon lies in {columns} x {rows} pixels of {layer.resolution_m:g} m ({pixels:,}); allowed are "
            f"{MOST_PIXELS:,}: give a smaller one"
        )
    read = pixels * len(periods) * len(layer.measurements)
    if read > MOST_READ:
        raise InputError(
            f"{len(periods)} periods and {len(layer.measurements)} measurements of {pixels:,} pixels are {read:,} values; allowed "
            f"are {MOST_READ:,}: give a smaller polygon or fewer periods"
        )


def summarize(layer: Layer, period: Period, polygon: BaseGeometry) -> Summary:
    """Statistics of one period; block by block, of which only the values within the polygon are kept.

    Parameters
    ----------
    polygon
        In the CRS of the layer. A pixel belongs to it where its middle does.
    """
    summary = Summary()
    blocks = [block for raster in layer.rasters[period] for block in _find_blocks(raster, polygon)]
    summary.pixels = sum(int(block.inside.sum()) for block in blocks)
    known_everywhere = [block.inside for block in blocks]
    for position, measurement in enumerate(layer.measurements):
        found = []
        for number, block in enumerate(blocks):
            values, known = _read_block(block, position)
            if layer.kind == "classes":
                _count_classes(summary, values[known], block.areas_m2[known])
            else:
                found.append(values[known].astype(np.float32))
            known_everywhere[number] = known_everywhere[number] & known
        if layer.kind != "classes":
            summary.values[measurement.name] = describe_values(np.concatenate(found) if found else np.empty(0, np.float32))
    summary.known_pixels = sum(int(known.sum()) for known in known_everywhere)
    summary.known_m2 = sum(float(block.areas_m2[known].sum()) for block, known in zip(blocks, known_everywhere, strict=True))
    return summary


def describe_values(values: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation (of all values, not a sample), extremes and percentiles; NaN where there are none."""
    names = ("mean", "standard_deviation", "min", "max", *(f"p{percent}" for percent in PERCENTILES))
    if not values.size:
        return dict.fromkeys(names, math.nan)
    percentiles = np.percentile(values, PERCENTILES)
    return dict(
        zip(
            names,
            map(float, (values.mean(dtype="f8"), values.std(dtype="f8"), values.min(), values.max(), *percentiles)),
            strict=True,
        )
    )


def _find_blocks(raster: Raster, polygon: BaseGeometry) -> Iterator[Block]:
    shape = READERS.describe(raster.bands[0].path)
    width, height = shape.pixel
    left, bottom, right, top = polygon.bounds
    first_column, last_column = _own_span(shape.left, width, shape.width, raster.tile.bounds[0], raster.tile.bounds[2])
    # Rows are counted downwards.
    first_row, last_row = _own_span(-shape.top, height, shape.height, -raster.tile.bounds[3], -raster.tile.bounds[1])
    first_column = max(first_column, math.floor((left - shape.left) / width))
    last_column = min(last_column, math.ceil((right - shape.left) / width))
    first_row = max(first_row, math.floor((shape.top - top) / height))
    last_row = min(last_row, math.ceil((shape.top - bottom) / height))
    for row in range(first_row, last_row, BLOCK_PX):
        for column in range(first_column, last_column, BLOCK_PX):
            rows, columns = min(BLOCK_PX, last_row - row), min(BLOCK_PX, last_column - column)
            block = _make_block(raster, shape, polygon, Window(column, row, columns, rows))
            if block.inside.any():
                yield block


def _own_span(start: float, step: float, count: int, first: float, last: float) -> tuple[int, int]:
    """First pixel and the one after the last whose middle lies within an edge of a tile: neighbors share pixels at most."""
    return max(0, math.ceil((first - start) / step - 0.5 - 1e-6)), min(count, math.ceil((last - start) / step - 0.5 - 1e-6))


def _make_block(raster: Raster, shape: Shape, polygon: BaseGeometry, window: Window) -> Block:
    width, height = shape.pixel
    left, top = shape.left + window.col_off * width, shape.top - window.row_off * height
    out_shape = (window.height, window.width)
    inside = geometry_mask([polygon], out_shape, from_origin(left, top, width, height), invert=True)
    bounds = (left, top - window.height * height, left + window.width * width, top)
    return Block(raster, window, inside, pixel_areas_m2(raster.tile.crs, bounds, out_shape))


def _read_block(block: Block, position: int) -> tuple[np.ndarray, np.ndarray]:
    """Values, and which of them are inside and known."""
    band = block.raster.bands[position]
    with READERS.borrow(band.path) as reader:
        values = reader.dataset.read(band.number, window=block.window)
        nodata = reader.dataset.nodata
    nodata = band.nodata if nodata is None else nodata
    known = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    if not math.isnan(nodata):
        known &= values != nodata
    return values, known & block.inside


def _count_classes(summary: Summary, codes: np.ndarray, areas_m2: np.ndarray) -> None:
    areas, counts = np.bincount(codes, areas_m2, minlength=1), np.bincount(codes, minlength=1)
    for code in np.flatnonzero(counts).tolist():
        area_m2, count = summary.classes.get(code, (0.0, 0))
        summary.classes[code] = (area_m2 + float(areas[code]), count + int(counts[code]))


def to_ha(area_m2: float) -> float:
    """Hectares of square meters."""
    return area_m2 / M2_A_HA
