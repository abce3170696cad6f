"""Figures of the bioacoustics notebooks, titled in Spanish and English."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ceiba import labels
from ceiba.bioacoustics.bat_calls import spectrogram
from ceiba.bioacoustics.recordings import read_recording

KIND_COLORS = {"CF": "#E69F00", "QCF": "#56B4E9", "FM": "#FFFFFF"}
CLASS_COLORS = {
    "power_tool": "#D55E00",
    "vehicle": "#0072B2",
    "explosion_like": "#000000",
    "human": "#E69F00",
    "domestic_animal": "#009E73",
    "other_anthropic": "#CC79A7",
}
SHOWN_ROWS = 30


def plot_calls(recording: xr.DataArray, calls: pd.DataFrame, *, top_hz: float = 130e3) -> Figure:
    """Spectrogram of a recording, dim ``time`` [s], with a box around each of its ``calls`` (times [s], frequencies [Hz])."""
    levels = spectrogram(recording, step_s=0.0005, band_hz=(5e3, top_hz))
    figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
    low, high = np.quantile(levels, (0.3, 0.9995))
    image = axis.pcolormesh(
        levels["time"], levels["frequency"] / 1e3, levels, cmap="magma", vmin=low, vmax=high, rasterized=True
    )
    for call in calls.itertuples():
        corner = (call.start_time_s, call.low_freq_hz / 1e3)
        size = (call.end_time_s - call.start_time_s, (call.high_freq_hz - call.low_freq_hz) / 1e3)
        color = KIND_COLORS[call.call_kind]
        axis.add_patch(Rectangle(corner, *size, fill=False, edgecolor=color, linewidth=1.2))
    handles = [Rectangle((0, 0), 1, 1, facecolor="0.4", edgecolor=color, linewidth=2) for color in KIND_COLORS.values()]
    axis.legend(handles, KIND_COLORS, loc="upper right", ncols=3)
    axis.set_title(labels.both("bioacoustics.spectrogram_title"))
    axis.set_xlabel(labels.both("bioacoustics.time_axis"))
    axis.set_ylabel(labels.both("bioacoustics.frequency_axis"))
    figure.colorbar(image, label=labels.both("bioacoustics.level_axis").replace(" | ", "\n"))
    return figure


def plot_busiest(calls: pd.DataFrame, inventory: pd.DataFrame, *, length_s: float = 1.0) -> Figure:
    """The ``length_s`` [s] with the most calls of all recordings, as :func:`plot_calls`; the longest recording where none has a call."""
    if calls.empty:
        path, start_s = inventory.sort_values("sampling_rate_hz")["path"].iloc[-1], 0.0
    else:
        place = calls.assign(second=(calls["start_time_s"] // length_s) * length_s)
        path, start_s = place.groupby(["path", "second"]).size().idxmax()
    row = inventory.set_index("path").loc[path]
    recording = read_recording(path, time_expansion=row["time_expansion"], start_s=start_s, duration_s=length_s)
    inside = calls[(calls["path"] == path) & calls["start_time_s"].between(start_s, start_s + length_s)]
    return plot_calls(recording, inside, top_hz=min(130e3, row["sampling_rate_hz"] / 2))


def plot_kinds(calls: pd.DataFrame) -> Figure:
    """Peak frequency [Hz] against duration [s] of all calls, by kind."""
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for (kind, _), color, marker in zip(KIND_COLORS.items(), ("#E69F00", "#0072B2", "#000000"), "so^", strict=True):
        chosen = calls[calls["call_kind"] == kind]
        duration_ms = (chosen["end_time_s"] - chosen["start_time_s"]) * 1e3
        label = f"{kind} ({len(chosen)})"
        axis.scatter(duration_ms, chosen["peak_freq_hz"] / 1e3, s=14, alpha=0.6, c=color, marker=marker, label=label)
    axis.legend()
    axis.set_title(labels.both("bioacoustics.kinds_title"))
    axis.set_xlabel(labels.both("bioacoustics.duration_axis"))
    axis.set_ylabel(labels.both("bioacoustics.frequency_axis"))
    return figure


def plot_passes(nights: pd.DataFrame) -> Figure:
    """Bat passes per hour by site and night; a night without ultrasonic recording is marked, not drawn as zero."""
    shown = nights.head(SHOWN_ROWS)
    figure, axis = plt.subplots(figsize=(10, 1.8 + 0.32 * len(shown)), layout="constrained")
    rates = shown["bat_passes_per_hour"].to_numpy(dtype=float, na_value=np.nan)
    axis.barh(name_rows(shown), np.nan_to_num(rates), color="#0072B2")
    for place, row in enumerate(shown.itertuples()):
        missing = np.isnan(rates[place])
        text = labels.both("bioacoustics.not_recorded") if missing else f"{row.bat_passes} ({row.ultrasound_s:.0f} s)"
        axis.text(np.nan_to_num(rates[place]), place, f" {text}", va="center", color="0.35" if missing else "black")
    axis.margins(x=0.3)
    axis.invert_yaxis()
    axis.set_title(labels.both("bioacoustics.passes_title").replace(" | ", "\n"))
    axis.set_xlabel(labels.both("bioacoustics.passes_axis"))
    axis.set_ylabel(labels.both("bioacoustics.site_night_axis").replace(" | ", "\n"))
    return figure


def plot_sounds(nights: pd.DataFrame, classes: list[str]) -> Figure:
    """Seconds of each class of sound per hour of recording, by site and night, stacked; a night that was not searched is marked."""
    shown = nights.head(SHOWN_ROWS)
    figure, axis = plt.subplots(figsize=(10, 3.0 + 0.32 * len(shown)), layout="constrained")
    searched = (shown["audible_s"] > 0).to_numpy()
    left = np.zeros(len(shown))
    for name in classes:
        rate = np.nan_to_num((shown[f"{name}_s"] / (shown["audible_s"] / 3600)).to_numpy(dtype=float, na_value=np.nan))
        axis.barh(
            name_rows(shown), rate, left=left, color=CLASS_COLORS[name], label=labels.both(f"bioacoustics.{name}")
        )
        left += rate
    for place in range(len(shown)):
        text = f"{shown['audible_s'].iloc[place]:.0f} s" if searched[place] else labels.both("bioacoustics.not_audible")
        axis.text(left[place], place, f" {text}", va="center", color="black" if searched[place] else "0.35")
    axis.set_xlim(0, max(1.0, 1.15 * left.max()))
    axis.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    axis.set_title(labels.both("bioacoustics.sounds_title").replace(" | ", "\n"))
    axis.set_xlabel(labels.both("bioacoustics.sounds_axis").replace(" | ", "\n"))
    axis.set_ylabel(labels.both("bioacoustics.site_night_axis").replace(" | ", "\n"))
    return figure


def plot_confusion(metrics: dict, classes: list[str]) -> Figure:
    """Confusion matrix of :func:`ceiba.bioacoustics.human_sounds.measure_accuracy`: counts, shaded by share of the true class."""
    counts = np.array(metrics["confusion"])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axis = plt.subplots(figsize=(8.5, 6.5), layout="constrained")
    image = axis.imshow(share, cmap="cividis", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        color = "white" if share[row, column] < 0.5 else "black"
        axis.text(column, row, counts[row, column], ha="center", va="center", color=color)
    names = [labels.both(f"bioacoustics.{name}").replace(" | ", "\n") for name in classes]
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize="small")
    axis.set_yticks(range(len(names)), names, fontsize="small")
    axis.set_title(labels.both("bioacoustics.confusion_title").replace(" | ", "\n"))
    axis.set_xlabel(labels.both("bioacoustics.guess_axis"))
    axis.set_ylabel(labels.both("bioacoustics.true_axis"))
    figure.colorbar(image, label=labels.both("bioacoustics.share_axis"))
    return figure


def name_rows(nights: pd.DataFrame) -> list[str]:
    """One name a row, "site, YYYY-MM-DD"."""
    unknown = labels.both("bioacoustics.unknown_night")
    return [f"{row.site}, {unknown if pd.isna(row.night) else f'{row.night:%Y-%m-%d}'}" for row in nights.itertuples()]
