"""Climate and Holdridge's life zones as layers of the ground, from rasters that a person has."""

import numpy as np
import xarray as xr

from ceiba.errors import InputError
from ceiba.legends import NODATA, load_legend

LEGEND = "holdridge_38"
LAYERS = ("annual_temperature", "annual_precipitation")
COLDEST_DEGC, WARMEST_DEGC = 0.0, 30.0


def biotemperature(temperature_degc: xr.DataArray) -> xr.DataArray:
    """Mean of the months' temperatures, those at which plants do not grow (0 and below, 30 and above) counted as 0.

    Parameters
    ----------
    temperature_degc
        Mean temperature of each month [degC], dims ``(month, ...)``, twelve of them; NaN is no data.

    Returns
    -------
    xr.DataArray
        Biotemperature [degC], dims ``(...)``, NaN where a month has no data.

    References
    ----------
    Holdridge 1967, Life zone ecology, Tropical Science Center, San José.
    """
    if temperature_degc.sizes.get("month") != 12:
        raise InputError(f"biotemperature is of the twelve months; got dims {dict(temperature_degc.sizes)}")
    grows = (temperature_degc > COLDEST_DEGC) & (temperature_degc < WARMEST_DEGC)
    counted = xr.where(grows, temperature_degc, 0.0).where(temperature_degc.notnull())
    return counted.mean("month", skipna=False).assign_attrs(units="degC")


def holdridge_zones(biotemperature_degc: xr.DataArray, precipitation_mm: xr.DataArray) -> xr.DataArray:
    """Life zone of each pixel, by the bounds that legend ``holdridge_38`` holds.

    Holdridge's zones are hexagons on a triangle of logarithms; here each takes the rectangle of biotemperature and precipitation
    that its name tells, so that places near three zones may go to the one beside it.

    Parameters
    ----------
    biotemperature_degc, precipitation_mm
        Biotemperature [degC] and yearly precipitation [mm], any dims, NaN is no data.

    Returns
    -------
    xr.DataArray
        Codes of ``holdridge_38``, uint8, 0 where there is no data.

    Raises
    ------
    InputError
        Where a biotemperature lies beyond 0 to 30 degC, as in kelvins or tenths, or precipitation below 0.
    """
    warm, wet = xr.broadcast(biotemperature_degc, precipitation_mm)
    lowest, highest, driest = float(warm.min()), float(warm.max()), float(wet.min())
    if lowest < COLDEST_DEGC or highest > WARMEST_DEGC or driest < 0:
        raise InputError(
            f"biotemperature from {lowest:g} to {highest:g} degC, precipitation from {driest:g} mm: allowed are 0 to 30 degC, "
            "0 mm and more; CHELSA counts in tenths of a kelvin unless scale and offset of its files are applied"
        )
    codes = xr.zeros_like(warm, dtype="uint8")
    for entry in load_legend(LEGEND).classes:
        bounds = {name: float(value or np.inf) if name.endswith("below") else float(value) for name, value in entry.facts.items()}
        inside = (warm >= bounds["biotemperature_from"]) & (warm < bounds["biotemperature_below"])
        inside &= (wet >= bounds["precipitation_from"]) & (wet < bounds["precipitation_below"])
        codes = xr.where(inside, np.uint8(entry.code), codes)
    return codes.assign_attrs(units="class", legend=LEGEND, nodata=NODATA)


def describe_climate(climate: xr.Dataset, life_zones: xr.DataArray | None = None) -> xr.Dataset:
    """Layers of the ground that recipes ``climate`` and ``life_zones`` read.

    Parameters
    ----------
    climate
        ``annual_temperature`` [degC] and ``annual_precipitation`` [mm], dims ``(y, x)``, NaN is no data, such as source ``climate``
        of an area's catalogue gives them.
    life_zones
        A map of life zones of the area, where there is one. Else they are told from the climate, the mean temperature of the
        year, held within 0 to 30 degC, in place of biotemperature: the same where no month is colder or hotter.

    Returns
    -------
    xr.Dataset
        The two layers and ``life_zone``, dims ``(y, x)``. Where none was given, it holds codes of ``holdridge_38``, and the recipe
        is ``life_zones:holdridge_38``.

    Raises
    ------
    InputError
        Naming a layer that is missing, or values that are in other units.
    """
    missing = [name for name in LAYERS if name not in climate]
    if missing:
        raise InputError(f"the climate lacks {', '.join(missing)}; it has {', '.join(map(str, climate.data_vars)) or 'nothing'}")
    layers = climate[list(LAYERS)]
    if life_zones is None:
        mean = layers["annual_temperature"]
        if float(mean.max()) > 40:
            raise InputError(f"a yearly mean of {float(mean.max()):g} degC: is it in kelvins or tenths of a degree?")
        life_zones = holdridge_zones(mean.clip(COLDEST_DEGC, WARMEST_DEGC), layers["annual_precipitation"])
    return layers.assign(life_zone=life_zones)
