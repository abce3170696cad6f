"""Geometric median mosaics (geomedians) with the median absolute deviations around them."""

import importlib.util
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ceiba.errors import InputError
from ceiba.mosaics.band_unrolling import LANES
from ceiba.mosaics.geomedian_kernel import geomedian_of_pixels
from ceiba.mosaics.sorting_networks import sorting_networks

STATISTICS = {
    "emad": "median Euclidean distance to the geomedian",
    "smad": "median cosine distance to the geomedian",
    "bcmad": "median Bray-Curtis distance to the geomedian",
}
PIXELS_A_PART = 256 * LANES
TOLERANCE = 1e-5  # length of the last step [reflectance]
ENGINES = ("auto", "numba", "jax")


def geomedian(
    bands: xr.Dataset,
    clear: xr.DataArray | None = None,
    *,
    min_observations: int = 1,
    threads: int = 1,
    tolerance: float = TOLERANCE,
    engine: str = "auto",
) -> xr.Dataset:
    """Geometric median of the clear observations of every pixel, with its three deviations and their number.

    An observation counts where it is clear and no band of it is missing. The result is the same to the bit
    whatever the number of threads and wherever a block begins. Input with Dask chunks gives a lazy result.

    Parameters
    ----------
    bands
        One variable a band, dims ``(time, y, x)``: integers with the attributes ``nodata``, ``scale`` and
        ``offset`` (reflectance [1] is ``scale * value + offset``, the same for all bands), or floats in
        reflectance with NaN.
    clear
        Whether an observation is clear, boolean, dims ``(time, y, x)``; all are where it is None.
    min_observations
        Pixels with fewer observations are NaN; their count is kept.
    threads
        Threads to compute with, by "numba".
    tolerance
        Length of the last step [1]; the result is nearer to the minimum than that.
    engine
        As in :func:`choose_engine`; the bits are the same within one engine, and the engines agree to 1e-5.

    Returns
    -------
    xr.Dataset
        dims ``(y, x)``: every band in reflectance [1], ``emad`` [1], ``smad`` [1], ``bcmad`` [1], all
        float32, and ``count`` [1], uint16.

    Raises
    ------
    InputError
        No bands, no observations, dims or grids that differ, bands stored in different ways, integers
        without scale, or an unknown engine.

    References
    ----------
    Geomedian: Roberts, Mueller, McIntyre 2017, doi:10.1109/TGRS.2017.2723896. Deviations: Roberts, Dunn,
    Mueller 2018, doi:10.1109/IGARSS.2018.8518312.
    """
    names = list(bands.data_vars)
    stored = _read_encoding(bands)
    if clear is None:
        clear = xr.ones_like(bands[names[0]], dtype=bool)
    elif clear.dims != bands[names[0]].dims or clear.shape != bands[names[0]].shape:
        shapes = f"{dict(clear.sizes)}, the bands have {dict(bands[names[0]].sizes)}"
        raise InputError(f"the clear mask has {shapes}; give both on one grid")
    arrays = [bands[name].data for name in names]
    options = {**stored, "min_observations": min_observations, "threads": threads, "tolerance": tolerance}
    options["engine"] = choose_engine(engine)
    if any(array is not None for array in (bands[name].chunks for name in names)):
        stack = _map_blocks(arrays, clear.data, options)
    else:
        stack = geomedian_of_arrays([np.asarray(array) for array in arrays], np.asarray(clear.data), **options)

    coords = {name: coord for name, coord in bands.coords.items() if "time" not in coord.dims}
    result = xr.Dataset(coords=coords)
    for position, name in enumerate([*names, *STATISTICS]):
        result[name] = (("y", "x"), stack[position])
        result[name].attrs = {
            "units": "1",
            "nodata": np.nan,
            "long_name": STATISTICS.get(name, f"geomedian of {name}"),
        }
        if "grid_mapping" in bands[names[0]].attrs:
            result[name].attrs["grid_mapping"] = bands[names[0]].attrs["grid_mapping"]
    result["count"] = (
        ("y", "x"),
        stack[-1].astype(np.uint16),
        {"units": "1", "long_name": "clear observations"},
    )
    return result


