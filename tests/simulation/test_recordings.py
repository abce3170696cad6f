"""Recordings: calls and sounds are where the truth says they are."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from ceiba.simulation import bat_passes, recordings, sound_training, sounds
from ceiba.simulation.bat_passes import Call


def dominant_hz(samples, rate_hz):
    """Frequency with most power above 10 kHz, by a plain Fourier transform."""
    power = np.abs(np.fft.rfft(samples * np.hanning(samples.size))) ** 2
    frequencies = np.fft.rfftfreq(samples.size, 1 / rate_hz)
    return frequencies[np.argmax(np.where(frequencies > 10_000, power, 0))]


def band_density(samples, rate_hz, edges_hz):
    """Mean power density between two frequencies."""
    frequencies = np.fft.rfftfreq(samples.size, 1 / rate_hz)
    power = np.abs(np.fft.rfft(samples)) ** 2 / samples.size
    return power[(frequencies > edges_hz[0]) & (frequencies < edges_hz[1])].mean()


def test_call_frequency_by_hand():
    fm = Call(0.0, 0.004, 40_000, 80_000, "FM", "sim A", 20)
    # Half-way the period is the mean of 12.5 and 25 microseconds.
    np.testing.assert_allclose(
        bat_passes.call_frequency_hz(fm, np.array([0, 0.002, 0.004])), [80_000, 1 / 18.75e-6, 40_000]
    )
    cf = Call(0.0, 0.02, 55_000, 62_000, "CF", "sim C", 20)
    np.testing.assert_allclose(bat_passes.call_frequency_hz(cf, np.array([0, 0.01, 0.02])), [62_000, 62_000, 55_000])


def test_call_has_the_stated_signal_to_noise_ratio():
    call = Call(0.0, 0.02, 60_000, 64_000, "CF", "sim C", 20)
    samples = bat_passes.synthesize_call(call, sampling_rate_hz=256_000, noise_rms=8.0)
    # White noise of 8 has 8 * sqrt(4 / 128) = 1.414 in a band of 4 kHz of 128 kHz; 20 dB is ten times that.
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(14.14, rel=1e-3)


def test_calls_are_at_their_time_and_frequency(area_folder):
    calls = pd.read_csv(area_folder / "truth/calls.csv")
    assert set(calls["kind"]) == {"FM", "CF"}
    loud = calls[calls["snr_db"] > 20].groupby("file").head(3)
    assert len(loud) >= 20
    for call in loud.itertuples():
        samples, rate_hz = soundfile.read(area_folder / "recordings" / call.file)
        inside = samples[round(call.start_time_s * rate_hz) : round(call.end_time_s * rate_hz)]
        before = samples[round((call.start_time_s - 0.012) * rate_hz) : round((call.start_time_s - 0.002) * rate_hz)]
        assert call.low_freq_hz - 1500 <= dominant_hz(inside, rate_hz) <= call.high_freq_hz + 1500
        if call.kind == "CF":
            assert dominant_hz(inside, rate_hz) == pytest.approx(call.high_freq_hz, abs=200)
        edges = (call.low_freq_hz - 1000, call.high_freq_hz + 1000)
        assert band_density(inside, rate_hz, edges) > 10 * band_density(before, rate_hz, edges)


def test_activity_of_a_night_lies_in_the_bins_of_the_network(world, area_folder):
    calls = pd.read_csv(area_folder / "truth/calls.csv")
    nights = calls["file"].str.slice(0, 14).value_counts()
    sites = pd.read_csv(area_folder / "truth/sites.csv").set_index("site")
    assert len(sites) == 8
    for site, state in sites["bat_activity"].items():
        counts = [nights.get(f"{site}_{night:%Y%m%d}", 0) for night in recordings.NIGHTS]
        expected = np.digitize(counts, (3, 16))
        np.testing.assert_array_equal(expected, ["none", "few", "many"].index(state))


def test_human_sound_of_a_night_lies_in_the_bins_of_the_network(area_folder):
    heard = pd.read_csv(area_folder / "truth/sounds.csv")
    heard = heard[heard["sound_class"].isin(recordings.HUMAN_CLASSES)]
    seconds = (heard["end_time_s"] - heard["start_time_s"]).groupby(heard["file"].str.slice(0, 14)).sum()
    for site, state in pd.read_csv(area_folder / "truth/sites.csv").set_index("site")["human_sound"].items():
        for night in recordings.NIGHTS:
            found = np.digitize(seconds.get(f"{site}_{night:%Y%m%d}", 0.0), (0.2, 6.0))
            assert ["none", "some", "much"][found] == state


def test_sounds_are_louder_than_the_quiet_before(area_folder):
    heard = pd.read_csv(area_folder / "truth/sounds.csv")
    heard = heard[heard["sound_class"].isin(recordings.HUMAN_CLASSES)]
    rainy = set(pd.read_csv(area_folder / "truth/sounds.csv").query("sound_class == 'rain'")["file"])
    first = heard[~heard["file"].isin(rainy)].sort_values("start_time_s").groupby("file").head(1)
    assert len(first) >= 3
    for sound in first.itertuples():
        samples, rate_hz = soundfile.read(area_folder / "recordings" / sound.file)
        loud = samples[round(sound.start_time_s * rate_hz) : round(sound.end_time_s * rate_hz)]
        assert np.abs(loud).max() > 2 * np.abs(samples[: round(sound.start_time_s * rate_hz)]).max()


def test_table_of_recordings_names_every_file(area_folder):
    table = pd.read_csv(area_folder / "recordings/recordings.csv")
    assert set(table["file"]) == {path.name for path in (area_folder / "recordings").glob("*.flac")}
    assert len(table) == 8 * 2 * 4
    for row in table.itertuples():
        described = soundfile.info(area_folder / "recordings" / row.file)
        assert described.samplerate == row.sampling_rate_hz
        assert described.subtype == "PCM_16"
        assert row.file == f"{row.site}_{pd.Timestamp(row.recorded_at):%Y%m%d_%H%M%S}.flac"
        assert described.duration == pytest.approx(2.0 if row.sampling_rate_hz == 256_000 else 10.0)


@pytest.mark.parametrize("name", sorted(sounds.MAKERS))
def test_every_sound_has_its_length_and_peak(name):
    samples = sounds.MAKERS[name](np.random.default_rng(5), 2.0, 22_050)
    assert samples.shape == (44_100,)
    assert np.abs(samples).max() == pytest.approx(1)


def test_character_of_sounds():
    random = np.random.default_rng(6)

    def centroid_hz(samples):
        power = np.abs(np.fft.rfft(samples)) ** 2
        return (np.fft.rfftfreq(samples.size, 1 / 22_050) * power).sum() / power.sum()

    made = {name: sounds.MAKERS[name](random, 2.0, 22_050) for name in ("engine", "chainsaw", "insects", "gunshot")}
    assert centroid_hz(made["engine"]) < centroid_hz(made["chainsaw"]) < centroid_hz(made["insects"])
    early, late = np.split(made["gunshot"], [4410])
    assert (early**2).sum() > 10 * (late**2).sum()


def test_labelled_clips(area_folder):
    labels = pd.read_csv(area_folder / "sound_training/labels.csv")
    assert (labels["group"].value_counts() == sound_training.CLIPS_PER_GROUP).all()
    assert set(labels["group"]) == {"power_tool", "vehicle", "explosion_like", "background", "human"}
    for row in labels.itertuples():
        assert 1.9 < soundfile.info(area_folder / "sound_training/clips" / row.file).duration < 5
    # Takes of a source are different clips.
    first, second = (area_folder / "sound_training/clips" / name for name in labels["file"].iloc[:2])
    assert first.read_bytes() != second.read_bytes()
