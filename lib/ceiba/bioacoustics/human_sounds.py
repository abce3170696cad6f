"""Sounds of people, their machines and animals: a small convolutional network on log-mel patches."""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pandas as pd
import xarray as xr
from keras import layers
from sklearn.model_selection import StratifiedGroupKFold

from ceiba.bioacoustics.calibration import BACKGROUND, best_threshold, fit_temperature, measure_accuracy, softmax
from ceiba.bioacoustics.recordings import first_time, read_recording, sampling_rate
from ceiba.bioacoustics.sound_patches import (
    BANDS,
    FEATURES,
    FRAME_S,
    FRAMES,
    cut_patches,
    log_mel,
    normalize,
    recorder_noise,
    sounding_patches,
    vary_patches,
)  # fmt: skip
from ceiba.errors import InputError

GROUP_OF = {"gunshot": "explosion_like"}
"""Labels that are too few to be a class of their own."""
NETWORK_FILE, CARD_FILE = "sound_model.keras", "sound_model_card.json"
PATCHES_A_CLIP, BATCH = 4, 64
TRANSIENT = ("explosion_like",)
"""Classes that are a bang: nothing is one that does not rise 6 dB above the floor of its recording, or goes on for long."""
TRANSIENT_RISE_BELS, TRANSIENT_LONGEST_S = 0.6, 3.0
LEAST_STEPS = 12
NOISE_SHARE = 0.2
DETECTION_BATCH = 16
SOUND_COLUMNS = {"start_time_s": "float64", "end_time_s": "float64", "sound_class": "object", "probability": "float64"}


@dataclass(frozen=True)
class Clips:
    """Labelled clips ready for training; all sequences have one entry a clip.

    ``patches`` are log-mel patches [bel], dims (patch, mel, time); ``labels`` are positions in ``classes``.
    """

    patches: Sequence[np.ndarray]
    labels: np.ndarray
    classes: tuple[str, ...]
    category: np.ndarray
    source_id: np.ndarray
    fingerprint: str

    def __len__(self) -> int:
        return len(self.patches)

    def count_sources(self) -> pd.DataFrame:
        """Clips, and the source recordings they were cut from, of each class."""
        group = np.array(self.classes)[self.labels]
        table = pd.DataFrame({"class": group, "source_id": self.source_id})
        return table.groupby("class")["source_id"].agg(clips="size", sources="nunique")