def choose_engine(engine: str) -> str:
    """The engine that computes geomedians: "numba", compiled for the processor, or "jax", for GPUs.

    Parameters
    ----------
    engine
        "numba", "jax", or "auto": JAX where it has another device than the processor. JAX is not imported where no plugin is
        installed by which it finds one.

    Raises
    ------
    InputError
        Where there is no engine of this name.
    """
    if engine not in ENGINES:
        raise InputError(f"there is no engine {engine!r}; there are {', '.join(ENGINES)}")
    if engine != "auto":
        return engine
    # where JAX itself looks for plugins: a package of this name, entry points, and the library of TPUs
    places = (importlib.util.find_spec("jax_plugins"), importlib.util.find_spec("libtpu"))
    if not any(places) and not entry_points(group="jax_plugins"):
        return "numba"
    import jax

    return "numba" if jax.default_backend() == "cpu" else "jax"


def geomedian_of_arrays(
    bands: list[np.ndarray],
    clear: np.ndarray,
    *,
    nodata: ArrayLike | None,
    scale: ArrayLike,
    offset: ArrayLike,
    min_observations: int = 1,
    threads: int = 1,
    tolerance: float = TOLERANCE,
    deviations: bool = True,
    engine: str = "numba",
) -> np.ndarray:
    """Geomedian, emad, smad, bcmad [1] and count of arrays (time, y, x): float32, dims (band + 4, y, x).

    ``nodata`` is one number or one a date, (time,); ``scale`` and ``offset`` broadcast to (time, band), so that
    every scene may store reflectance in its own way. Without ``deviations`` the result has dims (band + 1, y, x).
    ``engine`` is "numba" or "jax".
    """
    if engine == "jax":
        options = {"min_observations": min_observations, "tolerance": tolerance}
        found = _compute_by_jax(bands, clear, nodata=nodata, scale=scale, offset=offset, **options)
        return found if deviations else found[[*range(len(bands)), -1]]
    times, *shape = bands[0].shape
    pixels = int(np.prod(shape))
    dtype = np.dtype(np.float32) if bands[0].dtype.kind == "f" else bands[0].dtype
    flat = tuple(_pad(band.reshape(times, pixels).astype(dtype, copy=False)) for band in bands)
    flat_clear = _pad(clear.reshape(times, pixels)).view(np.uint8).ravel()
    padded = flat[0].shape[1]
    numbers = (
        _nodata_of_dates(nodata, times, dtype),
        # copies, since one of the caller's array could not be written to, for which Numba compiles everything once more
        np.array(np.broadcast_to(np.float32(scale), (times, len(bands)))).ravel(),
        np.array(np.broadcast_to(np.float32(offset), (times, len(bands)))).ravel(),
    )
    layers = len(bands) + 3 * deviations
    result = np.empty((layers, padded), np.float32)
    count = np.empty(padded, np.uint16)
    networks = sorting_networks(times)

    def compute(start: int) -> None:
        stop = min(start + PIXELS_A_PART, padded)
        geomedian_of_pixels(
            flat, flat_clear, start, stop, *numbers, np.float32(tolerance), deviations, *networks, result, count
        )

    starts = range(0, padded, PIXELS_A_PART)
    if threads == 1:
        for start in starts:
            compute(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(compute, starts))
    result[:, count < max(min_observations, 1)] = np.nan
    stack = np.concatenate([result, count[np.newaxis].astype(np.float32)])
    return stack[:, :pixels].reshape(layers + 1, *shape)


def _compute_by_jax(
    bands: list[np.ndarray], clear: np.ndarray, *, nodata: ArrayLike | None, scale: ArrayLike, offset: ArrayLike, **options
) -> np.ndarray:
    """As :func:`geomedian_of_arrays`; dates or bands that are stored in several ways become reflectance first."""
    from ceiba.mosaics.geomedian_jax import geomedian_jax

    one = [None if number is None else _one_number(number) for number in (nodata, scale, offset)]
    if not any(number is None for number in one[0 if nodata is not None else 1 :]):
        return geomedian_jax(bands, clear, nodata=one[0], scale=one[1], offset=one[2], **options)
    shape = (len(clear), len(bands))
    missing = _nodata_of_dates(nodata, len(clear), bands[0].dtype)[:, np.newaxis, np.newaxis]
    scales, offsets = (np.broadcast_to(np.float32(numbers), shape) for numbers in (scale, offset))
    spectra = []
    for position, band in enumerate(bands):
        gain, lift = (numbers[:, position, np.newaxis, np.newaxis] for numbers in (scales, offsets))
        spectra.append(np.where(band == missing, np.float32(np.nan), band.astype(np.float32) * gain + lift))
    return geomedian_jax(spectra, clear, nodata=None, scale=1.0, offset=0.0, **options)


