"""Sounds made for tests, with known times and frequencies."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from ceiba.bioacoustics.recordings import make_recording

NOISE = 1e-3


def quiet(duration_s: float, rate_hz: float, seed: int = 1) -> np.ndarray:
    """White noise [1] of standard deviation 0.001."""
    return NOISE * np.random.default_rng(seed).standard_normal(round(duration_s * rate_hz)).astype(np.float32)


def put_sweep(
    samples: np.ndarray, rate_hz: float, start_s: float, end_s: float, from_hz: float, to_hz: float, level: float = 0.05
):
    """Add a linear sweep [Hz], or a tone where both frequencies are one, with edges of 0.3 ms, in place."""
    time = np.arange(round((end_s - start_s) * rate_hz)) / rate_hz
    phase = 2 * np.pi * (from_hz * time + (to_hz - from_hz) * time**2 / (2 * (end_s - start_s)))
    edge = np.clip(np.minimum(time, time[::-1]) / 0.0003, 0, 1)
    first = round(start_s * rate_hz)
    samples[first : first + len(time)] += (level * edge * np.sin(phase)).astype(np.float32)


def tone(rate_hz: float, start_s: float = 0.5, end_s: float = 0.508, hz: float = 45e3) -> xr.DataArray:
    """One second of noise with a tone in it."""
    samples = quiet(1.0, rate_hz)
    put_sweep(samples, rate_hz, start_s, end_s, hz, hz)
    return make_recording(samples, sampling_rate_hz=rate_hz)


def wave_bytes(samples: np.ndarray, rate_hz: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A 16-bit mono WAV file, with further chunks after the samples."""
    data = np.round(samples * 32767).astype("<i2").tobytes()
    parts = [(b"fmt ", struct.pack("<HHIIHH", 1, 1, rate_hz, rate_hz * 2, 2, 16)), (b"data", data), *chunks]
    body = b"".join(name + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2) for name, text in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


@pytest.fixture(scope="session")
def signals() -> SimpleNamespace:
    """The makers of this file: test folders are no packages, so they come as a fixture."""
    return SimpleNamespace(quiet=quiet, put_sweep=put_sweep, tone=tone, wave_bytes=wave_bytes)
