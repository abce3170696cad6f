"""One mosaic of a period by any of five methods, and what the indices' notebook makes besides."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from ceiba import ard
from ceiba.ard.stacks import SceneStack
from ceiba.errors import InputError
from ceiba.mosaics import selection
from ceiba.mosaics.geomedian import geomedian
from ceiba.mosaics.reducers import PERCENTILES, ndvi_of_period
from ceiba.mosaics.sorting_networks import sorting_network
from ceiba.mosaics.stored import Encoding, as_lanes, check_grid, grid_attrs, place_of, read_encoding, reduce_blocks
from ceiba.mosaics.wofs import WOFS_BANDS
from ceiba.spectral_indices import compute_index
from ceiba.tasks import Task

CWBG_BANDS = ("ndwi", "ndbi", "ndvi")
LANDSAT_INDICES = ("ndvi", "ndwi", "ndbi", "bu", "mndwi", "nbr")
METHODS = ("geomedian", "medoid", "median", "max_ndvi", "most_recent")
SELECTING = ("medoid", "max_ndvi", "most_recent")
"""Methods whose mosaic is made of whole observations, so that every pixel has a date."""
EPOCH = "1970-01-01"
NO_DATE = -1


def composite(
    bands: xr.Dataset,
    clear: xr.DataArray | None = None,
    *,
    method: str,
    min_observations: int = 1,
    threads: int = 1,
) -> xr.Dataset:
    """One cloud-free mosaic of a period.

    An observation counts where it is clear and no band of it is missing. The methods:

    - "geomedian": the spectrum nearest to all (Roberts et al. 2017, doi:10.1109/TGRS.2017.2723896);
    - "medoid": the observation nearest to all others, by the sum of Euclidean distances (Flood 2013,
      doi:10.3390/rs5126481);
    - "median": band by band; its spectra need not exist on any date;
    - "max_ndvi": the observation with the highest NDVI (Holben 1986, doi:10.1080/01431168608948945), which prefers haze-free
      vegetation and is wrong over water; dates with a negative reflectance in red or near infrared are not taken;
    - "most_recent": the last observation.

    Where observations are equal, the earliest is taken, and the later in the order of the data for "most_recent" of one
    time. The result does not depend on blocks.

    Parameters
    ----------
    bands
        One variable a band, dims ``(time, y, x)``: integers with the attributes ``nodata``, ``scale`` and ``offset``
        (reflectance [1] is ``scale * number + offset``, the same for all bands), or floats in reflectance with NaN.
    clear
        Whether an observation is clear, boolean, dims ``(time, y, x)``; all are where it is None.
    method
        One of :data:`METHODS`.
    min_observations
        Pixels with fewer observations are NaN; their count is kept.
    threads
        Threads of the geomedian; the other methods use one, and many blocks at once under Dask.

    Returns
    -------
    xr.Dataset
        dims ``(y, x)``: every band in reflectance [1], float32, NaN where there is none; ``count`` [1], uint16; and by a
        method of :data:`SELECTING` ``date`` [days since 1970-01-01], int32, -1 where there is none. Lazy where the bands
        are. The attribute ``method`` names the method.

    Raises
    ------
    InputError
        The method is unknown, there are no bands or no observations, bands are stored in different ways or without scale,
        the mask does not fit, red or nir are missing for "max_ndvi", or the time is no datetime64.
    """
    if method not in METHODS:
        raise InputError(f"there is no composite {method!r}; there are {', '.join(METHODS)}")
    names = list(bands.data_vars)
    if not names:
        raise InputError("a composite needs at least one band, and none was given")
    if clear is None:
        clear = xr.ones_like(bands[names[0]], dtype=bool)
    encoding = _shared_encoding(bands)
    for name in names:
        check_grid(clear, bands[name])
    if method == "geomedian":
        mosaic = geomedian(bands, clear, min_observations=min_observations, threads=threads)
        result = mosaic[[*names, "count"]]
    else:
        result = _pixelwise(bands, clear, encoding, method, min_observations)
    for name in names:
        result[name].attrs["long_name"] = f"{method.replace('_', ' ')} of {name}"
    result["count"].attrs |= {"units": "1", "nodata": 0, "long_name": "clear observations"}
    return result.assign_attrs(method=method)


def dated_composite(
    bands: xr.Dataset, clear: xr.DataArray, *, method: str, min_observations: int = 1
) -> xr.Dataset:
    """As :func:`composite`, with ``date`` for every method: -1 throughout where a pixel is not of one date."""
    mosaic = composite(bands, clear, method=method, min_observations=min_observations)
    if method in SELECTING:
        return mosaic
    attrs = {"units": f"days since {EPOCH}", "nodata": NO_DATE, "long_name": "date of the observation"}
    none = xr.full_like(mosaic["count"], NO_DATE, dtype=np.int32).assign_attrs(attrs)
    return mosaic.assign(date=none)


def _shared_encoding(bands: xr.Dataset) -> Encoding:
    encodings = {name: (band.dtype.str, read_encoding(str(name), band)) for name, band in bands.data_vars.items()}
    first, *others = encodings
    for name in others:
        if str(encodings[name]) != str(encodings[first]):  # as text, because NaN is not NaN
            raise InputError(
                f"band {name!r} is stored as {encodings[name]} and {first!r} as {encodings[first]}; make them equal"
            )
    return encodings[first][1]


def _pixelwise(
    bands: xr.Dataset, clear: xr.DataArray, encoding: Encoding, method: str, min_observations: int
) -> xr.Dataset:
    names = list(bands.data_vars)
    if method == "max_ndvi" and not {"red", "nir"} <= set(names):
        raise InputError(f"max_ndvi needs red and nir; the bands are {', '.join(map(str, names))}")
    order, days = _dates(bands) if method in SELECTING else (np.arange(bands.sizes["time"]), None)

    def compute(*blocks: np.ndarray) -> np.ndarray:
        *arrays, mask = blocks
        return _of_block(names, arrays, mask, encoding, method, order, days, min_observations)

    rows = len(names) + 1 + (method in SELECTING)
    stack = reduce_blocks(compute, [*bands.data_vars.values(), clear], rows=rows)
    result = xr.Dataset(coords=place_of(bands))
    for position, name in enumerate(names):
        result[name] = (("y", "x"), stack[position], {"units": "1", "nodata": np.nan} | grid_attrs(bands[name]))
    result["count"] = (("y", "x"), stack[len(names)].astype(np.uint16), grid_attrs(bands[names[0]]))
    if method in SELECTING:
        attrs = {"units": f"days since {EPOCH}", "nodata": NO_DATE, "long_name": "date of the observation"}
        result["date"] = (("y", "x"), stack[-1].astype(np.int32), attrs | grid_attrs(bands[names[0]]))
    return result


def _dates(bands: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the dates from the first to the last, and the days since 1970 in that order."""
    if "time" not in bands.coords or bands.time.dtype.kind != "M":
        raise InputError("the observations have no dates; give the coordinate time as datetime64")
    order = np.argsort(bands.time.values, kind="stable")
    return order, (bands.time.values[order].astype("datetime64[D]") - np.datetime64(EPOCH)).astype(np.float32)


