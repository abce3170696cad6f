"""Figures of the breaks: the map of their years, and the series of one pixel with its models."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.pyplot import get_cmap, subplots

from ceiba import labels
from ceiba.change.breaks.layers import CONFIRMED, clear_reflectance, find_pixel_segments, is_short
from ceiba.change.breaks.monitoring import NO_DAY, monitor_series, monitoring_design
from ceiba.change.breaks.segments import predict_segments
from ceiba.change.figures import draw_band, extent_of, name_axes, two_lines

BREAK_COLOR, MODEL_COLOR = "#d55e00", "#0072b2"  # of Okabe and Ito
STABLE_COLOR, UNKNOWN_COLOR = "0.9", "white"


def draw_breaks(layers: xr.Dataset, years: range, *, title: str) -> Figure:
    """Year of the last break, its change of NDVI, and how far pixels without a break are from one; hatched where none can be told."""
    figure, axes = subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    known = layers["break_year"].where(layers["break_year"] > 0)
    edges = np.arange(years.start - 0.5, years.stop)
    colors = get_cmap("viridis", len(years))
    axes[0].set_facecolor(STABLE_COLOR)
    image = axes[0].imshow(
        known, extent=extent_of(layers), cmap=colors, norm=BoundaryNorm(edges, len(years)), interpolation="nearest"
    )
    bar = figure.colorbar(image, ax=axes[0], shrink=0.8, ticks=list(years)[:: max(1, len(years) // 8)])
    bar.set_label(two_lines("change.break_year"), fontsize=8)
    name_axes(axes[0])
    draw_band(axes[1], layers["ndvi_change"], label="change.break_ndvi", colormap="PuOr", limits=(-0.4, 0.4))
    axes[1].set_facecolor(STABLE_COLOR)
    draw_band(axes[2], layers["evidence"], label="change.break_evidence", colormap="cividis", limits=(0, 1))
    if (layers["watched_share"] <= 0).any():
        for panel in axes:
            _hatch(panel, layers["watched_share"] <= 0)
        handle = Patch(facecolor=UNKNOWN_COLOR, edgecolor="0.6", hatch="////", label=two_lines("change.break_unknown"))
        axes[0].legend(handles=[handle], fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.12), frameon=False)
    figure.suptitle(title)
    return figure


def _hatch(axes: Axes, mask: xr.DataArray) -> None:
    fill = {"levels": [0.5, 1.5], "colors": [UNKNOWN_COLOR], "hatches": ["////"]}
    hatched = axes.contourf(mask["x"], mask["y"], mask.astype(float), **fill)
    hatched.set_edgecolor("0.6")
    hatched.set_linewidth(0)


def describe_length(layers: xr.Dataset, times: np.ndarray, *, method: str, start: str) -> str:
    """How much of the series breaks can be told on, in words, with a warning where it is too short for the method."""
    words = f"{labels.both('change.watched_share')}: **{float(layers['watched_share'].mean()):.0%}**"
    if not is_short(layers, times, method=method, start=start):
        return words
    warnings = [
        f"**{labels.text('change.short_series', language)}** {labels.text(f'change.short_{method}', language)}"
        for language in labels.LANGUAGES
    ]
    return "\n\n".join([*warnings, words])


def most_changed(layers: xr.Dataset) -> tuple[int, int]:
    """Row and column of the pixel to show: the largest change of NDVI, else the best observed one."""
    size = np.abs(layers["ndvi_change"].values)
    if not np.isfinite(size).any():
        size = layers["observations"].values
    row, column = np.unravel_index(np.nanargmax(size), size.shape)
    return int(row), int(column)


def draw_series(
    axes: Axes, bands: xr.Dataset, clear: xr.DataArray, *, names: Mapping[str, str], method: str, start: str, harmonics: int,
    trend: bool, probability: float, false_alerts: float,
) -> None:  # fmt: skip
    """NDVI of one pixel with the models and breaks that :func:`ceiba.change.breaks.layers.break_layers` finds with these options."""
    scenes = clear_reflectance(bands, clear, names=names)
    ndvi = scenes["ndvi"].isel(y=0, x=0)
    axes.plot(ndvi.time.values, ndvi.values, "o", ms=3, color="0.45", label=labels.both("change.observed"))
    if method == "ccdc":
        found = find_pixel_segments(scenes, names=names, probability=probability).isel(y=0, x=0)
        _draw_models(axes, ndvi, found)
        days = found["break_day"].values[found["change_probability"].values == CONFIRMED]
    else:
        watched = {"start": start, "harmonics": harmonics, "trend": trend}
        found = monitor_series(ndvi.expand_dims("pixel", 1), **watched, false_alerts=false_alerts).isel(pixel=0)
        _draw_history(axes, ndvi, found, **watched)
        days = found["alert_day"].values.reshape(-1)
        days = days[days != NO_DAY]
        _draw_days(axes, [np.datetime64(start, "D").astype(int)], "change.monitored_from", "0.4", "--")
    _draw_days(axes, days, "change.break", BREAK_COLOR, "-")
    axes.legend(fontsize=8, loc="lower left")
    axes.set(xlabel=labels.both("change.date"), ylabel=labels.both("change.ndvi_value"))


def _draw_models(axes: Axes, ndvi: xr.DataArray, segments: xr.Dataset) -> None:
    days = pd.date_range(ndvi.time.values[0], ndvi.time.values[-1], freq="5D")
    curves = predict_segments(segments, days).sel(band="ndvi")
    for number in range(segments.sizes["segment"]):
        label = labels.both("change.model") if number == 0 else None
        axes.plot(days, curves.isel(segment=number), color=MODEL_COLOR, lw=1.4, label=label)


def _draw_history(
    axes: Axes, ndvi: xr.DataArray, found: xr.Dataset, *, start: str, harmonics: int, trend: bool
) -> None:
    days = ndvi.time.values.astype("datetime64[D]").astype(int)
    design = monitoring_design(days, harmonics=harmonics, trend=trend)
    begins = int(found["history_start_day"])
    if begins == NO_DAY:
        return
    history = np.isfinite(ndvi.values) & (days < int(np.datetime64(start, "D").astype(int))) & (days >= begins)
    solution = np.linalg.lstsq(design[history], ndvi.values[history], rcond=None)[0]
    axes.plot(ndvi.time.values, design @ solution, color=MODEL_COLOR, lw=1.4, label=labels.both("change.model"))


def _draw_days(axes: Axes, days, key: str, color: str, style: str) -> None:
    for number, day in enumerate(days):
        label = labels.both(key) if number == 0 else None
        axes.axvline(np.datetime64(int(day), "D"), color=color, ls=style, lw=1.2, label=label)
