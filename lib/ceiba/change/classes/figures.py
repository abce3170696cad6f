"""Figures and tables of class change, worded in both languages."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ceiba import labels
from ceiba.change.classes.from_to import FromToEstimate, budget_by_region, total_change
from ceiba.change.figures import draw_band, two_lines
from ceiba.classification.figures import class_name
from ceiba.legends import Legend

UNCHANGED = "#666666"  # of all grays the farthest from the colors of the legends, pale and dark; no data is white
SMALLEST_HA = 0.005  # below it a cell of the matrix would read 0.00


def draw_new_classes(axes: Axes, change: xr.Dataset, legend: Legend) -> None:
    """Changed land in the colours of its new class, unchanged land gray, no data white; classes from the largest to the smallest."""
    seen = change["from_class"].values > 0
    changed = change["change_year"].values > 0
    colors = legend.colors()
    codes, counts = np.unique(change["to_class"].values[changed], return_counts=True)
    numbers = np.full(seen.shape, np.nan)
    numbers[seen] = 0
    for number, code in enumerate(codes, start=1):
        numbers[changed & (change["to_class"].values == code)] = number
    palette = ListedColormap([UNCHANGED, *(colors[int(code)] for code in codes)])
    norm = BoundaryNorm(np.arange(len(codes) + 2) - 0.5, len(codes) + 1)
    axes.imshow(numbers, extent=_extent(change["to_class"]), cmap=palette, norm=norm, interpolation="nearest")
    patches = [
        Patch(facecolor=colors[int(code)], edgecolor="0.4", label=class_name(legend, int(code)))
        for code in codes[np.argsort(-counts, kind="stable")]
    ]
    patches.append(Patch(facecolor=UNCHANGED, edgecolor="0.4", label=labels.both("change.no_change")))
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=6, frameon=False)
    axes.set_title(two_lines("change.new_class_title"))
    _name_axes(axes)


def draw_change_years(axes: Axes, change_year: xr.DataArray, years: list[int]) -> None:
    """Year of change, one colour a year; land without change stays empty."""
    values = np.where(change_year.values > 0, change_year.values.astype("float64"), np.nan)
    bounds = [*(year - 0.5 for year in years[1:]), years[-1] + 0.5]
    norm = BoundaryNorm(bounds, 256)
    image = axes.imshow(values, extent=_extent(change_year), cmap="viridis", norm=norm, interpolation="nearest")
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, ticks=years[1:], format="%d")
    bar.set_label(two_lines("change.year"), fontsize=8)
    _name_axes(axes)


def draw_from_to(axes: Axes, matrix: pd.DataFrame, legend: Legend) -> None:
    """Area of each change as a matrix, rows from and columns to, on a logarithmic scale; what did not change is left out."""
    values = matrix.to_numpy(dtype="float64").copy()
    np.fill_diagonal(values, 0.0)
    values[values < SMALLEST_HA] = 0.0
    rows, columns = np.flatnonzero(values.sum(axis=1)), np.flatnonzero(values.sum(axis=0))
    codes = matrix.index.to_numpy()
    if not len(rows):
        axes.set_axis_off()
        axes.set_title(two_lines("change.nothing_changed"))
        return
    shown = values[np.ix_(rows, columns)]
    areas = np.where(shown > 0, shown, np.nan)
    norm = LogNorm(max(np.nanmin(areas) * 0.9, SMALLEST_HA), max(np.nanmax(areas), 2 * SMALLEST_HA))
    image = axes.imshow(areas, cmap="cividis", norm=norm, aspect="auto")
    axes.figure.colorbar(image, ax=axes, shrink=0.8).set_label(two_lines("change.area_ha"), fontsize=8)
    axes.set_yticks(range(len(rows)), [class_name(legend, int(codes[row]), longest=26) for row in rows], fontsize=6)
    names = [class_name(legend, int(codes[column]), longest=20).replace(" | ", "\n") for column in columns]
    axes.set_xticks(range(len(columns)), names, fontsize=6, rotation=30, ha="right")
    for (row, column), area in np.ndenumerate(shown):
        if area > 0:
            ink = "black" if norm(area) > 0.5 else "white"
            axes.text(column, row, f"{area:,.1f}" if area >= 1 else f"{area:.2f}", ha="center", va="center", color=ink, fontsize=6)
    axes.set(xlabel=labels.both("change.to_class"), ylabel=two_lines("change.from_class"))
    axes.set_title(two_lines("change.from_to_title"))


def new_class_figure(change: xr.Dataset, legend: Legend, *, title: str) -> Figure:
    """:func:`draw_new_classes` as a figure of its own; ``title`` says where and when."""
    figure, axes = plt.subplots(figsize=(11, 5), layout="constrained")
    draw_new_classes(axes, change, legend)
    figure.suptitle(title)
    return figure


def change_year_figure(change: xr.Dataset, years: list[int], *, title: str) -> Figure:
    """Probability of change beside the year of change; ``title`` says where and when."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    probability = change["change_probability"]
    draw_band(axes[0], probability, label="change.class_probability", colormap="cividis", limits=(0, 1))
    draw_change_years(axes[1], change["change_year"], years)
    figure.suptitle(f"{labels.both('change.years_title')}, {title}")
    return figure


def from_to_figure(matrix: pd.DataFrame, legend: Legend, *, title: str) -> Figure:
    """:func:`draw_from_to` as a figure of its own; ``title`` says where and when."""
    figure, axes = plt.subplots(figsize=(11, 6), layout="constrained")
    draw_from_to(axes, matrix, legend)
    figure.suptitle(title)
    return figure


