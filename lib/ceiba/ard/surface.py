"""Surface reflectance as it is stored, and what is told of how it came about."""

from collections.abc import Mapping

import dask.array
import numpy as np
import xarray as xr

from ceiba.ard.sensors import Encoding

TOLD = ("atmosphere_method", "aot_550", "atmosphere_assumptions", "topography_method", "topography_c", "brdf_method", "brdf_sun")


def told_of_corrections(attributes: Mapping[str, object]) -> dict[str, str | float]:
    """What the corrections say they did, for the document: texts and plain numbers, without those that are unknown (NaN)."""
    told = {key: attributes[key] for key in TOLD if key in attributes}
    plain = {f"ceiba:{key}": value if isinstance(value, str) else float(value) for key, value in told.items()}
    return {key: value for key, value in plain.items() if value == value}


def encode_blocks(reflectance: xr.Dataset, encoding: Encoding) -> dict[str, np.ndarray]:
    """Reflectance [1] as uint16 of ``encoding``, by band, dims ``(y, x)``; a lazy one is computed block by block."""
    encoded = xr.apply_ufunc(
        encode, reflectance, kwargs={"encoding": encoding}, dask="parallelized", output_dtypes=["uint16"]
    )
    stored = {str(name): np.empty(band.shape, np.uint16) for name, band in encoded.data_vars.items()}
    if not encoded.chunks:
        return {name: encoded[name].values for name in stored}
    # All bands at a time, so that what they share (fill, aerosol, light on slopes) is computed once; each block to its place.
    dask.array.store([encoded[name].data for name in stored], list(stored.values()), lock=False)
    return stored


def encode(reflectance: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Reflectance [1] as uint16 of ``encoding``; what is NaN or beyond what the numbers hold is no data."""
    with np.errstate(invalid="ignore"):
        numbers = np.rint((reflectance - encoding.offset) / encoding.scale)
        held = (numbers >= 0) & (numbers <= np.iinfo("uint16").max) & (numbers != encoding.nodata)
    return np.where(held, numbers, encoding.nodata).astype("uint16")