def _of_block(
    names: Sequence[str],
    arrays: Sequence[np.ndarray],
    clear: np.ndarray,
    encoding: Encoding,
    method: str,
    order: np.ndarray,
    days: np.ndarray | None,
    min_observations: int,
) -> np.ndarray:
    """Bands, count and, by a selecting method, date of a block: float32, dims (layer, y, x)."""
    in_order = not np.array_equal(order, np.arange(len(order)))
    flat = tuple(as_lanes(array[order] if in_order else array, selection.LANES) for array in arrays)
    usable = as_lanes(clear[order] if in_order else clear, selection.LANES).copy()
    for band in flat:
        usable &= np.isfinite(band) if band.dtype.kind == "f" else band != band.dtype.type(encoding.nodata)
    count = usable.sum(axis=0)
    scale, offset = np.float32(encoding.scale), np.float32(encoding.offset)
    enough = count >= max(min_observations, 1)
    result = np.full((len(names) + 1 + (method in SELECTING), usable.shape[1]), np.nan, np.float32)
    if method == "median":
        network = sorting_network(len(usable))
        for band, row in zip(flat, result, strict=False):
            selection.median_of_band(band, usable, scale, offset, network, row)
    else:
        chosen = np.full(usable.shape[1], selection.NONE, np.int64)
        _choose(method, dict(zip(names, flat, strict=True)))(usable, scale, offset, chosen)
        enough &= chosen != selection.NONE
        rows = np.maximum(chosen, 0)[np.newaxis]
        for band, row in zip(flat, result, strict=False):
            row[:] = np.take_along_axis(band, rows, axis=0)[0].astype(np.float32) * scale + offset
        result[-1] = np.where(enough, days[rows[0]], NO_DATE)
    result[: len(names), ~enough] = np.nan
    result[len(names)] = count
    return result[:, : clear.shape[1] * clear.shape[2]].reshape(-1, *clear.shape[1:])


