"""Reading recordings: real metadata of six recorders, made-up files of any rate, and files that are broken."""

import io
import math
import struct

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ceiba.bioacoustics import recorder_metadata as metadata
from ceiba.bioacoustics import recordings
from ceiba.errors import InputError, RecordingError

GUANO = b"GUANO|Version: 1.0\nTimestamp: 2024-03-14T20:26:15-06:00\nLoc Position: 19.43 -99.13\nSerial: A1\nNABAT|Grts Id: 7\n"


@pytest.fixture
def good_wave(signals) -> bytes:
    return signals.wave_bytes(signals.quiet(0.05, 192_000), 192_000, (b"guan", GUANO))


# ---- what a recorder wrote: values read by eye in the files, and in the README of their folder ----


@pytest.mark.parametrize(
    ("name", "rate_hz", "recorded_at", "offset_h", "latitude", "serial"),
    [
        ("audiomoth_1.10.1_guano_250kHz.WAV", 250_000, "2024-09-03 20:26:15", 1, math.nan, "24E144055E080032"),
        ("audiomoth_listinfo_48kHz.wav", 48_000, "2024-05-28 10:00:00", 0, math.nan, "243B1F026488F56E"),
        ("wildlifeacoustics_echometer_guano_wamd_256kHz.wav", 256_000, "2022-08-15 21:34:14", 1, 50.7179417, ""),
        ("batlogger_s2_guano_312kHz.wav", 312_500, "2024-05-31 22:39:11", math.nan, 49.093119, "22060166"),
        ("nabat_smmu1_guano_ANPA_256kHz.wav", 256_000, "2019-08-06 23:07:49", math.nan, math.nan, ""),
    ],
)
def test_real_recorders(sample_folder, name, rate_hz, recorded_at, offset_h, latitude, serial):
    path = sample_folder / "audio" / "recorder_metadata_wavs" / name
    found = metadata.read_recorder_metadata(path)
    assert found.recorded_at == pd.Timestamp(recorded_at)
    assert found.utc_offset_h == pytest.approx(offset_h, nan_ok=True)
    assert found.latitude == pytest.approx(latitude, nan_ok=True)
    assert found.serial == serial
    assert recordings.read_recording(path, duration_s=0.05).attrs["sampling_rate_hz"] == rate_hz


def test_real_triggered_recorder_is_not_dead(sample_folder):
    folder = sample_folder / "audio" / "recorder_metadata_wavs"
    inventory, _ = recordings.read_all(pd.DataFrame({"path": [folder / "audiomoth_nobats_guano_250kHz.WAV"]}))
    assert inventory["level_dbfs"].item() < recordings.DEAD_LEVEL_DBFS
    assert not inventory["is_dead"].item()


@pytest.mark.parametrize(
    ("text", "recorded_at", "offset_h"),
    [
        ("2024-09-03T20:26:15+01:00", "2024-09-03 20:26:15", 1.0),
        (" 2022-08-15 21:34:14+0100", "2022-08-15 21:34:14", 1.0),
        ("2024-05-31T22:39:11.250Z", "2024-05-31 22:39:11.25", 0.0),
        ("2024-05-31T22:39:11", "2024-05-31 22:39:11", math.nan),
    ],
)
def test_guano_times(text, recorded_at, offset_h):
    found, offset = metadata.parse_guano_time(text)
    assert found == pd.Timestamp(recorded_at)
    assert offset == pytest.approx(offset_h, nan_ok=True)


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01T00:00:00", "2024-02-30T00:00:00", "2024-01-01"])
def test_impossible_times_stay_unknown(text):
    assert metadata.parse_guano_time(text)[0] is pd.NaT


@pytest.mark.parametrize(("zone", "offset_h"), [("(UTC)", 0), ("(UTC-6)", -6), ("(UTC+5:30)", 5.5), ("", math.nan)])
def test_audiomoth_times_are_day_first(zone, offset_h):
    found, offset = metadata.parse_audiomoth_time(
        f"Recorded at 23:05:00 03/11/2023 {zone} by AudioMoth 24E144055E080032"
    )
    assert found == pd.Timestamp("2023-11-03 23:05:00")
    assert offset == pytest.approx(offset_h, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "recorded_at"),
    [
        ("S4A03895_20190522_050000.flac", "2019-05-22 05:00:00"),
        ("20240903_202615T.WAV", "2024-09-03 20:26:15"),
        ("Car340319-2015-Pass1-G2-16701_0_20150718_031633_453.flac", "2015-07-18 03:16:33.453"),
        ("5B2F3A10.WAV", "2018-06-24 06:28:32"),
        ("XC820302-Noctilio_leporinus-2013.01.08-CL00088_A_15.flac", None),
        ("20241345_250000.wav", None),
    ],
)
def test_file_names(name, recorded_at):
    found, _ = metadata.parse_file_name_time(name)
    assert found is pd.NaT if recorded_at is None else found == pd.Timestamp(recorded_at)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("19.43 -99.13", (19.43, -99.13)),
        ("4.61, -74.08", (4.61, -74.08)),
        ("91 0", None),
        ("north", None),
        ("1 2 3", None),
    ],
)
def test_positions(text, place):
    assert metadata.parse_position(text) == pytest.approx(place or (math.nan, math.nan), nan_ok=True)


