"""Training: what is held out whole, and series found among features."""

import numpy as np
import pytest

from ceiba.classification.features.seasons import count_dates
from ceiba.classification.models.land_cover_model import list_candidates
from ceiba.classification.models.training import join_whole, try_candidates
from ceiba.classification.samples.points import TrainingSet
from ceiba.errors import InputError
from ceiba.legends import load_legend

BLOCK_M = 100.0


def draw_polygons(polygons=40, pixels=6):
    """Polygons of alike pixels in a row across the border of two blocks; their classes have nothing to do with their features."""
    random = np.random.default_rng(5)
    owner = np.repeat(np.arange(polygons), pixels)
    features = random.normal(size=(polygons, 4))[owner] + 0.01 * random.normal(size=(len(owner), 4))
    x = 2 * BLOCK_M * owner + BLOCK_M + 10 * (np.tile(np.arange(pixels), polygons) - pixels / 2) + 5
    return TrainingSet(
        features=features.astype("float32"),
        names=("blue", "green", "red", "nir"),
        codes=np.where(np.arange(polygons) % 2, 1, 2).astype("uint8")[owner],
        x=x,
        y=np.zeros(len(owner)),
        years=np.full(len(owner), 2018),
        rows=np.arange(len(owner)),
        groups=np.array([f"polygon {number}" for number in owner], dtype=object),
    )


def test_pixels_of_a_polygon_are_never_on_both_sides():
    training = draw_polygons()
    trial = try_candidates(
        training, load_legend("mato_grosso"), classifier="svm", trees=50, block_size_m=BLOCK_M, set_level=0.9, seed=1
    )
    for name in np.unique(training.groups):
        assert len(np.unique(trial.folds[training.groups == name])) == 1
    # A model cannot know the class of a new polygon: what random folds say is memory.
    assert trial.accuracy["random"].overall > 0.9
    assert trial.accuracy["blocked"].overall < 0.7


def test_blocks_are_joined_by_polygons_and_by_alike_samples():
    """By hand: six blocks of one sample; a polygon joins the first two, the same features the third and the fifth."""
    training = TrainingSet(
        features=np.array([[0, 1], [5, 2], [7, 3], [9, 4], [7, 3], [2, 8]], dtype="float32"),
        names=("red", "nir"),
        codes=np.ones(6, dtype="uint8"),
        x=np.arange(6) * BLOCK_M,
        y=np.zeros(6),
        years=np.full(6, 2018),
        rows=np.arange(6),
        groups=np.array(["a", "a", "", "", "", ""], dtype=object),
    )
    assert join_whole(training, BLOCK_M).tolist() == [0, 0, 1, 2, 1, 3]


def test_series_are_known_by_the_names_of_their_features():
    series = [f"{band}_{date:02d}" for band in ("ndvi", "evi") for date in range(1, 13)]
    assert count_dates(series) == 12
    for names in ([*series, "elevation"], series[:-1], series[::-1], ["red_p10", "red_p50"], ["ndvi_01", "evi_01"], []):
        assert count_dates(names) == 0
    assert list_candidates("ensemble", trees=10, dates=12)[0].options == {"dates": 12}
    assert list_candidates("svm", trees=10, dates=12)[0].options == {}
    with pytest.raises(InputError, match="tempcnn reads regular series, and these features are none"):
        list_candidates("tempcnn", trees=10)
