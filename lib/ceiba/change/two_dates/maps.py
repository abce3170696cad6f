"""Change maps: threshold, minimum mapping unit, direction and areas."""

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage

from ceiba import labels
from ceiba.change.two_dates.irmad import irmad
from ceiba.change.two_dates.null_distribution import no_change_by_stratum
from ceiba.change.two_dates.vectors import compare_mosaics, image_strata
from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.errors import InputError, ParameterError

NODATA, NO_CHANGE, CHANGE = 0, 1, 2
METHODS = ("change_vectors", "irmad")
BANDS = ("blue", "green", "red", "nir")
TAILS = (3.0, 60.0)  # below 3 nothing would ever stand out, above 60 the noise is normal


def detect_change(mosaics: xr.Dataset, *, first_year: int, last_year: int, method: str) -> xr.DataArray:
    """Probability of no change between the mosaics of two years.

    Parameters
    ----------
    mosaics
        Annual geomedians, blue green red nir [1] and count of clear dates [1], dims ``(time, y, x)``.
    first_year, last_year
        Years to compare.
    method
        ``change_vectors`` (:func:`ceiba.change.two_dates.vectors.compare_mosaics`) or ``irmad``
        (:func:`ceiba.change.two_dates.irmad.irmad`, judged by the null distribution that land which looked alike
        shows, :func:`ceiba.change.two_dates.null_distribution.no_change_by_stratum`).

    Returns
    -------
    xr.DataArray
        Probability [1] that unchanged land shows such a difference, dims ``(y, x)``; NaN is no data.

    Raises
    ------
    ParameterError
        On an unknown method, or where the first year is not before the last.
    InputError
        Where a year has no mosaic.
    """
    if method not in METHODS:
        raise ParameterError(f"method {method!r}: allowed are {', '.join(METHODS)}")
    if not first_year < last_year:
        raise ParameterError(f"years {first_year} and {last_year}: change needs two, the first before the last")
    before, after = (
        np.stack([year_of(mosaics[band], year).values for band in BANDS]).astype("float64")
        for year in (first_year, last_year)
    )
    if method == "irmad":
        found = irmad(before, after)
        strata = image_strata(before, np.isfinite(found.statistic))
        probability = no_change_by_stratum(found.statistic, len(found.correlations), strata)
    else:
        tail = noise_tail(mosaics["count"], first_year=first_year, last_year=last_year)
        probability = compare_mosaics(before, after, tail=tail).no_change
    return year_of(mosaics[BANDS[0]], last_year).copy(data=probability).assign_attrs(units="1")


def noise_tail(count: xr.DataArray, *, first_year: int, last_year: int) -> float:
    """Degrees of freedom of the noise: clear dates [1] of the poorer year, median over the pixels that have any.

    A mosaic of few dates is off by much where one of them was a missed cloud; of many dates, hardly ever.
    """
    poorer = np.minimum(*(year_of(count, year).values.astype("float64") for year in (first_year, last_year)))
    seen = poorer[poorer > 0]
    return float(np.clip(np.median(seen), *TAILS)) if seen.size else TAILS[0]


def year_of(series: xr.DataArray, year: int) -> xr.DataArray:
    """Layer of one year, dims ``(y, x)``; raises :class:`InputError` naming the years that exist."""
    years = series["time"].dt.year.values.tolist() if "time" in series.dims else []
    if year not in years:
        raise InputError(f"no mosaic of {year}; there are {', '.join(map(str, years)) or 'mosaics of one year only'}")
    return series.isel(time=years.index(year), drop=True)


def false_discovery_rates(no_change: np.ndarray, *, unchanged_share: float = 1.0) -> np.ndarray:
    """Share of false alarms [1] among the pixels whose probability of no change is at most that of each pixel.

    The adjusted probabilities of Benjamini and Hochberg 1995 (doi:10.1111/j.2517-6161.1995.tb02031.x).
    They are as right as the smallest of the probabilities: where noise differs within what was judged as alike, too many pass.

    Parameters
    ----------
    no_change
        Probabilities of no change [1], any dims, NaN is no data.
    unchanged_share
        Share of the pixels that did not change [1], where it is known, as by
        :func:`ceiba.change.two_dates.null_distribution.fit_null`; 1 is the careful answer.

    Returns
    -------
    np.ndarray
        0 to 1, same dims; NaN is no data.

    Raises
    ------
    ParameterError
        On a share beyond 0 to 1.
    """
    if not 0 <= unchanged_share <= 1:
        raise ParameterError(f"unchanged_share is {unchanged_share}; allowed are 0 to 1")
    rates = np.full(no_change.shape, np.nan)
    seen = np.isfinite(no_change)
    values = no_change[seen]
    order = np.argsort(values, kind="stable")
    share = unchanged_share * values[order] * values.size / np.arange(1, values.size + 1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.minimum.accumulate(share[::-1])[::-1], 1.0)
    rates[seen] = adjusted
    return rates


