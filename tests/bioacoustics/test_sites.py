"""Tables by site and night: what was heard, what was not heard, and what was not recorded."""

import pandas as pd
import pytest

from ceiba.bioacoustics.sites import site_nights
from ceiba.errors import InputError

NIGHT = pd.Timestamp("2024-03-14")


@pytest.fixture
def inventory() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": ["a1", "a2", "b1", "c1", "d1"],
            "site": ["a", "a", "b", "c", "d"],
            "night": [NIGHT, NIGHT, NIGHT, pd.NaT, NIGHT],
            "latitude": 19.4,
            "longitude": -99.1,
            "sampling_rate_hz": [384e3, 384e3, 22_050.0, 256e3, 256e3],
            "duration_s": [100.0, 80.0, 60.0, 10.0, 30.0],
            "is_dead": [False, False, False, False, True],
        }
    )


@pytest.fixture
def calls() -> pd.DataFrame:
    # Three calls of two passes in a1, one in a2.
    starts = [1.0, 1.2, 9.0, 4.0]
    return pd.DataFrame(
        {
            "path": ["a1", "a1", "a1", "a2"],
            "site": "a",
            "night": NIGHT,
            "start_time_s": starts,
            "end_time_s": [start + 0.005 for start in starts],
        }
    )


@pytest.fixture
def sounds() -> pd.DataFrame:
    # An engine of 4 s with a shot inside it and a dog after it.
    return pd.DataFrame(
        {
            "path": "b1",
            "start_time_s": [10.0, 11.0, 20.0],
            "end_time_s": [14.0, 12.0, 21.0],
            "sound_class": ["vehicle", "explosion_like", "domestic_animal"],
        }
    )


def test_by_hand(inventory, calls, sounds):
    table = site_nights(calls, sounds, inventory).set_index("site")
    assert table.loc["a", ["recordings", "recorded_s", "bat_calls", "bat_passes"]].to_list() == [2, 180.0, 4, 3]
    # Three passes in 180 s are 60 in an hour.
    assert table.loc["a", "bat_passes_per_hour"] == pytest.approx(60.0)
    assert table.loc["b", ["vehicle_s", "explosion_like_s", "domestic_animal_s"]].to_list() == [4.0, 1.0, 1.0]
    # The shot falls into the engine, and a dog is nobody.
    assert table.loc["b", "human_sound_s"] == pytest.approx(4.0)
    # The rest was recorded too fast to be searched for people, unless it is asked for.
    assert pd.isna(table.loc["a", "human_sound_s"])
    fast = site_nights(calls, sounds, inventory, max_sound_rate_hz=500e3).set_index("site")
    assert fast.loc["a", "human_sound_s"] == 0.0


def test_silence_is_not_absence(inventory, calls, sounds):
    table = site_nights(calls, sounds, inventory).set_index("site")
    # b was recorded at 22 kHz, which holds no bat: missing. c was recorded at 256 kHz and silent: zero.
    assert pd.isna(table.loc["b", "bat_calls"])
    assert pd.isna(table.loc["b", "bat_passes_per_hour"])
    assert table.loc["c", "bat_calls"] == 0
    assert pd.isna(table.loc["c", "vehicle_s"])
    assert table.loc["c", "audible_s"] == 0
    # The microphone of d was dead: nothing was recorded.
    assert table.loc["d", "recordings"] == 0
    assert pd.isna(table.loc["d", "bat_calls"])
    assert pd.isna(table.loc["d", "vehicle_s"])


def test_a_recording_without_a_date_has_a_row_of_its_own(inventory, calls, sounds):
    table = site_nights(calls, sounds, inventory)
    assert table.loc[table["site"] == "c", "night"].isna().item()


def test_nothing_heard_at_all(inventory, calls, sounds):
    table = site_nights(calls[:0], sounds[:0], inventory, sound_classes=["power_tool"])
    assert table["bat_calls"].sum() == 0
    assert table.set_index("site").loc["b", "power_tool_s"] == 0.0


def test_a_call_of_an_unknown_recording(inventory, calls, sounds):
    with pytest.raises(InputError, match="1 recordings with a call"):
        site_nights(calls.assign(path="elsewhere"), sounds, inventory)
