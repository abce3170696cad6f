"""Figures and tables that the change notebook shows, worded in both languages."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch

from ceiba import labels
from ceiba.change.two_dates.maps import CHANGE, NO_CHANGE

# Of the colour-blind-safe set of Okabe and Ito: grey, vermilion, bluish green.
COLORS = {"no_change": "#e6e6e6", "loss": "#d55e00", "gain": "#009e73"}


def two_lines(key: str) -> str:
    """A label in both languages, Spanish above English."""
    return labels.both(key).replace(" | ", "\n")


def draw_change(axes: Axes, change: xr.DataArray, ndvi_difference: xr.DataArray) -> None:
    """Change map with its legend: no change, change to less green, change to more green."""
    codes = np.where(change.values == CHANGE, np.where(ndvi_difference.values > 0, 2.0, 1.0), 0.0)
    codes[(change.values != CHANGE) & (change.values != NO_CHANGE)] = np.nan
    colormap = ListedColormap(list(COLORS.values()))
    axes.imshow(
        codes,
        extent=extent_of(change),
        cmap=colormap,
        norm=BoundaryNorm([-0.5, 0.5, 1.5, 2.5], 3),
        interpolation="nearest",
    )
    patches = [
        Patch(facecolor=color, edgecolor="0.4", label=two_lines(f"change.{name}")) for name, color in COLORS.items()
    ]
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, frameon=False)
    axes.set_title(two_lines("change.map_title"))
    name_axes(axes)


def draw_band(axes: Axes, values: xr.DataArray, *, label: str, colormap: str, limits: tuple[float, float]) -> None:
    """One band with its color bar; ``label`` is the key of its text."""
    image = axes.imshow(
        values, extent=extent_of(values), cmap=colormap, vmin=limits[0], vmax=limits[1], interpolation="nearest"
    )
    axes.figure.colorbar(image, ax=axes, shrink=0.8).set_label(two_lines(label), fontsize=8)
    name_axes(axes)


def area_table(areas: pd.DataFrame) -> pd.DataFrame:
    """Areas of :func:`ceiba.change.two_dates.maps.change_areas` for people."""
    return pd.DataFrame(
        {
            labels.both("change.direction"): [f"{row.name_es} | {row.name_en}" for row in areas.itertuples()],
            labels.both("change.patches"): areas["patches"].to_numpy(),
            labels.both("change.pixels"): areas["pixels"].to_numpy(),
            labels.both("change.area_ha"): [f"{value:,.2f}" for value in areas["area_ha"]],
            labels.both("change.share"): [f"{value:.2%}" for value in areas["share"]],
        }
    )


def extent_of(values: xr.DataArray) -> tuple[float, float, float, float]:
    box = values.odc.geobox.boundingbox
    return box.left, box.right, box.bottom, box.top


def name_axes(axes: Axes) -> None:
    axes.set(xlabel=labels.both("change.easting"), ylabel=labels.both("change.northing"))
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=7)
