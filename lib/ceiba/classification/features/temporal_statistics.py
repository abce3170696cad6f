"""Mean, minimum, maximum and deviation over dates, as antares3 (MAD-Mex) made its recipes of them."""

import numba
import numpy as np

from ceiba.classification.features.pixel_blocks import PixelBlock, index_of
from ceiba.classification.features.schemas import Part

ROWS = ("mean", "min", "max", "std")
STORED = 10_000  # numbers that one unit of reflectance or of an index is stored as
# Not fast: a result must be the same to the bit whatever lies beside it.
JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


def madmex_statistics(block: PixelBlock, part: Part) -> np.ndarray:
    """Statistics over dates as antares3 computed and stored them, with its peculiarities.

    - Reflectance is a whole number of 1e-4 before anything else, as ESPA and Sen2Cor store it.
    - NDVI and NDMI are of these numbers, times 10,000, a date at a time: the mean NDVI is the mean of the dates' NDVI, not the
      NDVI of the mean bands. (The very first ``landsat_8_madmex_001``, of 2017, left NDVI from -1 to 1, so that it became 0 as
      a whole number, and its mask masked nothing, since it asked for cloud, shadow, snow and fill in one pixel at once. What
      is reproduced here is the repaired recipe.)
    - Mean, minimum and maximum are arithmetic: one cloud that the mask missed sets a minimum or maximum. The standard
      deviation divides by the number of dates, not by one less.
    - Results are cut towards 0 to whole numbers (the cast to int16), not rounded: a mean of 1234.9 is 1234, one of -1234.9 is
      -1234.
    - Bands count on their own: a date without red still counts in the mean of blue.
    - The original mask keeps dates that are not cloud, cloud shadow or snow (Landsat: with fill in 002; thin cirrus and the
      margins of clouds stay), and for Sentinel-2 the classes 2, 4 to 8 and 11, so that clouds of medium probability and snow
      are kept. Here scenes come masked; the original classes stand in ``catalogs/recipes.yml`` under ``clear``.

    Where antares3 stored a number that means nothing, this is NaN: no date at all (it wrote -9999, and 0 for Sentinel-2, where
    a true 0 is lost with it), a sum of both bands of 0, and an index beyond what int16 holds (it wrapped around).

    Parameters
    ----------
    block
        Observations of pixels.
    part
        Its features tell which statistics of which bands and indices to give.

    Returns
    -------
    np.ndarray
        dims ``(feature, pixel)``, float32, whole numbers of 1e-4.
    """
    numbers = {band: np.rint(values * np.float32(STORED)) for band, values in block.bands.items()}
    found = {}
    result = np.empty((len(part.features), block.pixels), np.float32)
    for row, feature in enumerate(part.features):
        if feature.quantity not in found:
            found[feature.quantity] = series_statistics(_series(feature.kind, feature.source, numbers))
        result[row] = np.trunc(found[feature.quantity][ROWS.index(feature.statistic)])
    limits = np.iinfo(np.int16)
    result[(result < limits.min) | (result > limits.max)] = np.nan
    return result


def _series(kind: str, source: str, numbers: dict[str, np.ndarray]) -> np.ndarray:
    if kind == "band":
        return numbers[source]
    return index_of(source, numbers) * np.float32(STORED)


def series_statistics(values: np.ndarray) -> np.ndarray:
    """Mean, minimum, maximum and standard deviation (by the number of dates) of each pixel.

    Parameters
    ----------
    values
        Any unit, float32, dims ``(time, pixel)``; what is not finite is no data.

    Returns
    -------
    np.ndarray
        dims ``(4, pixel)`` in the order of :data:`ROWS`, float32, unit of ``values``; NaN where a pixel has no date.
    """
    result = np.empty((len(ROWS), values.shape[1]), np.float32)
    _statistics_of_pixels(np.ascontiguousarray(values, np.float32), result)
    return result


@numba.njit(**JIT)
def _statistics_of_pixels(values, result):
    dates, pixels = values.shape
    count = np.zeros(pixels, np.int32)
    total = np.zeros(pixels, np.float64)
    squares = np.zeros(pixels, np.float64)
    low = np.full(pixels, np.inf, np.float32)
    high = np.full(pixels, -np.inf, np.float32)
    for date in range(dates):
        for pixel in range(pixels):
            value = values[date, pixel]
            seen = abs(value) < np.inf
            count[pixel] += 1 if seen else 0
            total[pixel] += np.float64(value) if seen else 0.0
            low[pixel] = value if seen & (value < low[pixel]) else low[pixel]
            high[pixel] = value if seen & (value > high[pixel]) else high[pixel]
    for pixel in range(pixels):
        total[pixel] = total[pixel] / count[pixel] if count[pixel] else np.nan
    for date in range(dates):
        for pixel in range(pixels):
            value = values[date, pixel]
            away = np.float64(value) - total[pixel]
            squares[pixel] += away * away if abs(value) < np.inf else 0.0
    for pixel in range(pixels):
        some = count[pixel] > 0
        result[0, pixel] = total[pixel]
        result[1, pixel] = low[pixel] if some else np.nan
        result[2, pixel] = high[pixel] if some else np.nan
        result[3, pixel] = np.sqrt(squares[pixel] / count[pixel]) if some else np.nan
