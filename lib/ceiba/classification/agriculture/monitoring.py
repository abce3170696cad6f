"""A crop season beside those of earlier years."""

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.errors import InputError


def season_against_years(index: xr.DataArray, year: int) -> xr.Dataset:
    """A year's vegetation index beside its lowest, highest and mean value in the other years.

    Parameters
    ----------
    index
        Vegetation index [1], dims ``(year, ...)`` or ``(year, month, ...)``, coordinate ``year``; NaN is no data.
    year
        The season to be judged; all earlier years are what it is held against.

    Returns
    -------
    xr.Dataset
        Dims of ``index`` without ``year``: ``value``, ``lowest``, ``mean``, ``highest`` [index units], ``difference`` from the mean,
        ``z_score`` [1] (NaN with fewer than three earlier years), ``condition`` [%]: vegetation condition index, 0 at the lowest and
        100 at the highest of all years, this one among them (Kogan 1995, doi:10.1016/0273-1177(95)00079-T), ``years`` [1]: earlier
        years with data.

    Raises
    ------
    InputError
        Where the year or any earlier one is missing.
    """
    years = index["year"].values.tolist()
    earlier = [each for each in years if each < year]
    if year not in years or not earlier:
        raise InputError(f"season {year} needs itself and at least one earlier year; there are {', '.join(map(str, years))}")
    value, before = index.sel(year=year, drop=True), index.sel(year=earlier)
    count = before.notnull().sum("year")
    lowest, highest, mean = before.min("year"), before.max("year"), before.mean("year")
    deviation = before.std("year", ddof=1).where(count >= 3)
    low, high = np.fmin(lowest, value), np.fmax(highest, value)
    result = {
        "value": value,
        "lowest": lowest,
        "mean": mean,
        "highest": highest,
        "difference": value - mean,
        "z_score": (value - mean) / deviation.where(deviation > 0),
        "condition": 100 * (value - low) / (high - low).where(high > low),
        "years": count.where(count > 0).fillna(0).astype("uint16"),
    }
    return xr.Dataset(result)


def monthly_means(series: xr.DataArray) -> xr.DataArray:
    """Mean of each month of each year, dims ``(year, month, ...)`` of a series with dims ``(time, ...)``; NaN where a month has no data."""
    if "time" not in series.dims or not series.sizes["time"]:
        raise InputError(f"a series needs dates; got dims {series.dims} with {dict(series.sizes)}")
    stamps = pd.MultiIndex.from_arrays([series.time.dt.year.values, series.time.dt.month.values], names=("year", "month"))
    years = np.unique(series.time.dt.year.values)
    shape = (len(years), 12, *(series.sizes[dim] for dim in series.dims if dim != "time"))
    out = np.full(shape, np.nan, dtype="float32")
    values = series.transpose("time", ...).values
    for place, each in enumerate(years):
        for month in range(1, 13):
            chosen = np.flatnonzero((stamps.get_level_values(0) == each) & (stamps.get_level_values(1) == month))
            if len(chosen):
                seen = np.isfinite(values[chosen])
                count = seen.sum(axis=0)
                total = np.where(seen, values[chosen], 0).sum(axis=0, dtype="float64")
                out[place, month - 1] = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    rest = [dim for dim in series.dims if dim != "time"]
    coords = {name: series.coords[name] for name in series.coords if "time" not in series.coords[name].dims}
    return xr.DataArray(out, dims=("year", "month", *rest), coords={"year": years, "month": np.arange(1, 13)} | coords)
