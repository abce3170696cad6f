"""How many times faster than real time bats are found and log-mel spectrograms are made, on one made-up recording."""

import time

import numpy as np

from ceiba.bioacoustics.bat_calls import detect_calls
from ceiba.bioacoustics.recordings import make_recording
from ceiba.bioacoustics.sound_patches import log_mel

DURATION_S = 20.0
ULTRASONIC_HZ, AUDIBLE_HZ = 384_000, 44_100


def make_night(rate_hz: float, *, calls_per_s: float) -> np.ndarray:
    """Noise with frequency-modulated calls of 4 ms from 70 to 40 kHz (or none)."""
    random = np.random.default_rng(1)
    samples = 0.001 * random.standard_normal(round(DURATION_S * rate_hz)).astype(np.float32)
    call_s = np.arange(round(0.004 * rate_hz)) / rate_hz
    call = 0.05 * np.sin(2 * np.pi * (70e3 * call_s - 30e3 * call_s**2 / 0.008)).astype(np.float32)
    for start_s in np.arange(0.1, DURATION_S - 0.1, 1 / calls_per_s) if calls_per_s else ():
        first = round(start_s * rate_hz)
        samples[first : first + len(call)] += call
    return samples


def seconds_of(work, repeats: int = 3) -> float:
    """Least processor time of several runs [s]."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def main() -> dict[str, float]:
    """Print and return the ratios, times real time on one core."""
    busy = make_recording(make_night(ULTRASONIC_HZ, calls_per_s=10), sampling_rate_hz=ULTRASONIC_HZ)
    silent = make_recording(make_night(ULTRASONIC_HZ, calls_per_s=0), sampling_rate_hz=ULTRASONIC_HZ)
    audible = make_recording(make_night(AUDIBLE_HZ, calls_per_s=0), sampling_rate_hz=AUDIBLE_HZ)
    ratios = {
        "detect_calls_10_calls_a_second": DURATION_S / seconds_of(lambda: detect_calls(busy)),
        "detect_calls_no_calls": DURATION_S / seconds_of(lambda: detect_calls(silent)),
        "log_mel_44100_hz": DURATION_S / seconds_of(lambda: log_mel(audible)),
    }
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.0f} x real time")
    return ratios


if __name__ == "__main__":
    main()
