"""From a layer's files to pictures: values of any window in any CRS, and the colors that they are shown in."""

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import rasterio
from matplotlib.colors import to_rgb
from rio_tiler.errors import TileOutsideBounds
from rio_tiler.io import Reader

from ceiba.grids import Period
from ceiba.mosaics.display import INDEX_LIMITS
from ceiba.react2eo.layers import Layer, Raster

log = logging.getLogger(__name__)

STRETCH = (2, 98)
"""Percentiles of reflectance over all years of a region that are shown as darkest and brightest."""
SAMPLED_RASTERS = 40
SAMPLE_PX = 64
STEPS = 256


@dataclass(frozen=True)
class Window:
    """What is asked for: bounds (left, bottom, right, top) in ``crs`` and a size in pixels."""

    bounds: tuple[float, float, float, float]
    crs: str
    width: int
    height: int


def read_window(layer: Layer, period: Period, window: Window) -> np.ndarray:
    """Values of a layer, float32, dims ``(band, y, x)``, NaN where there is no data.

    Classes take the nearest pixel; other values are averaged where the window is coarser than the file.
    """
    method = "nearest" if layer.kind == "classes" else "bilinear"
    values = np.full((len(layer.measurements), window.height, window.width), np.nan, "float32")
    for raster in layer.rasters[period]:
        for position, band in enumerate(raster.bands):
            part = _read_band(band, window, method)
            if part is None:
                break
            target = values[position]
            np.copyto(target, part, where=np.isnan(target))
    return values


def _read_band(band, window: Window, method: str) -> np.ndarray | None:
    crs = rasterio.crs.CRS.from_user_input(window.crs)
    with Reader(band.path) as reader:
        try:
            image = reader.part(
                window.bounds, bounds_crs=crs, dst_crs=crs, indexes=band.number, width=window.width, height=window.height,
                resampling_method=method, reproject_method=method,
            )  # fmt: skip
        except TileOutsideBounds:
            return None
    return image.array[0].astype("float32").filled(np.nan)


def read_point(layer: Layer, period: Period, longitude: float, latitude: float) -> dict[str, float]:
    """Value of each measurement at a point [degrees, WGS 84], NaN where there is no data."""
    for raster in layer.rasters[period]:
        values = {}
        for measurement, band in zip(layer.measurements, raster.bands, strict=True):
            with Reader(band.path) as reader:
                try:
                    array = reader.point(longitude, latitude, indexes=band.number).array
                except (TileOutsideBounds, IndexError):
                    break
                values[measurement.name] = float(array.astype("float64").filled(np.nan)[0])
        if values and not all(np.isnan(value) for value in values.values()):
            return values
    return {measurement.name: float("nan") for measurement in layer.measurements}


def paint(layer: Layer, values: np.ndarray) -> np.ndarray:
    """Colors of values, uint8, dims ``(y, x, 4)``: red, green, blue and opacity, which is 0 where there is no data."""
    known = np.isfinite(values).all(axis=0)
    picture = np.zeros((*known.shape, 4), np.uint8)
    if layer.kind == "composite":
        for position, (low, high) in enumerate(layer_limits(layer)):
            scaled = (np.nan_to_num(values[position]) - low) * (255 / (high - low))
            picture[..., position] = np.clip(scaled, 0, 255).round()
        picture[..., 3] = np.where(known, 255, 0)
        picture[~known] = 0
        return picture
    indices = np.zeros(known.shape, np.uint8)
    if layer.kind == "classes":
        indices[known] = values[0][known]
    else:
        low, high = layer.style.range
        scaled = (np.nan_to_num(values[0]) - low) * ((STEPS - 1) / (high - low))
        indices[known] = np.clip(scaled, 0, STEPS - 1).round()[known]
    picture = palette(layer)[indices]
    picture[~known] = 0
    return picture


def palette(layer: Layer) -> np.ndarray:
    """Colors of a "scale" by step or of "classes" by code, uint8, dims ``(256, 4)``."""
    return _palette(layer.version, layer.kind, layer.style, tuple(layer.legend.colors().items()) if layer.legend else ())


@functools.lru_cache(maxsize=256)
def _palette(_version: str, kind: str, style, colors: tuple) -> np.ndarray:
    table = np.zeros((STEPS, 4), np.uint8)
    if kind == "classes":
        for code, color in colors:
            table[code] = [*(round(255 * part) for part in to_rgb(color)), 255]
        return table
    return (style.colormap(np.linspace(0, 1, STEPS)) * 255).round().astype(np.uint8)


def layer_limits(layer: Layer) -> tuple[tuple[float, float], ...]:
    """Values shown as darkest and brightest, a pair a band, the same for all years: a change of color is one on the ground."""
    if layer.origin.limits:
        return layer.origin.limits
    return _data_limits(LayerKey(layer))


@dataclass(frozen=True)
class LayerKey:
    """A layer that is equal to another one of its version, for caches."""

    layer: Layer

    def __hash__(self) -> int:
        return hash(self.layer.version)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayerKey) and other.layer.version == self.layer.version


@functools.lru_cache(maxsize=256)
def _data_limits(key: LayerKey) -> tuple[tuple[float, float], ...]:
    layer = key.layer
    limits = []
    for position, measurement in enumerate(layer.measurements):
        if measurement.name in INDEX_LIMITS:
            limits.append(INDEX_LIMITS[measurement.name])
            continue
        values = np.concatenate([_coarse(raster.bands[position]) for raster in _sample_rasters(layer.rasters)])
        if not values.size:
            limits.append((0.0, 1.0))
            continue
        low, high = (float(value) for value in np.percentile(values, STRETCH))
        limits.append((low, high if high > low else low + 1e-6))
    return tuple(limits)


def _sample_rasters(rasters: Mapping[Period, Sequence[Raster]]) -> list[Raster]:
    together = [raster for of_period in rasters.values() for raster in of_period]
    step = max(1, len(together) // SAMPLED_RASTERS)
    return together[::step]


def _coarse(band) -> np.ndarray:
    with rasterio.open(band.path) as file:
        shape = (min(SAMPLE_PX, file.height), min(SAMPLE_PX, file.width))
        values = file.read(band.number, out_shape=shape, masked=True).astype("float32").filled(np.nan).ravel()
    return values[np.isfinite(values)]


def legend_stops(layer: Layer) -> Iterator[tuple[float, str]]:
    """Value and color of the stops of a "scale"."""
    yield from layer.style.stops
