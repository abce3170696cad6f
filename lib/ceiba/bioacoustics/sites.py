"""Activity by site and night: rates with the effort they stand on, zeros and gaps kept apart."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ceiba.bioacoustics.bat_calls import number_passes
from ceiba.errors import InputError

BAT_RATE_HZ = 192_000.0
"""Below this a recording cannot hold the calls of most bats, and its silence says nothing about them."""
ANTHROPOGENIC = ("power_tool", "vehicle", "explosion_like", "human", "other_anthropic")
SOUND_RATE_HZ = 96_000.0
"""Above this a recording is made for bats: short, triggered by ultrasound, mostly with the audible band filtered out."""
KEYS = ["site", "night"]


def site_nights(
    calls: pd.DataFrame,
    sounds: pd.DataFrame,
    recordings: pd.DataFrame,
    *,
    sound_classes: Iterable[str] = (),
    max_gap_s: float = 1.0,
    max_sound_rate_hz: float = SOUND_RATE_HZ,
) -> pd.DataFrame:
    """One row a site and night at which anything was recorded.

    Zero and missing are never confused: where a recording was made that could hold a sound and it was not heard, the
    number is 0; where nothing was recorded that could hold it it is missing. Bats need a recording at 192 kHz or more, the
    sounds of people one at no more than ``max_sound_rate_hz``. A night without any recording has no row.

    Parameters
    ----------
    calls
        Bat calls: ``path``, ``start_time_s``, ``end_time_s`` [s].
    sounds
        Human sounds: ``path``, ``start_time_s``, ``end_time_s`` [s], ``sound_class``.
    recordings
        Inventory of :func:`ceiba.bioacoustics.recordings.read_all`. Dead microphones count as nothing recorded.
    sound_classes
        Classes that have a column, ``<class>_s``; by default those that occur in ``sounds``.
    max_gap_s
        Longest pause inside a bat pass [s].
    max_sound_rate_hz
        Highest sampling rate of recordings that were searched for human sounds [Hz].

    Returns
    -------
    pd.DataFrame
        ``site``, ``night`` (date of its evening; missing where the time is unknown), ``latitude``, ``longitude`` [degree],
        ``recordings`` [1], ``recorded_s``, ``ultrasound_s`` and ``audible_s`` [s], ``bat_calls`` and ``bat_passes`` [1],
        ``bat_passes_per_hour`` [1/h], ``human_sound_s`` (people and their machines, without animals) and per class the
        seconds in which it was heard [s].

    Raises
    ------
    InputError
        Where a call or a sound belongs to no recording of the inventory.
    """
    check_paths(calls, recordings, "call")
    check_paths(sounds, recordings, "sound")
    alive = recordings[~recordings["is_dead"].astype(bool)]
    ultrasound = alive[alive["sampling_rate_hz"] >= BAT_RATE_HZ]
    table = recordings.groupby(KEYS, dropna=False)[["latitude", "longitude"]].mean()
    table["recordings"] = count(alive, table.index)
    table["recorded_s"] = total(alive, table.index)
    table["ultrasound_s"] = total(ultrasound, table.index)
    table["audible_s"] = total(choose_audible(alive, max_sound_rate_hz), table.index)
    passes = calls.assign(pass_number=number_passes(calls, max_gap_s=max_gap_s)).drop_duplicates(
        ["path", "pass_number"]
    )
    could_hear = table["ultrasound_s"] > 0
    table["bat_calls"] = count(place(calls, recordings), table.index).where(could_hear)
    table["bat_passes"] = count(place(passes, recordings), table.index).where(could_hear)
    table["bat_passes_per_hour"] = table["bat_passes"] / (table["ultrasound_s"] / 3600).where(could_hear)
    classes = list(sound_classes) or sorted(sounds["sound_class"].unique())
    by_people = place(sounds[sounds["sound_class"].isin(ANTHROPOGENIC)], recordings)
    table["human_sound_s"] = covered(by_people, table.index).where(table["audible_s"] > 0)
    for name in classes:
        of_class = place(sounds[sounds["sound_class"] == name], recordings)
        table[f"{name}_s"] = covered(of_class, table.index).where(table["audible_s"] > 0)
    counts = ["recordings", "bat_calls", "bat_passes"]
    return table.astype(dict.fromkeys(counts, "Int64")).reset_index().sort_values(KEYS, ignore_index=True)


def choose_audible(recordings: pd.DataFrame, max_rate_hz: float = SOUND_RATE_HZ) -> pd.DataFrame:
    """Recordings that can be searched for the sounds of people: sampled at no more than ``max_rate_hz`` [Hz]."""
    return recordings[recordings["sampling_rate_hz"] <= max_rate_hz]


def check_paths(found: pd.DataFrame, recordings: pd.DataFrame, noun: str) -> None:
    """Raise :class:`InputError` for a detection in a recording that the inventory does not hold."""
    lost = sorted(set(found["path"]) - set(recordings["path"]))
    if lost:
        raise InputError(f"{len(lost)} recordings with a {noun} are not in the inventory, first {lost[0]}")


def place(found: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """Detections with ``site`` and ``night`` of their recording, by its path; those of dead microphones are left out."""
    alive = recordings.loc[~recordings["is_dead"].astype(bool), ["path", *KEYS]]
    return found.drop(columns=KEYS, errors="ignore").merge(alive, on="path")


def count(rows: pd.DataFrame, index: pd.MultiIndex) -> pd.Series:
    """Rows of each site and night, 0 where there is none."""
    return rows.groupby(KEYS, dropna=False).size().reindex(index, fill_value=0)


def total(rows: pd.DataFrame, index: pd.MultiIndex) -> pd.Series:
    """Seconds of each site and night [s], 0 where there is none."""
    return rows.groupby(KEYS, dropna=False)["duration_s"].sum().reindex(index, fill_value=0.0).astype(np.float64)


def covered(sounds: pd.DataFrame, index: pd.MultiIndex) -> pd.Series:
    """Seconds of each site and night in which at least one of the sounds is heard [s]: two at once count once."""
    ordered = sounds.sort_values(["path", "start_time_s"])
    before = ordered.groupby("path")["end_time_s"].cummax().groupby(ordered["path"]).shift().fillna(-np.inf)
    fresh_s = (ordered["end_time_s"] - np.maximum(ordered["start_time_s"], before)).clip(lower=0.0)
    return total(ordered.assign(duration_s=fresh_s), index)
