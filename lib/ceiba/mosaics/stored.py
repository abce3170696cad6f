"""Observations as they are stored: integers with nodata, scale and offset, or floats with NaN; worked on block by block."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from ceiba.errors import InputError

STRIP_PX = 1 << 18


class Encoding(NamedTuple):
    """How a band is stored: its value is ``scale * number + offset``, and ``nodata`` (NaN for floats) is none."""

    nodata: float
    scale: float
    offset: float


def read_encoding(name: str, band: xr.DataArray) -> Encoding:
    """Encoding of a band, dims ``(time, y, x)``; floats are taken as they are. Raises :class:`InputError`."""
    if band.dims != ("time", "y", "x"):
        raise InputError(f"band {name!r} has dims {band.dims}; it needs (time, y, x)")
    if band.sizes["time"] == 0:
        raise InputError(f"band {name!r} has no observation in this period")
    if band.dtype.kind == "f":
        return Encoding(np.nan, 1.0, 0.0)
    if band.dtype.kind not in "iu":
        raise InputError(f"band {name!r} is {band.dtype}; it needs integers or floats")
    missing = [key for key in Encoding._fields if key not in band.attrs]
    if missing:
        raise InputError(f"integer band {name!r} lacks the attributes {', '.join(missing)}; its reflectance is unknown")
    encoding = Encoding(*(float(band.attrs[key]) for key in Encoding._fields))
    limits = np.iinfo(band.dtype)
    if not limits.min <= encoding.nodata <= limits.max:
        raise InputError(f"nodata {encoding.nodata:g} of band {name!r} cannot occur in {band.dtype}; correct the attribute")
    return encoding


def check_grid(clear: xr.DataArray, band: xr.DataArray) -> None:
    """Raise :class:`InputError` where the mask and the band are not of one shape, or the mask is not boolean."""
    if clear.dims != band.dims or clear.shape != band.shape:
        raise InputError(
            f"the clear mask has {dict(clear.sizes)}, the bands have {dict(band.sizes)}; give both on one grid"
        )
    if clear.dtype != bool:
        raise InputError(f"the clear mask is {clear.dtype}; give booleans, True where an observation is clear")


def reduce_blocks(
    compute: Callable[..., np.ndarray], arrays: Sequence[xr.DataArray], *, rows: int
) -> np.ndarray:
    """Reduce observations over time, one block with all its dates at a time.

    A block is a spatial chunk where the observations are lazy, else a strip of :data:`STRIP_PX` pixels: no more of a year is
    worked on at a time, and of files that xarray opened without chunks no more is read.

    Parameters
    ----------
    compute
        Takes a NumPy array ``(time, y, x)`` for each of ``arrays`` and returns float32 ``(rows, y, x)``. A pixel of its
        result depends on that pixel only, so that chunks never show.
    arrays
        Observations, dims ``(time, y, x)``, on one grid.
    rows
        Layers of the result.

    Returns
    -------
    np.ndarray or dask.array.Array
        float32, dims ``(rows, y, x)``, lazy where any of ``arrays`` is.
    """
    if all(array.chunks is None for array in arrays):
        height, width = arrays[0].shape[1:]
        result = np.empty((rows, height, width), np.float32)
        strip = max(1, STRIP_PX // max(width, 1))
        for first in range(0, height, strip):
            part = slice(first, first + strip)
            result[:, part] = compute(*(array.isel(y=part).values for array in arrays))
        return result
    import dask.array

    first = next(array.data for array in arrays if array.chunks is not None).rechunk({0: -1})
    blocks = [first if array.data is first else dask.array.asarray(array.data).rechunk(first.chunks) for array in arrays]
    return dask.array.map_blocks(
        compute,
        *blocks,
        dtype=np.float32,
        chunks=((rows,), *first.chunks[1:]),
        meta=np.empty((0, 0, 0), np.float32),
    )


def as_lanes(array: np.ndarray, lanes: int) -> np.ndarray:
    """The array (time, y, x) as (time, pixel) in C order, its number of pixels filled up to a multiple of ``lanes``."""
    flat = array.reshape(array.shape[0], -1)
    lacking = -flat.shape[1] % lanes
    return np.ascontiguousarray(np.pad(flat, ((0, 0), (0, lacking)), mode="edge") if lacking else flat)


def place_of(bands: xr.Dataset | xr.DataArray) -> dict[str, xr.DataArray]:
    """Coordinates of the result of a reduction over time: those without the dimension time."""
    return {name: coord for name, coord in bands.coords.items() if "time" not in coord.dims and name != "time"}


def grid_attrs(band: xr.DataArray) -> dict[str, object]:
    """Attributes that tie a result to the grid of ``band``."""
    return {key: band.attrs[key] for key in ("grid_mapping",) if key in band.attrs}
