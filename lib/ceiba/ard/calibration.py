"""From the digital numbers of Level 1 to radiance and to reflectance at the top of the atmosphere."""

import functools
import operator
from collections.abc import Mapping

import numpy as np
import xarray as xr

from ceiba.ard.landsat_metadata import LandsatMetadata
from ceiba.ard.sensors import Sensor
from ceiba.ard.sun import earth_sun_distance_au
from ceiba.errors import SceneError

FILL = 0  # digital number of USGS Level 1 without a value, in all bands and collections


def radiance(numbers: xr.DataArray, *, multiplier: float, addend: float) -> xr.DataArray:
    """Radiance at the sensor, ``multiplier * numbers + addend``.

    Parameters
    ----------
    numbers
        Digital numbers, any dims.
    multiplier, addend
        ``RADIANCE_MULT_BAND_n`` and ``RADIANCE_ADD_BAND_n`` of the MTL file (USGS LSDS-1574, Landsat 8 Data Users Handbook, 5.1).

    Returns
    -------
    xr.DataArray
        [W/(m2 sr um)], float32.
    """
    return (numbers.astype("float32") * multiplier + addend).assign_attrs(units="W m-2 sr-1 um-1")


def reflectance_of_numbers(
    numbers: xr.DataArray, *, multiplier: float, addend: float, sun_elevation_deg: float | xr.DataArray
) -> xr.DataArray:
    """Reflectance at the top of the atmosphere, ``(multiplier * numbers + addend) / sin(sun elevation)``.

    Parameters
    ----------
    numbers
        Digital numbers, dims ``(..., y, x)``.
    multiplier, addend
        ``REFLECTANCE_MULT_BAND_n`` and ``REFLECTANCE_ADD_BAND_n`` of the MTL file (USGS LSDS-1574, 5.2).
    sun_elevation_deg
        Of the scene's center, or of every pixel [degree].

    Returns
    -------
    xr.DataArray
        [1], float32.
    """
    sine = np.sin(np.radians(sun_elevation_deg))
    return ((numbers.astype("float32") * multiplier + addend) / sine).astype("float32").assign_attrs(units="1")


def reflectance_of_radiance(
    radiance: xr.DataArray, *, esun: float, distance_au: float, sun_elevation_deg: float | xr.DataArray
) -> xr.DataArray:
    """Reflectance at the top of the atmosphere, ``pi * radiance * distance**2 / (esun * sin(sun elevation))``.

    Parameters
    ----------
    radiance
        [W/(m2 sr um)], dims ``(..., y, x)``.
    esun
        Mean solar irradiance outside the atmosphere [W/(m2 um)].
    distance_au
        From the Earth to the Sun [astronomical unit].
    sun_elevation_deg
        Of the scene's center, or of every pixel [degree].

    Returns
    -------
    xr.DataArray
        [1], float32 (Chander, Markham and Helder 2009, doi:10.1016/j.rse.2009.01.007, equation 4).
    """
    sine = np.sin(np.radians(sun_elevation_deg))
    return (radiance * (np.pi * distance_au**2 / esun) / sine).astype("float32").assign_attrs(units="1")


def toa_reflectance(
    numbers: xr.Dataset,
    metadata: LandsatMetadata,
    sensor: Sensor,
    *,
    sun_elevation_deg: float | xr.DataArray | None = None,
) -> xr.Dataset:
    """Reflectance at the top of the atmosphere of a Landsat scene.

    Parameters
    ----------
    numbers
        Digital numbers of bands under Ceiba's names, dims ``(y, x)``.
    metadata
        Of the scene's MTL file. Its reflectance coefficients are used where it has them, else radiance, the sensor's solar
        irradiance and the distance of the sun.
    sun_elevation_deg
        By pixel [degree]; that of the scene's center by default.

    Returns
    -------
    xr.Dataset
        [1], float32, corrected for the sun's angle; NaN where any band is fill, and in a band where it is saturated.

    Raises
    ------
    SceneError
        Where the metadata do not scale a band.
    """
    sun = metadata.sun_elevation_deg if sun_elevation_deg is None else sun_elevation_deg
    lost = fill_mask(numbers)
    saturated = saturation_masks(numbers, metadata, sensor)
    result = {}
    for name, band in numbers.data_vars.items():
        own = band_number(sensor, str(name))
        if own in metadata.reflectance:
            multiplier, addend = metadata.reflectance[own]
            toa = reflectance_of_numbers(band, multiplier=multiplier, addend=addend, sun_elevation_deg=sun)
        elif own in metadata.radiance and name in sensor.esun:
            multiplier, addend = metadata.radiance[own]
            distance = metadata.earth_sun_distance_au or earth_sun_distance_au(metadata.time)
            at_sensor = radiance(band, multiplier=multiplier, addend=addend)
            esun = sensor.esun[str(name)]
            toa = reflectance_of_radiance(at_sensor, esun=esun, distance_au=distance, sun_elevation_deg=sun)
        else:
            raise SceneError(f"{metadata.name}: its metadata neither scale band {own} ({name}) to reflectance nor radiance")
        result[name] = toa.where(~(lost | saturated[str(name)]))
    return xr.Dataset(result)


def band_number(sensor: Sensor, name: str) -> str:
    """The archive's number ("4") of a band under Ceiba's name; raises :class:`SceneError`."""
    bands = sensor.reflectance_bands()
    if name not in bands:
        raise SceneError(f"sensor {sensor.name} has no band {name!r}; it has {', '.join(bands)}")
    return bands[name].upper().removeprefix("SR_").removeprefix("BAND").removeprefix("B")


def fill_mask(numbers: xr.Dataset) -> xr.DataArray:
    """Pixels where any band is fill, dims ``(y, x)``.

    One band's fill drops the pixel: at the edges of Landsat 7's SLC-off gaps bands end at different pixels, and what only
    some of them saw would stay in a mosaic as stripes of false color.
    """
    return functools.reduce(operator.or_, (band == FILL for band in numbers.data_vars.values()))


def saturation_masks(numbers: xr.Dataset, metadata: LandsatMetadata, sensor: Sensor) -> Mapping[str, xr.DataArray]:
    """Band to its saturated pixels, dims ``(y, x)``: those with the greatest number (``QUANTIZE_CAL_MAX_BAND_n``)."""
    return {
        str(name): band == metadata.saturated.get(band_number(sensor, str(name)), sensor.saturated)
        for name, band in numbers.data_vars.items()
    }
