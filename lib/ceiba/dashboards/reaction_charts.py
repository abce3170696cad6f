"""Drawings of published reactions: a map of cells, shares with their intervals, and how both went on."""

import dataclasses
import functools
from collections.abc import Sequence

import geoviews as gv
import h3
import holoviews as hv
import numpy as np
import pandas as pd
import shapely
from bokeh.models import HoverTool
from pyproj import Transformer

from ceiba import labels
from ceiba.dashboards import maps
from ceiba.grids import Place, Tile
from ceiba.react2eo.subjects import FINEST

PALETTE = "BrBG"
"""Brown for dislike and teal for like, ColorBrewer (Harrower and Brewer 2003, doi:10.1179/000870403235002042): safe for color-blind
eyes, and the two colors of the app's buttons."""
LINE = "#0a6e69"
OUTLINE = "#11201a"
MARGIN = 0.04
"""Room around the region and its finest cells, as a share of their extent."""
WRITTEN_AT_MOST = 60
"""Cells whose share is written into them; on more of them the numbers would cover each other."""
LIFTED = 0.2
ROW_PX = 34


def percent(value: float | None) -> str:
    """A share [1] in whole percent; a dash where there is none."""
    return "–" if value is None or np.isnan(value) else f"{100 * value:.0f} %"


def interval(low: float, high: float) -> str:
    """An interval of shares [1] in whole percent."""
    return "–" if np.isnan(low) else f"{100 * low:.0f}–{100 * high:.0f} %"