@dataclass(frozen=True)
class SoundModel:
    """A trained network and its card: classes, features, temperature, thresholds, training data and measured accuracy."""

    network: keras.Model
    card: Mapping[str, object]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        return tuple(self.card["classes"])

    def probabilities(self, patches: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [1], dims (patch, class), of log-mel patches, dims (patch, mel, time)."""
        logits = compute_logits(self.network, patches, batch=DETECTION_BATCH)
        return softmax(logits / float(self.card["temperature"]))


def read_clips(table: pd.DataFrame) -> Clips:
    """Read labelled clips.

    Parameters
    ----------
    table
        One row a clip: ``path``, ``group`` (the class), ``category`` (what it is), ``source_id`` (the recording it was
        cut from; clips of one source never stand on both sides of a split).

    Raises
    ------
    InputError
        Where a column is missing, or fewer than two classes have two sources each, or there is no background.
    RecordingError
        Where a clip cannot be read.
    """
    missing = {"path", "group", "category", "source_id"} - set(table)
    if missing:
        raise InputError(f"the table of labelled sounds lacks {', '.join(sorted(missing))}")
    # Clips without a source may all be of one: they stay together. Lists, since a text column of pandas that holds a missing
    # value turns into an array of single letters.
    source = [
        f"{row.category}, source unknown" if pd.isna(row.source_id) else str(row.source_id)
        for row in table.itertuples()
    ]
    table = table.assign(group=table["group"].replace(GROUP_OF), source_id=source).sort_values(
        "path", ignore_index=True
    )
    sources = table.groupby("group")["source_id"].nunique()
    classes = tuple(sorted(sources.index[sources >= 2]))
    if len(classes) < 2 or BACKGROUND not in classes:
        raise InputError(
            f"labelled sounds need {BACKGROUND!r} and one class more, each from two sources or more; given are {sources.to_dict()}"
        )
    table = table[table["group"].isin(classes)]
    digest = hashlib.sha256()
    for row in table.itertuples():
        digest.update(f"{row.group}|{row.category}|{row.source_id}|".encode() + Path(row.path).read_bytes())
    return Clips(
        patches=[sounding_patches(log_mel(read_recording(path))) for path in table["path"]],
        labels=np.array([classes.index(group) for group in table["group"]]),
        classes=classes,
        category=np.array(table["category"].tolist()),
        source_id=np.array(table["source_id"].tolist()),
        fingerprint=digest.hexdigest(),
    )


def split_clips(clips: Clips, *, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of training and test clips, one pair a fold; clips of one source recording stay together.

    Folds are balanced by category. A category with a single source is always trained on and never tested: it would be a
    question about a sound that was never heard.
    """
    sources = pd.Series(clips.source_id).groupby(clips.category).transform("nunique").to_numpy()
    tested, always = np.flatnonzero(sources > 1), np.flatnonzero(sources == 1)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    pairs = splitter.split(tested, clips.category[tested], clips.source_id[tested])
    return [(np.sort(np.append(tested[train], always)), tested[test]) for train, test in pairs]


def build_network(classes: int) -> keras.Model:
    """Four strided convolutions, and beside them the mean, spread and change of each band over time; gives logits.

    The second branch is what a classifier on band statistics sees, so the network is never worse informed than it.
    """
    patch = layers.Input((BANDS, FRAMES, 1), name="log_mel")
    x = patch
    for width, size, strides in ((16, 5, (2, 4)), (32, 3, 2), (64, 3, 2), (64, 3, 2)):
        x = layers.Conv2D(width, size, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    flat = layers.Reshape((BANDS, FRAMES))(patch)
    change = keras.ops.mean(keras.ops.abs(flat[:, :, 1:] - flat[:, :, :-1]), axis=-1)
    # A band that a filter emptied is constant, and the gradient of a bare square root at 0 is not a number.
    spread = keras.ops.sqrt(keras.ops.var(flat, axis=-1) + 1e-4)
    statistics = layers.Concatenate()([keras.ops.mean(flat, axis=-1), spread, change])
    statistics = layers.Dropout(0.3)(layers.BatchNormalization(momentum=0.9)(statistics))
    statistics = layers.Dense(48, activation="relu")(statistics)
    joined = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x), statistics])
    return keras.Model(patch, layers.Dense(classes, name="logits")(layers.Dropout(0.3)(joined)))