def test_chunks_after_the_samples(tmp_path, good_wave):
    path = tmp_path / "night.wav"
    path.write_bytes(good_wave)
    found = metadata.read_recorder_metadata(path)
    assert (found.latitude, found.longitude) == (19.43, -99.13)
    assert found.guano["NABAT|Grts Id"] == "7"
    assert [chunk.name for chunk in metadata.walk_chunks(io.BytesIO(good_wave))] == [b"fmt ", b"data", b"guan"]


# ---- nights ----


@pytest.mark.parametrize(
    ("moment", "night"),
    [("2024-03-14 20:00", "2024-03-14"), ("2024-03-15 05:59", "2024-03-14"), ("2024-03-15 12:00", "2024-03-15")],
)
def test_night_is_noon_to_noon(moment, night):
    assert recordings.night_of(pd.Timestamp(moment)) == pd.Timestamp(night)


def test_night_of_a_clock_on_utc():
    # 06:30 in central Mexico, six and a half hours behind Greenwich, is 13:00 by a recorder on UTC: still the night before.
    moment = pd.Timestamp("2024-03-15 13:00")
    assert recordings.night_of(moment) == pd.Timestamp("2024-03-15")
    assert recordings.night_of(moment, utc_offset_h=0, longitude=-99.1) == pd.Timestamp("2024-03-14")
    assert recordings.night_of(pd.NaT) is pd.NaT


# ---- samples ----


@pytest.mark.parametrize("rate_hz", [8000, 44_100, 250_000, 312_500, 500_000])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_any_rate(signals, tmp_path, rate_hz, kind):
    path = tmp_path / f"sound.{kind}"
    samples = signals.quiet(0.2, rate_hz)
    soundfile.write(path, samples, rate_hz, subtype="PCM_24")
    found = recordings.read_recording(path)
    assert found.dims == ("time",)
    assert found.dtype == np.float32
    assert found.attrs["units"] == "1"
    assert found["time"].attrs["units"] == "s"
    np.testing.assert_allclose(found, samples, atol=2**-22)
    assert float(found["time"][-1]) == pytest.approx((len(samples) - 1) / rate_hz)


def test_time_expansion_gives_real_time(signals, tmp_path):
    path = tmp_path / "slow.wav"
    soundfile.write(path, signals.quiet(1.0, 38_400), 38_400)
    found = recordings.read_recording(path, time_expansion=10)
    assert found.attrs["sampling_rate_hz"] == 384_000
    assert recordings.measure(path, time_expansion=10) == pytest.approx(0.1)


def test_part_of_a_recording(signals, tmp_path):
    path = tmp_path / "long.wav"
    samples = signals.quiet(1.0, 10_000)
    soundfile.write(path, samples, 10_000, subtype="FLOAT")
    part = recordings.read_recording(path, start_s=0.25, duration_s=0.5)
    np.testing.assert_array_equal(part, samples[2500:7500])
    assert float(part["time"][0]) == pytest.approx(0.25)


def test_blocks_cover_everything_once(signals, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, signals.quiet(10.3, 8000), 8000)
    blocks = list(recordings.read_blocks(path, block_s=3, overlap_s=0.5))
    ends = [(float(block["time"][0]), float(block["time"][-1])) for block in blocks]
    assert [start for start, _ in ends] == pytest.approx([0, 2.5, 5.0, 7.5])
    assert ends[-1][1] == pytest.approx(10.3, abs=0.001)


def test_a_detection_in_two_blocks_counts_once(signals, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, signals.quiet(9.0, 8000), 8000)
    inventory, _ = recordings.read_all(pd.DataFrame({"path": [path]}))
    marks = pd.DataFrame({"start_time_s": np.arange(0.01, 8.9, 0.1), "end_time_s": np.arange(0.06, 8.95, 0.1)})

    def detect(block):
        first, last = float(block["time"][0]), float(block["time"][-1])
        return marks[(marks["start_time_s"] >= first) & (marks["end_time_s"] <= last)]

    found = recordings.detect_in_all(inventory, detect, block_s=3, overlap_s=0.5)
    np.testing.assert_allclose(found["start_time_s"], marks["start_time_s"])


def test_quality_of_a_recording(tmp_path):
    soundfile.write(tmp_path / "dead.wav", np.zeros(8000), 8000)
    loud = np.ones(8000)
    loud[:4000] = 0.0
    soundfile.write(tmp_path / "clipped.wav", loud, 8000)
    inventory, failures = recordings.read_all(pd.DataFrame({"path": [tmp_path / "clipped.wav", tmp_path / "dead.wav"]}))
    assert failures.empty
    assert inventory["is_dead"].to_list() == [False, True]
    assert inventory["clipped_share"].to_list() == [0.5, 0.0]
    # Half of the samples at full scale: a mean square of one half, -3.01 dB.
    assert inventory["level_dbfs"][0] == pytest.approx(-3.01, abs=0.01)


