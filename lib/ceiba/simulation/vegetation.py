"""Vegetation of the simulated area: vigor and season of every cell, so that scenes show the drawn greenness
and variability.
"""

import datetime
import functools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ceiba.simulation.integrity import CELL_PX
from ceiba.simulation.land_cover import WATER
from ceiba.simulation.layout import block_sum, enlarge
from ceiba.simulation.spectra import BANDS, CROP, IRRIGATED_LAG_D, green_cover, mix_spectra, ndvi_of

IRRIGATED = WATER + 1
VIGORS = np.geomspace(0.12, 4.0, 34)
SWINGS = np.linspace(-0.42, 0.45, 15)
FOUR_BANDS = [BANDS.index(name) for name in ("blue", "green", "red", "nir")]
# Standard deviation [1] of what noise and haze add to a clear observation of the four 10 m bands.
OBSERVATION_NOISE = 0.0032


@dataclass(frozen=True)
class Response:
    """NDVI median and Euclidean MAD [1] of a year of clear scenes, dims ``(code, vigor, swing)``; the last
    code is irrigated fields.
    """

    ndvi: np.ndarray
    emad: np.ndarray


@functools.cache
def class_response() -> Response:
    """What each class shows over a year at every vigor of :data:`VIGORS` and swing of :data:`SWINGS`.

    Fourteen dates of one year, with observation noise; the Euclidean MAD is the median distance to the median
    spectrum, which stands in for the geometric median. Irrigated fields come last, as code :data:`IRRIGATED`.
    """
    dates = [datetime.date(2018, 1, 10) + datetime.timedelta(days=26 * step) for step in range(14)]
    shape = (IRRIGATED + 1, VIGORS.size, SWINGS.size)
    codes = np.r_[: WATER + 1, CROP]
    lag_d = np.where(np.arange(IRRIGATED + 1) == IRRIGATED, IRRIGATED_LAG_D, 0)
    codes, lag_d = (np.broadcast_to(values[:, None, None], shape) for values in (codes, lag_d))
    season = {"vigor": VIGORS[None, :, None], "swing": SWINGS[None, None, :]}
    spectra = np.stack([mix_spectra(codes, green_cover(codes, date, lag_d=lag_d, **season)) for date in dates])
    noise = (
        np.random.default_rng(0).normal(0, OBSERVATION_NOISE, (len(dates), len(FOUR_BANDS), 1, 1, 1)).astype(np.float32)
    )
    # About half of the dates of a year are clear at a pixel, and few dates make the deviations smaller: the mean over two
    # halves of the dates shows what the composites will show.
    halves = [_composite(spectra[first::2], noise[first::2]) for first in (0, 1)]
    ndvi, emad = (np.mean(parts, axis=0) for parts in zip(*halves, strict=True))
    return Response(ndvi, emad)


def _composite(spectra: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    four = spectra[:, FOUR_BANDS] + noise
    emad = np.median(np.sqrt(((four - np.median(four, axis=0)) ** 2).sum(axis=1)), axis=0)
    # Code 0 is no class: its spectrum is 0 and never asked for.
    ndvi = np.median(ndvi_of(np.moveaxis(np.maximum(spectra, 1e-6), 1, 0)), axis=0)
    return ndvi, emad


def with_irrigated(codes: np.ndarray, lag_d: np.ndarray) -> np.ndarray:
    """Codes with :data:`IRRIGATED` for fields whose season comes much later [d] than that of others, dims
    ``(y, x)``.
    """
    return np.where((codes == CROP) & (lag_d > IRRIGATED_LAG_D / 2), IRRIGATED, codes).astype(np.uint8)


def cell_shares(codes: np.ndarray) -> np.ndarray:
    """Share of each code 0 to :data:`IRRIGATED` in each cell of 80 m [1], dims ``(cell, code)``."""
    counts = np.stack([block_sum(codes == code, CELL_PX) for code in range(IRRIGATED + 1)], axis=-1)
    return counts.reshape(-1, IRRIGATED + 1) / CELL_PX**2


def usual_values(codes: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """NDVI median and Euclidean MAD [1] that the classes of a cell usually show, dims ``(y, x)`` of ``shape``
    at 80 m.
    """
    response, shares = class_response(), cell_shares(codes)
    vigor, swing = np.argmin(np.abs(VIGORS - 1)), np.argmin(np.abs(SWINGS))
    return (
        (shares @ response.ndvi[:, vigor, swing]).reshape(shape),
        (shares @ response.emad[:, vigor, swing]).reshape(shape),
    )


def fit_vegetation(codes: np.ndarray, ndvi: np.ndarray, emad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vigor and swing with which the classes of each cell show the wanted yearly values.

    Parameters
    ----------
    codes
        Land-cover codes of :func:`with_irrigated`, dims ``(y, x)`` at 10 m.
    ndvi, emad
        Wanted NDVI median and Euclidean MAD [1], dims ``(y, x)`` at 80 m.

    Returns
    -------
    vigor, swing
        As :func:`ceiba.simulation.spectra.green_cover` takes them [1], dims ``(y, x)`` at 80 m. Where a class
        cannot show the wanted values (open water), the nearest it can.
    """
    response, shares = class_response(), cell_shares(codes)
    cell_ndvi = shares @ response.ndvi.reshape(IRRIGATED + 1, -1)
    cell_emad = shares @ response.emad.reshape(IRRIGATED + 1, -1)
    vigors, swings = (grid.ravel() for grid in np.meshgrid(VIGORS, SWINGS, indexing="ij"))
    cost = ((cell_ndvi - ndvi.reshape(-1, 1)) / 0.015) ** 2 + (np.log(cell_emad / emad.reshape(-1, 1)) / 0.18) ** 2
    # Of equally good answers the one nearest to the usual plant is taken.
    best = np.argmin(cost + 0.05 * np.log(vigors) ** 2 + 0.5 * swings**2, axis=1)
    return vigors[best].reshape(ndvi.shape), swings[best].reshape(ndvi.shape)


def spread_to_pixels(cells: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cell values on the 10 m grid, softened at the borders of cells, dims ``(y, x)``, float32."""
    return ndimage.gaussian_filter(enlarge(cells.astype(np.float32), CELL_PX, shape), 0.7, mode="nearest")
