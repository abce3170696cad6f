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
        # Rounding may lead a hair beyond the ends.
        "condition": (100 * (value - low) / (high - low).where(high > low)).clip(0, 100),
        "years": count.where(count > 0).fillna(0).astype("uint16"),
    }
    return xr.Dataset(result)


def season_of_months(index: xr.DataArray, year: int, first_month: int, last_month: int) -> xr.Dataset:
    """:func:`season_against_years` month by month, then the mean of the months that the season and an earlier year have.

    Means of the whole season would compare other months where clouds hide one: a season without its greenest month would look
    poor. Dims of ``index`` without ``year`` and ``month``; ``years`` is that of the month with most of them.
    """
    months = season_against_years(index.sel(month=slice(first_month, last_month)), year)
    both = months["difference"].notnull()
    means = months.drop_vars("years").where(both).mean("month")
    return means.assign(years=months["years"].where(both, 0).max("month").astype("uint16"))


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


def monthly_index(bands: xr.Dataset, clear: xr.DataArray) -> xr.Dataset:
    """Mean NDVI of each month, for :func:`ceiba.mosaics.streaming.reduce_stack`.

    Parameters
    ----------
    bands
        red, nir: surface reflectance [1], dims ``(time, y, x)``, NaN is no data.
    clear
        Clear observations, dims ``(time, y, x)``.

    Returns
    -------
    xr.Dataset
        ``month_YYYY_MM`` of every month from January of the first year to December of the last [1], dims ``(y, x)``.
    """
    red, nir = bands["red"].where(clear), bands["nir"].where(clear)
    total = nir + red
    means = monthly_means(((nir - red) / total.where(total > 0)).astype("float32"))
    return xr.Dataset(
        {
            f"month_{year}_{month:02d}": means.sel(year=year, month=month, drop=True)
            for year in means["year"].values.tolist()
            for month in range(1, 13)
        }
    )


def by_month(layers: xr.Dataset) -> xr.DataArray:
    """The layers of :func:`monthly_index` as one array, dims ``(year, month, y, x)``."""
    years = sorted({int(str(name).split("_")[1]) for name in layers.data_vars})
    parts = [
        xr.concat([layers[f"month_{year}_{month:02d}"] for month in range(1, 13)], "month", coords="minimal", compat="override")
        for year in years
    ]
    joined = xr.concat(parts, "year", coords="minimal", compat="override")
    return joined.assign_coords(year=years, month=np.arange(1, 13)).rename("ndvi")


def mean_of_land(index: xr.DataArray, land: xr.DataArray) -> xr.DataArray:
    """Mean over the pixels of some land, dims of ``index`` without ``y, x``; NaN where none has data.

    Parameters
    ----------
    index
        Dims ``(..., y, x)``; NaN is no data.
    land
        Which pixels count, dims ``(y, x)``; raises :class:`InputError` where none does.
    """
    if not bool(land.any()):
        raise InputError("no pixel of the land that is to be monitored lies on the tile")
    return index.where(land).mean(("y", "x"))
