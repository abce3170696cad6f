"""Bats of the simulated area against what was put into its recordings, and the figures drawn from them."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from ceiba.bioacoustics import figures
from ceiba.bioacoustics.bat_calls import detect_calls
from ceiba.bioacoustics.calibration import BACKGROUND
from ceiba.bioacoustics.recordings import detect_in_all, read_all
from ceiba.bioacoustics.sites import choose_audible, site_nights
from ceiba.simulation.recordings import write_recordings
from ceiba.simulation.world import make_world


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    write_recordings(folder, make_world(7))
    return folder


@pytest.fixture(scope="module")
def inventory(folder) -> pd.DataFrame:
    table = pd.read_csv(folder / "recordings" / "recordings.csv")
    good, failures = read_all(table.assign(path=[folder / "recordings" / name for name in table["file"]]))
    assert failures.empty
    return good


@pytest.fixture(scope="module")
def calls(inventory) -> pd.DataFrame:
    return detect_in_all(inventory, detect_calls)


@pytest.fixture
def nights(calls, inventory) -> pd.DataFrame:
    sounds = pd.DataFrame(
        {
            "path": [choose_audible(inventory)["path"].iloc[0]],
            "start_time_s": [1.0],
            "end_time_s": [3.0],
            "sound_class": ["vehicle"],
        }
    )
    return site_nights(calls, sounds, inventory, sound_classes=["vehicle", "power_tool"])


def test_calls_are_those_of_the_truth(folder, calls):
    # Measured when written: recall 0.976, precision 1.0.
    truth = pd.read_csv(folder / "truth" / "calls.csv")
    found = calls.assign(file=calls["path"].str.rsplit("/", n=1).str[-1])
    pairs = found.merge(truth, on="file", suffixes=("", "_true"))
    pairs = pairs[(pairs["start_time_s"] - pairs["start_time_s_true"]).abs() < 0.005]
    assert pairs.drop_duplicates(["file", "start_time_s_true"]).shape[0] / len(truth) > 0.93
    assert pairs.drop_duplicates(["file", "start_time_s"]).shape[0] / len(found) > 0.97
    assert (
        pairs["peak_freq_hz"].between(pairs["low_freq_hz_true"] - 2e3, pairs["high_freq_hz_true"] + 2e3)
    ).mean() > 0.95


def test_long_calls_of_constant_frequency_are_named(folder, calls):
    truth = pd.read_csv(folder / "truth" / "calls.csv")
    found = calls.assign(file=calls["path"].str.rsplit("/", n=1).str[-1])
    pairs = found.merge(truth, on="file", suffixes=("", "_true"))
    pairs = pairs[(pairs["start_time_s"] - pairs["start_time_s_true"]).abs() < 0.005]
    assert (pairs["call_kind"] == "CF").eq(pairs["kind"].str.startswith("CF")).mean() > 0.9


def test_silent_sites_have_zeros(folder, nights):
    sites = pd.read_csv(folder / "truth" / "sites.csv").set_index("site")
    by_site = nights.groupby("site")["bat_calls"].sum()
    silent = sites.index[sites["bat_activity"] == "none"]
    assert (by_site[silent] == 0).all()
    assert (by_site.drop(silent) > 0).all()
    assert len(nights) == 16


def test_figures_are_drawn(calls, inventory, nights):
    confusion = {"confusion": [[3, 1], [0, 2]]}
    drawn = [
        figures.plot_busiest(calls, inventory),
        figures.plot_busiest(calls[:0], inventory),
        figures.plot_kinds(calls),
        figures.plot_passes(nights),
        figures.plot_sounds(nights, ["vehicle", "power_tool"]),
        figures.plot_confusion(confusion, [BACKGROUND, "vehicle"]),
    ]
    for figure in drawn:
        assert all("|" in axis.get_title() or "\n" in axis.get_title() for axis in figure.axes[:1])
        plt.close(figure)
