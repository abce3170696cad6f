"""Areas from one class to another: as mapped, corrected by a reference sample, by parts of the country; gain, loss and swap."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.accuracy.assessment import DesignEstimate, estimate_accuracy
from ceiba.classification.accuracy.estimators import ProbabilitySample, estimate_ratios
from ceiba.errors import InputError
from ceiba.legends import Legend

STRIP_ROWS = 512  # summed at a time, so that memory does not grow with the map
PAIR = 256  # codes are uint8: from_code * 256 + to_code tells a pair


@dataclass(frozen=True)
class FromToEstimate:
    """Areas from class to class by a reference sample.

    Attributes
    ----------
    pairs
        One row a pair of classes that is mapped or found: from_code, to_code, mapped_ha, samples, area_ha with
        ``area_lower_ha``, ``area_upper_ha`` and ``area_half_width_ha`` of the 95 % interval, users_accuracy and
        producers_accuracy [1] of the pair with half-widths.
    classes
        One row a class: code; before, after, gain, loss, net, swap [ha], each with its ``_half_width_ha`` and, but for the last
        two, the limits ``_lower_ha`` and ``_upper_ha`` of its interval.
    change
        Area that changed its class [ha], and half the width of its normal interval.
    change_limits
        Limits of its interval [ha]; they need not lie evenly around it, and hold better where change is rare.
    estimate
        The estimate of all pairs.
    """

    pairs: pd.DataFrame
    classes: pd.DataFrame
    change: tuple[float, float]
    change_limits: tuple[float, float]
    estimate: DesignEstimate


def from_to_matrix(
    before: xr.DataArray, after: xr.DataArray, legend: Legend, *, inside: np.ndarray | None = None
) -> pd.DataFrame:
    """Mapped area from each class to each class, by the true area of every pixel.

    Parameters
    ----------
    before, after
        Codes of both dates, dims ``(y, x)``, with a geobox (``.odc``); 0 is no data, and a pixel without data on either date counts
        nowhere.
    legend
        Legend of both; raises :class:`ceiba.errors.LegendError` on a code that it does not have.
    inside
        Pixels that count, dims ``(y, x)``, bool; all where it is None.

    Returns
    -------
    pd.DataFrame
        Areas [ha], rows from, columns to, every class of the legend.

    Raises
    ------
    InputError
        Where shapes differ.
    """
    if before.shape != after.shape:
        raise InputError(f"the maps have shapes {before.shape} and {after.shape}; both dates need one grid")
    found, areas = _sum_pairs(before, after, legend, None if inside is None else inside.astype("uint8"))
    sums = np.zeros((PAIR, PAIR))
    sums[found // PAIR % PAIR, found % PAIR] = areas
    codes = legend.codes.astype("int64")
    names = {"index": pd.Index(codes, name="from"), "columns": pd.Index(codes, name="to")}
    return pd.DataFrame(sums[np.ix_(codes, codes)], **names)


def change_budget(matrix: pd.DataFrame) -> pd.DataFrame:
    """Gain, loss, net change and swap of each class.

    Pontius, Shusas and McEachern 2004 (doi:10.1016/j.agee.2003.09.008): what a class gains in one place and loses in another is
    swap, twice the smaller of both; a net change of nothing may hide a large one.

    Parameters
    ----------
    matrix
        Areas (or shares), rows from, columns to, the same classes in the same order.

    Returns
    -------
    pd.DataFrame
        One row a class: code, before, after, unchanged, gain, loss, net (gain less loss), swap, total (gain and loss), in the unit
        of the matrix.

    Raises
    ------
    InputError
        Where rows and columns differ.
    """
    if list(matrix.index) != list(matrix.columns):
        raise InputError("rows and columns of the matrix must be the same classes in the same order")
    values = matrix.to_numpy(dtype="float64")
    before, after, same = values.sum(axis=1), values.sum(axis=0), np.diag(values)
    gain, loss = after - same, before - same
    return pd.DataFrame(
        {
            "code": matrix.index.to_numpy(),
            "before": before,
            "after": after,
            "unchanged": same,
            "gain": gain,
            "loss": loss,
            "net": gain - loss,
            "swap": 2 * np.minimum(gain, loss),
            "total": gain + loss,
        }
    )


def total_change(budget: pd.DataFrame) -> dict[str, float]:
    """Change of the whole land: ``total``, and its parts ``net`` and ``swap``, in the unit of :func:`change_budget`.

    Each change is a gain of one class and a loss of another, so that sums over classes count it twice.
    """
    net = float(budget["net"].abs().sum()) / 2
    total = float(budget["total"].sum()) / 2
    return {"total": total, "net": net, "swap": total - net}


def estimate_from_to(
    mapped: tuple[np.ndarray, np.ndarray],
    reference: tuple[np.ndarray, np.ndarray],
    sample: ProbabilitySample,
    *,
    matrix: pd.DataFrame | None = None,
    part: np.ndarray | None = None,
    part_area_ha: float | None = None,
    level: float = 0.95,
) -> FromToEstimate:
    """Areas from class to class, corrected for errors of the map, with intervals.

    Every area is a ratio of totals of the sample (Stehman 2014, doi:10.1080/01431161.2014.930207). Where the strata are the pairs of
    the map, that is the estimator of Olofsson et al. 2014 (doi:10.1016/j.rse.2014.02.015) for a map of change.

    Parameters
    ----------
    mapped, reference
        Codes before and after of each sample, on the map and on the ground, dims ``(sample,)`` each.
    sample
        From :func:`ceiba.classification.accuracy.estimators.probability_sample`, with areas [ha].
    matrix
        Mapped areas of :func:`from_to_matrix`, for the pairs' mapped_ha.
    part, part_area_ha
        Samples of a part of the country and its known area, as
        :func:`ceiba.classification.accuracy.assessment.estimate_accuracy` takes them.
    level
        Confidence level.

    Raises
    ------
    InputError
        Where lengths differ or no sample lies in the part.
    """
    pairs = [
        np.asarray(first, dtype="int64") * PAIR + np.asarray(second, dtype="int64")
        for first, second in (mapped, reference)
    ]
    estimate = estimate_accuracy(*pairs, sample, part=part, part_area_ha=part_area_ha, level=level)
    table = estimate.classes
    names = ["samples", "area_ha", "area_lower_ha", "area_upper_ha", "area_half_width_ha"]
    names += [f"{name}_{what}" for name in ("users", "producers") for what in ("accuracy", "half_width")]
    table = pd.DataFrame({"from_code": table["code"] // PAIR, "to_code": table["code"] % PAIR}).join(table[names])
    known = np.full(len(table), np.nan)
    if matrix is not None:
        known = [matrix.at[row.from_code, row.to_code] if _has(matrix, row) else 0.0 for row in table.itertuples()]
    table.insert(2, "mapped_ha", known)
    inside = np.ones(len(sample), dtype=bool) if part is None else np.asarray(part, dtype=bool)
    ground = [np.asarray(codes, dtype="int64") for codes in reference]
    classes, change, limits = _budget_of_sample(
        *ground, sample, inside, part_area_ha if part is not None else None, level
    )
    return FromToEstimate(table, classes, change, limits, estimate)


def _has(matrix: pd.DataFrame, row: tuple) -> bool:
    return row.from_code in matrix.index and row.to_code in matrix.columns


def _budget_of_sample(
    before: np.ndarray,
    after: np.ndarray,
    sample: ProbabilitySample,
    inside: np.ndarray,
    area_ha: float | None,
    level: float,
) -> tuple[pd.DataFrame, tuple[float, float], tuple[float, float]]:
    """Gain, loss, net and swap of each class of the ground, and all change, with half-widths of their intervals."""
    codes = np.union1d(before[inside], after[inside])
    first = (before[:, None] == codes) & inside[:, None]
    second = (after[:, None] == codes) & inside[:, None]
    moved = ((before != after) & inside)[:, None]
    # With a known area shares are of the part; else of everything, so that its own size is part of what is estimated.
    whole = inside.astype("float64")[:, None] if area_ha is not None else np.ones((len(sample), 1))
    total = sample.total_area if area_ha is None else area_ha

    def areas(numerators: np.ndarray) -> dict[str, np.ndarray]:
        found = estimate_ratios(numerators, whole, sample, level=level)
        values = {"": found.value, "_half_width": found.half_width, "_lower": found.lower, "_upper": found.upper}
        return {f"{name}_ha": share * total for name, share in values.items()}

    gained, lost = (second & moved).astype("float64"), (first & moved).astype("float64")
    columns = {"code": codes}
    for name, values in (("before", first), ("after", second), ("gain", gained), ("loss", lost)):
        columns |= {f"{name}{part}": column for part, column in areas(values).items()}
    # A net change may be negative: intervals of shares do not fit it.
    net = estimate_ratios(gained - lost, whole, sample, level=level, interval="normal")
    columns |= {"net_ha": net.value * total, "net_half_width_ha": net.half_width * total}
    # Twice the smaller of gain and loss, so that its error is twice that of the smaller one (delta method).
    smaller = columns["gain_ha"] <= columns["loss_ha"]
    columns["swap_ha"] = 2 * np.where(smaller, columns["gain_ha"], columns["loss_ha"])
    columns["swap_half_width_ha"] = 2 * np.where(smaller, columns["gain_half_width_ha"], columns["loss_half_width_ha"])
    every = {name: float(value[0]) for name, value in areas(moved.astype("float64")).items()}
    change, limits = (every["_ha"], every["_half_width_ha"]), (every["_lower_ha"], every["_upper_ha"])
    return pd.DataFrame(columns), change, limits


def from_to_by_region(
    before: xr.DataArray,
    after: xr.DataArray,
    legend: Legend,
    zones: np.ndarray | None = None,
    names: Sequence[str] = ("",),
) -> pd.DataFrame:
    """Mapped areas from class to class in each region.

    Parameters
    ----------
    before, after, legend
        As of :func:`from_to_matrix`.
    zones
        Number of each pixel's region from 1, 0 is none, dims ``(y, x)``, as of
        :func:`ceiba.regions.region_zones`; one region for all pixels where it is None.
    names
        Name of region 1, 2 and so on.

    Returns
    -------
    pd.DataFrame
        One row a region and pair of classes that occurs: region, from_code, to_code, area_ha. Only pixels within a region count.

    Raises
    ------
    InputError
        Where shapes differ or a zone has no name.
    """
    if not before.shape == after.shape == (before.shape if zones is None else zones.shape):
        raise InputError(
            f"maps and zones need one grid; got {before.shape}, {after.shape} and {None if zones is None else zones.shape}"
        )
    most = 1 if zones is None else int(zones.max(initial=0))
    if most > len(names):
        raise InputError(f"zones go up to {most}, but there are {len(names)} names")
    found, areas = _sum_pairs(before, after, legend, zones)
    return pd.DataFrame(
        {
            "region": [names[int(zone) - 1] for zone in found // PAIR**2],
            "from_code": found // PAIR % PAIR,
            "to_code": found % PAIR,
            "area_ha": areas,
        }
    )


def _sum_pairs(
    before: xr.DataArray, after: xr.DataArray, legend: Legend, zones: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Keys ``(zone * PAIR + from) * PAIR + to`` that occur, ascending, and their areas [ha]; zone 0 counts nowhere."""
    first, second = before.values, after.values
    legend.check_map(first)
    legend.check_map(second)
    areas = pixel_areas(before.odc.geobox).values
    keys, sums = [], []
    for top in range(0, len(first), STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        zone = np.ones(first[rows].shape, dtype="uint8") if zones is None else zones[rows]
        counted = (first[rows] > 0) & (second[rows] > 0) & (zone > 0)
        key = (zone[counted].astype("int64") * PAIR + first[rows][counted]) * PAIR + second[rows][counted]
        found, place = np.unique(key, return_inverse=True)
        keys.append(found)
        sums.append(np.bincount(place.reshape(-1), weights=areas[rows][counted], minlength=len(found)))
    found, place = np.unique(np.concatenate(keys), return_inverse=True)
    return found, np.bincount(place.reshape(-1), weights=np.concatenate(sums), minlength=len(found))


def budget_by_region(areas: pd.DataFrame) -> pd.DataFrame:
    """Gain, loss, net and swap [ha] by region and class, from :func:`from_to_by_region`; one row a region and class."""
    rows = []
    for region, part in areas.groupby("region", sort=False):
        codes = sorted({*part["from_code"], *part["to_code"]})
        matrix = part.pivot_table(index="from_code", columns="to_code", values="area_ha", aggfunc="sum", fill_value=0.0)
        budget = change_budget(matrix.reindex(index=codes, columns=codes, fill_value=0.0))
        rows.append(budget.assign(region=region))
    columns = ["region", "code", "before", "after", "unchanged", "gain", "loss", "net", "swap", "total"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def estimate_by_region(
    mapped: tuple[np.ndarray, np.ndarray],
    reference: tuple[np.ndarray, np.ndarray],
    sample: ProbabilitySample,
    regions: Iterable[str],
    *,
    region_areas_ha: Mapping[str, float] | None = None,
    fewest_samples: int = 30,
) -> dict[str, FromToEstimate]:
    """:func:`estimate_from_to` of every region with enough samples, by the region's name.

    Parameters
    ----------
    mapped, reference, sample
        As of :func:`estimate_from_to`.
    regions
        Region of each sample, dims ``(sample,)``; empty for none.
    region_areas_ha
        Known area of each region [ha].
    fewest_samples
        Regions with less samples are left out: an interval from a handful of samples promises what it cannot hold.

    Raises
    ------
    InputError
        Where the area of a region with samples is not among those given.
    """
    names = np.asarray(list(regions), dtype=str)
    counts = pd.Series(names).value_counts()
    enough = sorted(name for name, count in counts.items() if name and count >= fewest_samples)
    missing = [name for name in enough if region_areas_ha is not None and name not in region_areas_ha]
    if missing:
        raise InputError(f"no area is known of {', '.join(missing)}; known are {', '.join(region_areas_ha)}")
    return {
        name: estimate_from_to(
            mapped,
            reference,
            sample,
            part=names == name,
            part_area_ha=None if region_areas_ha is None else region_areas_ha[name],
        )
        for name in enough
    }
