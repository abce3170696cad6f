"""From a layer's files to pictures: values of any window in any CRS, and the colors that they are shown in."""

import functools
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb

from ceiba.grids import Period
from ceiba.mosaics.display import INDEX_LIMITS
from ceiba.react2eo.layers import Layer, Raster
from ceiba.react2eo.maps.overviews import MANY_RASTERS, WANTED, needs_coarse, plan_coarse
from ceiba.react2eo.maps.positions import Window, find_rasters, find_transformer, locate, unite
from ceiba.react2eo.maps.readers import READERS
from ceiba.react2eo.maps.sampling import fill, fill_from_files, read_value

__all__ = [
    "Reading", "Window", "color_indices", "has_rasters", "layer_limits", "legend_stops", "paint", "palette", "read",
    "read_point", "read_window",
]  # fmt: skip

log = logging.getLogger(__name__)

STRETCH = (2, 98)
"""Percentiles of reflectance over all years of a region that are shown as darkest and brightest."""
SAMPLED_RASTERS = 40
SAMPLE_PX = 64
NO_DATA = 255
"""Step of a scale, and code of a class, that stands for no data."""
STEPS = 255


@dataclass(frozen=True)
class Reading:
    """Values of a window, float32, dims ``(band, y, x)``; ``whole`` tells whether all there is was read."""

    values: np.ndarray
    whole: bool = True


def read_window(layer: Layer, period: Period, window: Window) -> np.ndarray:
    """Values of a layer, float32, dims ``(band, y, x)``, NaN where there is no data.

    Classes take the nearest pixel, other values are interpolated; where the window is coarser than the files, from their overviews.
    """
    return read(layer, period, window).values


def read(layer: Layer, period: Period, window: Window) -> Reading:
    """As :func:`read_window`, with the word whether it is all: a wide view of many files must wait for their coarse raster."""
    values = np.full((len(layer.measurements), window.height, window.width), np.nan, np.float32)
    parts = find_rasters(layer, period, window)
    positions = locate(window, unite(list(parts.values())), layer.region.place.crs) if parts else None
    if positions is None:
        return Reading(values)
    if needs_coarse(layer):
        coarse = plan_coarse(layer, period)
        many = len(parts) > MANY_RASTERS
        if many or coarse.is_shown_at(positions.step):
            if coarse.path.exists():
                part = positions.part
                fill(values[:, *part.slices], coarse.raster, positions, classes=layer.kind == "classes")
                return Reading(values)
            WANTED.add(coarse.path)
            if many:
                return Reading(values, whole=False)
    fill_from_files(values, layer, period, parts, positions)
    return Reading(values)


def has_rasters(layer: Layer, period: Period, window: Window) -> bool:
    """Whether a window may show anything of a period: where it does not, no file need be read."""
    return bool(find_rasters(layer, period, window))


def read_point(layer: Layer, period: Period, longitude: float, latitude: float) -> dict[str, float]:
    """Value of each measurement at a point [degrees, WGS 84], NaN where there is no data."""
    names = [measurement.name for measurement in layer.measurements]
    x, y = find_transformer("EPSG:4326", layer.region.place.crs).transform(longitude, latitude)
    reach = layer.resolution_m
    for raster in layer.rasters[period]:
        left, bottom, right, top = raster.tile.bounds
        if left - reach <= x <= right + reach and bottom - reach <= y <= top + reach:
            values = read_value(raster, longitude, latitude)
            if not all(np.isnan(value) for value in values):
                return dict(zip(names, values, strict=True))
    return dict.fromkeys(names, float("nan"))


def paint(layer: Layer, values: np.ndarray) -> np.ndarray:
    """Colors of values, uint8, dims ``(y, x, 4)``: red, green, blue and opacity, which is 0 where there is no data."""
    if layer.kind != "composite":
        colors = palette(layer).view(np.uint32).ravel()
        return colors[color_indices(layer, values)].view(np.uint8).reshape(*values.shape[1:], 4)
    known = np.isfinite(values).all(axis=0)
    picture = np.empty((*known.shape, 4), np.uint8)
    for position, (low, high) in enumerate(layer_limits(layer)):
        picture[..., position] = _scale(values[position], low, high, 255)
    picture[..., 3] = 255
    picture.view(np.uint32)[..., 0] *= known
    return picture


def color_indices(layer: Layer, values: np.ndarray) -> np.ndarray:
    """Places of values in the :func:`palette` of a "scale" or of "classes", uint8, dims ``(y, x)``; 255 is no data."""
    if layer.kind == "classes":
        return np.where(np.isfinite(values[0]), values[0], NO_DATA).astype(np.uint8)
    indices = _scale(values[0], *layer.style.range, STEPS - 1)
    indices[~np.isfinite(values[0])] = NO_DATA
    return indices


def _scale(values: np.ndarray, low: float, high: float, steps: int) -> np.ndarray:
    # 0.5 more and cut off is rounding, in half the time
    scaled = values * np.float32(steps / (high - low)) + np.float32(0.5 - low * steps / (high - low))
    np.clip(scaled, 0, steps, out=scaled)
    with np.errstate(invalid="ignore"):  # no data gets any color here, and none in the end
        return scaled.astype(np.uint8)


def palette(layer: Layer) -> np.ndarray:
    """Colors of a "scale" by step or of "classes" by code, uint8, dims ``(256, 4)``; the last one is for no data, transparent."""
    return _palette(layer.version, layer.kind, layer.style, tuple(layer.legend.colors().items()) if layer.legend else ())


@functools.lru_cache(maxsize=256)
def _palette(_version: str, kind: str, style, colors: tuple) -> np.ndarray:
    table = np.zeros((NO_DATA + 1, 4), np.uint8)
    if kind == "classes":
        for code, color in colors:
            table[code] = [*(round(255 * part) for part in to_rgb(color)), 255]
    else:
        stops = np.array([to_rgb(color) for color in style.colors]) * 255
        places = np.linspace(0, len(stops) - 1, STEPS)
        for channel in range(3):
            table[:STEPS, channel] = np.interp(places, np.arange(len(stops)), stops[:, channel]).round()
        table[:STEPS, 3] = 255
    table[NO_DATA] = 0
    return table


def layer_limits(layer: Layer) -> tuple[tuple[float, float], ...]:
    """Values shown as darkest and brightest, a pair a band, the same for all years: a change of color is one on the ground."""
    if layer.origin.limits:
        return layer.origin.limits
    with _limits_lock:  # the first requests come together, and one of them may read for all
        return _data_limits(LayerKey(layer))


_limits_lock = threading.Lock()


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
    with READERS.borrow(band.path) as reader:
        file = reader.dataset
        shape = (min(SAMPLE_PX, file.height), min(SAMPLE_PX, file.width))
        values = file.read(band.number, out_shape=shape, masked=True).astype("float32").filled(np.nan).ravel()
    return values[np.isfinite(values)]


def legend_stops(layer: Layer) -> Iterator[tuple[float, str]]:
    """Value and color of the stops of a "scale"."""
    yield from layer.style.stops
