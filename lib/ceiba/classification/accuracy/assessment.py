"""Accuracy of a map and areas of its classes by a probability sample, for the whole and for parts of the country."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.accuracy.estimators import ProbabilitySample, Ratios, estimate_ratios, probability_sample
from ceiba.classification.samples.points import locate, read_samples
from ceiba.errors import InputError
from ceiba.legends import Legend

FEWEST_SAMPLES = 30


@dataclass(frozen=True)
class Ratio:
    """An estimated ratio [1], its standard error, the limits of its interval and the half-width of the normal interval.

    The papers print the last, value ± half-width; the limits need not lie evenly around the value.
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    half_width: float


@dataclass(frozen=True)
class DesignEstimate:
    """Accuracy of a map and areas of its classes by a reference sample.

    Attributes
    ----------
    overall
        Overall accuracy.
    classes
        One row a class that is mapped or found: code, samples (of the reference class), mapped_samples; users_accuracy,
        producers_accuracy and f1 [1] with ``users_se``, ``users_lower``, ``users_upper``, ``users_half_width`` (quantile times
        standard error, as the papers print it) and the like;
        share [1] of the area and area_ha with ``area_se_ha``, ``area_lower_ha``, ``area_upper_ha``, ``area_half_width_ha``.
        NaN where the sample holds nothing of a class.
    samples
        Reference samples that the figures rest on.
    matrix, matrix_se
        Share of the area [1] in each pair of classes and its standard error (NaN where the sample has none); rows map,
        columns reference.
    total_ha
        Area that the figures speak of.
    coverage
        Share [1] of the area in strata with samples.
    single, unsampled
        Names of the strata with one sample, whose spread was borrowed from the others, and of those with none.
    """

    overall: Ratio
    classes: pd.DataFrame
    samples: int
    matrix: pd.DataFrame | None = None
    matrix_se: pd.DataFrame | None = None
    total_ha: float = float("nan")
    coverage: float = 1.0
    single: tuple = ()
    unsampled: tuple = ()


