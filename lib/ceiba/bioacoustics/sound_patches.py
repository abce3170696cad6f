"""Log-mel patches of sound, and how training patches are varied."""

from collections.abc import Mapping

import librosa
import numpy as np
import scipy.fft
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view

from ceiba.bioacoustics.recordings import make_recording, sampling_rate

FEATURES: Mapping[str, object] = {
    "version": 1, "sampling_rate_hz": 16_000, "window": 512, "step": 256, "mel_bands": 64,
    "low_freq_hz": 50.0, "high_freq_hz": 8000.0, "patch_frames": 96, "range_bels": 7.0,
}  # fmt: skip
"""The features of a sound model; a model trained on others is refused."""
RATE_HZ, STEP = int(FEATURES["sampling_rate_hz"]), int(FEATURES["step"])
FRAME_S = STEP / RATE_HZ
BANDS, FRAMES = int(FEATURES["mel_bands"]), int(FEATURES["patch_frames"])
PATCH_S = FRAMES * FRAME_S
QUIET_BELS = 0.7
"""A patch whose loudest moment lies this far below that of its clip is a pause: the label does not hold for it."""


def log_mel(recording: xr.DataArray) -> np.ndarray:
    """Logarithmic mel spectrogram of a recording of any rate.

    Parameters
    ----------
    recording
        Samples [1], dim ``time`` [s].

    Returns
    -------
    np.ndarray
        log10 of the power in 64 mel bands [bel, arbitrary zero], dims (mel, time), float32, one frame every 16 ms; Slaney's
        bands, as in librosa (McFee et al. 2015, 10.25080/majora-7b98e3ed-003).
    """
    samples = np.asarray(recording.values, np.float32)
    rate_hz = sampling_rate(recording)
    if rate_hz != RATE_HZ:
        samples = librosa.resample(samples, orig_sr=rate_hz, target_sr=RATE_HZ, res_type="soxr_mq")
    length = int(FEATURES["window"])
    samples = np.pad(samples, length // 2)
    frames = sliding_window_view(samples, length)[::STEP]
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    bands = librosa.filters.mel(
        sr=RATE_HZ, n_fft=length, n_mels=BANDS, fmin=FEATURES["low_freq_hz"], fmax=FEATURES["high_freq_hz"]
    )
    mel = np.empty((BANDS, len(frames)), np.float32)
    for first in range(0, len(frames), 4096):
        spectra = scipy.fft.rfft(frames[first : first + 4096] * window, axis=1)
        mel[:, first : first + 4096] = bands @ (spectra.real**2 + spectra.imag**2).T
    return np.log10(mel + np.float32(1e-10))


def cut_patches(mel: np.ndarray, *, step_frames: int = FRAMES // 2) -> tuple[np.ndarray, np.ndarray]:
    """Patches of 1.5 s of a log-mel spectrogram.

    Returns
    -------
    patches
        Log-mel [bel], dims (patch, mel, time); a spectrogram shorter than a patch is repeated to its length.
    first_frame
        Frame at which each begins, dim (patch); the last patch ends with the recording.
    """
    if mel.shape[1] < FRAMES:
        mel = np.tile(mel, -(-FRAMES // mel.shape[1]))[:, :FRAMES]
    last = mel.shape[1] - FRAMES
    first_frame = np.unique(np.append(np.arange(0, last + 1, step_frames), last))
    return np.stack([mel[:, first : first + FRAMES] for first in first_frame]), first_frame


def sounding_patches(mel: np.ndarray) -> np.ndarray:
    """Patches of a labelled clip without its pauses, dims (patch, mel, time)."""
    patches, _ = cut_patches(mel)
    loudest = np.log10((10.0**patches).sum(axis=1)).max(axis=1)
    return patches[loudest >= loudest.max() - QUIET_BELS]


def recorder_noise(random: np.random.Generator, count: int) -> np.ndarray:
    """Patches of a recorder's own noise and some wind, dims (patch, mel, time), each with another slope of its spectrum.

    A quiet night is what a model hears most, and no collection of labelled sounds holds it.
    """
    length = FRAMES * STEP
    frequency = np.fft.rfftfreq(length, 1 / RATE_HZ)
    patches = []
    for slope in random.uniform(0.0, 2.0, count):
        shape = np.maximum(frequency, 30.0) ** (-slope / 2)
        hiss, gusts = random.standard_normal((2, length))
        noise = np.fft.irfft(np.fft.rfft(hiss) * shape, length)
        wind = np.fft.irfft(np.fft.rfft(gusts) * (frequency < random.uniform(100, 600)), length)
        wind *= np.interp(np.arange(length), np.linspace(0, length, 5), random.uniform(0.1, 1.0, 5))
        samples = noise / noise.std() + random.uniform(0.0, 2.0) * wind / wind.std()
        recording = make_recording(samples, sampling_rate_hz=RATE_HZ)
        patches.append(log_mel(recording)[:, :FRAMES])
    return np.stack(patches)


def normalize(patches: np.ndarray) -> np.ndarray:
    """Patches as the network sees them, dims (patch, mel, time, 1): distance and gain are taken out, silence gets a floor.

    Digital silence, which no field recorder gives, is raised to 70 dB below the loudest cell of its patch.
    """
    floor = patches.max(axis=(1, 2), keepdims=True) - np.float32(FEATURES["range_bels"])
    raised = np.maximum(patches, floor)
    return (raised - raised.mean(axis=(1, 2), keepdims=True)).astype(np.float32)[..., np.newaxis]


def vary_patches(random: np.random.Generator, patches: np.ndarray, backgrounds: np.ndarray) -> np.ndarray:
    """Training patches as another recorder, place and distance would have given them; the input is not changed.

    Each is shifted in time; a quarter is laid over a background 0 to 15 dB below it; a seventh loses its high bands as in a
    recording of a low rate; all get a tilt of the spectrum and two masked strips (Park et al. 2019,
    10.21437/interspeech.2019-2680).
    """
    count = len(patches)
    frames = (np.arange(FRAMES) + random.integers(0, FRAMES, (count, 1))) % FRAMES
    varied = np.take_along_axis(patches, frames[:, np.newaxis, :], axis=2)
    other = backgrounds[random.integers(0, len(backgrounds), count)]
    below = (
        random.uniform(-1.5, 0.0, (count, 1, 1)) + varied.max((1, 2), keepdims=True) - other.max((1, 2), keepdims=True)
    )
    mixed = np.log10(10.0**varied + 10.0 ** (other + below))
    varied = np.where(random.random((count, 1, 1)) < 0.25, mixed, varied)
    band, frame = np.arange(BANDS)[:, np.newaxis], np.arange(FRAMES)
    cut = np.where(random.random(count) < 0.15, random.integers(36, 60, count), BANDS)[:, np.newaxis, np.newaxis]
    varied = np.where(band >= cut, varied.min((1, 2), keepdims=True), varied)
    varied = varied + random.normal(0, 0.3, (count, 1, 1)) * np.linspace(-1, 1, BANDS)[:, np.newaxis]
    masked = strip(random, count, band, 8) | strip(random, count, frame, 12)
    return np.where(masked, varied.mean((1, 2), keepdims=True), varied).astype(np.float32)


def strip(random: np.random.Generator, count: int, positions: np.ndarray, longest: int) -> np.ndarray:
    """Mask of a strip of random place and width below ``longest``, for each patch, along ``positions``."""
    first = random.integers(0, positions.size - longest, (count, 1, 1))
    return (positions >= first) & (positions < first + random.integers(0, longest, (count, 1, 1)))
