"""Where and when the simulated area lies: the one place for its grid, years and random streams."""

import math
import zlib

import numpy as np
from affine import Affine

VERSION = "1.0.0"
CRS = "EPSG:6372"
LEFT_M, TOP_M = 4_000_000.0, 1_200_000.0
WIDTH_M, HEIGHT_M = 5120.0, 2560.0
BOUNDS = (LEFT_M, TOP_M - HEIGHT_M, LEFT_M + WIDTH_M, TOP_M)
TILE_M = 2560.0
YEARS = (2018, 2019, 2020)
PIXEL_M = 10.0
CELL_M = 80.0
UTC_OFFSET_H = -5


def grid_shape(resolution_m: float) -> tuple[int, int]:
    """Rows and columns ``(y, x)`` that cover the area; the last pixel reaches beyond where the size is no
    multiple.
    """
    return math.ceil(HEIGHT_M / resolution_m), math.ceil(WIDTH_M / resolution_m)


def grid_transform(resolution_m: float) -> Affine:
    """Transform of a north-up grid anchored at the upper left corner of the area, pixels of ``resolution_m``
    [m].
    """
    return Affine(resolution_m, 0, LEFT_M, 0, -resolution_m, TOP_M)


def pixel_centers(
    rows: np.ndarray, columns: np.ndarray, resolution_m: float = PIXEL_M
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x, y [m, EPSG:6372] of the centres of pixels given by row and column."""
    return LEFT_M + (np.asarray(columns) + 0.5) * resolution_m, TOP_M - (np.asarray(rows) + 0.5) * resolution_m


def random_stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of their own for each named part, so that a change in one part leaves the others as they
    were.
    """
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def block_sum(values: np.ndarray, factor: int) -> np.ndarray:
    """Sums over blocks of ``factor`` x ``factor`` pixels, dims ``(..., y, x)``; the edge is repeated to whole
    blocks.
    """
    rows, columns = values.shape[-2:]
    pad = [(0, 0)] * (values.ndim - 2) + [(0, -rows % factor), (0, -columns % factor)]
    padded = np.pad(values, pad, mode="edge")
    shape = (*values.shape[:-2], padded.shape[-2] // factor, factor, padded.shape[-1] // factor, factor)
    return padded.reshape(shape).sum(axis=(-3, -1), dtype=np.float64)


def block_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Means over blocks of ``factor`` x ``factor`` pixels, dims ``(..., y, x)``, float32."""
    return (block_sum(values, factor) / factor**2).astype(np.float32)


def enlarge(values: np.ndarray, factor: int, shape: tuple[int, int]) -> np.ndarray:
    """Each pixel repeated ``factor`` times along y and x, cut to ``shape``."""
    return values.repeat(factor, axis=-2).repeat(factor, axis=-1)[..., : shape[0], : shape[1]]
