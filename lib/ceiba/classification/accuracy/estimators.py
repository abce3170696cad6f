"""Accuracy and areas from a probability sample: any strata, units of any area, post-strata, parts of the country.

Overall, user's and producer's accuracy, F1 and shares of area are all ratios of two totals (Stehman 2014,
doi:10.1080/01431161.2014.930207), so one estimator with a linearised variance serves them all. Where the strata are the
classes of the map it is that of Olofsson et al. 2013 and 2014 (doi:10.1016/j.rse.2014.02.015) with a finite-population
correction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from ceiba.classification.accuracy.intervals import check_method, ratio_interval, strata_interval
from ceiba.errors import InputError


@dataclass(frozen=True)
class ProbabilitySample:
    """A stratified random sample with the area that each of its units stands for.

    Attributes
    ----------
    strata
        Stratum of each sample, 0 to H - 1, dims ``(sample,)``.
    sizes, drawn
        Units of the population and samples in each stratum, dims ``(stratum,)``.
    groups
        Group of each sample whose area is known: stratum, post-stratum or everything, dims ``(sample,)``.
    areas
        Area that each sample stands for, summing to the known area of each group, dims ``(sample,)``.
    total_area
        Area that the samples speak of, in the unit of the areas given.
    coverage
        Share [1] of the population's area in strata and post-strata with samples; the estimates speak of that part only.
    single, unsampled
        Names of strata with one sample, which have no variance of their own, and of strata and post-strata with none.
    """

    strata: np.ndarray
    sizes: np.ndarray
    drawn: np.ndarray
    groups: np.ndarray
    areas: np.ndarray
    total_area: float
    coverage: float
    single: tuple = ()
    unsampled: tuple = ()

    def __len__(self) -> int:
        return len(self.strata)


@dataclass(frozen=True)
class Ratios:
    """Estimated ratios [1] with standard errors, limits of their intervals and half-widths of the normal interval.

    Each with dims ``(quantity,)``; NaN where the denominator's total is 0: nothing of it was in the sample.
    """

    value: np.ndarray
    standard_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    half_width: np.ndarray


def probability_sample(
    strata: Iterable,
    sizes: Mapping,
    *,
    unit_areas: np.ndarray | None = None,
    stratum_areas: Mapping | None = None,
    post_strata: Iterable | None = None,
    post_areas: Mapping | None = None,
    total_area: float | None = None,
) -> ProbabilitySample:
    """Areas that the units of a stratified random sample of pixels or polygons stand for.

    Parameters
    ----------
    strata
        Stratum of each sample, dims ``(sample,)``; one name throughout for a simple random sample.
    sizes
        Units (pixels, polygons) of the population in each stratum.
    unit_areas
        Area of each sampled pixel or polygon, dims ``(sample,)``; equal where it is None.
    stratum_areas
        True area of each stratum: the areas are scaled to it, stratum by stratum (separate ratio estimator). Where no area
        at all is given, the number of units is the area.
    post_strata, post_areas
        Another division, each sample's part and the known area of each part, for example state by class: the areas are
        scaled to these instead (post-stratification; Särndal, Swensson and Wretman 1992, section 7.6).
    total_area
        Area of the population, where units of unequal area come without the area of their strata: the ratio estimator for
        polygons (combined ratio estimator; Cochran 1977, section 6.11).

    Raises
    ------
    InputError
        Where the sample is empty, a stratum or post-stratum has no size, a stratum has more samples than units, or an area
        is missing or not positive.
    """
    names = _names(strata)
    if not len(names):
        raise InputError("the sample is empty: nothing can be estimated")
    number = _numbers(names, sizes, "strata")
    units = np.array([float(value) for value in sizes.values()])
    drawn = np.bincount(number, minlength=len(units))
    labels = list(sizes)
    over = [f"{labels[h]} ({drawn[h]} samples of {units[h]:g} units)" for h in np.flatnonzero(drawn > units)]
    if over:
        raise InputError(f"strata with more samples than units: {', '.join(over)}")
    if unit_areas is None and stratum_areas is None and post_areas is None and total_area is None:
        stratum_areas = sizes
    each = np.ones(len(names)) if unit_areas is None else np.asarray(unit_areas, dtype="float64")
    if each.shape != (len(names),) or not (each > 0).all():
        raise InputError(
            f"{len(names)} samples need as many positive unit areas; got {each.size}, least {each.min():g}"
        )
    if post_areas is not None:
        if post_strata is None:
            raise InputError("post_areas were given without post_strata, the part that each sample lies in")
        known, groups = post_areas, _numbers(_names(post_strata), post_areas, "post-strata")
    elif stratum_areas is not None:
        known = {label: stratum_areas.get(label, np.nan) for label in labels}
        groups = number
    elif total_area is not None:
        known, groups = {"all": total_area}, np.zeros(len(names), dtype="int64")
    else:
        raise InputError("units of unequal area need stratum_areas, post_areas or total_area")
    if len(groups) != len(names):
        raise InputError(f"{len(names)} samples have {len(groups)} post-strata; one each is needed")
    area = np.array([float(value) for value in known.values()])
    if not (area >= 0).all():
        raise InputError(
            f"no area is known of {[name for name, value in zip(known, area, strict=True) if not value >= 0]}"
        )
    # What the design alone says of each group's area; the known area corrects it.
    by_design = (units / np.maximum(drawn, 1))[number] * each
    reached = np.bincount(groups, weights=by_design, minlength=len(area))
    seen = reached > 0
    factor = np.where(seen, area / np.where(seen, reached, 1), 0)
    absent = [labels[h] for h in np.flatnonzero((drawn == 0) & (units > 0))]
    absent += [
        name
        for name, here, value in zip(known, seen, area, strict=True)
        if not here and value > 0 and name not in absent
    ]
    coverage = float(area[seen].sum() / area.sum())
    if groups is not number:
        coverage = min(coverage, float(units[drawn > 0].sum() / units.sum()))
    single = tuple(labels[h] for h in np.flatnonzero((drawn == 1) & (units > 1)))
    return ProbabilitySample(
        strata=number,
        sizes=units,
        drawn=drawn,
        groups=groups,
        areas=by_design * factor[groups],
        total_area=float(area[seen].sum()),
        coverage=coverage,
        single=single,
        unsampled=tuple(absent),
    )


def estimate_ratios(
    numerators: np.ndarray,
    denominators: np.ndarray,
    sample: ProbabilitySample,
    *,
    weight: float | np.ndarray = 1.0,
    right_possible: np.ndarray | None = None,
    wrong_possible: np.ndarray | None = None,
    level: float = 0.95,
    interval: str = "strata",
) -> Ratios:
    """Ratios of totals, with linearised variances.

    Stehman 2014, equations 27 and 28, for samples of equal area; with the residuals of Särndal, Swensson and Wretman 1992
    (result 7.6.1) where areas were scaled to known ones. A stratum with a single sample has no spread of its own: its one
    residual is measured from the mean of all samples (what the R package survey calls "adjust"), which errs on the safe
    side, and the sample names it under ``single``.

    Parameters
    ----------
    numerators, denominators
        Values of each sample, dims ``(sample, quantity)``: 0 or 1 (2 for what F1 counts twice), or shares of a polygon.
    sample
        From :func:`probability_sample`.
    weight
        How often the numerators count what is right: 2 for F1; one for all or one a quantity.
    right_possible, wrong_possible
        Whether a unit could have been in the numerator, or in the denominator alone, given what is known of it without a
        visit (its class in the map), dims ``(sample, quantity)``; it always could where they are None.
    level
        Confidence level.
    interval
        A name of :data:`ceiba.classification.accuracy.intervals.INTERVALS`. ``strata`` is for indicators; quantities with
        other values get ``wilson``.
    """
    check_method(interval)
    top = np.asarray(numerators, dtype="float64").reshape(len(sample), -1)
    bottom = np.broadcast_to(np.asarray(denominators, dtype="float64").reshape(len(sample), -1), top.shape)
    total = sample.areas @ bottom
    there = total > 0
    safe = np.where(there, total, 1)
    ratio = np.where(there, (sample.areas @ top) / safe, np.nan)
    variance = _variance(top - np.nan_to_num(ratio) * bottom, sample) / safe**2
    # Kish's effective number of samples in the denominator, for ratios whose sample shows no spread at all.
    effective = safe**2 / np.maximum((sample.areas**2) @ bottom**2, np.finfo(float).tiny)
    effective = np.where(_whole_population(bottom, sample), np.inf, effective)
    by_strata = interval == "strata"
    lower, upper = ratio_interval(ratio, variance, effective, level=level, method="wilson" if by_strata else interval)
    error = np.where(there, np.sqrt(variance), np.nan)
    if by_strata:
        weight = np.broadcast_to(np.asarray(weight, dtype="float64"), top.shape[1:])
        plain = there & (((top == 0) & (bottom >= 0)) | ((top == weight) & (bottom == weight))).all(axis=0)
        plain &= ((bottom == 0) | (bottom == 1) | (top > 0)).all(axis=0)
        masks = [
            np.ones(top.shape) if mask is None else np.broadcast_to(np.asarray(mask, dtype="float64"), top.shape)
            for mask in (right_possible, wrong_possible)
        ]
        low, high = _strata_limits(top, bottom, weight, sample, masks, level)
        lower = np.where(plain, np.minimum(low, ratio), lower)
        upper = np.where(plain, np.maximum(high, ratio), upper)
    return Ratios(ratio, error, lower, upper, float(stats.norm.ppf(0.5 + level / 2)) * error)


def _strata_limits(
    top, bottom, weight, sample: ProbabilitySample, masks, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Limits from strata, cut by post-strata where there are any."""
    cell = np.unique(sample.strata * (int(sample.groups.max()) + 1) + sample.groups, return_inverse=True)[1].reshape(-1)
    rows = np.arange(len(sample))
    shape = (int(cell.max()) + 1, len(sample))
    by_area = sparse.csr_matrix((sample.areas, (cell, rows)), shape=shape)
    area = np.asarray(by_area.sum(axis=1)).reshape(-1)
    squares = np.bincount(cell, weights=sample.areas**2)
    fraction = (sample.drawn / np.maximum(sample.sizes, 1))[sample.strata]
    left = 1 - np.minimum(np.bincount(cell, weights=fraction) / np.bincount(cell), 1)
    with np.errstate(divide="ignore"):
        count = np.where(squares > 0, area**2 / np.where(squares > 0, squares, 1), 0) / left
    safe = np.where(area > 0, area, 1)[:, None]
    return strata_interval(
        (by_area @ (top > 0).astype("float64")) / safe,
        (by_area @ ((bottom > 0) & (top == 0)).astype("float64")) / safe,
        count,
        area,
        weight,
        right_possible=(by_area @ masks[0]) > 0,
        wrong_possible=(by_area @ masks[1]) > 0,
        level=level,
    )


