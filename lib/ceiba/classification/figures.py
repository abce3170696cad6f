"""Figures and tables that the classification notebooks show, worded in both languages."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ceiba import labels
from ceiba.classification.accuracy.assessment import DesignEstimate
from ceiba.classification.accuracy.validation import Accuracy
from ceiba.legends import Legend

LONGEST_NAME = 44
NAMED_CELLS = 12  # classes, up to which the cells of a confusion matrix carry their share in figures


def class_name(legend: Legend, code: int, *, longest: int = LONGEST_NAME) -> str:
    """Code and name of a class in both languages, "2 Bosque | Forest", each cut where it is too long for a figure."""
    entry = legend.find(code)
    names = dict.fromkeys((entry.name_es, entry.name_en))
    return f"{code} " + " | ".join(name if len(name) <= longest else name[: longest - 1] + "…" for name in names)


def two_lines(key: str) -> str:
    """A label in both languages, Spanish above English."""
    return labels.both(key).replace(" | ", "\n")


def draw_samples(axes: Axes, codes: np.ndarray, legend: Legend) -> None:
    """Number of samples of each class, as bars in the colours of the legend."""
    counts = pd.Series(np.asarray(codes, dtype="int64")).value_counts().sort_index()
    colors = legend.colors()
    names = [class_name(legend, code, longest=24) for code in counts.index]
    axes.barh(names, counts.to_numpy(), color=[colors[code] for code in counts.index], edgecolor="0.4", linewidth=0.5)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set(xlabel=labels.both("classification.samples"), title=two_lines("classification.samples_title"))


def draw_confusion(axes: Axes, accuracy: Accuracy, legend: Legend) -> None:
    """Confusion matrix of the classes that have samples; each column (reference class) sums to 1."""
    counts = accuracy.matrix.to_numpy()
    present = np.flatnonzero((counts.sum(axis=0) > 0) | (counts.sum(axis=1) > 0))
    counts = counts[np.ix_(present, present)]
    codes = accuracy.matrix.index.to_numpy()[present]
    share = counts / np.maximum(counts.sum(axis=0), 1)
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    axes.figure.colorbar(image, ax=axes, shrink=0.8).set_label(
        two_lines("classification.share_of_reference"), fontsize=8
    )
    names = [class_name(legend, int(code), longest=20) for code in codes]
    axes.set_xticks(range(len(codes)), [str(code) for code in codes], fontsize=7)
    axes.set_yticks(range(len(codes)), names, fontsize=6 if len(codes) > NAMED_CELLS else 8)
    if len(codes) <= NAMED_CELLS:
        for row, column in np.ndindex(counts.shape):
            ink = "black" if share[row, column] > 0.5 else "white"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=ink, fontsize=8)
    axes.set(xlabel=labels.both("classification.reference_class"), ylabel=labels.both("classification.map_class"))
    axes.set_title(two_lines("classification.confusion_title"))


def accuracy_table(measured: Mapping[str, Accuracy], calibration_error: float | None = None) -> pd.DataFrame:
    """One row a split (``blocked``, ``random``, ``reference``): samples, overall accuracy with interval, mean F1."""
    rows = []
    for split, accuracy in measured.items():
        low, high = accuracy.interval
        rows.append(
            {
                labels.both("classification.split"): labels.both(f"classification.{split}"),
                labels.both("classification.samples"): int(accuracy.matrix.to_numpy().sum()),
                labels.both("classification.overall_accuracy"): f"{accuracy.overall:.1%}",
                labels.both("classification.interval"): f"{low:.1%} - {high:.1%}",
                labels.both("classification.macro_f1"): f"{accuracy.macro_f1:.3f}",
            }
        )
    if calibration_error is not None:
        rows[0][labels.both("classification.calibration_error")] = f"{calibration_error:.3f}"
    return pd.DataFrame(rows).fillna("")


def class_table(accuracy: Accuracy, legend: Legend) -> pd.DataFrame:
    """One row a class with samples: name, samples, user's and producer's accuracy, F1."""
    rows = accuracy.classes[(accuracy.classes["samples"] > 0) | (accuracy.classes["mapped"] > 0)]
    table = {
        labels.both("classification.class"): [class_name(legend, int(code), longest=80) for code in rows["code"]],
        labels.both("classification.samples"): rows["samples"].to_numpy(),
    }
    for name in ("users_accuracy", "producers_accuracy"):
        table[labels.both(f"classification.{name}")] = [
            f"{value:.1%}" if np.isfinite(value) else "-" for value in rows[name]
        ]
    return pd.DataFrame(table)


def area_table(areas: pd.DataFrame) -> pd.DataFrame:
    """Areas of :func:`ceiba.classification.accuracy.areas.class_areas` for people: classes that occur, the largest first."""
    rows = areas[areas["pixels"] > 0].sort_values("area_ha", ascending=False)
    names = [f"{row.code} {row.name_es} | {row.name_en}" for row in rows.itertuples()]
    return pd.DataFrame(
        {
            labels.both("classification.class"): names,
            labels.both("classification.pixels"): rows["pixels"].to_numpy(),
            labels.both("classification.area_ha"): [f"{value:,.1f}" for value in rows["area_ha"]],
            labels.both("classification.share"): [f"{value:.1%}" for value in rows["share"]],
        }
    )


def describe_assessment(assessed: DesignEstimate) -> str:
    """Overall accuracy by the reference sample with its interval, in words."""
    overall = assessed.overall
    words = f"{labels.both('classification.overall_accuracy')} ({labels.both('classification.reference')})"
    count = f"{assessed.samples} {labels.both('classification.samples')}"
    return f"{words}: **{overall.value:.1%}**, {overall.lower:.1%} - {overall.upper:.1%} ({count})"


def corrected_area_table(assessed: DesignEstimate, mapped: pd.DataFrame, legend: Legend) -> pd.DataFrame:
    """Mapped and corrected area, user's and producer's accuracy with intervals of each class that is mapped or found.

    The limits, not a half-width: where all of few samples are right the half-width is 0, which would promise certainty.
    """
    mapped_ha = mapped.set_index("code")["area_ha"]

    def with_limits(values: pd.Series, lower: pd.Series, upper: pd.Series, form: str) -> list[str]:
        return [
            f"{value:{form}} ({low:{form}} - {high:{form}})" if np.isfinite(value + low + high) else "-"
            for value, low, high in zip(values, lower, upper, strict=True)
        ]

    codes = assessed.classes["code"].tolist()
    # A class on the map without a single sample is told too: nothing is known of it.
    unseen = [int(code) for code in mapped_ha.index[mapped_ha > 0] if code not in codes]
    rows = assessed.classes.set_index("code").reindex([*codes, *unseen])
    rows = rows.assign(samples=rows["samples"].fillna(0).astype(int)).reset_index()
    table = {
        labels.both("classification.class"): [class_name(legend, int(code), longest=80) for code in rows["code"]],
        labels.both("classification.samples"): rows["samples"].to_numpy(),
        labels.both("classification.area_ha"): [f"{mapped_ha.get(int(code), 0.0):,.1f}" for code in rows["code"]],
        labels.both("classification.corrected_area_ha"): with_limits(
            rows["area_ha"], rows["area_lower_ha"], rows["area_upper_ha"], ",.1f"
        ),
    }
    for name in ("users", "producers"):
        text = with_limits(rows[f"{name}_accuracy"], rows[f"{name}_lower"], rows[f"{name}_upper"], ".0%")
        table[labels.both(f"classification.{name}_accuracy")] = text
    return pd.DataFrame(table)


def draw_land_cover(axes: Axes, land_cover: xr.DataArray, legend: Legend) -> None:
    """Land cover in the colours of its legend, with the words of the classes that occur, the largest first."""
    colormap, norm = legend.colormap()
    axes.imshow(land_cover, extent=_extent(land_cover), cmap=colormap, norm=norm, interpolation="nearest")
    codes, counts = np.unique(land_cover.values[land_cover.values > 0], return_counts=True)
    colors = legend.colors()
    patches = [
        Patch(facecolor=colors[int(code)], edgecolor="0.4", label=class_name(legend, int(code)))
        for code in codes[np.argsort(-counts, kind="stable")]
    ]
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=6, frameon=False)
    _name_axes(axes)


def draw_share(axes: Axes, values: xr.DataArray, *, label: str, colormap: str) -> None:
    """A band between 0 and 1 with its color bar; ``label`` is the key of its text."""
    draw_range(axes, values, label=label, colormap=colormap, limits=(0, 1))


def draw_range(
    axes: Axes, values: xr.DataArray, *, label: str, colormap: str, limits: tuple[float, float]
) -> None:
    """A band with its color bar from the first to the second of ``limits``; ``label`` is the key of its text."""
    low, high = limits
    image = axes.imshow(values, extent=_extent(values), cmap=colormap, vmin=low, vmax=high, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, shrink=0.8).set_label(two_lines(label), fontsize=8)
    _name_axes(axes)


def draw_coarser(land_cover: xr.Dataset, coarser: Sequence[Legend], *, where: str) -> Figure:
    """A map a coarser legend below each other, from bands ``land_cover_<number of classes>``; ``where`` names tile and period."""
    figure, axes = plt.subplots(len(coarser), figsize=(11, 5 * len(coarser)), squeeze=False, layout="constrained")
    for place, legend in zip(axes[:, 0], coarser, strict=True):
        draw_land_cover(place, land_cover[f"land_cover_{len(legend)}"], legend)
    figure.suptitle(f"{labels.both('classification.coarser_title')}, {where}")
    return figure


def draw_counts(axes: Axes, values: xr.DataArray, *, label: str) -> None:
    """A band of whole numbers with its color bar, 0 is no data; ``label`` is the key of its text."""
    image = axes.imshow(values.where(values > 0), extent=_extent(values), cmap="magma_r", vmin=1, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, shrink=0.8).set_label(two_lines(label), fontsize=8)
    _name_axes(axes)


def draw_applicable(axes: Axes, applicable: xr.DataArray) -> None:
    """Area of applicability of a model: 1 within, 2 beyond, 0 no data."""
    draw_two(axes, applicable, {"classification.applicable_within": "#56b4e9", "classification.applicable_beyond": "#d55e00"})
    axes.set_title(two_lines("classification.applicable_title"), fontsize=9)


def draw_two(axes: Axes, values: xr.DataArray, colors: Mapping[str, str]) -> None:
    """A band of 1 and 2, 0 is no data and stays white; ``colors`` are those of the label keys of 1 and 2."""
    shown = values.where(values > 0)
    axes.imshow(shown, extent=_extent(values), cmap=ListedColormap(list(colors.values())), vmin=1, vmax=2, interpolation="nearest")
    patches = [Patch(facecolor=color, edgecolor="0.4", label=two_lines(label)) for label, color in colors.items()]
    # Below the map: beside it, it would push the maps of a figure apart.
    axes.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=7, frameon=False)
    _name_axes(axes)


def _extent(values: xr.DataArray) -> tuple[float, float, float, float]:
    box = values.odc.geobox.boundingbox
    return box.left, box.right, box.bottom, box.top


def _name_axes(axes: Axes) -> None:
    axes.set(xlabel=labels.both("classification.easting"), ylabel=labels.both("classification.northing"))
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=7)