def _one_number(values: ArrayLike) -> float | None:
    """The value that all of ``values`` have; None where they differ."""
    found = np.unique(values)
    return found[0].item() if found.size == 1 else None


def _nodata_of_dates(nodata: ArrayLike | None, times: int, dtype: np.dtype) -> np.ndarray:
    """Nodata of each date (time,) in the type of the bands; raises where it does not fit that."""
    numbers = np.broadcast_to(np.float64(np.nan if nodata is None else nodata), (times,))
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        wrong = numbers[~((numbers >= limits.min) & (numbers <= limits.max))]
        if wrong.size:
            raise InputError(f"nodata {wrong[0]:g} cannot occur in {dtype} bands; correct the attribute")
    return numbers.astype(dtype)


def _read_encoding(bands: xr.Dataset) -> dict[str, float | None]:
    """Nodata, scale and offset that all bands share."""
    if not bands.data_vars:
        raise InputError("a geomedian needs at least one band, and none was given")
    first = next(iter(bands.data_vars))
    for name, band in bands.data_vars.items():
        if band.dims != ("time", "y", "x"):
            raise InputError(f"band {name!r} has dims {band.dims}; a geomedian needs (time, y, x)")
        if band.dtype != bands[first].dtype:
            raise InputError(
                f"band {name!r} is {band.dtype} and {first!r} is {bands[first].dtype}; store all in one type"
            )
    if bands.sizes["time"] == 0:
        raise InputError("a geomedian needs observations, and there is none in this period")
    kind = bands[first].dtype.kind
    if kind == "f":
        return {"nodata": None, "scale": 1.0, "offset": 0.0}
    if kind not in "iu":
        raise InputError(f"bands are {bands[first].dtype}; a geomedian needs integers or floats")
    encodings = {name: _band_encoding(name, band.attrs, bands.attrs) for name, band in bands.data_vars.items()}
    for name, encoding in encodings.items():
        if encoding != encodings[first]:
            raise InputError(
                f"band {name!r} is stored as {encoding} and {first!r} as {encodings[first]}; make them equal"
            )
    return encodings[first]


def _band_encoding(name: str, attrs: Mapping, common: Mapping) -> dict[str, float | None]:
    found = {**common, **attrs}
    missing = [key for key in ("nodata", "scale", "offset") if key not in found]
    if missing:
        raise InputError(f"integer band {name!r} lacks the attributes {', '.join(missing)}; its reflectance is unknown")
    return {key: found[key] for key in ("nodata", "scale", "offset")}


def _pad(array: np.ndarray) -> np.ndarray:
    """The array (time, pixel) in C order, with at least LANES pixels."""
    lacking = LANES - array.shape[1]
    return np.ascontiguousarray(array if lacking <= 0 else np.pad(array, ((0, 0), (0, lacking)), mode="edge"))


def _map_blocks(bands: list, clear, options: dict):
    """Lazy stack (band + 4, y, x), one task a spatial chunk with all its dates."""
    import dask.array

    whole = [dask.array.asarray(bands[0]).rechunk({0: -1})]
    whole += [
        dask.array.asarray(array).rechunk({0: -1, 1: whole[0].chunks[1], 2: whole[0].chunks[2]}) for array in bands[1:]
    ]
    mask = dask.array.asarray(clear).rechunk(whole[0].chunks)

    def compute(*blocks: np.ndarray) -> np.ndarray:
        return geomedian_of_arrays(list(blocks[:-1]), blocks[-1], **options)

    chunks = ((len(bands) + 4,), *whole[0].chunks[1:])
    return dask.array.map_blocks(
        compute, *whole, mask, dtype=np.float32, chunks=chunks, meta=np.empty((0, 0, 0), np.float32)
    )
