"""Bat passes of the simulated area: trains of downward sweeps (FM) and of calls at one pitch (CF) with a
falling end.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ceiba.config import project_root

# A call at one pitch ends in a sweep over this share of its time.
TAIL_SHARE = 0.12


@dataclass(frozen=True)
class Call:
    """One call; ``snr_db`` is its root mean square over that of the recorder noise in its own band [dB]."""

    start_time_s: float
    end_time_s: float
    low_freq_hz: float
    high_freq_hz: float
    kind: str
    species: str
    snr_db: float


@functools.cache
def bat_species() -> pd.DataFrame:
    """Calls of each simulated species, from ``catalogs/simulation/bat_species.csv``."""
    return pd.read_csv(project_root() / "catalogs" / "simulation" / "bat_species.csv", index_col="species")


def plan_pass(
    random: np.random.Generator, species: str, *, start_s: float, calls: int, best_snr_db: float
) -> list[Call]:
    """The calls of a bat that flies by: every interval one, loudest in the middle of the pass.

    ``start_s`` [s] is the start of the first call, ``best_snr_db`` [dB] the signal-to-noise ratio of the
    loudest. Pitch, length and interval vary a few percent from bat to bat and from call to call.
    """
    kind = bat_species().loc[species]
    pitch = random.normal(1, 0.015)
    time_s = start_s
    planned = []
    for number in range(calls):
        duration_s = kind["duration_s"] * random.normal(1, 0.06)
        own = pitch * (1 if kind["kind"] == "CF" else random.normal(1, 0.01))
        away = abs(2 * (number + 0.5) / calls - 1)
        planned.append(Call(
            time_s, time_s + duration_s, kind["low_freq_hz"] * own, kind["high_freq_hz"] * own,
            kind["kind"], species, best_snr_db - 9 * away**2,
        ))  # fmt: skip
        time_s += kind["interval_s"] * random.normal(1, 0.06)
    return planned


def call_frequency_hz(call: Call, time_s: np.ndarray) -> np.ndarray:
    """Frequency [Hz] of a call at times [s] from its start: FM falls hyperbolically, CF holds its pitch and
    then falls.
    """
    share = time_s / (call.end_time_s - call.start_time_s)
    if call.kind == "FM":
        return 1 / (1 / call.high_freq_hz + share * (1 / call.low_freq_hz - 1 / call.high_freq_hz))
    fall = np.clip((share - 1 + TAIL_SHARE) / TAIL_SHARE, 0, 1)
    return call.high_freq_hz - fall * (call.high_freq_hz - call.low_freq_hz)


def synthesize_call(call: Call, *, sampling_rate_hz: float, noise_rms: float) -> np.ndarray:
    """Samples of a call over white recorder noise of ``noise_rms``, in the same unit.

    The noise in the band of the call (at least 2 kHz wide) has ``noise_rms * sqrt(2 * band / sampling
    rate)``; the call's root mean square is ``snr_db`` above it.
    """
    count = max(8, round((call.end_time_s - call.start_time_s) * sampling_rate_hz))
    time_s = np.arange(count) / sampling_rate_hz
    phase = 2 * np.pi * np.cumsum(call_frequency_hz(call, time_s)) / sampling_rate_hz
    # A Tukey window: calls rise and end fast, yet without a click.
    ramp = np.clip(np.minimum(np.arange(count), np.arange(count)[::-1]) / (0.2 * count), 0, 1)
    samples = np.sin(0.5 * np.pi * ramp) ** 2 * np.sin(phase)
    band_hz = max(call.high_freq_hz - call.low_freq_hz, 2000.0)
    wanted_rms = noise_rms * np.sqrt(2 * band_hz / sampling_rate_hz) * 10 ** (call.snr_db / 20)
    return (samples * wanted_rms / np.sqrt(np.mean(samples**2))).astype(np.float32)
