"""The sound model: features against librosa, splits that keep sources together, and a model trained on two made-up sounds."""

import io
import json
import zipfile

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile

from ceiba.bioacoustics import calibration, human_sounds, sound_patches
from ceiba.bioacoustics.recordings import make_recording
from ceiba.errors import InputError


def sound_of(kind: str, random: np.random.Generator, duration_s: float = 2.0) -> np.ndarray:
    """Hum with harmonics for a vehicle, ticking for a power tool, noise for the background; 16 kHz."""
    time = np.arange(round(duration_s * 16_000)) / 16_000
    noise = 0.01 * random.standard_normal(len(time))
    pitch_hz = random.uniform(90, 140)
    if kind == "vehicle":
        return noise + 0.1 * sum(np.sin(2 * np.pi * pitch_hz * order * time) / order for order in range(1, 9))
    if kind == "power_tool":
        return noise + 0.3 * random.standard_normal(len(time)) * ((time * pitch_hz / 10) % 1 < 0.1)
    return noise


@pytest.fixture(scope="module")
def clip_table(tmp_path_factory) -> pd.DataFrame:
    folder, random, rows = tmp_path_factory.mktemp("clips"), np.random.default_rng(5), []
    for group in ("vehicle", "power_tool", "background"):
        for source in range(6):
            for take in "ab":
                path = folder / f"{group}_{source}{take}.wav"
                soundfile.write(path, sound_of(group, random) * random.uniform(0.2, 1.0), 16_000)
                rows.append({"path": path, "group": group, "category": group, "source_id": f"{group}-{source}"})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def clips(clip_table):
    return human_sounds.read_clips(clip_table)


@pytest.fixture(scope="module")
def model(clips):
    return human_sounds.train_sound_model(clips, epochs=6, folds=2, seed=3)


# ---- features ----


def test_log_mel_is_that_of_librosa():
    samples = sound_of("vehicle", np.random.default_rng(1))
    wanted = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=512, hop_length=256, n_mels=64, fmin=50, fmax=8000, pad_mode="constant"
    )
    found = sound_patches.log_mel(make_recording(samples, sampling_rate_hz=16_000))
    np.testing.assert_allclose(found, np.log10(wanted + 1e-10)[:, : found.shape[1]], atol=2e-3)


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 44_100, 384_000])
def test_a_tone_is_in_one_band_at_any_rate(rate_hz):
    time = np.arange(rate_hz) / rate_hz
    recording = make_recording(0.1 * np.sin(2 * np.pi * 1000 * time), sampling_rate_hz=rate_hz)
    mel = sound_patches.log_mel(recording)
    centers = librosa.mel_frequencies(66, fmin=50, fmax=8000)[1:-1]
    assert centers[mel[:, 20:40].mean(axis=1).argmax()] == pytest.approx(1000, abs=60)


def test_patches_reach_the_end_and_short_sounds_are_repeated():
    patches, first = sound_patches.cut_patches(np.zeros((64, 250), np.float32))
    assert first.tolist() == [0, 48, 96, 144, 154]
    assert patches.shape == (5, 64, 96)
    assert sound_patches.cut_patches(np.zeros((64, 40), np.float32))[0].shape == (1, 64, 96)


def test_distance_does_not_change_what_the_network_sees():
    patches = np.random.default_rng(2).normal(size=(3, 64, 96)).astype(np.float32)
    np.testing.assert_allclose(sound_patches.normalize(patches), sound_patches.normalize(patches - 2.5), atol=1e-5)


def test_variation_leaves_its_input_alone_and_is_repeatable():
    patches = np.random.default_rng(2).normal(size=(4, 64, 96)).astype(np.float32)
    before = patches.copy()
    varied = [sound_patches.vary_patches(np.random.default_rng(7), patches, patches) for _ in range(2)]
    np.testing.assert_array_equal(patches, before)
    np.testing.assert_array_equal(*varied)


# ---- clips and splits ----


def test_sources_never_stand_on_both_sides(clips):
    for train, test in human_sounds.split_clips(clips, folds=3, seed=1):
        assert not set(clips.source_id[train]) & set(clips.source_id[test])
    tested = np.concatenate([test for _, test in human_sounds.split_clips(clips, folds=3, seed=1)])
    assert sorted(tested) == list(range(len(clips)))


def test_a_category_of_one_source_is_never_tested(clip_table):
    alone = clip_table.assign(category=clip_table["category"].where(clip_table["source_id"] != "vehicle-0", "tractor"))
    clips = human_sounds.read_clips(alone)
    for train, test in human_sounds.split_clips(clips, folds=3, seed=1):
        assert "tractor" in clips.category[train]
        assert "tractor" not in clips.category[test]


