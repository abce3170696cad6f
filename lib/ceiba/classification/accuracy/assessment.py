"""Accuracy and areas from a probability sample whose strata need not be the classes of the map."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.samples.points import locate, read_samples
from ceiba.legends import Legend

FEWEST_SAMPLES = 30


@dataclass(frozen=True)
class Ratio:
    """An estimated ratio [1] and half the width of its 95 % interval."""

    value: float
    half_width: float


@dataclass(frozen=True)
class DesignEstimate:
    """Accuracy of a map by a reference sample.

    Attributes
    ----------
    overall
        Overall accuracy.
    classes
        One row a class that is mapped or found: code, samples, users_accuracy, users_half_width, producers_accuracy,
        producers_half_width [1], area_ha, area_half_width_ha.
    samples
        Reference samples on the map.
    """

    overall: Ratio
    classes: pd.DataFrame
    samples: int


def estimate_ratio(
    numerator: np.ndarray, denominator: np.ndarray, strata: np.ndarray, sizes: np.ndarray, *, level: float = 0.95
) -> Ratio:
    """Ratio of two totals from a stratified random sample.

    Stehman 2014 (doi:10.1080/01431161.2014.930207), equations 27 and 28: overall, user's and producer's accuracy and shares
    of area are all such ratios of indicators.

    Parameters
    ----------
    numerator, denominator
        Indicator of each sample, 0 or 1, dims ``(sample,)``.
    strata
        Stratum of each sample, 0 to H - 1, dims ``(sample,)``.
    sizes
        Number of pixels in each stratum, dims ``(stratum,)``.
    level
        Confidence level.

    Returns
    -------
    Ratio
        NaN where the denominator's total is 0; an infinite half-width where a stratum has a single sample.
    """
    count = np.bincount(strata, minlength=len(sizes)).astype("float64")
    weight = np.where(count > 0, sizes / np.maximum(count, 1), 0.0)
    bottom = float((weight[strata] * denominator).sum())
    if not bottom > 0:
        return Ratio(float("nan"), float("nan"))
    ratio = float((weight[strata] * numerator).sum()) / bottom
    residual = numerator - ratio * denominator
    mean = np.bincount(strata, weights=residual, minlength=len(sizes)) / np.maximum(count, 1)
    squares = np.bincount(strata, weights=(residual - mean[strata]) ** 2, minlength=len(sizes))
    if np.any((count == 1) & (sizes > 1)):
        return Ratio(ratio, float("inf"))
    spread = squares / np.maximum(count - 1, 1)
    variance = (
        sizes**2 * (1 - np.minimum(count / np.maximum(sizes, 1), 1)) * spread / np.maximum(count, 1)
    ).sum() / bottom**2
    return Ratio(ratio, float(stats.norm.ppf(0.5 + level / 2) * np.sqrt(variance)))


def assess_map(table: pd.DataFrame, land_cover: xr.DataArray, legend: Legend, year: int) -> DesignEstimate | None:
    """Accuracy of a map of one year by the reference samples that lie on it.

    Parameters
    ----------
    table
        As :func:`ceiba.classification.samples.points.read_samples` takes it; ``stratum`` and ``stratum_pixels`` tell the design, a
        simple random sample where they are absent. Samples beyond the map stay in: they tell the size of their strata.
    land_cover
        Codes, dims ``(y, x)``, with a geobox (``.odc``); 0 is no data.
    legend
        Legend of map and reference.
    year
        Year of the map.

    Returns
    -------
    DesignEstimate or None
        None where fewer than 30 reference samples of the year lie on the map: too few to tell anything.
    """
    chosen = read_samples(table, legend)["year"].to_numpy() == year
    table = table[chosen].reset_index(drop=True)
    reference = read_samples(table, legend)["code"].to_numpy() if len(table) else np.zeros(0, dtype="uint8")
    place = locate(table, land_cover.odc.geobox)
    inside = place["inside"].to_numpy()
    mapped = np.zeros(len(table), dtype="uint8")
    mapped[inside] = land_cover.values[place["row"].to_numpy()[inside], place["column"].to_numpy()[inside]]
    on_map = mapped > 0
    if on_map.sum() < FEWEST_SAMPLES:
        return None
    strata, sizes = _design(table)
    area_ha = float(pixel_areas(land_cover.odc.geobox).where(land_cover.values > 0).sum())
    rows = []
    for code in np.union1d(mapped[on_map], reference[on_map]):
        of_map, of_reference = on_map & (mapped == code), on_map & (reference == code)
        both = (of_map & of_reference).astype("float64")
        users = estimate_ratio(both, of_map.astype("float64"), strata, sizes)
        producers = estimate_ratio(both, of_reference.astype("float64"), strata, sizes)
        share = estimate_ratio(of_reference.astype("float64"), on_map.astype("float64"), strata, sizes)
        rows.append(
            {
                "code": int(code),
                "samples": int(of_reference.sum()),
                "users_accuracy": users.value,
                "users_half_width": users.half_width,
                "producers_accuracy": producers.value,
                "producers_half_width": producers.half_width,
                "area_ha": share.value * area_ha,
                "area_half_width_ha": share.half_width * area_ha,
            }
        )
    right = (on_map & (mapped == reference)).astype("float64")
    overall = estimate_ratio(right, on_map.astype("float64"), strata, sizes)
    return DesignEstimate(overall, pd.DataFrame(rows), int(on_map.sum()))


def _design(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Stratum number of each sample, and pixels in each stratum."""
    if not {"stratum", "stratum_pixels"} <= set(table.columns):
        # One stratum of any size far above the sample: the finite-population correction vanishes.
        return np.zeros(len(table), dtype="int64"), np.array([1e12])
    names = table["stratum"].astype(str).to_numpy(dtype=object)
    known, strata = np.unique(names.astype(str), return_inverse=True)
    pixels = table["stratum_pixels"].to_numpy(dtype="float64")
    sizes = np.array([pixels[strata == number][0] for number in range(len(known))])
    return strata.reshape(-1), sizes