def map_change(
    no_change: xr.DataArray, *, significance: float, false_discovery_rate: float = 0.0, minimum_area_ha: float = 0.0
) -> xr.Dataset:
    """Change map from probabilities of no change.

    Parameters
    ----------
    no_change
        Dims ``(y, x)`` with a geobox (``.odc``), NaN is no data.
    significance
        A pixel below this probability of no change [1] is changed.
    false_discovery_rate
        Where above 0 it takes the place of ``significance``: pixels are changed up to this share of false alarms.
    minimum_area_ha
        Patches of changed pixels (corners touch) with a smaller true area [ha] are no change.

    Returns
    -------
    xr.Dataset
        change_probability [1] float32: share of true change among the pixels that stand out at least as much, which is 1
        less :func:`false_discovery_rates`; change uint8: 0 no data, 1 no change, 2 change.
    """
    values = no_change.values
    seen = np.isfinite(values)
    rates = false_discovery_rates(values)
    chosen, limit = (rates, false_discovery_rate) if false_discovery_rate > 0 else (values, significance)
    changed = seen & (np.where(seen, chosen, 1.0) <= limit)
    if minimum_area_ha > 0:
        changed = remove_small_patches(changed, pixel_areas(no_change.odc.geobox).values, minimum_area_ha)
    codes = np.where(seen, np.where(changed, CHANGE, NO_CHANGE), NODATA).astype("uint8")
    probability = no_change.copy(data=(1 - rates).astype("float32")).assign_attrs(units="1")
    return xr.Dataset(
        {
            "change_probability": probability,
            "change": no_change.copy(data=codes).assign_attrs(units="class", nodata=NODATA),
        }
    )


def remove_small_patches(changed: np.ndarray, area_ha: np.ndarray, minimum_ha: float) -> np.ndarray:
    """Changed pixels in patches of at least ``minimum_ha`` [ha]; ``area_ha`` holds the true area of each pixel."""
    patches, _ = ndimage.label(changed, structure=np.ones((3, 3)))
    area = np.bincount(patches.ravel(), weights=area_ha.ravel())
    # A millionth of slack: ten pixels of 0.01 ha are 0.1 ha, whatever the rounding.
    return changed & (area[patches] >= minimum_ha * (1 - 1e-6))


def change_areas(change: xr.DataArray, ndvi_difference: xr.DataArray) -> pd.DataFrame:
    """Areas of change by direction.

    Parameters
    ----------
    change
        Codes of :func:`map_change`, dims ``(y, x)`` with a geobox.
    ndvi_difference
        NDVI of the last year minus that of the first [1], same grid.

    Returns
    -------
    pd.DataFrame
        Rows no_change, loss and gain (of greenness, NDVI down or up), no_data: direction, name_es, name_en, patches, pixels,
        area_ha and share [1] of the land with data.
    """
    area = pixel_areas(change.odc.geobox).values
    codes, difference = change.values, ndvi_difference.values
    masks = {
        "no_change": codes == NO_CHANGE,
        "loss": (codes == CHANGE) & ~(difference > 0),
        "gain": (codes == CHANGE) & (difference > 0),
        "no_data": codes == NODATA,
    }
    total = float(area[codes != NODATA].sum())
    rows = []
    for direction, mask in masks.items():
        hectares = float(area[mask].sum())
        counted = direction in ("loss", "gain")
        rows.append(
            {
                "direction": direction,
                "name_es": labels.text(f"change.{direction}", "es"),
                "name_en": labels.text(f"change.{direction}", "en"),
                "patches": int(ndimage.label(mask, structure=np.ones((3, 3)))[1]) if counted else 0,
                "pixels": int(mask.sum()),
                "area_ha": hectares,
                "share": hectares / total if total and direction != "no_data" else 0.0,
            }
        )
    return pd.DataFrame(rows)