def _choose(method: str, bands: dict[str, np.ndarray]) -> Callable[..., None]:
    """The function that writes the chosen row of each pixel, given ``(usable, scale, offset, chosen)``."""
    if method == "medoid":
        return lambda usable, *rest: selection.most_central(tuple(bands.values()), usable, *rest)
    if method == "max_ndvi":
        return lambda usable, *rest: selection.greenest(bands["red"], bands["nir"], usable, *rest)
    return lambda usable, scale, offset, chosen: selection.latest(usable, chosen)


def ndvi_bands(bands: xr.Dataset, clear: xr.DataArray, *, min_observations: int = 1) -> xr.Dataset:
    """Measurements of the product ``ndvi`` that come from the clear dates of a year.

    Parameters
    ----------
    bands, clear, min_observations
        As in :func:`ceiba.mosaics.reducers.ndvi_of_period`.

    Returns
    -------
    xr.Dataset
        dims ``(y, x)``: ``ndvi_median``, ``ndvi_min``, ``ndvi_max``, ``ndvi_mean``, ``ndvi_p10``, ``ndvi_p90`` [1], float32;
        ``ndvi_peak_day`` [day of year] and ``ndvi_count`` [1], uint16.
    """
    statistics = ndvi_of_period(bands, clear, percentiles=PERCENTILES, min_observations=min_observations)
    return statistics.rename({name: f"ndvi_{'median' if name == 'p50' else name}" for name in statistics.data_vars})


def cwbg(bands: xr.Dataset) -> xr.Dataset:
    """Composite of water, built-up and greenness: NDWI, NDBI and NDVI of one mosaic as three bands.

    Parameters
    ----------
    bands
        ``green red nir swir_1`` as surface reflectance [1], dims ``(y, x)``.

    Returns
    -------
    xr.Dataset
        ``ndwi`` [1], ``ndbi`` [1] and ``ndvi`` [1], dims ``(y, x)``.
    """
    return xr.Dataset({name: compute_index(name, bands) for name in CWBG_BANDS})


def landsat_indices(mosaic: xr.Dataset) -> xr.Dataset:
    """The indices of a mosaic of Landsat that :data:`LANDSAT_INDICES` names.

    A reflectance below 0 is an atmospheric correction, or a line from sensor to sensor, gone too far, mostly over dark
    water. It counts as 0, so that a normalized difference stays within -1 and 1; where both bands are 0 there is no index.

    Parameters
    ----------
    mosaic
        ``green red nir swir_1 swir_2`` as surface reflectance [1], dims ``(y, x)``, NaN is no data.

    Returns
    -------
    xr.Dataset
        Each index [1], dims ``(y, x)``, float32 where the bands are.
    """
    light = mosaic[["green", "red", "nir", "swir_1", "swir_2"]].clip(min=0, keep_attrs=True)
    return xr.Dataset({name: compute_index(name, light) for name in LANDSAT_INDICES})


def open_water_stack(task: Task) -> SceneStack:
    """Scenes to find water in: Landsat with all bands of WOfS where there is any, else Sentinel-2.

    Parameters
    ----------
    task
        A task with the inputs ``s2_l2a_scenes``, ``clear_observations`` and, if any, ``landsat_scenes``.
    """
    if task.has("landsat_scenes"):
        sensor, measurements, resolution_m = "landsat_scenes", WOFS_BANDS, 30
    else:
        sensor, measurements, resolution_m = "s2_l2a_scenes", ("blue", "green", "red", "nir"), 10
    return ard.open_stack(task, measurements=list(measurements), resolution_m=resolution_m, sensor=sensor)
