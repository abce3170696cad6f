"""Maps of breaks and alerts from stacks of scenes: the last break of each pixel, how often it broke, and how surely."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ceiba.change.breaks.monitoring import NO_DAY, monitor_series
from ceiba.change.breaks.segment_tracing import LEAST, YEAR
from ceiba.change.breaks.segments import PEEK, find_segments
from ceiba.errors import InputError
from ceiba.spectral_indices import compute_index

METHODS = ("ccdc", "monitor")


@dataclass(frozen=True)
class BreakSource:
    """Scenes that breaks are found in, the pixel size [m] at which they have all bands for it, the product, and band names here."""

    scenes: str
    resolution_m: int
    product: str
    names: Mapping[str, str]


LANDSAT_NAMES = {name: name for name in ("green", "red", "nir", "swir_1", "swir_2")}
SENTINEL_NAMES = {"green_20m": "green", "red_20m": "red", "nir_narrow": "nir", "swir_1": "swir_1"}
SOURCES = {
    "landsat": BreakSource("landsat_scenes", 30, "land_breaks_30m", LANDSAT_NAMES),
    "sentinel_2": BreakSource("s2_l2a_scenes", 20, "land_breaks", SENTINEL_NAMES),
}
"""By sensor of ``catalogs/product_tables.yml``."""
STRIP_BYTES = 64_000_000
NO_BREAK = -1
CONFIRMED = 1.0
LEAST_WATCHED = 0.5
"""Share of the days of a series that breaks are to be told on: in simulated countries hardly 40 % of the change is found below."""
LEAST_HISTORY_YEARS = 3
"""Before monitoring: in simulated countries a history of two years finds half as much as one of three."""


def break_layers(
    bands: xr.Dataset,
    clear: xr.DataArray,
    *,
    names: Mapping[str, str],
    method: str,
    start: np.datetime64 | str = "",
    harmonics: int = 3,
    trend: bool = False,
    probability: float = 0.99,
    false_alerts: float = 0.05,
) -> xr.Dataset:
    """Layers of a block of scenes for :func:`ceiba.mosaics.streaming.reduce_stack`, strip by strip.

    Parameters
    ----------
    bands, clear
        As of :meth:`ceiba.ard.stack_blocks.StackBlock.as_dataset`, dims ``(time, y, x)``.
    names
        Band to its name here: green, red, nir, swir_1 and whatever else is to tell breaks.
    method
        "ccdc" (:func:`find_segments`, all bands) or "monitor" (:func:`monitor_series`, the NDVI from ``start`` on).
    start, harmonics, trend, false_alerts
        Of the monitoring.
    probability
        Of unchanged land to lie below the limit of change.

    Returns
    -------
    xr.Dataset
        dims ``(y, x)``: ``break_day`` [days since 1970-01-01] of the last break, int32, -1 where there is none; ``break_year``,
        uint16, 0 where there is none; ``break_count`` [1], uint8; ``ndvi_change`` [1], the median NDVI behind the last break
        minus the expected one, NaN where there is none; ``evidence`` [1]: 1 or more is a break, less is the share of
        the needed observations that disagree by now ("ccdc"), or of its boundary that the moving sum reached ("monitor"), NaN
        where there is no model; ``observations`` [1], uint16; ``watched_share`` [1], see :func:`watched_share`.

    Raises
    ------
    InputError
        There is no such method.
    """
    if method not in METHODS:
        raise InputError(f"there is no method {method!r} to find breaks; there are {', '.join(METHODS)}")
    strip = max(1, STRIP_BYTES // max(1, bands.sizes["time"] * bands.sizes["x"] * 4 * (len(names) + 1)))
    parts = []
    for first in range(0, bands.sizes["y"], strip):
        rows = {"y": slice(first, first + strip)}
        scenes = clear_reflectance(bands.isel(rows), clear.isel(rows), names=names)
        if method == "ccdc":
            layers = last_breaks(find_pixel_segments(scenes, names=names, probability=probability))
        else:
            found = monitor_series(
                scenes["ndvi"], start=start, harmonics=harmonics, trend=trend, false_alerts=false_alerts
            )
            layers = alert_layers(found)
        seen = scenes["ndvi"].notnull()
        count = seen.sum("time").astype(np.uint16).assign_attrs(units="1", nodata=0)
        watched = watched_share(seen, method=method, start=start).where(layers["evidence"].notnull(), 0)
        parts.append(layers.assign(observations=count, watched_share=watched))
    return xr.concat(parts, "y", join="override", combine_attrs="override")


def watched_share(seen: xr.DataArray, *, method: str, start: np.datetime64 | str = "") -> xr.DataArray:
    """Share of the days of a series on which a break would be told.

    Parameters
    ----------
    seen
        Whether a date is clear, bool, dims ``(time, y, x)``, in order of time.
    method, start
        As of :func:`break_layers`. "ccdc" needs a year and twelve clear observations before a break and six behind it, and at
        least twenty-four in all; "monitor" tells all days from ``start`` on.

    Returns
    -------
    xr.DataArray
        0 to 1 [1], float32, dims ``(y, x)``.
    """
    days = seen.time.values.astype("datetime64[D]").astype(np.int64)
    span = max(1, int(days[-1] - days[0]))
    if method == "monitor":
        watched = days[-1] - int(np.datetime64(start, "D").astype(int))
        share = xr.full_like(seen.isel(time=0, drop=True), np.clip(watched / span, 0, 1), dtype=np.float32)
    else:
        number, day = seen.cumsum("time"), xr.DataArray(days, dims="time")
        count = number.isel(time=-1, drop=True)
        a_year_in = day.where(seen).min("time") + YEAR
        ready = np.maximum(day.where(number >= LEAST).min("time"), a_year_in)
        last = day.where(seen & (number <= count - PEEK)).max("time")
        share = ((last - ready) / span).clip(min=0).where(count >= 2 * LEAST, 0).astype(np.float32)
    return share.assign_attrs(units="1", nodata=np.nan)


def is_short(layers: xr.Dataset, times: np.ndarray, *, method: str, start: np.datetime64 | str) -> bool:
    """Whether the series is too short for the method: then land without a break is land where hardly any could be told.

    Parameters
    ----------
    layers
        Of :func:`break_layers`.
    times
        Dates of the series.
    method, start
        As of :func:`break_layers`.
    """
    if method == "monitor":
        history_days = (np.datetime64(start, "D") - times.min().astype("datetime64[D]")).astype(int)
        return bool(history_days < LEAST_HISTORY_YEARS * YEAR or (layers["watched_share"] == 0).mean() > 0.5)
    return bool(layers["watched_share"].mean() < LEAST_WATCHED)


def find_pixel_segments(scenes: xr.Dataset, *, names: Mapping[str, str], probability: float) -> xr.Dataset:
    """Segments of :func:`clear_reflectance`, told by all bands but the NDVI."""
    options = {"detection_bands": tuple(names.values()), "ranges": {"ndvi": (-1, 1)}, "probability": probability}
    return find_segments(scenes, **options)


def clear_reflectance(bands: xr.Dataset, clear: xr.DataArray, *, names: Mapping[str, str]) -> xr.Dataset:
    """Clear reflectance [1] under the names here, and the NDVI of it, float32, NaN where not clear or one is missing."""
    scenes, whole = {}, clear
    for stored, name in names.items():
        band = bands[stored]
        if band.dtype.kind == "f":
            scenes[name] = band
        else:
            whole = whole & (band != band.attrs["nodata"])
            scenes[name] = band.astype(np.float32) * np.float32(band.attrs["scale"]) + np.float32(band.attrs["offset"])
    scenes = xr.Dataset(scenes).where(whole)
    light = scenes[["red", "nir"]].clip(min=0)
    return scenes.assign(ndvi=compute_index("ndvi", light).astype(np.float32)).drop_attrs()


def last_breaks(segments: xr.Dataset) -> xr.Dataset:
    """Layers of :func:`break_layers`, without the observations, of what :func:`find_segments` found."""
    others = segments["segment_count"].dims
    if not segments.sizes["segment"]:
        segments = segments.pad(segment=(0, 1), constant_values={"change_probability": np.nan, "magnitude": np.nan})
    confirmed = segments["change_probability"] == CONFIRMED
    number = xr.DataArray(np.arange(segments.sizes["segment"]), dims="segment")
    last = number.where(confirmed, -1).max("segment")
    chosen = segments[["break_day", "magnitude"]].isel(segment=last.clip(min=0))
    broken = last >= 0
    # a break that is only beginning is behind the last confirmed one
    beginning = segments["change_probability"].where(~confirmed).max("segment")
    evidence = xr.where(broken, CONFIRMED, beginning).where(segments["segment_count"] > 0)
    layers = _dated(chosen["break_day"].where(broken, NO_BREAK))
    layers["break_count"] = confirmed.sum("segment").astype(np.uint8).assign_attrs(units="1", nodata=255)
    ndvi = chosen["magnitude"].sel(band="ndvi", drop=True)
    layers["ndvi_change"] = ndvi.where(broken).astype(np.float32).assign_attrs(units="1", nodata=np.nan)
    layers["evidence"] = evidence.astype(np.float32).assign_attrs(units="1", nodata=np.nan)
    return layers.transpose(*others)


def alert_layers(found: xr.Dataset) -> xr.Dataset:
    """Layers of :func:`break_layers`, without the observations, of what :func:`monitor_series` found."""
    alert = found["alert_day"] != NO_DAY
    layers = _dated(found["alert_day"].where(alert, NO_BREAK))
    layers["break_count"] = alert.astype(np.uint8).assign_attrs(units="1", nodata=255)
    layers["ndvi_change"] = found["magnitude"].where(alert).assign_attrs(units="1", nodata=np.nan)
    layers["evidence"] = found["crossing"].assign_attrs(units="1", nodata=np.nan)
    return layers


def _dated(day: xr.DataArray) -> xr.Dataset:
    day = day.astype(np.int32)
    year = day.values.astype("datetime64[D]").astype("datetime64[Y]").astype(int) + 1970
    year = xr.where(day == NO_BREAK, 0, day.copy(data=year)).astype(np.uint16)
    return xr.Dataset(
        {
            "break_day": day.assign_attrs(units="days since 1970-01-01", nodata=NO_BREAK),
            "break_year": year.assign_attrs(units="year", nodata=0),
        }
    ).drop_vars("segment", errors="ignore")


def yearly_breaks(segments: xr.Dataset, years: range) -> xr.Dataset:
    """Confirmed breaks of each year.

    Parameters
    ----------
    segments
        Of :func:`ceiba.change.breaks.segments.find_segments`.
    years
        Calendar years.

    Returns
    -------
    xr.Dataset
        dims ``(year, ...)``: ``day_of_year`` of the year's first break, uint16, 0 where there is none, and ``magnitude`` [1], the
        length of the vector of all bands' magnitudes, NaN where there is none.
    """
    confirmed = (segments["change_probability"] == CONFIRMED).transpose("segment", ...)
    days = segments["break_day"].transpose("segment", ...)
    size = np.sqrt((segments["magnitude"] ** 2).sum("band")).transpose("segment", ...)
    of_years, sizes = [], []
    for year in years:
        begin, end = (int(np.datetime64(f"{number}-01-01", "D").astype(int)) for number in (year, year + 1))
        inside = confirmed & (days >= begin) & (days < end)
        first = days.where(inside, end).min("segment") if days.sizes["segment"] else days.sum("segment") * 0 + end
        of_years.append(xr.where(first < end, first - begin + 1, 0).astype(np.uint16))
        sizes.append(size.where(inside & (days == first)).max("segment") if days.sizes["segment"] else first * np.nan)
    year = xr.DataArray(list(years), dims="year", name="year")
    return xr.Dataset(
        {
            "day_of_year": xr.concat(of_years, year).assign_attrs(units="d", nodata=0),
            "magnitude": xr.concat(sizes, year).astype(np.float32).assign_attrs(units="1", nodata=np.nan),
        }
    )
