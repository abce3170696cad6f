"""Figures and tables of the notebooks on crops, worded in both languages."""

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ceiba import labels
from ceiba.classification.agriculture.crop_surface import CropSurface
from ceiba.classification.agriculture.parcels import VERDICTS
from ceiba.classification.figures import class_name, two_lines
from ceiba.legends import Legend

# Blue, yellow, red and gray are told apart by color-blind eyes.
VERDICT_COLORS = dict(zip(VERDICTS, ("#2166ac", "#f6c141", "#b2182b", "#bdbdbd"), strict=True))
STRATUM_COLORS = ("#f7f7f7", "#d9f0d3", "#7fbf7b", "#1b7837", "#00441b")


def draw_frame(axes: Axes, segments: pd.DataFrame, visited: pd.DataFrame, side: float) -> None:
    """Segments in the color of their stratum, those to visit outlined; ``side`` in units of the CRS."""
    for stratum in sorted(segments["stratum"].unique()):
        of = segments[segments["stratum"] == stratum]
        color = STRATUM_COLORS[min(stratum, len(STRATUM_COLORS) - 1)]
        label = f"{of['share'].min():.0%} - {of['share'].max():.0%}"
        axes.scatter(of["x"], of["y"], s=18, marker="s", color=color, edgecolors="#cccccc", linewidths=0.3, label=label)
    axes.scatter(visited["x"], visited["y"], s=26, marker="s", facecolors="none", edgecolors="#d6604d", linewidths=1.3,
                 label=two_lines("classification.crops_visited"))  # fmt: skip
    axes.set_aspect("equal")
    axes.set(xlabel=labels.both("classification.easting"), ylabel=labels.both("classification.northing"))
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.locator_params(nbins=4)
    axes.legend(title=two_lines("classification.crops_share"), bbox_to_anchor=(1.01, 1), loc="upper left", fontsize=8)


def surface_table(surface: CropSurface) -> pd.DataFrame:
    """Crop surface by the map, by the field alone, and by both."""
    rows = [
        (labels.both("classification.crops_by_map"), f"{surface.mapped_ha:,.1f}", ""),
        (labels.both("classification.crops_by_field"), f"{surface.expansion_ha:,.1f}", f"± {surface.expansion_half_width_ha:,.1f}"),
        (labels.both("classification.crops_by_both"), f"{surface.area_ha:,.1f}", f"± {surface.half_width_ha:,.1f}"),
    ]
    columns = ("classification.crops_estimate", "classification.area_ha", "classification.interval")
    return pd.DataFrame(rows, columns=[labels.both(column) for column in columns])


def draw_regression(axes: Axes, visited: pd.DataFrame) -> None:
    """Crop surface found against mapped, a point a segment; the dashed line is where both are the same."""
    axes.scatter(visited["mapped_ha"], visited["found_ha"], s=16, color="#1b7837", alpha=0.7)
    largest = float(np.nanmax(visited[["mapped_ha", "found_ha"]].to_numpy()))
    axes.plot([0, largest], [0, largest], color="#888888", linewidth=1, linestyle="--")
    axes.set(xlabel=two_lines("classification.crops_mapped_ha"), ylabel=two_lines("classification.crops_found_ha"))


def draw_season(axes: Axes, curve: xr.Dataset, year: int) -> None:
    """A season's monthly NDVI over the range of the earlier years."""
    months = curve["month"].values
    axes.fill_between(months, curve["lowest"], curve["highest"], color="#c7e9c0", label=two_lines("classification.season_range"))
    axes.plot(months, curve["mean"], color="#41ab5d", label=two_lines("classification.season_mean"))
    axes.plot(months, curve["value"], color="#d6604d", marker="o", markersize=4, label=str(year))
    axes.set(xlabel=labels.both("classification.month"), ylabel="NDVI [1]", xticks=np.arange(1, 13))
    axes.legend(bbox_to_anchor=(1.01, 1), loc="upper left", fontsize=8)


def season_title(years: xr.DataArray, first_month: int, last_month: int, where: str) -> str:
    """Title of the maps of a season: months, place and year, and the number of earlier years with data."""
    seen = years.values[years.values > 0]
    fewest, most = (int(seen.min()), int(seen.max())) if seen.size else (0, 0)
    count = str(most) if fewest == most else f"{fewest} - {most}"
    words, month = labels.both("classification.season_maps_title"), labels.both("classification.month")
    return f"{words}, {month} {first_month} - {last_month}, {where}\n{labels.both('classification.season_years')}: {count}"


def draw_parcels(axes: Axes, parcels: gpd.GeoDataFrame) -> None:
    """Parcels in the color of their verdict."""
    parcels.plot(ax=axes, color=parcels["verdict"].map(VERDICT_COLORS), edgecolor="#555555", linewidth=0.3)
    counts = parcels["verdict"].value_counts()
    names = {verdict: labels.both(f"classification.parcel_{verdict}") for verdict in VERDICTS}
    handles = [
        Patch(color=color, label=f"{names[verdict]}: {counts.get(verdict, 0)}") for verdict, color in VERDICT_COLORS.items()
    ]
    axes.legend(handles=handles, bbox_to_anchor=(1.01, 1), loc="upper left", fontsize=8)
    axes.set(xlabel=labels.both("classification.easting"), ylabel=labels.both("classification.northing"))
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.locator_params(nbins=4)


def parcel_table(parcels: gpd.GeoDataFrame, legend: Legend, *, most: int = 20) -> pd.DataFrame:
    """The parcels that an inspector should see first: those whose registered class is least probable."""
    rows = parcels[parcels["verdict"].isin(("other", "doubtful"))].sort_values("registered_probability").head(most)
    return pd.DataFrame(
        {
            labels.both("classification.parcel"): rows["parcel"].astype(str),
            labels.both("classification.parcel_registered"): [class_name(legend, int(code)) for code in rows["registered_code"]],
            labels.both("classification.probability"): [f"{value:.2f}" for value in rows["registered_probability"]],
            labels.both("classification.parcel_likely"): [class_name(legend, int(code)) for code in rows["likely_code"]],
            labels.both("classification.parcel_verdict"): [labels.both(f"classification.parcel_{each}") for each in rows["verdict"]],
        }
    )
