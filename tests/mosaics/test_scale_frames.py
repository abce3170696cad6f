"""Frames of scales: every color is one of the scale, and the bar explains it."""

import numpy as np
import pytest

from ceiba.mosaics.scale_frames import NO_DATA, STEPS, coarsen_steps, scale_palette, scale_sheet, scale_steps
from ceiba.mosaics.styles import load_styles

NDVI = load_styles()["ndvi"]


def test_steps_run_from_the_lowest_to_the_highest_value():
    low, high = NDVI.range
    steps = scale_steps(np.array([low - 1, low, (low + high) / 2, high, high + 1, np.nan]), NDVI)
    # Worked by hand: the middle of 224 steps lies at 1 + 111.5, which NumPy rounds to the even 112.
    assert steps.tolist() == [1, 1, 113, STEPS, STEPS, NO_DATA]


def test_colors_are_those_of_the_style():
    colors = scale_palette(NDVI).colors
    for place, color in ((1, NDVI.colors[0]), (STEPS, NDVI.colors[-1])):
        assert "#{:02x}{:02x}{:02x}".format(*colors[place]) == color


@pytest.fixture
def frame():
    values = np.linspace(*NDVI.range, 300 * 200).reshape(200, 300)
    values[:20, 200:] = np.nan
    stops = [(value, f"{value:g}") for value, _ in NDVI.stops]
    sheet = scale_sheet((200, 300), style=NDVI, stops=stops, unknown=True, notes=["source"], pixel_size_m=10, language="es")
    return values, sheet.render(scale_steps(values, NDVI), title="2019")


def test_a_frame_keeps_the_map_and_shows_all_steps_in_its_bar(frame):
    values, picture = frame
    indices = np.asarray(picture)
    assert picture.mode == "P" and picture.size[0] == 300 and picture.size[1] > 200
    # Beside title and scale bar.
    assert np.array_equal(indices[60:150], scale_steps(values, NDVI)[60:150])
    bar = indices[200:]
    assert len(set(np.unique(bar)) & set(range(1, STEPS + 1))) > 150, "the bar has a column for each pixel"
    assert (bar == NO_DATA).any(), "no data is explained"


def test_fewer_steps_stay_on_the_scale(frame):
    _, picture = frame
    coarse = coarsen_steps(picture, 20)
    before, after = np.asarray(picture), np.asarray(coarse)
    scale = (before >= 1) & (before <= STEPS)
    assert len(np.unique(after[scale])) == 20 and np.array_equal(after[~scale], before[~scale])
    assert abs(after[scale].astype(int) - before[scale]).max() <= STEPS / 20 / 2 + 1
    assert coarse.getpalette() == picture.getpalette()
