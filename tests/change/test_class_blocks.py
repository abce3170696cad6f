"""Class change by blocks: the result of the whole at once, learnt from the same pixels, in the memory of a block."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr

from ceiba.change.classes import series
from ceiba.change.classes.blocks import change_model_of_source, class_change_by_blocks
from ceiba.change.classes.series import LEARNING_PIXELS, change_model, class_change, learning_pixels
from ceiba.change.classes.transitions import load_rules
from ceiba.classification.features.seasons import annual_features
from ceiba.classification.maps.prediction import predict_probabilities
from ceiba.classification.models.calibration import Softening
from ceiba.classification.models.classifiers import fit_classifier
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.errors import InputError
from ceiba.legends import load_legend

LEGEND = load_legend("mexico_8")
NAMES, YEARS = ("blue", "red", "nir"), (2016, 2017, 2019)


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(3)
    codes = random.choice(LEGEND.codes, 400)
    centers = random.normal(scale=1.5, size=(9, 3))
    features = (centers[codes] + random.normal(size=(400, 3))).astype("float32")
    trees = fit_classifier("extra_trees", features, codes, seed=1, options={"trees": 5})
    return LandCoverModel(trees, NAMES, LEGEND.name, LEGEND.fingerprint, Softening(1.0, 0.02))


def make_source(height, width, seed=0):
    """Annual features, some pixels without data in one year and some in all."""
    random = np.random.default_rng(seed)
    ground = random.normal(scale=1.5, size=(3, 1, height, width))
    values = (ground + random.normal(scale=0.4, size=(3, len(YEARS), height, width))).astype("float32")
    values[:, 1, 5:9, 10:30] = np.nan
    values[:, :, 20:24, 3:8] = np.nan
    coords = {
        "time": pd.to_datetime([f"{year}-01-01" for year in YEARS]),
        "y": np.arange(height, 0, -1.0), "x": np.arange(width, dtype="float64"),
    }  # fmt: skip
    return xr.Dataset({name: (("time", "y", "x"), band) for name, band in zip(NAMES, values, strict=True)}, coords)


def test_blocks_give_the_change_of_the_whole_learnt_from_the_same_pixels(model, monkeypatch):
    monkeypatch.setattr(series, "LEARNING_PIXELS", 1000)
    source = make_source(60, 70)
    rules = load_rules(LEGEND, model.codes)
    probabilities = [predict_probabilities(model, annual_features(source, year), LEGEND) for year in YEARS]
    whole_model = change_model(probabilities, YEARS, rules)
    whole = class_change(probabilities, whole_model)
    lazy = source.chunk({"time": 1, "y": 25, "x": 30})
    known = change_model_of_source(model, lazy, LEGEND, YEARS, rules)
    assert np.array_equal(known.moves, whole_model.moves) and known.iterations == whole_model.iterations
    for given, block_px in ((lazy, 27), (source, 1000)):
        parts = class_change_by_blocks(model, given, LEGEND, known, block_px=block_px)
        for name in ("from_class", "to_class", "change_probability", "change_year"):
            xr.testing.assert_identical(parts[name], whole[name])
    assert int((parts["from_class"] == 0).sum()) == 20 and int((parts["change_year"] > 0).sum()) > 20


def test_memory_is_that_of_a_block(model):
    """Eight times the pixels, hardly more memory than the bands themselves (8 bytes a pixel)."""
    rules = load_rules(LEGEND, model.codes)
    known = change_model_of_source(model, make_source(40, 40), LEGEND, YEARS, rules)

    def peak(rows):
        source = make_source(rows, 60)
        tracemalloc.start()
        class_change_by_blocks(model, source, LEGEND, known, block_px=60)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(60)  # what is compiled or imported once
    small, large = peak(60), peak(480)
    assert large - small < 2 * 8 * 420 * 60, (small, large)


def test_learning_pixels_are_spread_over_rows_and_columns():
    """Of 4000 x 4000 pixels; every 800th would lie in five columns."""
    pixels = learning_pixels(4000 * 4000)
    rows, columns = np.divmod(pixels, 4000)
    assert len(np.unique(pixels)) == LEARNING_PIXELS
    for place in (rows, columns):
        assert np.abs(np.bincount(place // 400, minlength=10) - 2000).max() < 200 and len(np.unique(place)) > 3900
    assert np.array_equal(learning_pixels(7), np.arange(7))


def test_a_file_that_cannot_be_read_in_the_middle_is_told_without_its_token(model):
    def fail(block):
        raise rasterio.errors.RasterioIOError("https://host/a.tif?sig=secret not found")

    source = make_source(100, 100)
    known = change_model_of_source(model, source, LEGEND, YEARS, load_rules(LEGEND, model.codes))
    broken = source.chunk({"time": 1}).copy()
    broken["red"] = broken["red"].copy(data=broken["red"].data.map_blocks(fail, dtype="float32", meta=np.empty((0, 0, 0), "f4")))
    with pytest.raises(InputError, match="cannot be read") as caught:
        class_change_by_blocks(model, broken, LEGEND, known)
    assert "secret" not in str(caught.value) and caught.value.__cause__ is None
