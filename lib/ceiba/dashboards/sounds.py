"""Recordings to see and hear: spectrograms with what was detected in them. A recording with a human voice is never offered."""

import io
from dataclasses import dataclass
from pathlib import Path

import holoviews as hv
import holoviews.plotting.bokeh  # noqa: F401 - registers the backend without writing scripts into a notebook
import numpy as np
import pandas as pd
import scipy.signal
import soundfile
import xarray as xr

from ceiba import labels
from ceiba.bioacoustics.recordings import read_recording
from ceiba.catalog import find_source
from ceiba.dashboards.available import Available, load_table
from ceiba.errors import CatalogError, InputError
from ceiba.sources import Selection

VOICE = "human"
LONGEST_S = 10.0
"""What is shown and played of a recording [s]."""
ULTRASOUND_HZ = 96_000.0
EXPANSION = 10
"""Ultrasound is played this many times slower, and so this many times lower."""
PLAYED_S = 2.0
COLUMNS_PX, ROWS_PX = 900, 256
FLOOR_DB = 60.0
CLASS_COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7")
"""Okabe and Ito (2008), safe for colour-blind eyes."""


@dataclass(frozen=True)
class Clip:
    """The part of a recording that is shown: samples, dim ``time`` [s], and what was detected in it."""

    samples: xr.DataArray
    detections: pd.DataFrame

    @property
    def rate_hz(self) -> float:
        """Sampling rate [Hz]."""
        return float(self.samples.attrs["sampling_rate_hz"])

    @property
    def is_ultrasound(self) -> bool:
        """Whether it was made to hear bats."""
        return self.rate_hz >= ULTRASOUND_HZ


def list_recordings(products: dict[str, Available]) -> pd.DataFrame:
    """Recordings of an area that may be shown: those that were searched for voices and hold none.

    One row a file, those with most detections first: ``path``, ``file``, ``site``, ``detections`` [1].
    """
    empty = pd.DataFrame({"path": [], "file": [], "site": [], "detections": []})
    if "sound_detections" not in products:
        return empty
    product = products["sound_detections"]
    try:
        source = find_source(product.area, "recordings")
        selection = Selection(product.area, product.place, product.place.whole, product.periods[-1], scope="area")
        recordings = source.load(selection, source.find(selection))
    except (InputError, CatalogError):  # the recordings lie elsewhere: their tables can be shown all the same
        return empty
    found = list_detections(products)
    voices = set(found.loc[found["kind"] == VOICE, "file"])
    recordings = recordings.assign(file=[Path(path).name for path in recordings["path"]])
    recordings = recordings[~recordings["file"].isin(voices)]
    counts = found["file"].value_counts()
    recordings["detections"] = recordings["file"].map(counts).fillna(0).astype(int)
    return recordings.sort_values(["detections", "file"], ascending=[False, True], ignore_index=True)


def list_detections(products: dict[str, Available]) -> pd.DataFrame:
    """Bat calls and sounds of people: ``file``, ``kind``, ``start_time_s``, ``end_time_s`` [s], and frequencies [Hz] of calls."""
    columns = ["file", "kind", "start_time_s", "end_time_s", "low_freq_hz", "high_freq_hz"]
    tables = []
    for name, kind in (("bat_calls", None), ("sound_detections", "sound_class")):
        if name in products:
            table = load_table(products[name])
            paths = table["file"] if "file" in table else table["path"]
            table = table.assign(file=[Path(str(path)).name for path in paths], kind=table[kind] if kind else "bat")
            tables.append(table.reindex(columns=columns))
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def read_clip(path: str, detections: pd.DataFrame) -> Clip:
    """The most eventful seconds of a recording: from shortly before its first detection.

    Raises :class:`~ceiba.errors.RecordingError` where the file cannot be read, :class:`InputError` where it holds a voice.
    """
    own = detections[detections["file"] == Path(path).name]
    if (own["kind"] == VOICE).any():
        raise InputError(f"{Path(path).name} holds a human voice and is not played")
    with soundfile.SoundFile(path) as file:
        length_s, rate_hz = len(file) / file.samplerate, file.samplerate
    shown_s = PLAYED_S if rate_hz >= ULTRASOUND_HZ else LONGEST_S
    first = float(own["start_time_s"].min()) if len(own) else 0.0
    start_s = max(0.0, min(first - 0.1 * shown_s, length_s - shown_s))
    samples = read_recording(path, start_s=start_s, duration_s=min(shown_s, length_s - start_s))
    inside = own[(own["start_time_s"] < start_s + shown_s) & (own["end_time_s"] > start_s)]
    samples = samples.assign_coords(time=start_s + np.arange(samples.sizes["time"]) / samples.attrs["sampling_rate_hz"])
    return Clip(samples, inside.reset_index(drop=True))