def pair_table(
    matrix: pd.DataFrame, legend: Legend, *, estimate: FromToEstimate | None = None, most: int = 15
) -> pd.DataFrame:
    """The largest changes for people: classes, mapped area, and the corrected area with its interval where there is one."""
    stacked = matrix.rename_axis(index="from", columns="to").stack().rename("mapped_ha").reset_index()
    rows = stacked[(stacked["from"] != stacked["to"]) & (stacked["mapped_ha"] > 0)]
    if estimate is not None:
        found = estimate.pairs.rename(columns={"from_code": "from", "to_code": "to"}).drop(columns="mapped_ha")
        rows = stacked[stacked["from"] != stacked["to"]].merge(found, on=["from", "to"], how="left")
        rows = rows[(rows["mapped_ha"] > 0) | (rows["area_ha"] > 0)]
    rows = rows.sort_values("mapped_ha", ascending=False).head(most)
    table = {
        labels.both("change.from_class"): [class_name(legend, int(code), longest=60) for code in rows["from"]],
        labels.both("change.to_class"): [class_name(legend, int(code), longest=60) for code in rows["to"]],
        labels.both("change.area_ha"): [f"{value:,.2f}" for value in rows["mapped_ha"]],
    }
    if estimate is not None:
        table[labels.both("change.corrected_area_ha")] = [
            with_limits(*each) for each in zip(rows["area_ha"], rows["area_lower_ha"], rows["area_upper_ha"], strict=True)
        ]
    return pd.DataFrame(table)


def budget_table(budget: pd.DataFrame, legend: Legend) -> pd.DataFrame:
    """Gain, loss, net and swap of the classes that changed, for people; the class that changed most first."""
    rows = budget[budget["total"] > 0].sort_values("total", ascending=False)
    table = {labels.both("change.class"): [class_name(legend, int(code), longest=60) for code in rows["code"]]}
    for name in ("before", "after", "gain", "loss", "net", "swap"):
        # "gain" and "loss" alone are of greenness.
        key = f"change.{name}_of_class" if name in ("gain", "loss") else f"change.{name}"
        table[f"{labels.both(key)} [ha]"] = [f"{value:,.2f}" for value in rows[name]]
    return pd.DataFrame(table)


def corrected_budget_table(estimate: FromToEstimate, legend: Legend) -> pd.DataFrame:
    """Corrected gain, loss, net change and swap [ha] of the classes that changed on the ground, each with its 95 % interval."""
    rows = estimate.classes[(estimate.classes["gain_ha"] > 0) | (estimate.classes["loss_ha"] > 0)]
    table = {labels.both("change.class"): [class_name(legend, int(code), longest=60) for code in rows["code"]]}
    for name in ("gain", "loss"):
        table[f"{labels.both(f'change.{name}_of_class')} [ha]"] = [
            with_limits(*each) for each in zip(rows[f"{name}_ha"], rows[f"{name}_lower_ha"], rows[f"{name}_upper_ha"], strict=True)
        ]
    table[f"{labels.both('change.net')} [ha]"] = [
        f"{area:,.2f} ± {half:,.2f}" for area, half in zip(rows["net_ha"], rows["net_half_width_ha"], strict=True)
    ]
    # Twice the smaller of gain and loss, and so are its limits: where the sample has none of it, they do not promise 0.
    smaller = rows["gain_ha"] <= rows["loss_ha"]
    limits = [2 * rows[f"gain_{side}_ha"].where(smaller, rows[f"loss_{side}_ha"]) for side in ("lower", "upper")]
    table[f"{labels.both('change.swap')} [ha]"] = [with_limits(*each) for each in zip(rows["swap_ha"], *limits, strict=True)]
    return pd.DataFrame(table)


def with_limits(area: float, lower: float, upper: float) -> str:
    """An area with its interval, "1.20 (0.50 - 2.40)"."""
    return f"{area:,.2f} ({lower:,.2f} - {upper:,.2f})" if np.isfinite(area) else "-"


def region_table(
    areas: pd.DataFrame, legend: Legend, *, corrected: Mapping[str, FromToEstimate] | None = None
) -> pd.DataFrame:
    """One row a region for people: area, change with its net part and its swap, and the largest change.

    Where a reference sample tells the change of some region (``corrected``), it stands beside the mapped one, with its interval.
    """
    budgets = budget_by_region(areas)
    rows = []
    for region, part in areas.groupby("region", sort=False):
        change = total_change(budgets[budgets["region"] == region])
        moved = part[part["from_code"] != part["to_code"]].sort_values("area_ha", ascending=False)
        largest = [
            class_name(legend, int(code), longest=30) for code in (*moved["from_code"][:1], *moved["to_code"][:1])
        ]
        total = part["area_ha"].sum()
        rows.append(
            {
                labels.both("change.region"): region,
                labels.both("change.area_ha"): f"{total:,.1f}",
                f"{labels.both('change.change')} [ha]": f"{change['total']:,.2f}",
                labels.both("change.share"): f"{change['total'] / total:.2%}",
                f"{labels.both('change.net')} [ha]": f"{change['net']:,.2f}",
                f"{labels.both('change.swap')} [ha]": f"{change['swap']:,.2f}",
                labels.both("change.largest"): " → ".join(largest) or "-",
            }
        )
        if corrected:
            found = corrected.get(region)
            rows[-1][labels.both("change.corrected_change_ha")] = (
                with_limits(found.change[0], *found.change_limits) if found else "-"
            )
    return pd.DataFrame(rows)


def _extent(values: xr.DataArray) -> tuple[float, float, float, float]:
    box = values.odc.geobox.boundingbox
    return box.left, box.right, box.bottom, box.top


def _name_axes(axes: Axes) -> None:
    axes.set(xlabel=labels.both("change.easting"), ylabel=labels.both("change.northing"))
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=7)