def test_names_of_sources_stay_whole(clip_table):
    unknown = clip_table.assign(
        source_id=clip_table["source_id"].astype("str").where(clip_table["source_id"] != "vehicle-0")
    )
    clips = human_sounds.read_clips(unknown)
    assert len(set(clips.source_id)) == 18
    assert {"vehicle-1", "vehicle, source unknown"} <= set(clips.source_id)
    assert clips.count_sources()["sources"].to_list() == [6, 6, 6]


def test_few_labels_are_refused(clip_table):
    with pytest.raises(InputError, match="source_id"):
        human_sounds.read_clips(clip_table.drop(columns="source_id"))
    with pytest.raises(InputError, match="background"):
        human_sounds.read_clips(clip_table[clip_table["group"] != "background"])


# ---- measures: worked by hand ----


def test_accuracy_by_hand():
    truth, guess = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
    found = calibration.measure_accuracy(truth, guess, ("background", "human", "vehicle"))
    assert found["n"] == 6
    assert found["accuracy"] == pytest.approx(4 / 6)
    # F1: background 1/2, human 4/5, vehicle 2/3.
    assert found["macro_f1"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    # Background is recognised in 1 of 2, the rest in 3 of 4.
    assert found["background_balanced_accuracy"] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert found["confusion"] == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]


def test_temperature_of_an_overconfident_network():
    # Right in 3 of 4 with logits of +-10: calibrated is a log odds of ln 3, a temperature of 20 / 1.0986 = 18, at the limit
    # of 8; with logits of +-2 it is 4 / 1.0986 = 3.64.
    labels = np.array([0, 0, 0, 1])
    logits = np.tile([2.0, -2.0], (4, 1))
    assert calibration.fit_temperature(logits, labels) == pytest.approx(3.64, rel=0.05)


def test_threshold_of_best_f1():
    probability, truth = np.array([0.9, 0.8, 0.6, 0.5, 0.4]), np.array([True, True, False, False, False])
    assert 0.6 < calibration.best_threshold(probability, truth) <= 0.8


# ---- the model ----


def test_it_learns_and_says_how_well(model):
    assert model.card["metrics"]["n"] == 36
    assert model.card["metrics"]["accuracy"] > 0.8
    assert model.card["training"]["sources"] == 18


def test_sounds_are_found_where_they_are(model):
    random = np.random.default_rng(9)
    samples = sound_of("background", random, 10.0)
    samples[48_000:80_000] += sound_of("vehicle", random)
    found = human_sounds.detect_sounds(make_recording(samples, sampling_rate_hz=16_000, start_s=60.0), model)
    vehicle = found[found["sound_class"] == "vehicle"]
    assert vehicle["start_time_s"].min() == pytest.approx(63.0, abs=0.3)
    assert vehicle["end_time_s"].max() == pytest.approx(65.0, abs=0.3)
    assert found["probability"].between(0.7, 1.0).all()


def test_background_is_no_detection(model):
    noise = make_recording(sound_of("background", np.random.default_rng(11), 5.0), sampling_rate_hz=16_000)
    found = human_sounds.detect_sounds(noise, model)
    assert found.empty
    assert list(found) == list(human_sounds.SOUND_COLUMNS)


def test_saved_and_loaded(model, tmp_path):
    files = human_sounds.save_sound_model(model)
    assert files == human_sounds.save_sound_model(model)
    assert "optimizer" not in str(zipfile.ZipFile(io.BytesIO(files["sound_model.keras"])).namelist())
    paths = {name: tmp_path / name for name in files}
    for name, path in paths.items():
        path.write_bytes(files[name])
    loaded = human_sounds.load_sound_model(paths)
    patches = np.random.default_rng(1).normal(size=(5, 64, 96)).astype(np.float32)
    np.testing.assert_allclose(loaded.probabilities(patches), model.probabilities(patches), atol=1e-5)

    card = json.loads(files["sound_model_card.json"])
    card["features"]["mel_bands"] = 128
    paths["sound_model_card.json"].write_text(json.dumps(card))
    with pytest.raises(InputError, match="other features|trained on features"):
        human_sounds.load_sound_model(paths)
    with pytest.raises(InputError, match=r"missing: sound_model\.keras"):
        human_sounds.load_sound_model({"sound_model_card.json": paths["sound_model_card.json"]})


def test_the_same_seed_gives_the_same_model(clips):
    trainer, few = human_sounds.Trainer(clips, epochs=1, seed=4), np.arange(0, len(clips), 3)
    first, second = ([np.array(weight) for weight in trainer.fit(few).get_weights()] for _ in range(2))
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(before, after)