# ---- what goes wrong ----


def test_one_bad_file_never_stops_the_rest(tmp_path, good_wave):
    (tmp_path / "good.wav").write_bytes(good_wave)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "notes.wav").write_bytes(b"Dear diary, no bats today.")
    names = ["empty.wav", "good.wav", "notes.wav", "absent.wav"]
    inventory, failures = recordings.read_all(pd.DataFrame({"path": [tmp_path / name for name in names]}))
    assert inventory["path"].str.endswith("good.wav").all()
    assert len(failures) == 3
    for name, reason in zip(("empty.wav", "notes.wav", "absent.wav"), failures["reason"], strict=True):
        assert name in reason


def test_truncated_wave_is_read_and_marked(tmp_path, good_wave):
    path = tmp_path / "cut.wav"
    path.write_bytes(good_wave[:6000])
    inventory, failures = recordings.read_all(pd.DataFrame({"path": [path]}))
    assert failures.empty
    assert inventory["truncated"].item()
    # 44 bytes of header, two bytes a sample.
    assert inventory["duration_s"].item() == pytest.approx((6000 - 44) / 2 / 192_000)


def test_truncated_flac_is_a_failure_that_names_the_file(signals, tmp_path):
    path = tmp_path / "cut.flac"
    soundfile.write(path, signals.quiet(2.0, 44_100), 44_100)
    path.write_bytes(path.read_bytes()[:30_000])
    _, failures = recordings.read_all(pd.DataFrame({"path": [path]}))
    assert "cut.flac" in failures["reason"].item()


def test_impossible_rate_and_numbers(signals, tmp_path):
    soundfile.write(tmp_path / "slow.wav", signals.quiet(1, 500), 500)
    with pytest.raises(RecordingError, match=r"slow\.wav: sampling rate 500 Hz"):
        recordings.read_recording(tmp_path / "slow.wav")
    soundfile.write(tmp_path / "nan.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    with pytest.raises(RecordingError, match=r"nan\.wav: holds samples that are not numbers"):
        recordings.read_recording(tmp_path / "nan.wav")
    with pytest.raises(RecordingError, match="has no channel 2"):
        recordings.read_recording(tmp_path / "nan.wav", channel=2)


def test_period(tmp_path):
    table = pd.DataFrame({"night": pd.to_datetime(["2018-05-01", None, "2020-01-01"])})
    assert len(recordings.choose_period(table, 2018, 2018)) == 2
    with pytest.raises(InputError, match="2018, 2020"):
        recordings.choose_period(table.dropna(), 2001, 2002)


def test_a_table_without_recordings():
    with pytest.raises(InputError, match="path"):
        recordings.read_all(pd.DataFrame({"file": ["a.wav"]}))


# ---- fuzzing: whatever the bytes, either a recording or a RecordingError ----

FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def read_or_refuse(path, content: bytes):
    path.write_bytes(content)
    for read in (metadata.read_recorder_metadata, recordings.read_recording):
        try:
            read(path)
        except RecordingError as error:
            assert path.name in str(error)


@FUZZ
@given(content=st.binary(max_size=400))
@pytest.mark.parametrize("name", ["noise.wav", "noise.flac"])
def test_random_bytes(tmp_path, name, content):
    read_or_refuse(tmp_path / name, content)


@FUZZ
@given(body=st.binary(max_size=300))
def test_random_chunks(tmp_path, body):
    read_or_refuse(tmp_path / "chunks.wav", b"RIFF\xff\xff\xff\xffWAVE" + body)


@FUZZ
@given(place=st.integers(0, 80), value=st.binary(min_size=1, max_size=8), length=st.integers(0, 4000))
def test_corrupted_wave(tmp_path, good_wave, place, value, length):
    content = bytearray(good_wave)
    content[place : place + len(value)] = value
    read_or_refuse(tmp_path / "corrupt.wav", bytes(content[: len(content) - length]))


@FUZZ
@given(place=st.integers(0, 3000), value=st.binary(min_size=1, max_size=8), length=st.integers(0, 3000))
def test_corrupted_flac(signals, tmp_path, place, value, length):
    stream = io.BytesIO()
    soundfile.write(stream, signals.quiet(0.05, 96_000), 96_000, format="FLAC")
    content = bytearray(stream.getvalue())
    content[place : place + len(value)] = value
    read_or_refuse(tmp_path / "corrupt.flac", bytes(content[: len(content) - length]))


@FUZZ
@given(text=st.binary(max_size=200))
def test_random_guano_and_info(signals, tmp_path, text):
    samples = signals.quiet(0.01, 96_000)
    signals.put_sweep(samples, 96_000, 0.002, 0.006, 30e3, 20e3)
    info = b"INFO" + b"ICMT" + struct.pack("<I", len(text)) + text
    path = tmp_path / "odd.wav"
    path.write_bytes(
        signals.wave_bytes(samples, 96_000, (b"guan", b"GUANO|Version: 1.0\nTimestamp:" + text), (b"LIST", info))
    )
    assert recordings.read_recording(path).sizes["time"] == 960