class Trainer:
    """Trains the network again and again, from the same first weights, and compiles it only once.

    ``clips`` are all clips, of which each training takes some; ``epochs`` are passes over as many as there are in all.
    """

    def __init__(self, clips: Clips, *, epochs: int, seed: int):
        keras.utils.set_random_seed(seed)
        self.clips, self.epochs, self.seed = clips, epochs, seed
        self.steps = max(LEAST_STEPS, PATCHES_A_CLIP * len(clips) // BATCH)
        self.noise = recorder_noise(np.random.default_rng(seed), 64)
        self.network = build_network(len(clips.classes))
        rate = keras.optimizers.schedules.CosineDecay(
            3e-3, epochs * self.steps, warmup_steps=self.steps, warmup_target=3e-3
        )
        optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
        self.network.compile(optimizer, loss)
        optimizer.build(self.network.trainable_variables)
        self.variables = [*self.network.variables, *optimizer.variables]
        self.start = [np.array(variable) for variable in self.variables]

    def fit(self, train: np.ndarray) -> keras.Model:
        """The network trained on the clips at positions ``train``; the same positions give the same weights."""
        for variable, value in zip(self.variables, self.start, strict=True):
            variable.assign(value)
        clips, random = self.clips, np.random.default_rng(self.seed)
        counts = np.bincount(clips.labels[train], minlength=len(clips.classes))
        # The square root keeps a class of six clips from being shouted down, and from shouting.
        weight = np.sqrt(len(train) / len(clips.classes) / np.maximum(counts, 1))
        noisy = [position for position in train if clips.classes[clips.labels[position]] == BACKGROUND]
        backgrounds = np.concatenate([clips.patches[position] for position in noisy])
        one_hot = np.eye(len(clips.classes), dtype=np.float32)
        for _ in range(self.epochs):
            rounds = -(-self.steps * BATCH // len(train))
            chosen = np.concatenate([random.permutation(train) for _ in range(rounds)])[: self.steps * BATCH]
            patches = np.stack([clips.patches[i][random.integers(0, len(clips.patches[i]))] for i in chosen])
            target = clips.labels[chosen]
            quiet = random.random(len(chosen)) < NOISE_SHARE
            patches[quiet] = self.noise[random.integers(0, len(self.noise), int(quiet.sum()))]
            target[quiet] = clips.classes.index(BACKGROUND)
            inputs = normalize(vary_patches(random, patches, backgrounds))
            self.network.fit(
                inputs, one_hot[target], sample_weight=weight[target], batch_size=BATCH, shuffle=False, verbose=0
            )
        if not all(np.isfinite(np.array(variable)).all() for variable in self.network.variables):
            raise InputError("training did not converge: the network holds values that are not numbers")
        return self.network


def train_sound_model(clips: Clips, *, epochs: int = 12, folds: int = 3, seed: int = 1) -> SoundModel:
    """Train on all clips, and measure and calibrate by cross-validation grouped by source recording.

    Parameters
    ----------
    clips
        Labelled clips.
    epochs
        Passes over the clips.
    folds
        Parts of the cross-validation; every clip of a category with two sources or more is tested once.
    seed
        Of the split, the network and the variation of patches.

    Returns
    -------
    SoundModel
        Its card holds ``metrics`` (clip accuracy, macro F1, balanced accuracy of all classes against background, their
        ``n``, and the confusion matrix, rows true), the temperature (Guo et al. 2017, arXiv 1706.04599) and, for each
        class, the threshold of best F1 among patches.
    """
    logits = np.full((len(clips), len(clips.classes)), np.nan)
    patch_logits, patch_labels = [], []
    trainer = Trainer(clips, epochs=epochs, seed=seed)
    for train, test in split_clips(clips, folds=folds, seed=seed):
        network = trainer.fit(train)
        each = np.split(
            compute_logits(network, np.concatenate([clips.patches[i] for i in test])),
            np.cumsum([len(clips.patches[i]) for i in test])[:-1],
        )
        logits[test] = [part.mean(axis=0) for part in each]
        patch_logits += each
        patch_labels += [np.full(len(part), clips.labels[i]) for part, i in zip(each, test, strict=True)]
    tested = ~np.isnan(logits).any(axis=1)
    all_logits, all_labels = np.concatenate(patch_logits), np.concatenate(patch_labels)
    temperature = fit_temperature(all_logits, all_labels)
    probability = softmax(all_logits / temperature)
    card = {
        "classes": list(clips.classes),
        "features": dict(FEATURES),
        "temperature": temperature,
        "thresholds": {name: best_threshold(probability[:, i], all_labels == i) for i, name in enumerate(clips.classes)},
        "training": {
            "fingerprint": clips.fingerprint, "clips": len(clips), "sources": len(set(clips.source_id)), "epochs": epochs,
            "folds": folds, "seed": seed,
            "never_tested": sorted({str(name) for name in clips.category[~tested]}),
        },
        "metrics": measure_accuracy(clips.labels[tested], logits[tested].argmax(axis=1), clips.classes),
    }  # fmt: skip
    return SoundModel(trainer.fit(np.arange(len(clips))), card)


def detect_sounds(recording: xr.DataArray, model: SoundModel, *, min_probability: float = 0.7) -> pd.DataFrame:
    """Where in a recording the sounds of people are heard.

    Windows of 1.5 s, one every 0.38 s, are classified; neighbours of one class above its threshold become one row, trimmed
    to where its level rises above the quietest of the window. Background is no row.

    Parameters
    ----------
    recording
        Samples [1] of any rate, dim ``time`` [s].
    model
        Trained model.
    min_probability
        Least probability [1]; the threshold of a class is used where it is higher.

    Returns
    -------
    pd.DataFrame
        ``start_time_s``, ``end_time_s`` [s], ``sound_class``, ``probability`` [1] of its best window, in order of time.
        Words that are spoken are nowhere kept.
    """
    mel = log_mel(recording)
    patches, first_frame = cut_patches(mel, step_frames=FRAMES // 4)
    probability = model.probabilities(patches)
    best = probability.argmax(axis=1)
    limits = np.array([max(model.card["thresholds"][name], min_probability) for name in model.classes])
    called = np.where(probability[np.arange(len(best)), best] >= limits[best], best, -1)
    rows = []
    for position, name in enumerate(model.classes):
        if name == BACKGROUND:
            continue
        heard = np.flatnonzero(called == position)
        for run in np.split(heard, np.flatnonzero(np.diff(first_frame[heard]) > FRAMES // 2) + 1):
            if not run.size:
                continue
            first, last, rise_bels = trim(mel, first_frame[run[0]], min(first_frame[run[-1]] + FRAMES, mel.shape[1]))
            bang = rise_bels >= TRANSIENT_RISE_BELS and (last - first) * FRAME_S <= TRANSIENT_LONGEST_S
            if name not in TRANSIENT or bang:
                rows.append((first * FRAME_S, last * FRAME_S, name, float(probability[run, position].max())))
    sounds = pd.DataFrame(rows, columns=list(SOUND_COLUMNS)).astype(SOUND_COLUMNS)
    sounds["end_time_s"] = sounds["end_time_s"].clip(upper=recording.sizes["time"] / sampling_rate(recording))
    sounds[["start_time_s", "end_time_s"]] += first_time(recording)
    return sounds.sort_values("start_time_s", ignore_index=True)


def trim(mel: np.ndarray, first: int, last: int) -> tuple[int, int, float]:
    """Frames from ``first`` to ``last`` without what is quieter than half-way from the recording's floor to their peak.

    A sound less than 6 dB above the floor, or one that never pauses, keeps its frames. The rise of the peak above the floor
    [bel] comes with them.
    """
    level = np.log10((10.0**mel).sum(axis=0))
    floor, peak = np.quantile(level, 0.1), level[first:last].max()
    loud = np.flatnonzero(level[first:last] >= (floor + peak) / 2)
    if peak - floor < TRANSIENT_RISE_BELS or not loud.size:
        return int(first), int(last), float(peak - floor)
    return int(first + loud[0]), int(first + loud[-1] + 1), float(peak - floor)


def save_sound_model(model: SoundModel) -> dict[str, bytes]:
    """Files of a model, ``{name: content}``: the network without optimiser, and the card. The same model gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NETWORK_FILE
        model.network.save(path, include_optimizer=False)
        network = drop_dates(path.read_bytes())
    card = json.dumps(model.card, indent=1, sort_keys=True, ensure_ascii=False)
    return {NETWORK_FILE: network, CARD_FILE: card.encode()}


def drop_dates(archive: bytes) -> bytes:
    """A ``.keras`` archive without the moment at which it was saved."""
    fixed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": ""}, sort_keys=True).encode()
            target.writestr(zipfile.ZipInfo(name), content)
    return fixed.getvalue()


def load_sound_model(files: Mapping[str, Path]) -> SoundModel:
    """A model from its files by name; raises :class:`InputError` where one is missing or it was trained on other features."""
    missing = {NETWORK_FILE, CARD_FILE} - set(files)
    if missing:
        raise InputError(
            f"a sound model has the files {NETWORK_FILE} and {CARD_FILE}; missing: {', '.join(sorted(missing))}"
        )
    card = json.loads(Path(files[CARD_FILE]).read_text(encoding="utf-8"))
    if card.get("features") != dict(FEATURES):
        raise InputError(
            f"{files[CARD_FILE]}: the model was trained on features {card.get('features')}; this version makes {dict(FEATURES)}. "
            "Train it again with 05_bioacoustics/01_train_sound_model"
        )
    return SoundModel(keras.models.load_model(files[NETWORK_FILE], compile=False), card)


def compute_logits(network: keras.Model, patches: np.ndarray, *, batch: int = 64) -> np.ndarray:
    """Outputs of a network for log-mel patches, dims (patch, class); batches are filled up so that one size is compiled."""
    short = -len(patches) % batch
    filled = np.concatenate([patches, np.repeat(patches[-1:], short, axis=0)])
    return np.asarray(network.predict(normalize(filled), batch_size=batch, verbose=0))[: len(patches)]
