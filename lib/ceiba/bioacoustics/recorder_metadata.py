"""What a recorder wrote beside the samples: RIFF chunks, GUANO, AudioMoth comments, file names.

Sources: RIFF/WAVE (Microsoft, IBM 1991) and RF64 (EBU Tech 3306); GUANO 1.0 (Reichert, guano-md.org); AudioMoth
firmware comments; Wildlife Acoustics, Elekon and AudioMoth file names.
"""

import datetime
import io
import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from ceiba.errors import RecordingError

WAVE_FORMS = (b"RIFF", b"RF64")
METADATA_LIMIT_BYTES = 1 << 20
"""Longest metadata chunk that is read: a corrupt size must not ask for gigabytes."""


@dataclass(frozen=True)
class Chunk:
    """One RIFF chunk: four-letter name, where its content begins in the file [byte], and how long it says it is [byte]."""

    name: bytes
    offset: int
    size: int
    cut: bool


@dataclass(frozen=True)
class RecorderMetadata:
    """What is known of a recording without its samples; what is unknown is NaN, NaT or empty.

    Attributes
    ----------
    recorded_at
        Start by the recorder's own clock, without time zone.
    utc_offset_h
        That clock minus UTC [h].
    latitude, longitude
        WGS 84 [degree].
    recorder, serial
        Maker and model; serial number.
    time_expansion
        Factor by which the file plays slower than the sound was [1].
    guano
        Every field of the GUANO chunk as text.
    triggered
        Whether the recorder wrote silence until a level was passed, so that silence is no sign of a dead microphone.
    truncated
        Whether the file ends before its header says.
    """

    recorded_at: pd.Timestamp = pd.NaT
    utc_offset_h: float = math.nan
    latitude: float = math.nan
    longitude: float = math.nan
    recorder: str = ""
    serial: str = ""
    temperature_c: float = math.nan
    time_expansion: float = 1.0
    guano: Mapping[str, str] = field(default_factory=dict)
    triggered: bool = False
    truncated: bool = False


def walk_chunks(stream: BinaryIO, name: str = "stream") -> Iterator[Chunk]:
    """Chunks of a RIFF or RF64 file in their order.

    A chunk that would reach past the end of the file is given with ``cut=True`` and the size that is left; the walk then
    ends. Raises :class:`RecordingError` where the file is not RIFF/WAVE.
    """
    end = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    header = stream.read(12)
    if len(header) < 12 or header[:4] not in WAVE_FORMS or header[8:12] != b"WAVE":
        raise RecordingError(f"{name}: not a RIFF/WAVE file (it begins with {header[:12]!r})")
    position, long_data_size = 12, None
    while position + 8 <= end:
        stream.seek(position)
        chunk_name, size = struct.unpack("<4sI", stream.read(8))
        position += 8
        if chunk_name == b"ds64" and position + 16 <= end:
            # RF64 keeps the true 64-bit length of the data chunk here.
            long_data_size = struct.unpack("<8xQ", stream.read(16))[0]
        if chunk_name == b"data" and size == 0xFFFFFFFF and long_data_size is not None:
            size = long_data_size
        yield Chunk(chunk_name, position, min(size, end - position), position + size > end)
        position += size + size % 2


def read_recorder_metadata(path: str | Path) -> RecorderMetadata:
    """Metadata from the GUANO chunk, else the AudioMoth comment, else the file name; a field that makes no sense stays unknown.

    Raises
    ------
    RecordingError
        Where the file cannot be opened, or is named ``.wav`` and is not a RIFF/WAVE file.
    """
    path = Path(path)
    guano, comment, artist, truncated = {}, "", "", False
    try:
        with path.open("rb") as stream:
            if path.suffix.lower() == ".wav" or stream.read(4) in WAVE_FORMS:
                for chunk in walk_chunks(stream, path.name):
                    truncated |= chunk.cut
                    if chunk.name == b"guan":
                        guano = parse_guano(read_content(stream, chunk))
                    elif chunk.name == b"LIST":
                        info = parse_info_list(read_content(stream, chunk))
                        comment, artist = info.get("ICMT", comment), info.get("IART", artist)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened ({error.strerror or error})") from error
    return combine(guano, comment, artist, path.name, truncated)


def combine(guano: Mapping[str, str], comment: str, artist: str, file_name: str, truncated: bool) -> RecorderMetadata:
    """One :class:`RecorderMetadata` from all that a file says; GUANO comes first, the file name last."""
    recorded_at, offset = parse_guano_time(guano.get("Timestamp", ""))
    if recorded_at is pd.NaT:
        recorded_at, offset = parse_audiomoth_time(comment)
    if recorded_at is pd.NaT:
        recorded_at, offset = parse_file_name_time(file_name)
    latitude, longitude = parse_position(guano.get("Loc Position", ""))
    recorder = " ".join(part for part in (guano.get("Make", ""), guano.get("Model", "")) if part)
    serial = guano.get("Serial", "")
    moth = re.search(r"AudioMoth ([0-9A-F]{16})", f"{comment} {artist}")
    if moth:
        recorder, serial = recorder or "AudioMoth", serial or moth[1]
    temperature = guano.get("Temperature Ext") or guano.get("Temperature Int")
    if temperature is None:
        found = re.search(r"temperature was (-?[\d.]+)C", comment)
        temperature = found[1] if found else ""
    expansion = to_float(guano.get("TE", "1"))
    return RecorderMetadata(
        recorded_at=recorded_at,
        utc_offset_h=offset,
        latitude=latitude,
        longitude=longitude,
        recorder=recorder,
        serial=serial,
        temperature_c=to_float(temperature),
        time_expansion=expansion if 1 <= expansion <= 100 else 1.0,
        guano=guano,
        triggered="threshold was" in comment,
        truncated=truncated,
    )


