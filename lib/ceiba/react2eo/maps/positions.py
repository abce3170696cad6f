"""Where the pixels of a window lie on the ground: which rasters they fall into, and where in them."""

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from pyproj import Transformer

from ceiba.grids import Period
from ceiba.react2eo.layers import Layer

NODE_PX = 16
"""Between points so many pixels apart a projection is as good as linear: the error stays far below a tenth of a pixel."""
EDGE_POINTS = 21

# Requests run beside each other; threads of OpenCV's own would only get into their way.
cv2.setNumThreads(1)

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Window:
    """What is asked for: bounds (left, bottom, right, top) in ``crs`` and a size in pixels."""

    bounds: Box
    crs: str
    width: int
    height: int

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of a pixel [units of ``crs``]."""
        left, bottom, right, top = self.bounds
        return (right - left) / self.width, (top - bottom) / self.height


@dataclass(frozen=True)
class Part:
    """Rows and columns of a window, from the first to before the last."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns for an array of the window."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, other: "Part") -> tuple[slice, slice]:
        """Rows and columns for an array of ``other``, of which this is a part."""
        return (
            slice(self.top - other.top, self.bottom - other.top),
            slice(self.left - other.left, self.right - other.left),
        )


@dataclass(frozen=True)
class Positions:
    """Middles of the pixels of a part of a window in another CRS.

    Attributes
    ----------
    x, y
        Distance from ``origin`` [units of the CRS], float32, dims ``(y, x)``; NaN where the CRS does not reach.
    step
        Distance between neighboring pixels [units of the CRS], the smaller one of both directions.
    """

    part: Part
    x: np.ndarray
    y: np.ndarray
    origin: tuple[float, float]
    step: float

    def cut(self, part: Part) -> "Positions":
        """Those of a part of the part."""
        rows, columns = part.within(self.part)
        return Positions(part, self.x[rows, columns], self.y[rows, columns], self.origin, self.step)


def find_rasters(layer: Layer, period: Period, window: Window) -> dict[int, Part]:
    """Rasters of a period that a window may show, by their place in ``layer.rasters``, with the part that each may fill."""
    boxes = _footprints(FootprintKey(layer, period), window.crs)
    left, _, _, top = window.bounds
    width, height = window.pixel
    # Counted in pixels of the window; one more around, because a raster's outline is known by some points of it only.
    columns = np.floor((boxes[:, 0] - left) / width) - 1, np.ceil((boxes[:, 2] - left) / width) + 1
    rows = np.floor((top - boxes[:, 3]) / height) - 1, np.ceil((top - boxes[:, 1]) / height) + 1
    limits = [
        np.clip(values, 0, at_most).astype(int)
        for values, at_most in zip((*rows, *columns), (window.height, window.height, window.width, window.width), strict=True)
    ]
    found = np.flatnonzero((limits[0] < limits[1]) & (limits[2] < limits[3]))
    return {int(number): Part(*(int(values[number]) for values in limits)) for number in found}


@dataclass(frozen=True)
class FootprintKey:
    """A period of a layer that is equal to that of another layer of its version, for caches."""

    layer: Layer
    period: Period

    def __hash__(self) -> int:
        return hash((self.layer.version, self.period))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FootprintKey) and (self.layer.version, self.period) == (other.layer.version, other.period)


@functools.lru_cache(maxsize=512)
def _footprints(key: FootprintKey, crs: str) -> np.ndarray:
    reach = key.layer.resolution_m  # a raster may exceed its tile by a part of a pixel
    boxes = []
    for raster in key.layer.rasters[key.period]:
        left, bottom, right, top = raster.tile.bounds
        boxes.append(_box_in(raster.tile.crs, crs, (left - reach, bottom - reach, right + reach, top + reach)))
    return np.array(boxes, float).reshape(-1, 4)


@functools.lru_cache(maxsize=50_000)
def _box_in(own: str, crs: str, box: Box) -> Box:
    left, bottom, right, top = find_transformer(own, crs).transform_bounds(*box, densify_pts=EDGE_POINTS)
    if not all(map(math.isfinite, (left, bottom, right, top))):
        return -1e30, -1e30, 1e30, 1e30  # cannot be told beforehand
    if left > right:  # it crosses the antimeridian
        left, right = -180.0, 180.0
    return left, bottom, right, top


@functools.lru_cache(maxsize=256)
def find_transformer(source: str, target: str) -> Transformer:
    """Transformation of x and y (longitude and latitude) between two CRS; safe from any thread."""
    return Transformer.from_crs(source, target, always_xy=True)


def unite(parts: list[Part]) -> Part:
    """The smallest part that holds all of them."""
    return Part(
        min(part.top for part in parts), max(part.bottom for part in parts),
        min(part.left for part in parts), max(part.right for part in parts),
    )  # fmt: skip


def locate(window: Window, part: Part, crs: str) -> Positions | None:
    """Where the pixels of a part lie in ``crs``; None where the CRS reaches none of them."""
    height, width = part.bottom - part.top, part.right - part.left
    # Nodes lie in the middle of squares of pixels, and one square beyond the part on each side.
    rows = (np.arange(-1, -(-height // NODE_PX) + 1) + 0.5) * NODE_PX + part.top
    columns = (np.arange(-1, -(-width // NODE_PX) + 1) + 0.5) * NODE_PX + part.left
    left, _, _, top = window.bounds
    pixel_width, pixel_height = window.pixel
    x, y = np.meshgrid(left + columns * pixel_width, top - rows * pixel_height)
    if crs != window.crs:
        x, y = find_transformer(window.crs, crs).transform(x, y)
    reached = np.isfinite(x) & np.isfinite(y)
    if not reached.any():
        return None
    x, y = np.where(reached, x, np.nan), np.where(reached, y, np.nan)
    origin = float(x[reached].mean()), float(y[reached].mean())
    steps = [np.hypot(np.diff(x, axis=axis), np.diff(y, axis=axis)) for axis in (0, 1)]
    finite = [values[np.isfinite(values)] for values in steps]
    step = min((float(np.median(values)) for values in finite if values.size), default=0.0) / NODE_PX
    shape = (len(columns) * NODE_PX, len(rows) * NODE_PX)
    dense = [
        cv2.resize((nodes - middle).astype(np.float32), shape, interpolation=cv2.INTER_LINEAR)[
            NODE_PX : NODE_PX + height, NODE_PX : NODE_PX + width
        ]
        for nodes, middle in ((x, origin[0]), (y, origin[1]))
    ]
    return Positions(part, *dense, origin, step)
