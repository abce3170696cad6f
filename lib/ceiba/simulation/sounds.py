"""Sounds below 11 kHz made from scratch: gunshots, saws, engines, rain, insects, wind and a voice.

Every maker takes a random stream, a length [s] and a sampling rate [Hz], and gives samples with a peak of 1,
dim ``(time,)``. None is a recording; they share with the real sounds what a detector looks at: harmonics,
decay, rhythm and colour.
"""

from collections.abc import Callable

import numpy as np
from scipy import signal

Maker = Callable[[np.random.Generator, float, float], np.ndarray]


def gunshot(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """One shot: a blast that decays within some ten milliseconds, then ever darker echoes."""
    return _blast(
        random,
        duration_s,
        sampling_rate_hz,
        decay_s=random.uniform(0.015, 0.045),
        echoes=int(random.integers(2, 5)),
    )


def fireworks(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """A volley of blasts, longer and duller than shots."""
    total = np.zeros(round(duration_s * sampling_rate_hz))
    for start in np.sort(random.uniform(0, 0.75, int(random.integers(3, 7)))):
        first = int(start * total.size)
        total[first:] += random.uniform(0.4, 1) * _blast(
            random,
            (total.size - first) / sampling_rate_hz,
            sampling_rate_hz,
            decay_s=random.uniform(0.05, 0.12),
            echoes=1,
        )
    return _peak_one(total)


def chainsaw(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """A two-stroke saw that revs up and down: a rough series of harmonics of some 100 Hz up to 7 kHz."""
    return _motor(
        random,
        duration_s,
        sampling_rate_hz,
        pitch_hz=random.uniform(90, 135),
        rev=0.22,
        tilt=0.45,
        top_hz=7000,
        rough=0.35,
    )


def brush_cutter(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """A brush cutter: higher and steadier than a chainsaw."""
    return _motor(
        random,
        duration_s,
        sampling_rate_hz,
        pitch_hz=random.uniform(140, 200),
        rev=0.08,
        tilt=0.6,
        top_hz=8000,
        rough=0.3,
    )


def engine(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """A car or lorry that passes: low harmonics and rolling noise, swelling and fading."""
    motor = _motor(
        random,
        duration_s,
        sampling_rate_hz,
        pitch_hz=random.uniform(28, 55),
        rev=0.05,
        tilt=1.1,
        top_hz=1400,
        rough=0.15,
    )
    rolling = _band_noise(random, motor.size, sampling_rate_hz, (80, 1100))
    x = np.linspace(-1, 1, motor.size)
    passing = 0.35 + 0.65 * np.exp(-(((x - random.uniform(-0.3, 0.3)) / 0.5) ** 2))
    return _peak_one((motor + 0.35 * rolling) * passing)


def motorbike(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """A motorbike: between saw and car in pitch, with gear changes."""
    return _motor(
        random,
        duration_s,
        sampling_rate_hz,
        pitch_hz=random.uniform(60, 85),
        rev=0.16,
        tilt=0.95,
        top_hz=2500,
        rough=0.2,
    )


def rain(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """A hiss above 1 kHz with single drops on leaves."""
    count = round(duration_s * sampling_rate_hz)
    drops = np.zeros(count)
    hits = random.integers(0, count, int(random.uniform(30, 90) * duration_s))
    drops[hits] = random.exponential(1, hits.size)
    ring_s = np.arange(round(0.012 * sampling_rate_hz)) / sampling_rate_hz
    ring = np.exp(-ring_s / 0.003) * np.sin(2 * np.pi * random.uniform(1500, 3500) * ring_s)
    drops = signal.fftconvolve(drops, ring)[:count]
    hiss = _band_noise(random, count, sampling_rate_hz, (900, 0.45 * sampling_rate_hz))
    return _peak_one(hiss + 0.9 * drops / max(drops.std(), 1e-9) * 0.3)


def insects(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """Crickets and cicadas: pure carriers of 3 to 8 kHz in fast pulses, with pauses."""
    time_s = np.arange(round(duration_s * sampling_rate_hz)) / sampling_rate_hz
    total = np.zeros(time_s.size)
    for _ in range(int(random.integers(1, 4))):
        carrier_hz, pulse_hz, chirp_hz = (
            random.uniform(3200, 8000),
            random.uniform(20, 60),
            random.uniform(0.5, 3),
        )
        pulses = np.clip(np.sin(2 * np.pi * pulse_hz * time_s + random.uniform(0, 6)), 0, 1) ** 2
        chirps = 1 / (
            1 + np.exp(-12 * (np.sin(2 * np.pi * chirp_hz * time_s + random.uniform(0, 6)) + random.uniform(-0.2, 0.6)))
        )
        total += random.uniform(0.3, 1) * np.sin(2 * np.pi * carrier_hz * time_s) * pulses * chirps
    return _peak_one(total)


def wind(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """Gusts: noise below 500 Hz whose strength wanders."""
    count = round(duration_s * sampling_rate_hz)
    gusts = np.interp(np.arange(count), np.linspace(0, count, 12), random.uniform(0.15, 1, 12))
    return _peak_one(_band_noise(random, count, sampling_rate_hz, (20, 500)) * gusts)


def voice(random: np.random.Generator, duration_s: float, sampling_rate_hz: float) -> np.ndarray:
    """A voice without words: pulses of the vocal cords through three resonances that change with every
    syllable.
    """
    total = np.zeros(round(duration_s * sampling_rate_hz))
    pitch_hz, start_s = random.uniform(95, 230), random.uniform(0, 0.2)
    while start_s < duration_s - 0.15:
        length_s = min(random.uniform(0.12, 0.3), duration_s - start_s - 0.01)
        count = round(length_s * sampling_rate_hz)
        glide = pitch_hz * np.linspace(random.uniform(0.95, 1.12), random.uniform(0.88, 1.02), count)
        pulses = np.diff(np.floor(np.cumsum(glide) / sampling_rate_hz), prepend=0)
        syllable = pulses + 0.02 * random.standard_normal(count)
        for center_hz, width_hz in (
            (random.uniform(300, 800), 90),
            (random.uniform(900, 2200), 120),
            (random.uniform(2400, 3000), 180),
        ):
            radius = np.exp(-np.pi * width_hz / sampling_rate_hz)
            denominator = [1, -2 * radius * np.cos(2 * np.pi * center_hz / sampling_rate_hz), radius**2]
            syllable = signal.lfilter([1 - radius], denominator, syllable) + 0.1 * syllable
        first = round(start_s * sampling_rate_hz)
        total[first : first + count] += syllable * np.hanning(count)
        start_s += length_s + (random.uniform(0.02, 0.08) if random.random() < 0.8 else random.uniform(0.2, 0.5))
    return _peak_one(total)


MAKERS: dict[str, Maker] = {
    "gunshot": gunshot,
    "fireworks": fireworks,
    "chainsaw": chainsaw,
    "brush_cutter": brush_cutter,
    "engine": engine,
    "motorbike": motorbike,
    "rain": rain,
    "insects": insects,
    "wind": wind,
    "voice": voice,
}


def _motor(
    random: np.random.Generator,
    duration_s: float,
    sampling_rate_hz: float,
    *,
    pitch_hz: float,
    rev: float,
    tilt: float,
    top_hz: float,
    rough: float,
) -> np.ndarray:
    """Harmonics of a wandering pitch, amplitude ``k**-tilt`` with random strengths, plus noise pulsed by the
    motor.
    """
    count = round(duration_s * sampling_rate_hz)
    knots = max(4, round(duration_s * 2.5))
    wander = np.interp(np.arange(count), np.linspace(0, count, knots), random.uniform(-1, 1, knots))
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + rev * wander)) / sampling_rate_hz
    total = np.zeros(count)
    for order in range(1, int(min(top_hz, 0.45 * sampling_rate_hz) / (pitch_hz * (1 + rev))) + 1):
        total += order**-tilt * random.uniform(0.3, 1) * np.sin(order * phase + random.uniform(0, 6))
    noise = _band_noise(random, count, sampling_rate_hz, (200, min(1.3 * top_hz, 0.45 * sampling_rate_hz)))
    loud = 1 + 0.3 * wander
    return _peak_one((total / total.std() + rough * noise / noise.std() * (1 + np.sin(phase))) * loud)


def _blast(
    random: np.random.Generator, duration_s: float, sampling_rate_hz: float, *, decay_s: float, echoes: int
) -> np.ndarray:
    count = round(duration_s * sampling_rate_hz)
    time_s = np.arange(count) / sampling_rate_hz
    crack = random.standard_normal(count) * np.exp(-time_s / decay_s)
    boom = np.sin(2 * np.pi * random.uniform(60, 140) * time_s) * np.exp(-time_s / (2.5 * decay_s))
    total = crack + 0.8 * boom
    for number in range(1, echoes + 1):
        delay = round(random.uniform(0.06, 0.14) * number * sampling_rate_hz)
        if delay < count:
            dull = signal.lfilter([0.25], [1, -0.75], total[: count - delay])
            total[delay:] += 0.4 / number * dull
    tail = random.standard_normal(count) * np.exp(-time_s / 0.2)
    return _peak_one(total + 0.05 * signal.lfilter([0.15], [1, -0.85], tail))


def _band_noise(
    random: np.random.Generator, count: int, sampling_rate_hz: float, band_hz: tuple[float, float]
) -> np.ndarray:
    sections = signal.butter(2, band_hz, btype="bandpass", fs=sampling_rate_hz, output="sos")
    noise = signal.sosfilt(sections, random.standard_normal(count))
    return noise / noise.std()


def _peak_one(samples: np.ndarray) -> np.ndarray:
    return samples / max(np.abs(samples).max(), 1e-9)
