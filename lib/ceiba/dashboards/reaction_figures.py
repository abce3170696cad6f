"""Figures of published reactions for the report: the same cells, shares and colors as on the dashboard, on paper."""

import h3
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from ceiba import labels
from ceiba.dashboards.reaction_charts import LINE, OUTLINE, PALETTE, cell_ring, frame, percent, text_color
from ceiba.grids import Place
from ceiba.react2eo.subjects import FINEST
from ceiba.react2eo.themes import load_themes


def layer_title(layer: str) -> str:
    """What a layer is called, "Español | English"; its name where the themes no longer have it."""
    content = load_themes().contents.get(layer)
    return f"{content.title['es']} | {content.title['en']}" if content else layer


def plot_cells(cells: pd.DataFrame, place: Place, *, layer: str) -> Figure:
    """Map of cells colored by the share of likes, coarse ones below; the dashed line is the border of the place.

    Parameters
    ----------
    cells
        A row a cell, columns of :func:`ceiba.react2eo.reactions.reaction_sources.tabulate`; the rest of the place (no cell) is left out.
    layer
        Which layer they are of, for the title.
    """
    shown = cells[cells["cell"] != ""]
    shown = shown.assign(resolution=[h3.get_resolution(cell) for cell in shown["cell"]]).sort_values(["resolution", "cell"])
    left, bottom, right, top = frame(cells, place).bounds
    figure, axis = plt.subplots(figsize=(8, 1 + 8 * (top - bottom) / (right - left)), layout="constrained")
    colors = plt.get_cmap(PALETTE)
    for row in shown.itertuples():
        ring = cell_ring(row.cell, place.crs)
        axis.add_patch(Polygon(ring, facecolor=colors(row.share), edgecolor="white", linewidth=1.5))
        if row.resolution == FINEST:
            axis.text(*ring.mean(axis=0), f"{percent(row.share)}\n({row.devices})", ha="center", va="center", color=text_color(row.share))
    border = place.whole.bounds
    axis.add_patch(Rectangle(border[:2], border[2] - border[0], border[3] - border[1], fill=False, edgecolor=OUTLINE, linestyle="--"))
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
    bar = figure.colorbar(plt.cm.ScalarMappable(plt.Normalize(0, 100), colors), ax=axis, shrink=0.8)
    bar.set_label(labels.both("dashboards.reactions_share_axis"))
    axis.set_title(f"{labels.both('dashboards.reactions_map')}\n{layer_title(layer)}")
    return figure


def plot_shares(sums: pd.DataFrame) -> Figure:
    """Share of likes of each layer with its 95 % interval; the number of reactions stands beside the name.

    Parameters
    ----------
    sums
        A row a layer, columns of :func:`ceiba.react2eo.reactions.reaction_sources.tabulate`.
    """
    sums = sums.sort_values("share", ignore_index=True)
    rows = np.arange(len(sums))
    figure, axis = plt.subplots(figsize=(8, 1.4 + 0.5 * len(sums)), layout="constrained")
    axis.hlines(rows, 100 * sums["interval_low"], 100 * sums["interval_high"], color=LINE, linewidth=3)
    axis.plot(100 * sums["share"], rows, "o", color=LINE, markersize=9)
    axis.axvline(50, color="0.6", linestyle=":")
    count = sums["likes"] + sums["dislikes"]
    axis.set_yticks(rows, [f"{layer_title(layer)} ({number})" for layer, number in zip(sums["layer"], count, strict=True)])
    axis.set(xlim=(0, 100), xlabel=labels.both("dashboards.reactions_share_axis"), title=labels.both("dashboards.reactions_by_layer"))
    return figure


def plot_trend(trend: pd.DataFrame, *, layer: str) -> Figure:
    """Share of likes of all that was published by the end of each day, with its 95 % interval.

    Parameters
    ----------
    trend
        Columns of :func:`ceiba.react2eo.reactions.reaction_sources.trend_figures`.
    layer
        Which layer it is of, for the title.
    """
    figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
    axis.fill_between(trend["day"], 100 * trend["interval_low"], 100 * trend["interval_high"], color=LINE, alpha=0.2)
    axis.plot(trend["day"], 100 * trend["share"], "o-", color=LINE)
    axis.set(ylim=(0, 100), xlabel=labels.both("dashboards.reactions_day"))
    axis.set_ylabel(labels.both("dashboards.reactions_share_axis").replace(" | ", "\n"))
    axis.set_title(f"{labels.both('dashboards.reactions_trend')}: {layer_title(layer)}")
    axis.tick_params(axis="x", rotation=30)
    return figure
