"""Clear reflectance of a period, and what is made from it besides the geomedian."""

import numpy as np
import xarray as xr

from ceiba import ard
from ceiba.errors import InputError
from ceiba.mosaics.water import WOFS_BANDS
from ceiba.spectral_indices import compute_index, ndvi
from ceiba.tasks import Task

CWBG_BANDS = ("ndwi", "ndbi", "ndvi")


def clear_reflectance(bands: xr.Dataset, clear: xr.DataArray) -> xr.Dataset:
    """Surface reflectance where it is clear.

    Parameters
    ----------
    bands
        Integers with the attributes ``nodata``, ``scale`` and ``offset``, dims ``(time, y, x)``.
    clear
        Whether an observation is clear, boolean, dims ``(time, y, x)``.

    Returns
    -------
    xr.Dataset
        Reflectance [1], ``value * scale + offset``, float32, NaN where not clear or no data.

    Raises
    ------
    InputError
        A band lacks one of the attributes.
    """
    result = xr.Dataset(attrs=bands.attrs)
    for name, band in bands.data_vars.items():
        missing = [key for key in ("nodata", "scale", "offset") if key not in band.attrs]
        if missing:
            raise InputError(f"integer band {name!r} lacks the attributes {', '.join(missing)}")
        scale, offset = np.float32(band.attrs["scale"]), np.float32(band.attrs["offset"])
        seen = clear & (band != band.attrs["nodata"])
        result[name] = (band.astype(np.float32) * scale + offset).where(seen)
        result[name].attrs = {"units": "1", "nodata": np.nan}
    return result


def ndvi_median(reflectance: xr.Dataset, *, min_observations: int = 1) -> xr.DataArray:
    """Median over the clear dates of the NDVI of each date.

    Parameters
    ----------
    reflectance
        Clear ``red`` and ``nir`` [1], dims ``(time, y, x)``, NaN where not clear.
    min_observations
        Pixels with fewer dates are NaN.

    Returns
    -------
    xr.DataArray
        ``ndvi_median`` [1], float32, dims ``(y, x)``.
    """
    each_date = ndvi(reflectance.nir, reflectance.red)
    enough = each_date.notnull().sum("time") >= max(min_observations, 1)
    # zeros stand in for pixels without any date: a median of nothing warns
    median = each_date.where(enough, 0).median("time").where(enough).astype(np.float32)
    return median.rename("ndvi_median").assign_attrs(
        units="1", nodata=np.nan, long_name="median NDVI of the clear dates"
    )


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


def open_water_bands(task: Task) -> xr.Dataset:
    """Clear reflectance to find water in: Landsat with all bands of WOfS where there is any, else Sentinel-2.

    Parameters
    ----------
    task
        A task with the inputs ``s2_l2a_scenes``, ``clear_observations`` and, if any, ``landsat_scenes``.

    Returns
    -------
    xr.Dataset
        Reflectance [1], dims ``(time, y, x)``, NaN where not clear; the attribute ``sensor`` names the
        source.
    """
    if task.has("landsat_scenes"):
        sensor, bands, resolution_m = "landsat_scenes", WOFS_BANDS, 30
    else:
        sensor, bands, resolution_m = "s2_l2a_scenes", ("blue", "green", "red", "nir"), 10
    opened = ard.open_clear(task, measurements=list(bands), resolution_m=resolution_m, sensor=sensor)
    return clear_reflectance(*opened).assign_attrs(sensor=sensor)
