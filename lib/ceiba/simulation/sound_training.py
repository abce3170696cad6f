"""Labelled clips of the simulated area, to train a sound model where no real clips are reachable."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from ceiba.simulation.files import write_table
from ceiba.simulation.layout import random_stream
from ceiba.simulation.sounds import MAKERS

CATEGORIES = {
    "power_tool": ("chainsaw", "brush_cutter"),
    "vehicle": ("engine", "motorbike"),
    "explosion_like": ("gunshot", "fireworks"),
    "background": ("rain", "insects", "wind"),
    "human": ("voice",),
}
CLIPS_PER_GROUP, TAKES = 12, 2
CLIP_HZ = 22_050


def make_clip(source: np.random.Generator, take: np.random.Generator, category: str, duration_s: float) -> np.ndarray:
    """A clip of one sound over noise and sometimes insects, int16, dim ``(time,)``, at 22.05 kHz.

    ``source`` gives the sound, ``take`` its distance and surroundings: the peak lies 14 to 40 dB above the
    noise, as in the recordings.
    """
    start_s = 0.3 if category == "gunshot" else 0.0
    sound = MAKERS[category](source, duration_s - start_s, CLIP_HZ)
    count = round(duration_s * CLIP_HZ)
    noise = take.uniform(10, 30)
    samples = noise * (take.standard_normal(count) + 2 * MAKERS["wind"](take, duration_s, CLIP_HZ))
    if category not in ("insects", "wind") and take.random() < 0.4:
        samples += noise * 10 ** (take.uniform(3, 14) / 20) * MAKERS["insects"](take, duration_s, CLIP_HZ)
    samples[count - sound.size :] += sound * noise * 10 ** (take.uniform(14, 40) / 20)
    return np.clip(np.round(samples), -32768, 32767).astype(np.int16)


def write_sound_training(folder: Path, seed: int) -> None:
    """Write ``sound_training/clips/*.flac`` and ``sound_training/labels.csv``: 12 clips a group, two takes of
    each source.

    Files are named in ``labels.csv`` as they lie in ``clips/``.

    Takes of one ``source_id`` are one sound at another distance: they must not be split between training and
    test.
    """
    clips = folder / "sound_training" / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    rows = []
    for group, categories in CATEGORIES.items():
        for number in range(CLIPS_PER_GROUP):
            source, take = divmod(number, TAKES)
            category, source_id = categories[source % len(categories)], f"{group}-{source + 1:02d}"
            character = random_stream(seed, f"clip {source_id}")
            duration_s = character.uniform(2.0, 3.4)
            clip = make_clip(character, random_stream(seed, f"clip {source_id} {take}"), category, duration_s)
            file = f"{source_id}-{'ab'[take]}.flac"
            soundfile.write(clips / file, clip, CLIP_HZ, subtype="PCM_16")
            rows.append({"file": file, "group": group, "category": category, "source_id": source_id})
    write_table(folder / "sound_training" / "labels.csv", pd.DataFrame(rows))
