"""Recordings of any recorder and rate as labelled arrays in real seconds, and their inventory."""

import logging
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import xarray as xr
from xarray.indexes import RangeIndex

from ceiba.bioacoustics.recorder_metadata import RecorderMetadata, read_recorder_metadata
from ceiba.errors import InputError, RecordingError

log = logging.getLogger(__name__)

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC")
RATES_HZ = (1_000.0, 2_000_000.0)
BLOCK_SAMPLES = 1 << 20
CLIPPED_LEVEL = 0.999
DEAD_LEVEL_DBFS = -100.0
"""A microphone that gives less than this is disconnected: 16-bit files resolve -96 dB."""

INVENTORY_COLUMNS = (
    "path", "site", "latitude", "longitude", "recorded_at", "utc_offset_h", "night", "sampling_rate_hz", "duration_s",
    "level_dbfs", "clipped_share", "is_dead", "truncated", "recorder", "serial", "temperature_c", "time_expansion",
)  # fmt: skip
FAILURE_COLUMNS = ("path", "reason")


def read_recording(
    path: str | Path,
    *,
    time_expansion: float = 1.0,
    channel: int = 0,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> xr.DataArray:
    """Read a recording, or a part of it, in real time.

    Parameters
    ----------
    path
        WAV or FLAC file of any sampling rate.
    time_expansion
        Factor by which the file plays slower than the sound was [1]: 10 for a file of a time-expansion detector. The
        sampling rate is multiplied by it, so that all times and frequencies below are those of the sound.
    channel
        Channel to read, 0 for the first.
    start_s, duration_s
        Part to read [s of real time]; all of it by default.

    Returns
    -------
    xr.DataArray
        Samples [1, of full scale], float32, dim ``time`` [s from the start of the file]; attrs ``sampling_rate_hz``,
        ``units``, ``site``, ``recorded_at`` (ISO text, empty where unknown) and ``path``.

    Raises
    ------
    RecordingError
        Naming the file and the reason, for whatever cannot be read.
    """
    path = Path(path)
    metadata = read_recorder_metadata(path)
    with open_samples(path) as source:
        rate_hz = real_rate(source, path, time_expansion)
        if not 0 <= channel < source.channels:
            raise RecordingError(f"{path}: has no channel {channel}; it has {source.channels}, counted from 0")
        first = round(start_s * rate_hz)
        count = None if duration_s is None else round(duration_s * rate_hz)
        samples = read_samples(source, path, first, count)[:, channel]
    if not samples.size:
        raise RecordingError(f"{path}: holds no samples between {start_s} s and its end")
    return make_recording(
        samples,
        sampling_rate_hz=rate_hz,
        start_s=first / rate_hz,
        site=site_of(path, metadata),
        recorded_at=metadata.recorded_at,
        path=path,
    )


def make_recording(
    samples: np.ndarray,
    *,
    sampling_rate_hz: float,
    start_s: float = 0.0,
    site: str = "",
    recorded_at: pd.Timestamp = pd.NaT,
    path: str | Path = "",
) -> xr.DataArray:
    """A recording as this stage knows it, from samples [1] at ``sampling_rate_hz`` [Hz]; ``start_s`` [s] is the time of the first."""
    # A RangeIndex computes its labels: written out they would take twice the memory of the samples.
    step = 1.0 / sampling_rate_hz
    index = RangeIndex.arange(start_s, start_s + (len(samples) - 0.5) * step, step, dim="time")
    recording = xr.DataArray(
        np.asarray(samples, dtype=np.float32),
        dims="time",
        coords=xr.Coordinates.from_xindex(index),
        attrs={
            "units": "1",
            "sampling_rate_hz": float(sampling_rate_hz),
            "site": site,
            "recorded_at": "" if pd.isna(recorded_at) else pd.Timestamp(recorded_at).isoformat(),
            "path": str(path),
        },
    )
    recording["time"].attrs["units"] = "s"
    return recording


def read_blocks(
    path: str | Path, *, block_s: float = 30.0, overlap_s: float = 0.5, time_expansion: float = 1.0
) -> Iterator[xr.DataArray]:
    """A recording in blocks of ``block_s`` [s] that share ``overlap_s`` [s], so that an hour needs no more memory than a minute.

    A remainder shorter than a quarter of a block is joined to the block before it, so that every block is long enough to
    know its own noise. Raises as :func:`read_recording`.
    """
    total_s = measure(path, time_expansion=time_expansion)
    start_s = 0.0
    while start_s < total_s:
        last = total_s - start_s <= 1.25 * block_s
        length_s = total_s - start_s if last else block_s
        yield read_recording(path, time_expansion=time_expansion, start_s=start_s, duration_s=length_s)
        start_s = total_s if last else start_s + block_s - overlap_s


def read_all(recordings: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode every recording once: an inventory of the good ones, and the ones that cannot be read with the reason.

    Parameters
    ----------
    recordings
        One row a file: ``path``, and where known ``site``, ``latitude``, ``longitude`` [degree], ``recorded_at`` (wall
        clock), ``utc_offset_h`` [h], ``time_expansion``. What is missing is taken from the file itself.

    Returns
    -------
    inventory
        One row a readable file: place and time, ``night`` it belongs to, ``duration_s`` [s of real time], ``level_dbfs``
        (root mean square [dB of full scale]), ``clipped_share`` [1], ``is_dead`` (no signal at all).
    failures
        ``path`` and ``reason`` of every file that cannot be read: shown, and never counted as silence.

    Raises
    ------
    InputError
        Where the table has no ``path`` or no row.
    """
    if "path" not in recordings or recordings.empty:
        raise InputError("the table of recordings needs a column 'path' and at least one row")
    rows, failures = [], []
    for known in recordings.to_dict("records"):
        try:
            rows.append(inspect_recording(known))
        except RecordingError as error:
            log.warning("%s", error)
            failures.append({"path": str(known["path"]), "reason": str(error)})
    inventory = pd.DataFrame(rows, columns=list(INVENTORY_COLUMNS))
    inventory = inventory.astype({"recorded_at": "datetime64[ns]", "night": "datetime64[ns]", "is_dead": bool})
    return inventory, pd.DataFrame(failures, columns=list(FAILURE_COLUMNS), dtype=object)


def inspect_recording(known: dict) -> dict:
    """One row of the inventory of :func:`read_all`: what the table ``known`` says, completed from the file."""
    path = Path(known["path"])
    metadata = read_recorder_metadata(path)
    expansion = first_known(known.get("time_expansion"), metadata.time_expansion)
    squares, clipped, count = 0.0, 0, 0
    with open_samples(path) as source:
        rate_hz = real_rate(source, path, expansion)
        for block in sample_blocks(source, path):
            values = block[:, 0].astype(np.float64)
            squares += float(values @ values)
            clipped += int(np.count_nonzero(np.abs(values) >= CLIPPED_LEVEL))
            count += len(values)
    if not count:
        raise RecordingError(f"{path}: holds no samples")
    level_dbfs = 10 * math.log10(max(squares / count, 1e-20))
    recorded_at = pd.Timestamp(first_known(known.get("recorded_at"), metadata.recorded_at))
    longitude = float(first_known(known.get("longitude"), metadata.longitude))
    offset_h = float(first_known(known.get("utc_offset_h"), metadata.utc_offset_h))
    return {
        "path": str(path),
        "site": str(first_known(known.get("site"), site_of(path, metadata))),
        "latitude": float(first_known(known.get("latitude"), metadata.latitude)),
        "longitude": longitude,
        "recorded_at": recorded_at,
        "utc_offset_h": offset_h,
        "night": night_of(recorded_at, utc_offset_h=offset_h, longitude=longitude),
        "sampling_rate_hz": rate_hz,
        "duration_s": count / rate_hz,
        "level_dbfs": level_dbfs,
        "clipped_share": clipped / count,
        "is_dead": level_dbfs < DEAD_LEVEL_DBFS and not metadata.triggered,
        "truncated": metadata.truncated,
        "recorder": metadata.recorder,
        "serial": metadata.serial,
        "temperature_c": metadata.temperature_c,
        "time_expansion": float(expansion),
    }


def choose_period(recordings: pd.DataFrame, first_year: int, last_year: int) -> pd.DataFrame:
    """Rows whose ``night`` lies in the years given, both included, or is unknown.

    Raises :class:`InputError` where none is left, naming the years that there are.
    """
    year = recordings["night"].dt.year
    chosen = recordings[year.between(first_year, last_year) | year.isna()]
    if chosen.empty:
        found = ", ".join(str(int(each)) for each in sorted(year.unique()))
        raise InputError(f"no recording from {first_year} to {last_year}; there are recordings of {found or 'no year'}")
    return chosen.reset_index(drop=True)


def detect_in_all(
    inventory: pd.DataFrame,
    detect: Callable[[xr.DataArray], pd.DataFrame],
    *,
    block_s: float = 30.0,
    overlap_s: float = 0.5,
) -> pd.DataFrame:
    """Run a detector over every recording of an inventory, block by block.

    A detection belongs to the block that holds its middle, so that none is counted twice where blocks overlap.

    Parameters
    ----------
    inventory
        Table of :func:`read_all`.
    detect
        Function of one recording that gives a table with ``start_time_s`` and ``end_time_s`` [s].
    block_s, overlap_s
        Length of a block and what two of them share [s].

    Returns
    -------
    pd.DataFrame
        The rows of ``detect`` behind ``path``, ``site``, ``night`` and ``recorded_at`` of their recording.
    """
    tables = []
    for row in inventory.itertuples():
        blocks = read_blocks(row.path, block_s=block_s, overlap_s=overlap_s, time_expansion=row.time_expansion)
        for block in blocks:
            found = detect(block)
            first_s, last_s = float(block["time"][0]), float(block["time"][-1])
            middle_s = (found["start_time_s"] + found["end_time_s"]) / 2
            starts_file, ends_file = first_s == 0, last_s >= row.duration_s - 1.5 / row.sampling_rate_hz
            low_s = -math.inf if starts_file else first_s + overlap_s / 2
            high_s = math.inf if ends_file else last_s - overlap_s / 2
            found = found[(middle_s >= low_s) & (middle_s < high_s)].copy()
            for place, name in enumerate(("path", "site", "night", "recorded_at")):
                found.insert(place, name, getattr(row, name))
            tables.append(found)
    filled = [table for table in tables if len(table)]
    return pd.concat(filled or tables[:1], ignore_index=True)


def night_of(recorded_at: pd.Timestamp, *, utc_offset_h: float = math.nan, longitude: float = math.nan) -> pd.Timestamp:
    """Date of the evening of the night, noon to noon, that a recording belongs to; NaT where the time is unknown.

    Many recorders run on UTC. Where the offset of the clock [h] and the longitude [degree] are known the hour is therefore
    mean solar time at the place (UTC + longitude / 15); otherwise it is the recorder's clock.
    """
    if pd.isna(recorded_at):
        return pd.NaT
    moment = pd.Timestamp(recorded_at)
    if math.isfinite(utc_offset_h) and math.isfinite(longitude):
        moment = moment + pd.Timedelta(hours=longitude / 15 - utc_offset_h)
    return (moment - pd.Timedelta(hours=12)).normalize()


def sampling_rate(recording: xr.DataArray) -> float:
    """Sampling rate [Hz] of a recording, from its attrs or its ``time`` labels; raises :class:`RecordingError` where neither tells."""
    rate_hz = float(recording.attrs.get("sampling_rate_hz", 0.0))
    if rate_hz <= 0 and "time" in recording.coords and recording.sizes["time"] > 1:
        time = recording["time"].values
        rate_hz = (len(time) - 1) / float(time[-1] - time[0])
    if rate_hz <= 0:
        raise RecordingError("a recording needs attrs['sampling_rate_hz'] or labels in seconds on its dim 'time'")
    return rate_hz


def first_time(recording: xr.DataArray) -> float:
    """Time of the first sample [s], 0 for a recording without labels."""
    return float(recording["time"][0]) if "time" in recording.coords else 0.0


def measure(path: str | Path, *, time_expansion: float = 1.0) -> float:
    """Length of a recording by its header [s of real time]; raises :class:`RecordingError`."""
    with open_samples(path) as source:
        return source.frames / real_rate(source, path, time_expansion)


def open_samples(path: str | Path) -> soundfile.SoundFile:
    """An open sound file; raises :class:`RecordingError` naming the file and the reason."""
    path = Path(path)
    if not path.is_file():
        raise RecordingError(f"{path}: does not exist")
    if not path.stat().st_size:
        raise RecordingError(f"{path}: is empty (0 bytes)")
    try:
        source = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        raise RecordingError(f"{path}: not a readable WAV or FLAC recording ({error})") from error
    if source.format not in FORMATS:
        source.close()
        raise RecordingError(f"{path}: is {source.format}, and recordings are read from {', '.join(FORMATS)}")
    return source


def real_rate(source: soundfile.SoundFile, path: str | Path, time_expansion: float) -> float:
    """Sampling rate of the sound itself [Hz]; raises :class:`RecordingError` where it is impossible."""
    rate_hz = source.samplerate * float(time_expansion)
    if not (RATES_HZ[0] <= rate_hz <= RATES_HZ[1]):
        raise RecordingError(f"{path}: sampling rate {rate_hz:g} Hz is outside {RATES_HZ[0]:g} to {RATES_HZ[1]:g} Hz")
    return rate_hz


def sample_blocks(source: soundfile.SoundFile, path: str | Path, count: int | None = None) -> Iterator[np.ndarray]:
    """Samples [1], dims (time, channel), from where the file stands; raises :class:`RecordingError` where decoding fails.

    The length is found by reading: a corrupt header may promise more samples than memory holds.
    """
    left = math.inf if count is None else count
    size = max(1, BLOCK_SAMPLES // source.channels)
    while left > 0:
        try:
            block = source.read(int(min(size, left)), dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError, ValueError) as error:
            raise RecordingError(f"{path}: cannot be decoded after sample {source.tell()} ({error})") from error
        if not len(block):
            return
        if not np.isfinite(block).all():
            raise RecordingError(f"{path}: holds samples that are not numbers")
        left -= len(block)
        yield block


def read_samples(source: soundfile.SoundFile, path: str | Path, first: int, count: int | None) -> np.ndarray:
    """Samples [1], dims (time, channel), from ``first`` on; empty where the file is shorter."""
    if first:
        try:
            source.seek(min(first, source.frames))
        except soundfile.SoundFileError as error:
            raise RecordingError(f"{path}: has no sample {first} ({error})") from error
    blocks = list(sample_blocks(source, path, count))
    return np.concatenate(blocks) if blocks else np.empty((0, source.channels), np.float32)


def site_of(path: Path, metadata: RecorderMetadata) -> str:
    """Name of the site: what stands before the date in the file name, else the serial number, else the folder."""
    before_date = re.split(r"(?<!\d)(?:19|20)\d{6}[_-]\d{6}", path.stem)[0].strip("_- ")
    named = before_date if before_date != path.stem else ""
    folders = [
        folder.name for folder in path.parents if folder.name not in ("recordings", "clips", "data", "audio", "")
    ]
    return named or metadata.serial or (folders or [""])[0]


def first_known(*values: object) -> object:
    """The first value that is neither missing nor an empty text, else the last."""
    return next((value for value in values if not pd.isna(value) and value != ""), values[-1])