def spectrogram(clip: Clip) -> xr.DataArray:
    """Level [dB below the loudest], dims ``(frequency, time)`` [kHz, s], no larger than a screen needs."""
    values = clip.samples.values.astype("float32")
    window = int(min(1024, max(64, 2 ** np.floor(np.log2(max(len(values) // 4, 64))))))
    frequencies, times, power = scipy.signal.spectrogram(values, clip.rate_hz, nperseg=window, noverlap=window // 2)
    step = max(1, len(times) // COLUMNS_PX)
    used = len(times) // step * step
    power = power[:, :used].reshape(len(frequencies), -1, step).max(axis=2)
    rows = max(1, len(frequencies) // ROWS_PX)
    kept = len(frequencies) // rows * rows
    power = power[:kept].reshape(-1, rows, power.shape[1]).max(axis=1)
    level = 10 * np.log10(power + 1e-14)
    level = np.clip(level - level.max(), -FLOOR_DB, 0)
    centres = frequencies[:kept].reshape(-1, rows).mean(axis=1) / 1000
    start = float(clip.samples["time"][0])
    middle = start + times[:used].reshape(-1, step).mean(axis=1)
    return xr.DataArray(level.astype("float32"), dims=("frequency", "time"), coords={"frequency": centres, "time": middle})


def draw_spectrogram(clip: Clip, language: str) -> hv.Overlay:
    """Spectrogram with a box, and a word, for each detection."""
    level = spectrogram(clip)
    high_khz = float(level["frequency"][-1])
    image = hv.Image(
        (level["time"].values, level["frequency"].values, level.values),
        kdims=[_axis("time", "s", language), _axis("frequency", "kHz", language)], vdims=[_axis("level", "dB", language)],
    ).opts(cmap="inferno", clim=(-FLOOR_DB, 0), colorbar=False)  # fmt: skip
    kinds = sorted(clip.detections["kind"].unique())
    colors = dict(zip(kinds, CLASS_COLORS * 3, strict=False))
    boxes = [
        (
            row.start_time_s, (row.low_freq_hz / 1000) if pd.notna(row.low_freq_hz) else 0.0,
            row.end_time_s, (row.high_freq_hz / 1000) if pd.notna(row.high_freq_hz) else high_khz,
            colors[row.kind], word_of(row.kind, language),
        )
        for row in clip.detections.itertuples()
    ]  # fmt: skip
    drawn = hv.Rectangles(boxes, vdims=["color", "kind"]).opts(fill_alpha=0, line_color="color", line_width=2, tools=["hover"])
    limits = (float(level["time"][0]), float(level["time"][-1]))
    return (image * drawn).opts(
        responsive=True, height=300, toolbar="above", active_tools=[], xlim=limits, ylim=(0, high_khz), title=""
    )


def _axis(name: str, unit: str, language: str) -> hv.Dimension:
    return hv.Dimension(name, label=labels.text(f"dashboards.{name}", language), unit=unit)


def word_of(kind: str, language: str) -> str:
    """A detection's class in words."""
    key = f"dashboards.sound_{kind}"
    return labels.text(key, language) if key in labels.load_labels(language) else str(kind).replace("_", " ")


def wav_bytes(clip: Clip) -> bytes:
    """The clip as a WAV file that a browser plays: ultrasound ten times slower."""
    samples = clip.samples.values.astype("float32")
    peak = float(np.abs(samples).max()) or 1.0
    rate_hz = clip.rate_hz / EXPANSION if clip.is_ultrasound else clip.rate_hz
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.8 * samples / peak, round(rate_hz), format="WAV", subtype="PCM_16")
    return buffer.getvalue()