def estimate_accuracy(
    mapped: np.ndarray,
    reference: np.ndarray,
    sample: ProbabilitySample,
    *,
    codes: Sequence[int] | None = None,
    part: np.ndarray | None = None,
    part_area_ha: float | None = None,
    level: float = 0.95,
    interval: str = "strata",
) -> DesignEstimate:
    """Overall, user's and producer's accuracy, F1, error matrix and areas, whatever the strata were.

    Stehman 2014 (doi:10.1080/01431161.2014.930207); F1 = 2 x right / (mapped + found) is a ratio of totals like the others,
    so that its standard error is the delta method's.

    Parameters
    ----------
    mapped, reference
        Class of each sample in the map and on the ground, dims ``(sample,)``: codes of classes, of transitions or of change.
        The two need not have the same classes.
    sample
        From :func:`ceiba.classification.accuracy.estimators.probability_sample`, with areas [ha]; where its areas are in
        another unit, the answer's are too.
    codes
        Classes of the answer, in this order; all that the sample holds, ascending, where it is None.
    part
        Samples that lie in the part of the country to be estimated (a state), dims ``(sample,)``, bool; all where it is None.
    part_area_ha
        Known area of that part: shares are then scaled to it, else to the area that the sample itself gives the part.
    level, interval
        As :func:`ceiba.classification.accuracy.estimators.estimate_ratios` takes them; ``bench_accuracy.py`` tells how often
        each covers the truth of a simulated country.

    Raises
    ------
    InputError
        Where lengths differ, ``codes`` lacks a class of the sample, or no sample lies in the part.
    """
    mapped, reference = np.asarray(mapped), np.asarray(reference)
    inside = np.ones(len(sample), dtype=bool) if part is None else np.asarray(part, dtype=bool)
    if not mapped.shape == reference.shape == inside.shape == (len(sample),):
        raise InputError(
            f"the sample has {len(sample)} units, but {mapped.size} map classes, {reference.size} reference classes and "
            f"{inside.size} marks of the part"
        )
    if not inside.any():
        raise InputError("no sample lies in the part: nothing can be estimated")
    present = np.union1d(mapped[inside], reference[inside])
    order = present if codes is None else np.asarray(list(codes), dtype=present.dtype)
    strange = sorted(set(present.tolist()) - set(order.tolist()))
    if strange:
        raise InputError(f"the sample holds classes {strange}, which are not among {order.tolist()}")
    is_mapped = (mapped[:, None] == order) & inside[:, None]
    is_found = (reference[:, None] == order) & inside[:, None]
    right = (is_mapped & is_found).astype("float64")
    every = inside.astype("float64")[:, None]

    def ratios(numerators, denominators, *, weight=1.0, right_possible=None, wrong_possible=None) -> Ratios:
        return estimate_ratios(
            numerators,
            denominators,
            sample,
            weight=weight,
            right_possible=right_possible,
            wrong_possible=wrong_possible,
            level=level,
            interval=interval,
        )

    overall = ratios(right.sum(axis=1, keepdims=True), every)
    whole = every if part_area_ha is not None or part is None else np.ones_like(every)
    total = sample.total_area if part_area_ha is None else float(part_area_ha)
    shares = ratios(is_found, whole)
    columns = {"code": order, "samples": is_found.sum(axis=0), "mapped_samples": is_mapped.sum(axis=0)}
    # What is mapped as another class cannot be right, nor wrongly mapped as this one; what is mapped as this one cannot
    # be missed.
    either = is_mapped.astype("float64") + is_found
    for name, long_name, found in (
        ("users", "users_accuracy", ratios(right, is_mapped, right_possible=is_mapped, wrong_possible=is_mapped)),
        (
            "producers",
            "producers_accuracy",
            ratios(right, is_found, right_possible=is_mapped, wrong_possible=~is_mapped),
        ),
        ("f1", "f1", ratios(2 * right, either, weight=2.0, right_possible=is_mapped)),
    ):
        columns |= {long_name: found.value} | _columns(found, name)
    columns |= {
        "share": shares.value * total / _area_inside(sample, inside, part_area_ha),
        "area_ha": shares.value * total,
    }
    columns |= {f"area_{name}_ha": values * total for name, values in _limits(shares).items()}
    matrix, matrix_se = _error_matrix(mapped, reference, inside, order, sample)
    return DesignEstimate(
        Ratio(*(float(values[0]) for values in (overall.value, *_limits(overall).values()))),
        pd.DataFrame(columns),
        int(inside.sum()),
        matrix,
        matrix_se,
        _area_inside(sample, inside, part_area_ha),
        sample.coverage,
        sample.single,
        sample.unsampled,
    )


def estimate_by_part(
    mapped: np.ndarray,
    reference: np.ndarray,
    sample: ProbabilitySample,
    parts: Iterable[str],
    *,
    part_areas_ha: Mapping[str, float] | None = None,
    codes: Sequence[int] | None = None,
    level: float = 0.95,
    interval: str = "strata",
) -> dict[str, DesignEstimate]:
    """:func:`estimate_accuracy` of every part (state, municipality) that has samples, by the part's name.

    Parts are domains of one sample, not strata: how many samples fell into one is chance, and the variance says so.
    ``parts`` is the name of each sample's part, dims ``(sample,)``; ``part_areas_ha`` are their known areas.
    """
    names = np.asarray(list(parts), dtype=str)
    if part_areas_ha is not None and (missing := sorted(set(names) - set(part_areas_ha))):
        raise InputError(f"no area is known of {', '.join(missing)}; known are {', '.join(part_areas_ha)}")
    return {
        str(name): estimate_accuracy(
            mapped,
            reference,
            sample,
            codes=codes,
            part=names == name,
            part_area_ha=None if part_areas_ha is None else part_areas_ha[str(name)],
            level=level,
            interval=interval,
        )
        for name in np.unique(names)
    }