def frame(table: pd.DataFrame, place: Place) -> Tile:
    """The part of the ground that a map shows: the region and its finest cells; coarser ones reach beyond it."""
    rings = [cell_ring(cell, place.crs) for cell in table["cell"].unique() if cell and h3.get_resolution(cell) == FINEST]
    left, bottom, right, top = place.whole.bounds
    corners = np.concatenate([[(left, bottom), (right, top)], *rings])
    (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
    margin = MARGIN * max(right - left, top - bottom)
    return dataclasses.replace(place.whole, bounds=(left - margin, bottom - margin, right + margin, top + margin))


def cell_ring(cell: str, crs: str) -> np.ndarray:
    """Corners of an H3 cell in a CRS, dims ``(corner, 2)``."""
    latitudes, longitudes = np.array(h3.cell_to_boundary(cell)).T
    return np.column_stack(to_crs(crs).transform(longitudes, latitudes))


def cut_ring(ring: np.ndarray, bounds: tuple[float, float, float, float]) -> np.ndarray:
    """The part of a ring within left, bottom, right, top; both dims ``(corner, 2)``. A map reaches as far as what is drawn on it."""
    return np.array(shapely.intersection(shapely.Polygon(ring), shapely.box(*bounds)).exterior.coords)


def cell_middle(cell: str, crs: str) -> tuple[float, float]:
    """Middle of an H3 cell in a CRS."""
    latitude, longitude = h3.cell_to_latlng(cell)
    return to_crs(crs).transform(longitude, latitude)


@functools.lru_cache(maxsize=16)
def to_crs(crs: str) -> Transformer:
    """From longitude and latitude [degrees] to a CRS."""
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def find_cell(table: pd.DataFrame, place: Place, x: float, y: float) -> str:
    """The finest of the published cells that holds a point of the place's CRS; empty where none does."""
    longitude, latitude = to_crs(place.crs).transform(x, y, direction="INVERSE")
    published = set(table["cell"])
    around = (h3.latlng_to_cell(latitude, longitude, resolution) for resolution in range(FINEST, -1, -1))
    return next((cell for cell in around if cell in published), "")


def draw_cells(table: pd.DataFrame, place: Place, language: str) -> hv.Overlay:
    """Published cells of a place colored by the share of likes, under the outline of the region.

    Parameters
    ----------
    table
        A row a cell, columns of :func:`ceiba.react2eo.reactions.reaction_sources.tabulate`.
    """
    shown = frame(table, place)
    crs = maps.projection(shown)
    cells = table[table["cell"] != ""]
    # Coarse cells hold what is not in the finer ones on top of them.
    cells = cells.assign(resolution=[h3.get_resolution(cell) for cell in cells["cell"]]).sort_values(["resolution", "cell"])
    names = ["share", "percent", "interval", "likes", "dislikes", "devices"]
    polygons = [
        {("x", "y"): cut_ring(cell_ring(row.cell, place.crs), shown.bounds), "share": row.share, "percent": percent(row.share),
         "interval": interval(row.interval_low, row.interval_high), "likes": row.likes, "dislikes": row.dislikes, "devices": row.devices}
        for row in cells.itertuples()
    ]  # fmt: skip
    words = ("reactions_share", "reactions_likes", "reactions_dislikes", "reactions_devices")
    texts = [labels.text(f"dashboards.{word}", language) for word in words]
    values = ("@percent (@interval)", "@likes", "@dislikes", "@devices")
    hover = HoverTool(tooltips=list(zip(texts, values, strict=True)))
    options = maps.frame_options(crs, shown)
    hexagons = gv.Polygons(polygons, kdims=["x", "y"], vdims=names, crs=crs).opts(
        **options, color="share", cmap=PALETTE, clim=(0, 1), colorbar=False, line_color="white", line_width=1.5, tools=[hover, "tap"],
        nonselection_alpha=1, selection_alpha=1,
    )  # fmt: skip
    left, bottom, right, top = place.whole.bounds
    ring = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    outline = gv.Path([ring], crs=crs).opts(**options, color=OUTLINE, line_width=2, line_dash="dashed", tools=[])
    layers = hexagons * outline
    finest = cells[cells["resolution"] == FINEST] if len(cells) <= WRITTEN_AT_MOST else cells[:0]
    if len(finest):
        # A little above the middle, where the ring of a chosen cell is.
        rings = [cell_ring(cell, place.crs) for cell in finest["cell"]]
        xs, ys = np.transpose([ring.mean(axis=0) + (0, LIFTED * np.ptp(ring[:, 1])) for ring in rings])
        middles = (xs, ys, [percent(share) for share in finest["share"]], [text_color(share) for share in finest["share"]])
        layers *= gv.Labels(middles, kdims=["x", "y"], vdims=["text", "color"], crs=crs).opts(
            **options, text_color="color", text_font_size="13px", text_font_style="bold", tools=[]
        )
    return layers


def text_color(share: float) -> str:
    """Black or white, whichever can be read on the color of a share."""
    return "#ffffff" if share < 0.16 or share > 0.84 else "#000000"


def draw_shares(table: pd.DataFrame, language: str) -> hv.Overlay:
    """A dot and its interval a row, the largest share on top.

    Parameters
    ----------
    table
        Columns ``label``, ``likes``, ``dislikes``, ``share``, ``interval_low``, ``interval_high``.
    """
    table = table.sort_values("share", ignore_index=True)
    rows = np.arange(len(table))
    lines = hv.Segments((table["interval_low"], rows, table["interval_high"], rows)).opts(color=LINE, line_width=3)
    count = table["likes"] + table["dislikes"]
    described = [interval(*pair) for pair in zip(table["interval_low"], table["interval_high"], strict=True)]
    points = hv.Points((table["share"], rows, table["label"], table["share"].map(percent), described, count),
                       vdims=["label", "percent", "interval", "count"])  # fmt: skip
    hover = HoverTool(tooltips=[("", "@label"), (labels.text("dashboards.reactions_share", language), "@percent (@interval)"),
                                (labels.text("dashboards.reactions_count", language), "@count")])  # fmt: skip
    half = hv.VLine(0.5).opts(color="#888888", line_width=1, line_dash="dotted")
    ticks = [(row, f"{label} ({number})") for row, label, number in zip(rows, table["label"], count, strict=True)]
    return (half * lines * points.opts(color=LINE, size=12, line_color="white", tools=[hover])).opts(
        responsive=True, height=90 + ROW_PX * len(table), toolbar=None, title="", show_grid=True, xlim=(0, 1), xticks=share_ticks(),
        yticks=ticks, ylim=(-0.6, len(table) - 0.4), ylabel="", xlabel=labels.text("dashboards.reactions_share", language),
    )  # fmt: skip


def draw_trend(table: pd.DataFrame, language: str) -> hv.Overlay:
    """Share of all that was published by the end of each day, with its interval.

    Parameters
    ----------
    table
        Columns ``day``, ``likes``, ``dislikes``, ``share``, ``interval_low``, ``interval_high``.
    """
    table = table.dropna(subset="share")
    day = pd.to_datetime(table["day"])
    band = hv.Area((day, table["interval_low"], table["interval_high"]), vdims=["low", "high"]).opts(color=LINE, alpha=0.2, line_alpha=0)
    count = table["likes"] + table["dislikes"]
    described = [interval(*pair) for pair in zip(table["interval_low"], table["interval_high"], strict=True)]
    points = hv.Points((day, table["share"], day.dt.strftime("%Y-%m-%d"), table["share"].map(percent), described, count),
                       vdims=["text", "percent", "interval", "count"])  # fmt: skip
    hover = HoverTool(tooltips=[("", "@text"), (labels.text("dashboards.reactions_share", language), "@percent (@interval)"),
                                (labels.text("dashboards.reactions_count", language), "@count")])  # fmt: skip
    line = hv.Curve((day, table["share"])).opts(color=LINE, line_width=2)
    return (band * line * points.opts(color=LINE, size=9, line_color="white", tools=[hover])).opts(
        responsive=True, height=260, toolbar=None, title="", show_grid=True, ylim=(0, 1), yticks=share_ticks(),
        xlabel=labels.text("dashboards.reactions_day", language), ylabel=labels.text("dashboards.reactions_share", language), padding=0.05,
    )  # fmt: skip


def share_ticks() -> list[tuple[float, str]]:
    """Ticks of an axis of shares."""
    return [(value, percent(value)) for value in (0, 0.25, 0.5, 0.75, 1)]


def draw_series(table: pd.DataFrame, bands: Sequence[str], titles: Sequence[str], language: str) -> hv.Overlay:
    """Values of a layer through the years at a point.

    Parameters
    ----------
    table
        ``year`` and a column a band.
    bands, titles
        Columns, and what they are called.
    """
    colors = [LINE] if len(bands) == 1 else list(dict(zip(bands, ("#d55e00", "#009e73", "#0072b2"), strict=False)).values())
    parts = []
    for band, title, color in zip(bands, titles, colors, strict=True):
        values = (table["year"], table[band])
        parts += [hv.Curve(values, label=title).opts(color=color, line_width=2), hv.Scatter(values, label=title).opts(color=color, size=8)]
    return hv.Overlay(parts).opts(
        responsive=True, height=260, toolbar=None, title="", show_grid=True, padding=0.1, xlabel=labels.text("dashboards.year", language),
        ylabel=titles[0] if len(bands) == 1 else "", xticks=[(year, str(year)) for year in table["year"]],
        show_legend=len(bands) > 1, legend_position="bottom", legend_cols=3,
    )  # fmt: skip