def read_content(stream: BinaryIO, chunk: Chunk) -> bytes:
    """Content of a metadata chunk, at most :data:`METADATA_LIMIT_BYTES`."""
    stream.seek(chunk.offset)
    return stream.read(min(chunk.size, METADATA_LIMIT_BYTES))


def parse_guano(content: bytes) -> dict[str, str]:
    """Fields of a GUANO chunk, ``{key: text}``; namespaced keys keep their bars (``NABAT|Grts Id``)."""
    fields = {}
    for line in content.decode("utf-8", errors="replace").replace("\x00", "").splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip():
            fields[key.strip()] = value.strip()
    return fields


def parse_info_list(content: bytes) -> dict[str, str]:
    """Texts of a ``LIST``/``INFO`` chunk, ``{four-letter name: text}``; empty for a list of another kind."""
    texts = {}
    if content[:4] != b"INFO":
        return texts
    position = 4
    while position + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, position)
        text = content[position + 8 : position + 8 + size]
        texts[name.decode("latin-1")] = text.split(b"\x00", 1)[0].decode("utf-8", errors="replace").strip()
        position += 8 + size + size % 2
    return texts


def parse_guano_time(text: str) -> tuple[pd.Timestamp, float]:
    """Wall-clock time and UTC offset [h] of a GUANO ``Timestamp``: ISO 8601 with ``+01:00``, ``+0100``, ``Z`` or nothing."""
    text = text.strip()
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?)\s*(Z|[+-]\d\d:?\d\d)?", text)
    if not found:
        return pd.NaT, math.nan
    return to_timestamp(found[1].replace("T", " ")), to_offset(found[2])


def parse_audiomoth_time(comment: str) -> tuple[pd.Timestamp, float]:
    """Wall-clock time and UTC offset [h] of an AudioMoth comment: day/month/year, ``(UTC)``, ``(UTC-5)`` or ``(UTC+5:30)``."""
    found = re.search(r"Recorded at (\d\d:\d\d:\d\d(?:\.\d+)?) (\d\d)/(\d\d)/(\d{4})(?: \(UTC([^)]*)\))?", comment)
    if not found:
        return pd.NaT, math.nan
    clock, day, month, year, zone = found.groups()
    return to_timestamp(f"{year}-{month}-{day} {clock}"), math.nan if zone is None else to_offset(zone or "Z")


def parse_file_name_time(name: str) -> tuple[pd.Timestamp, float]:
    """Wall-clock time in a file name: ``YYYYMMDD_HHMMSS`` with optional ``_mmm`` milliseconds, or AudioMoth's hexadecimal UTC seconds."""
    found = re.search(r"(?<!\d)((?:19|20)\d{6})[_-](\d{6})(?:_(\d{3}))?(?!\d)", name)
    if found:
        date, clock, milliseconds = found.groups()
        text = f"{date[:4]}-{date[4:6]}-{date[6:]} {clock[:2]}:{clock[2:4]}:{clock[4:]}.{milliseconds or '0'}"
        return to_timestamp(text), math.nan
    found = re.fullmatch(r"([45-7][0-9A-F]{7})\.WAV", name, flags=re.IGNORECASE)
    if found:
        return pd.Timestamp(int(found[1], 16), unit="s"), 0.0
    return pd.NaT, math.nan


def parse_position(text: str) -> tuple[float, float]:
    """Latitude and longitude [degree] of a GUANO ``Loc Position``, NaN where it is not a place on Earth."""
    parts = text.replace(",", " ").split()
    latitude, longitude = (to_float(part) for part in parts) if len(parts) == 2 else (math.nan, math.nan)
    on_earth = abs(latitude) <= 90 and abs(longitude) <= 180
    return (latitude, longitude) if on_earth else (math.nan, math.nan)


def to_offset(text: str | None) -> float:
    """UTC offset [h] of ``Z``, ``+01:00``, ``-0530``, ``+1`` or ``-5:30``; NaN for anything else."""
    if text in ("Z", "z"):
        return 0.0
    found = re.fullmatch(r"([+-])(\d{1,2}):?(\d\d)?", text or "")
    if not found:
        return math.nan
    hours = int(found[2]) + int(found[3] or 0) / 60
    return math.copysign(hours, -1 if found[1] == "-" else 1) if hours <= 14 else math.nan


def to_timestamp(text: str) -> pd.Timestamp:
    """A time stamp from ISO text, NaT for a date or hour that does not exist."""
    try:
        return pd.Timestamp(datetime.datetime.fromisoformat(pad_fraction(text)))
    except ValueError:
        return pd.NaT


def pad_fraction(text: str) -> str:
    """Fractions of a second with exactly six digits, which :meth:`datetime.fromisoformat` takes in every version."""
    head, dot, fraction = text.partition(".")
    return f"{head}.{fraction[:6]:0<6}" if dot else head


def to_float(text: str | None) -> float:
    """A finite number, or NaN for a text that is none."""
    try:
        number = float(text or "nan")
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
