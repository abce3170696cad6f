"""Bat calls as bursts of ultrasound above a recording's own noise, their kind, and the passes they form."""

import numpy as np
import pandas as pd
import scipy.fft
import scipy.ndimage
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view

from ceiba.bioacoustics.recordings import first_time, sampling_rate

WINDOW_S = 0.001
"""A window of 1 ms resolves 1 kHz and the start of a call to a fraction of a millisecond."""
STEP_S = 0.00025
NOISE_QUANTILE = 0.4
"""Below one half: the long constant-frequency calls of mustached bats fill up to half of the time at their frequency."""
GROW_DB = 6.0
"""A burst reaches as far as its level stays this far above the noise,"""
EDGE_DB = 18.0
"""and no more than this below its own peak, where reverberation begins."""
LONGEST_CALL_S = 0.1
ECHO_S = 0.04
ECHO_DECAY_DB_PER_S = 1500.0
ECHO_DROP_DB = 3.0
HARMONIC_START_S = 0.006
RIDGE_STEP = 6
CONTEXT_S = 1.0
CONTEXT_HZ = 10e3
CONTEXT_OVERLAP = 0.5
SWEEP_LIMIT = -0.3
JITTER_LIMIT_HZ = 600.0
CF_DEVIATION_HZ = 1500.0
CF_DURATION_S = 0.008
QCF_BANDWIDTH_HZ = 8000.0

BURST_COLUMNS = {
    "start_time_s": "float64", "end_time_s": "float64", "low_freq_hz": "float64", "high_freq_hz": "float64",
    "peak_freq_hz": "float64", "snr_db": "float64", "bandwidth_hz": "float64", "slope_hz_per_s": "float64",
    "sweep": "float64", "jitter_hz": "float64", "call_kind": "object", "group": "object",
}  # fmt: skip


def detect_calls(
    recording: xr.DataArray,
    *,
    band_hz: tuple[float, float] = (15e3, 120e3),
    threshold_db: float = 12.0,
    min_duration_s: float = 0.001,
) -> pd.DataFrame:
    """Bat calls as bursts above the recording's own noise floor.

    Parameters
    ----------
    recording
        Samples [1], dim ``time`` [s] in real time: a time-expanded file was divided by its factor when loaded.
    band_hz
        Lowest and highest peak frequency of a call [Hz]; the top is lowered to what the sampling rate can hold.
    threshold_db
        Peak of a call above the mean noise at its frequency [dB].
    min_duration_s
        Shortest call [s].

    Returns
    -------
    pd.DataFrame
        One row a call, in order of time: ``start_time_s``, ``end_time_s`` [s], ``low_freq_hz``, ``high_freq_hz``,
        ``peak_freq_hz`` [Hz], ``snr_db`` [dB, mean of three neighbouring lines], ``bandwidth_hz`` [Hz] and
        ``slope_hz_per_s`` [Hz/s] of its ridge, ``call_kind`` (CF, QCF or FM). No row where the recording cannot hold
        the band.

    Raises
    ------
    RecordingError
        Where the sampling rate is not known.

    Notes
    -----
    The noise floor is a quantile over time at each frequency, so that insects that sing all the time at one frequency raise
    it there only. Harmonics and echoes join the call they belong to. Insects that sing in pulses are told from bats by the
    train and not by the pulse: search calls sweep downwards or hold one pitch, stridulation does neither (``group`` of
    :func:`find_bursts`).
    """
    bursts = find_bursts(recording, band_hz=band_hz, threshold_db=threshold_db, min_duration_s=min_duration_s)
    return bursts[bursts["group"] == "bat"].drop(columns=["sweep", "jitter_hz", "group"]).reset_index(drop=True)


