"""One report of all accuracies of a model and its map: random, by blocks of several sizes, and design-based."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ceiba import labels
from ceiba.classification.accuracy.assessment import DesignEstimate
from ceiba.classification.accuracy.validation import (
    Accuracy,
    blocked_folds,
    measure_accuracy,
    random_folds,
    spatial_blocks,
)
from ceiba.classification.figures import class_name
from ceiba.classification.models.land_cover_model import Candidate, cross_predict
from ceiba.classification.samples.points import TrainingSet
from ceiba.errors import InputError
from ceiba.legends import Legend

LARGEST_GAP = 0.05
COLORS = {"random": "#E69F00", "blocked": "#0072B2", "design": "#009E73"}


@dataclass(frozen=True)
class AccuracyReport:
    """Accuracies side by side.

    Attributes
    ----------
    figures
        One row a way of measuring, random first: kind (``random``, ``blocked``, ``design``), block_size_m (NaN but for
        blocks), samples, overall, lower, upper [1].
    gaps
        Pairs of rows whose overall accuracies differ by more than 5 points: first, second (row numbers), difference [1].
    outliers_removed
        Samples that were taken out of the test data before measuring; NaN where nobody knows.
    """

    figures: pd.DataFrame
    gaps: pd.DataFrame
    outliers_removed: float


def measure_splits(
    predict: Callable[[np.ndarray], np.ndarray],
    codes: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    classes: Sequence[int],
    *,
    block_sizes_m: Sequence[float],
    folds: int = 5,
    seed: int = 0,
) -> dict[float, Accuracy]:
    """Accuracy of a model by random folds and by blocks of several sizes.

    Parameters
    ----------
    predict
        Takes the fold of each sample and gives the class of each by a model that was trained on the other folds.
    codes
        Class of each sample, dims ``(sample,)``.
    x, y
        Positions in a projected CRS [m], dims ``(sample,)``.
    classes
        Classes of the legend.
    block_sizes_m
        Sides of the blocks [m].
    folds, seed
        Number of folds and seed of their draw.

    Returns
    -------
    dict
        Block size [m] to accuracy, 0 for random folds.

    Raises
    ------
    InputError
        Where samples lie in a single block of a size.
    """
    codes = np.asarray(codes)
    measured = {0.0: measure_accuracy(predict(random_folds(codes, folds=folds, seed=seed)), codes, classes)}
    for size in block_sizes_m:
        blocks = spatial_blocks(x, y, size)
        guessed = predict(blocked_folds(codes, blocks, folds=folds, seed=seed))
        measured[float(size)] = measure_accuracy(guessed, codes, classes, blocks=blocks)
    return measured


def candidate_splits(
    training: TrainingSet, classes: np.ndarray, candidate: Candidate, *, block_sizes_m: Sequence[float], seed: int
) -> dict[float, Accuracy]:
    """:func:`measure_splits` of a kind of model, on the classes that the samples hold, ascending."""

    def predict(folds: np.ndarray) -> np.ndarray:
        return classes[cross_predict(training, folds, classes, candidate=candidate, seed=seed).argmax(axis=1)]

    return measure_splits(
        predict, training.codes, training.x, training.y, classes.tolist(), block_sizes_m=block_sizes_m, seed=seed
    )


def report_accuracy(
    splits: Mapping[float, Accuracy], design: DesignEstimate | None, *, outliers_removed: int | None
) -> AccuracyReport:
    """Put the accuracies of one model and its map side by side.

    Parameters
    ----------
    splits
        Block size [m] to accuracy on held-out samples, 0 for random folds; from :func:`measure_splits` or elsewhere.
    design
        Accuracy of the map by a probability sample; None where there is none, which the report then shows.
    outliers_removed
        Samples taken out of the test data (odd labels, outliers) before measuring; 0 for none, None where it is not known.
        Accuracy on what is left is that of the easy part.

    Raises
    ------
    InputError
        Where there is nothing to report.
    """
    rows = []
    for size in sorted(splits):
        found = splits[size]
        kind = "blocked" if size else "random"
        count = int(found.matrix.to_numpy().sum())
        rows.append([kind, size or np.nan, count, found.overall, *found.interval])
    if design is not None:
        overall = design.overall
        rows.append(["design", np.nan, design.samples, overall.value, overall.lower, overall.upper])
    if not rows:
        raise InputError("neither held-out samples nor a reference sample: there is no accuracy to report")
    figures = pd.DataFrame(rows, columns=["kind", "block_size_m", "samples", "overall", "lower", "upper"])
    overall = figures["overall"].to_numpy()
    gaps = [
        [first, second, float(overall[first] - overall[second])]
        for first in range(len(overall))
        for second in range(first + 1, len(overall))
        # A difference of 5 points to the digit is not more than 5 points.
        if abs(overall[first] - overall[second]) > LARGEST_GAP + 1e-9
    ]
    removed = float("nan") if outliers_removed is None else float(outliers_removed)
    return AccuracyReport(figures, pd.DataFrame(gaps, columns=["first", "second", "difference"]), removed)


def name_row(row: pd.Series) -> str:
    """A way of measuring in both languages."""
    words = labels.both(f"classification.report_{row['kind']}")
    return f"{words}, {row['block_size_m']:,.0f} m" if row["kind"] == "blocked" else words


def report_table(report: AccuracyReport) -> pd.DataFrame:
    """The accuracies as a table for people."""
    rows = report.figures
    return pd.DataFrame(
        {
            labels.both("classification.report_measured"): [name_row(row) for _, row in rows.iterrows()],
            labels.both("classification.samples"): rows["samples"].to_numpy(),
            labels.both("classification.overall_accuracy"): [f"{value:.1%}" for value in rows["overall"]],
            labels.both("classification.interval"): [
                f"{low:.1%} - {high:.1%}" for low, high in zip(rows["lower"], rows["upper"], strict=True)
            ],
        }
    )


def report_warnings(report: AccuracyReport) -> list[str]:
    """What a reader must be told, in both languages: gaps above 5 points, outliers left out, no design-based figure."""
    rows = report.figures
    told = {number: f"{name_row(row)} {row['overall']:.1%}" for number, row in rows.iterrows()}
    # One sentence for all that one figure differs from: a sentence a pair would not be read.
    words = [
        f"{labels.both('classification.report_gap')}: {told[int(first)]} / {'; '.join(told[int(each)] for each in gaps['second'])}"
        for first, gaps in report.gaps.groupby("first")
    ]
    if np.isnan(report.outliers_removed):
        words.append(labels.both("classification.report_outliers_unknown"))
    elif report.outliers_removed:
        words.append(f"{labels.both('classification.report_outliers')}: {report.outliers_removed:.0f}")
    else:
        words.append(labels.both("classification.report_no_outliers"))
    if "design" not in set(rows["kind"]):
        words.append(labels.both("classification.report_no_design"))
    return words


def draw_report(axes: Axes, report: AccuracyReport) -> None:
    """Overall accuracies with their intervals, one line a way of measuring."""
    rows = report.figures
    place = np.arange(len(rows))
    for number, row in zip(place, rows.itertuples(), strict=True):
        margins = [[max(row.overall - row.lower, 0)], [max(row.upper - row.overall, 0)]]
        axes.errorbar(row.overall, number, xerr=margins, fmt="o", color=COLORS[row.kind], capsize=4)
    axes.set_yticks(place, [name_row(row).replace(" | ", "\n") for _, row in rows.iterrows()], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set(
        xlabel=labels.both("classification.report_axis"),
        title=labels.both("classification.report_title").replace(" | ", "\n"),
    )
    axes.grid(axis="x", color="0.9")


def draw_areas(axes: Axes, mapped_ha: Mapping[int, float], design: DesignEstimate, legend: Legend) -> None:
    """Mapped area and estimated area with its interval [ha] of each class, the largest first."""
    rows = design.classes[(design.classes["area_ha"] > 0)].sort_values("area_ha", ascending=False)
    place = np.arange(len(rows))
    areas = rows["area_ha"].to_numpy()
    margins = np.clip([areas - rows["area_lower_ha"].to_numpy(), rows["area_upper_ha"].to_numpy() - areas], 0, None)
    axes.barh(
        place,
        [mapped_ha.get(int(code), 0.0) for code in rows["code"]],
        color="0.85",
        label=labels.both("classification.report_mapped"),
    )
    axes.errorbar(
        areas,
        place,
        xerr=margins,
        fmt="o",
        color=COLORS["design"],
        capsize=3,
        markersize=4,
        label=labels.both("classification.report_estimated"),
    )
    axes.set_yticks(place, [class_name(legend, int(code), longest=28) for code in rows["code"]], fontsize=7)
    axes.invert_yaxis()
    axes.set(
        xlabel=labels.both("classification.area_ha"),
        title=labels.both("classification.report_areas").replace(" | ", "\n"),
    )
    axes.legend(fontsize=7)