def assess_map(
    table: pd.DataFrame,
    land_cover: xr.DataArray,
    legend: Legend,
    year: int,
    *,
    design: pd.DataFrame | None = None,
    interval: str = "strata",
) -> DesignEstimate | None:
    """Accuracy of a map of one year by the reference samples that lie on it.

    Parameters
    ----------
    table
        As :func:`ceiba.classification.samples.points.read_samples` takes it; ``stratum`` and ``stratum_pixels`` tell the
        design, a simple random sample where they are absent; ``stratum_ha`` and ``pixel_ha``, the true areas of the
        stratum and of the sample's pixel, where pixels differ. Samples beyond the map stay in: they tell the size of
        their strata.
    land_cover
        Codes, dims ``(y, x)``, with a geobox (``.odc``); 0 is no data.
    legend
        Legend of map and reference.
    year
        Year of the map.
    design
        From :func:`ceiba.classification.accuracy.designs.draw_sample`, the samples that were to be told. Where none of a
        stratum was, it is named under ``unsampled``, and areas are those of the rest. A design that the table is not of
        (:func:`design_of`) plays no part.
    interval
        As :func:`estimate_accuracy` takes it.

    Returns
    -------
    DesignEstimate or None
        None where fewer than 30 reference samples of the year lie on the map: too few to tell anything.
    """
    table, mapped, reference, _ = _on_map(table, land_cover, legend, year)
    on_map = mapped > 0
    if on_map.sum() < FEWEST_SAMPLES:
        return None
    area_ha = float(pixel_areas(land_cover.odc.geobox).where(land_cover.values > 0).sum())
    drawn_from = design_of(table, design)
    sample = sample_of_table(table, strata=None if drawn_from is None else _strata_of(drawn_from))
    return estimate_accuracy(
        mapped, reference, sample, part=on_map, part_area_ha=area_ha * sample.coverage, interval=interval
    )


def assess_regions(
    table: pd.DataFrame,
    land_cover: xr.DataArray,
    legend: Legend,
    year: int,
    zones: np.ndarray,
    names: Sequence[str],
    *,
    interval: str = "strata",
) -> dict[str, DesignEstimate]:
    """:func:`assess_map` of each state or municipality with at least two samples on the map, by name.

    ``zones`` is the number of the region of each pixel from 1, 0 for none, dims ``(y, x)``, and ``names`` are those of region
    1, 2 and so on. Regions are domains of one sample: their mapped area is known, how many samples fell into them is chance.
    """
    table, mapped, reference, place = _on_map(table, land_cover, legend, year)
    on_map = mapped > 0
    zone = np.zeros(len(table), dtype="int64")
    zone[on_map] = zones[place["row"].to_numpy()[on_map], place["column"].to_numpy()[on_map]]
    areas = pixel_areas(land_cover.odc.geobox).where(land_cover.values > 0, 0).values
    known = np.bincount(zones.ravel(), weights=areas.ravel(), minlength=len(names) + 1)
    sample = sample_of_table(table) if len(table) else None
    return {
        name: estimate_accuracy(
            mapped, reference, sample, part=zone == number, part_area_ha=float(known[number]), interval=interval
        )
        for number, name in enumerate(names, start=1)
        if (zone == number).sum() >= 2
    }


def _on_map(table, land_cover, legend, year) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, pd.DataFrame]:
    """Samples of the year, their classes in the map (0 beyond it) and on the ground, and their pixels."""
    chosen = read_samples(table, legend)["year"].to_numpy() == year
    table = table[chosen].reset_index(drop=True)
    reference = read_samples(table, legend)["code"].to_numpy() if len(table) else np.zeros(0, dtype="uint8")
    place = locate(table, land_cover.odc.geobox)
    inside = place["inside"].to_numpy()
    mapped = np.zeros(len(table), dtype="uint8")
    mapped[inside] = land_cover.values[place["row"].to_numpy()[inside], place["column"].to_numpy()[inside]]
    return table, mapped, reference, place


def design_of(table: pd.DataFrame, design: pd.DataFrame | None) -> pd.DataFrame | None:
    """The design, if every sample of the table is one of its samples, in the same stratum; else None.

    A place may have a design that nobody has read yet beside an older reference sample with strata of its own.
    """
    if design is None or not {"sample_id", "stratum"} <= set(table.columns):
        return None
    strata = design.set_index(design["sample_id"].astype(str))["stratum"].astype(str)
    found = strata.reindex(table["sample_id"].astype(str)).to_numpy()
    return design if (found == table["stratum"].astype(str).to_numpy()).all() else None