def find_bursts(
    recording: xr.DataArray,
    *,
    band_hz: tuple[float, float] = (15e3, 120e3),
    threshold_db: float = 12.0,
    min_duration_s: float = 0.001,
) -> pd.DataFrame:
    """All bursts, bats or not; arguments and columns as :func:`detect_calls`.

    Further columns: ``sweep`` [1], correlation of frequency with time, -1 for a clean downward sweep; ``jitter_hz`` [Hz],
    mean step of the ridge between spectra; ``group``, "bat" or "other" by the train of bursts around.
    """
    levels, noise_free = excess_levels(recording, band_hz)
    bursts = measure_bursts(levels, noise_free, threshold_db)
    long_enough = (bursts["end_time_s"] - bursts["start_time_s"]).between(min_duration_s, LONGEST_CALL_S)
    inside = bursts["peak_freq_hz"].between(*band_hz)
    bursts = bursts[long_enough & inside]
    bursts = drop_harmonics_and_echoes(bursts).sort_values("start_time_s", ignore_index=True)
    return bursts.assign(group=name_groups(bursts), call_kind=bursts["call_kind"].astype(object))[list(BURST_COLUMNS)]


def spectrogram(
    recording: xr.DataArray,
    *,
    window_s: float = WINDOW_S,
    step_s: float = STEP_S,
    band_hz: tuple[float, float] = (0, 250e3),
) -> xr.DataArray:
    """Power spectrogram in seconds and hertz.

    Parameters
    ----------
    recording
        Samples [1], dim ``time`` [s].
    window_s, step_s
        Length of the Hann window and distance between windows [s].
    band_hz
        Frequencies to keep [Hz].

    Returns
    -------
    xr.DataArray
        Mean-square level [dB of full scale], dims (frequency [Hz], time [s], at the middle of the window), float32.
    """
    rate_hz = sampling_rate(recording)
    # At least 16 samples and 4 of step: a recording of 8 kHz has no more than that in 2 ms.
    length, step = max(16, round(window_s * rate_hz)), max(4, round(step_s * rate_hz))
    size = scipy.fft.next_fast_len(length, real=True)
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    window *= np.sqrt(2.0) / window.sum()
    frequency = np.arange(size // 2 + 1) * rate_hz / size
    keep = np.flatnonzero((frequency >= band_hz[0]) & (frequency <= band_hz[1]))
    samples = np.pad(np.asarray(recording.values, np.float32), (length // 2, length - length // 2))
    frames = sliding_window_view(samples, length)[:-1:step]
    levels = np.empty((len(keep), len(frames)), np.float32)
    for first in range(0, len(frames) if keep.size else 0, 4096):
        spectra = scipy.fft.rfft(frames[first : first + 4096] * window, size)[:, keep[0] : keep[-1] + 1]
        power = spectra.real**2 + spectra.imag**2
        levels[:, first : first + 4096] = 10 * np.log10(power + np.float32(1e-14)).T
    return xr.DataArray(
        levels,
        dims=("frequency", "time"),
        coords={
            "frequency": ("frequency", frequency[keep], {"units": "Hz"}),
            "time": ("time", first_time(recording) + np.arange(len(frames)) * step / rate_hz, {"units": "s"}),
        },
        attrs={"units": "dB"},
    )


def excess_levels(recording: xr.DataArray, band_hz: tuple[float, float]) -> tuple[xr.DataArray, np.ndarray]:
    """Level above the noise at each frequency [dB], dims (frequency, time); and what a smoothing over 3 frequencies makes of it.

    The spectrogram begins a third below the band, so that a bird or cricket that only leaks into it shows its true peak.
    """
    top_hz = min(band_hz[1], 0.48 * sampling_rate(recording))
    levels = spectrogram(recording, band_hz=(band_hz[0] * 2 / 3, top_hz))
    if top_hz <= band_hz[0] or not levels.size:
        levels = levels[:0]
        return levels, levels.values
    # Recorders with a trigger fill untriggered time with digital silence: it is no sample of the noise.
    alive = (levels.values > -135.0).any(axis=0)
    sample = levels.values[:, alive][:, ::3] if alive.any() else levels.values
    quantile = np.quantile(sample, NOISE_QUANTILE, axis=1, keepdims=True)
    # Noise power is exponentially distributed: its quantile q is -ln(1 - q) times the mean.
    noise = quantile - 10 * np.log10(-np.log1p(-NOISE_QUANTILE))
    excess = levels - noise.astype(np.float32)
    return excess, scipy.ndimage.uniform_filter1d(excess.values, 3, axis=0)


def measure_bursts(levels: xr.DataArray, smooth: np.ndarray, threshold_db: float) -> pd.DataFrame:
    """Connected regions above the noise as rows of :data:`BURST_COLUMNS` (without ``group``)."""
    time, frequency = levels["time"].values, levels["frequency"].values
    rows = []
    if levels.size:
        label, count = scipy.ndimage.label(smooth > GROW_DB, structure=np.ones((3, 3)))
        peaks = scipy.ndimage.maximum(smooth, label, np.arange(1, count + 1)) if count else np.empty(0)
        places = scipy.ndimage.find_objects(label)
        for number in np.flatnonzero(peaks >= threshold_db):
            place = places[number]
            region = np.where(label[place] == number + 1, smooth[place], -np.inf)
            rows.append(measure_burst(region, time[place[1]], frequency[place[0]]))
    return pd.DataFrame(rows, columns=[name for name in BURST_COLUMNS if name != "group"])


def measure_burst(region: np.ndarray, time: np.ndarray, frequency: np.ndarray) -> tuple:
    """Times, frequencies and shape of one burst; ``region`` [dB above noise], dims (frequency, time), -inf outside of it."""
    peak = np.unravel_index(region.argmax(), region.shape)
    snr_db = float(region[peak])
    inside = region >= max(GROW_DB, snr_db - EDGE_DB)
    columns, lines = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
    lines_of_ridge = follow_ridge(region, peak[0], peak[1])[columns]
    ridge_hz, ridge_db = frequency[lines_of_ridge], region[lines_of_ridge, columns]
    heard = np.isfinite(ridge_db)
    ridge_hz, ridge_db, ridge_s = ridge_hz[heard], ridge_db[heard], time[columns][heard]
    slope, sweep = fit_sweep(ridge_s, ridge_hz, ridge_db)
    jitter_hz = float(np.abs(np.diff(ridge_hz)).mean()) if len(ridge_hz) > 1 else 0.0
    duration_s = float(time[columns[-1]] - time[columns[0]] + STEP_S)
    bandwidth_hz = float(np.ptp(ridge_hz))
    steady = float((np.abs(ridge_hz - frequency[peak[0]]) <= CF_DEVIATION_HZ).mean())
    start_s = float(time[columns[0]] - STEP_S / 2)
    kind = name_kind(duration_s, bandwidth_hz, steady)
    return (
        start_s, start_s + duration_s, float(frequency[lines[0]]), float(frequency[lines[-1]]), float(frequency[peak[0]]),
        snr_db, bandwidth_hz, slope, sweep, jitter_hz, kind,
    )  # fmt: skip


def follow_ridge(region: np.ndarray, line: int, column: int) -> np.ndarray:
    """Line of the loudest frequency at each time, followed from the peak both ways in steps of at most 6 kHz.

    Without the limit the ridge would jump between the harmonics of one call, and a clean sweep would look like noise.
    """
    ridge = np.full(region.shape[1], line)
    for places in (range(column + 1, region.shape[1]), range(column - 1, -1, -1)):
        here = line
        for place in places:
            low = max(0, here - RIDGE_STEP)
            here = low + int(region[low : here + RIDGE_STEP + 1, place].argmax())
            ridge[place] = here
    return ridge


def fit_sweep(time: np.ndarray, ridge_hz: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Slope [Hz/s] of a ridge by weighted least squares, and the correlation [1] of frequency with time."""
    if len(time) < 3 or not np.ptp(ridge_hz):
        return 0.0, 0.0
    centered_s, centered_hz = time - np.average(time, weights=weight), ridge_hz - np.average(ridge_hz, weights=weight)
    covariance, spread = np.sum(weight * centered_s * centered_hz), np.sum(weight * centered_s**2)
    scale = np.sqrt(spread * np.sum(weight * centered_hz**2))
    return float(covariance / spread), float(covariance / scale) if scale > 0 else 0.0


def name_kind(duration_s: float, bandwidth_hz: float, steady: float) -> str:
    """Kind of an echolocation call, as in Jones & Teeling 2006 (10.1016/j.tree.2006.01.001).

    ``CF`` (constant frequency): at least 8 ms, half of it or more (``steady`` [1]) within 1.5 kHz of its peak, whatever its
    tails sweep; ``QCF`` (quasi-constant): the ridge spans less than 8 kHz; ``FM`` (frequency modulated): the rest.
    """
    if duration_s >= CF_DURATION_S and steady >= 0.5:
        return "CF"
    return "QCF" if bandwidth_hz < QCF_BANDWIDTH_HZ else "FM"


def drop_harmonics_and_echoes(bursts: pd.DataFrame) -> pd.DataFrame:
    """Keep the strongest of bursts that sound together, and none that is the decaying echo of one before it."""
    ordered = bursts.sort_values("snr_db", ascending=False, ignore_index=True)
    start, end, snr = (ordered[name].to_numpy() for name in ("start_time_s", "end_time_s", "snr_db"))
    low, high = ordered["low_freq_hz"].to_numpy(), ordered["high_freq_hz"].to_numpy()
    kept = np.zeros(len(ordered), bool)
    for i in range(len(ordered)):
        stronger = np.flatnonzero(kept[:i] & (start[:i] > start[i] - LONGEST_CALL_S - ECHO_S) & (start[:i] < end[i]))
        shared = np.minimum(end[stronger], end[i]) - np.maximum(start[stronger], start[i])
        together = shared > 0.3 * (end[i] - start[i])
        begins_with = np.abs(start[stronger] - start[i]) < HARMONIC_START_S
        crosses = (low[stronger] < high[i]) & (high[stronger] > low[i])
        later_s = start[i] - start[stronger]
        expected_db = snr[stronger] - ECHO_DROP_DB - ECHO_DECAY_DB_PER_S * later_s
        echo = (later_s > -WINDOW_S) & (later_s < ECHO_S) & (snr[i] < expected_db)
        kept[i] = not (together & (begins_with | crosses) | echo).any()
    return ordered[kept]


def name_groups(bursts: pd.DataFrame) -> np.ndarray:
    """ "bat" or "other" for every burst, by what the bursts within 1 s and 10 kHz of it, or of the same band, do on average.

    A train of bat calls sweeps downwards (mean ``sweep`` below -0.3) or holds its pitch (mean ``jitter_hz`` below 600 Hz);
    pulses of bush-crickets and of rain step up and down. Both limits were set on the labelled recordings of the sample.
    """
    start, peak = bursts["start_time_s"].to_numpy(), bursts["peak_freq_hz"].to_numpy()
    low, high = bursts["low_freq_hz"].to_numpy(), bursts["high_freq_hz"].to_numpy()
    weight = (bursts["snr_db"].to_numpy() - 6.0).clip(1.0)
    order = np.argsort(start)
    first, last = (np.searchsorted(start[order], start + offset) for offset in (-CONTEXT_S, CONTEXT_S))
    sweep, jitter = np.empty(len(bursts)), np.empty(len(bursts))
    for i in range(len(bursts)):
        near = order[first[i] : last[i]]
        shared = np.minimum(high[near], high[i]) - np.maximum(low[near], low[i])
        alike = shared > CONTEXT_OVERLAP * (np.maximum(high[near], high[i]) - np.minimum(low[near], low[i]))
        near = near[alike | (np.abs(peak[near] - peak[i]) < CONTEXT_HZ)]
        sweep[i] = np.average(bursts["sweep"].to_numpy()[near], weights=weight[near])
        jitter[i] = np.average(bursts["jitter_hz"].to_numpy()[near], weights=weight[near])
    is_bat = (sweep < SWEEP_LIMIT) | (jitter < JITTER_LIMIT_HZ)
    return np.where(is_bat, "bat", "other").astype(object)


def number_passes(calls: pd.DataFrame, *, max_gap_s: float = 1.0) -> pd.Series:
    """Number of the pass of each call, from 1 in each recording: a pause longer than ``max_gap_s`` [s] begins another.

    ``calls`` has ``start_time_s`` and ``end_time_s`` [s], and ``path`` where it holds several recordings.
    """
    recording = calls["path"] if "path" in calls else pd.Series("", index=calls.index)
    ordered = calls.assign(path=recording).sort_values(["path", "start_time_s"])
    last_end = ordered.groupby("path")["end_time_s"].cummax().groupby(ordered["path"]).shift()
    begins = (ordered["start_time_s"] - last_end > max_gap_s) | last_end.isna()
    return begins.groupby(ordered["path"]).cumsum().astype("int64").reindex(calls.index).rename("pass_number")
