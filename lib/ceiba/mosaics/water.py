"""Surface water of a period: how often a pixel was water, and how sure the few or many observations make of it."""

from statistics import NormalDist

import numba
import numpy as np
import xarray as xr

from ceiba.errors import InputError
from ceiba.mosaics.stored import check_grid, grid_attrs, place_of, read_encoding, reduce_blocks
from ceiba.mosaics.wofs import WOFS_BANDS, count_by_tree, missing_wofs_bands, tree_encoding


def annual_water(
    bands: xr.Dataset, clear: xr.DataArray, *, min_observations: int = 1, confidence: float = 0.95
) -> xr.Dataset:
    """How often each pixel was water among its clear observations of a period.

    By the WOfS tree where all its bands are there, else by NDWI > 0 (McFeeters 1996), which is coarser: turbid water is
    missed, and dark roofs and shadows are taken for water.

    The confidence is an interval for the share of water, from the number of observations alone: it takes the dates as
    drawn at random from the period, and says nothing of water that the method does not see. The confidence layer of
    Mueller et al. 2016 is a regression fitted to Australian terrain, MODIS and vegetation data; it is not made here.

    Parameters
    ----------
    bands
        As stored, dims ``(time, y, x)``, at least ``green`` and ``nir``: integers with the attributes ``nodata``,
        ``scale`` and ``offset``, or floats in reflectance [1] with NaN.
    clear
        Whether an observation is clear, boolean, dims ``(time, y, x)``.
    min_observations
        Pixels with fewer clear observations have no frequency.
    confidence
        Probability [1] of the interval.

    Returns
    -------
    xr.Dataset
        dims ``(y, x)``: ``water_frequency`` [1] with its interval ``water_low`` to ``water_high`` [1], float32, NaN where
        there are too few observations; ``water_count`` and ``clear_count`` [1], uint16. The attribute ``method`` is
        "wofs" or "ndwi", ``missing_bands`` names the bands that the WOfS tree lacked. Lazy where the bands are.

    Raises
    ------
    InputError
        Not even green and nir are there, there is no observation, a scale is unknown, or the mask does not fit.
    """
    missing = missing_wofs_bands(bands)
    if missing and not {"green", "nir"} <= set(bands.data_vars):
        raise InputError(f"water needs at least green and nir; missing of all that WOfS needs: {', '.join(missing)}")
    names = ("green", "nir") if missing else WOFS_BANDS
    encodings = tuple(read_encoding(name, bands[name]) for name in names)
    for name in names:
        check_grid(clear, bands[name])
    arrays = [bands[name] for name in names]
    if missing:
        numbers = np.array(encodings, np.float64)

        def count(green: np.ndarray, nir: np.ndarray, clear: np.ndarray) -> np.ndarray:
            return _counted(_count_by_ndwi, (green, nir, clear, numbers))
    else:
        encoding = tree_encoding(bands)

        def count(*blocks: np.ndarray) -> np.ndarray:
            return _counted(count_by_tree, (*blocks, *encoding))

    counts = reduce_blocks(count, [*arrays, clear], rows=2)
    result = xr.Dataset(
        {name: (("y", "x"), counts[position]) for position, name in enumerate(("water_count", "clear_count"))},
        coords=place_of(arrays[0]),
    )
    result = result.assign(_frequency(result.water_count, result.clear_count, min_observations, confidence))
    for name, title in (("water_count", "clear observations with water"), ("clear_count", "clear observations")):
        result[name] = result[name].astype(np.uint16).assign_attrs(units="1", nodata=0, long_name=title)
    for band in result.data_vars.values():
        band.attrs |= grid_attrs(arrays[0])
    return result.assign_attrs(method="ndwi" if missing else "wofs", missing_bands=", ".join(missing))


def _frequency(
    wet: xr.DataArray, seen: xr.DataArray, min_observations: int, confidence: float
) -> dict[str, xr.DataArray]:
    enough = seen >= max(min_observations, 1)
    low, high = wilson_interval(wet, seen, confidence=confidence)
    layers = {
        "water_frequency": (wet / seen.where(enough), "share of clear observations with water"),
        "water_low": (low, f"lower end of the {confidence:.0%} interval of the share"),
        "water_high": (high, f"upper end of the {confidence:.0%} interval of the share"),
    }
    return {
        name: layer.where(enough).astype(np.float32).assign_attrs(units="1", nodata=np.nan, long_name=title)
        for name, (layer, title) in layers.items()
    }


def wilson_interval(
    successes: xr.DataArray, trials: xr.DataArray, *, confidence: float = 0.95
) -> tuple[xr.DataArray, xr.DataArray]:
    """Interval for a share: never outside 0 and 1, and not of length 0 where all trials agree.

    Parameters
    ----------
    successes, trials
        Numbers [1], any dims.
    confidence
        Probability [1] of the interval.

    Returns
    -------
    tuple
        Lower and upper end [1], float64, dims of the input; NaN without trials.

    Raises
    ------
    InputError
        The confidence is not between 0 and 1.

    References
    ----------
    Wilson 1927, doi:10.1080/01621459.1927.10502953; Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286.
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; give a number between 0 and 1, as 0.95")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    n = trials.astype(np.float64).where(trials > 0)
    share = successes / n
    middle = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return ((middle - half) / scale).clip(0, 1), ((middle + half) / scale).clip(0, 1)


def _counted(kernel, arguments: tuple) -> np.ndarray:
    """Counts of water and of clear observations of a block: float32, dims (2, y, x)."""
    arrays = [np.ascontiguousarray(a).reshape(len(a), -1) if np.ndim(a) == 3 else a for a in arguments]
    counts = np.zeros((2, arrays[0].shape[1]), np.float32)
    kernel(*arrays, counts)
    return counts.reshape(2, *arguments[0].shape[1:])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count_by_ndwi(green, nir, clear, encodings, counts):
    for t in range(green.shape[0]):
        for p in range(green.shape[1]):
            g, n = green[t, p], nir[t, p]
            if clear[t, p] and g == g and n == n and g != encodings[0, 0] and n != encodings[1, 0]:
                green_value = g * encodings[0, 1] + encodings[0, 2]
                nir_value = n * encodings[1, 1] + encodings[1, 2]
                ndwi = (green_value - nir_value) / (green_value + nir_value)
                counts[0, p] += ndwi > 0
                counts[1, p] += ndwi == ndwi