def _strata_of(design: pd.DataFrame) -> pd.DataFrame:
    """Strata that a design drew from, as :func:`ceiba.classification.accuracy.designs.count_strata` gives them."""
    names = {"stratum_pixels": "pixels", "stratum_ha": "area_ha"}
    return design[["stratum", *names]].drop_duplicates("stratum").rename(columns=names)


def sample_of_table(table: pd.DataFrame, *, strata: pd.DataFrame | None = None) -> ProbabilitySample:
    """The design that a table of samples tells in its columns ``stratum``, ``stratum_pixels``, ``stratum_ha``, ``pixel_ha``.

    Without the first two it is taken for a simple random sample of a population far above it; one of the two without the
    other, or a stratum with two sizes or none, is an :class:`ceiba.errors.InputError`. A stratum without any sample is in no
    row of the table: give all ``strata``, of :func:`ceiba.classification.accuracy.designs.count_strata`, where there may be
    one, so that it is named and counted.
    """
    absent = {"stratum", "stratum_pixels"} - set(table.columns)
    if len(absent) == 1:
        raise InputError(
            f"the reference sample lacks the column {absent.pop()}: without it the strata cannot be weighed; "
            "give the design, or leave out all of it for a simple random sample"
        )
    if absent:
        # Any size far above the sample: the finite-population correction vanishes.
        return probability_sample(["all"] * len(table), {"all": 1e12})
    names = table["stratum"].astype(str).to_numpy(dtype=object)
    known = {}
    for column, counted in (("stratum_pixels", "pixels"), ("stratum_ha", "area_ha")):
        if column in table:
            values = pd.Series(table[column].to_numpy(dtype="float64")).groupby(names)
            if (values.nunique() > 1).any():
                wrong = values.nunique().index[values.nunique() > 1].tolist()
                raise InputError(f"{column} differs within strata {wrong}")
            if not (table[column].to_numpy(dtype="float64") > 0).all():
                raise InputError(f"{column} is missing or not positive in some rows; every sample needs its stratum's")
            known[column] = values.first().to_dict()
            if strata is not None:
                known[column] |= dict(zip(strata["stratum"].astype(str), strata[counted].astype(float), strict=True))
    # One pixel's area beside another's matters only where the strata's areas are known too.
    each = table["pixel_ha"].to_numpy(dtype="float64") if {"pixel_ha", "stratum_ha"} <= set(table.columns) else None
    return probability_sample(names, known["stratum_pixels"], unit_areas=each, stratum_areas=known.get("stratum_ha"))


def _error_matrix(mapped, reference, inside, order, sample) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares of the area and their standard errors, pair by pair; only pairs that occur are worked out."""
    place = {code: number for number, code in enumerate(order.tolist())}
    rows = np.array([place.get(code, 0) for code in mapped.tolist()])
    columns = np.array([place.get(code, 0) for code in reference.tolist()])
    pair = np.where(inside, rows * len(order) + columns, -1)
    known = np.unique(pair[inside])
    cells = estimate_ratios(pair[:, None] == known, inside[:, None], sample, interval="normal")
    value, error = np.zeros(len(order) ** 2), np.full(len(order) ** 2, np.nan)
    value[known], error[known] = cells.value, cells.standard_error
    axes = {"index": pd.Index(order, name="map"), "columns": pd.Index(order, name="reference")}
    square = (len(order), len(order))
    return pd.DataFrame(value.reshape(square), **axes), pd.DataFrame(error.reshape(square), **axes)


def _area_inside(sample: ProbabilitySample, inside: np.ndarray, known: float | None) -> float:
    return float(sample.areas[inside].sum()) if known is None else float(known)


def _limits(found: Ratios) -> dict[str, np.ndarray]:
    return {
        "se": found.standard_error,
        "lower": found.lower,
        "upper": found.upper,
        "half_width": found.half_width,
    }


def _columns(found: Ratios, name: str) -> dict[str, np.ndarray]:
    return {f"{name}_{limit}": values for limit, values in _limits(found).items()}