def _variance(residual: np.ndarray, sample: ProbabilitySample) -> np.ndarray:
    """Variance of the totals of residuals under the design, dims ``(quantity,)``."""
    count = len(sample)
    rows = np.arange(count)
    by_group = sparse.csr_matrix((sample.areas, (sample.groups, rows)), shape=(int(sample.groups.max()) + 1, count))
    known = np.maximum(np.asarray(by_group.sum(axis=1)), np.finfo(float).tiny)
    centered = residual - ((by_group @ residual) / known)[sample.groups]
    # Each sample's share of the estimate; the stratum's total is their sum.
    value = sample.areas[:, None] * centered
    members = sparse.csr_matrix((np.ones(count), (sample.strata, rows)), shape=(len(sample.sizes), count))
    drawn = sample.drawn.astype("float64")[:, None]
    mean = (members @ value) / np.maximum(drawn, 1)
    squares = members @ (value - mean[sample.strata]) ** 2
    alone = (sample.drawn == 1) & (sample.sizes > 1)
    if alone.any():
        squares[alone] = (
            members @ (sample.areas[:, None] * (residual - (sample.areas @ residual) / sample.areas.sum())) ** 2
        )[alone]
    left = 1 - np.minimum(sample.drawn / np.maximum(sample.sizes, 1), 1)[:, None]
    return (left * drawn / np.maximum(drawn - 1, 1) * squares).sum(axis=0)


def _whole_population(bottom: np.ndarray, sample: ProbabilitySample) -> np.ndarray:
    """Whether every stratum that the denominator touches was measured to the last unit, dims ``(quantity,)``."""
    sampled_only = (sample.drawn < sample.sizes)[sample.strata]
    return ~((bottom != 0) & sampled_only[:, None]).any(axis=0)


def _names(values: Iterable) -> np.ndarray:
    names = np.empty(len(values := list(values)), dtype=object)
    names[:] = [value.item() if isinstance(value, np.generic) else value for value in values]
    return names


def _numbers(names: np.ndarray, known: Mapping, what: str) -> np.ndarray:
    place = {name: number for number, name in enumerate(known)}
    strange = sorted({str(name) for name in names if name not in place})
    if strange:
        shown = ", ".join(map(str, list(place)[:10]))
        raise InputError(f"samples lie in {what} without a size or area: {', '.join(strange)}; known are {shown}")
    return np.array([place[name] for name in names], dtype="int64")
