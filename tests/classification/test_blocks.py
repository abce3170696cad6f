"""Maps by blocks: the same map whatever the blocks, memory of a block, and borders of tiles that do not show."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from ceiba.classification.maps.blocks import (
    MapSettings,
    block_slices,
    coarser_legends,
    coarser_maps,
    map_blocks,
    map_by_blocks,
)
from ceiba.classification.maps.prediction import map_land_cover, predict_probabilities
from ceiba.classification.maps.trust import trust_bands
from ceiba.classification.models.applicability import Applicability
from ceiba.classification.models.calibration import Softening
from ceiba.classification.models.classifiers import fit_classifier
from ceiba.classification.models.conformal import LabelSets
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.errors import InputError
from ceiba.legends import aggregate, load_legend

LEGEND = load_legend("mexico_31")
NAMES = ("blue", "red", "nir", "swir")
SETTINGS = MapSettings(window_px=5, unit_ha=0.4, first="coarse")


def make_features(seed, shape):
    random = np.random.default_rng(seed)
    truth = np.stack([ndimage.gaussian_filter(random.normal(size=shape), 4) * 20 for _ in NAMES])
    values = (truth + random.normal(scale=0.8, size=truth.shape)).astype("float32")
    values[:, 20:23, 30:40] = np.nan
    return xr.Dataset({name: (("y", "x"), layer) for name, layer in zip(NAMES, values, strict=True)})


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(5)
    codes = random.choice([1, 2, 3, 8, 27, 28, 31], 500)
    centers = random.normal(scale=1.5, size=(32, 4))
    features = (centers[codes] + random.normal(size=(500, 4))).astype("float32")
    trees = fit_classifier("extra_trees", features, codes, seed=1, options={"trees": 15})
    return LandCoverModel(trees, NAMES, LEGEND.name, LEGEND.fingerprint, Softening(1.0, 0.02))


@pytest.fixture(scope="module")
def area():
    shape = (120, 150)
    areas = xr.DataArray(np.linspace(0.0895, 0.0905, shape[1]) * np.ones(shape), dims=("y", "x"))
    return make_features(2, shape), areas


def test_blocks_give_the_map_of_the_whole(model, area):
    features, areas = area
    whole = map_by_blocks(model, features, LEGEND, areas, settings=SETTINGS, block_px=1000)
    parts = map_by_blocks(model, features.chunk({"y": 40, "x": 40}), LEGEND, areas, settings=SETTINGS, block_px=37)
    for name, band in whole.items():
        assert np.array_equal(band.values, parts[name].values, equal_nan=band.dtype.kind == "f"), name
    assert int((whole["land_cover"] == 0).sum()) == 30
    plain = map_land_cover(predict_probabilities(model, features, LEGEND))
    assert 0.05 < float((plain["land_cover"] != whole["land_cover"]).mean()) < 0.9


def test_blocks_cover_every_pixel_once():
    seen = np.zeros((7, 5), dtype=int)
    for rows, columns in block_slices(7, 5, 3):
        seen[rows, columns] += 1
    assert (seen == 1).all() and len(list(block_slices(7, 5, 3))) == 6
    with pytest.raises(InputError, match="at least 1"):
        list(block_slices(7, 5, 0))


def test_without_smoothing_and_unit_it_is_the_plain_map(model, area):
    features, areas = area
    found = map_by_blocks(model, features, LEGEND, areas, settings=MapSettings(window_px=1), block_px=64)
    plain = map_land_cover(predict_probabilities(model, features, LEGEND))
    xr.testing.assert_identical(found[list(plain)].drop_attrs(), plain.drop_attrs())
    # Neither label sets nor an area of applicability came with this model.
    assert int(found["set_size"].max()) == int(found["applicable"].max()) == 0


def test_tiles_with_a_halo_equal_the_whole_and_their_borders_do_not_show(model, area):
    """Share of neighboring pixels that differ: across the borders of four tiles no more than inside, and exactly the whole's."""
    features, areas = area
    whole = map_by_blocks(model, features, LEGEND, areas, settings=SETTINGS)["land_cover"].values
    halo = SETTINGS.halo_px(float(areas.min()))
    tiled = np.zeros_like(whole)
    for top in (0, 60):
        for left in (0, 75):
            y, x = slice(max(0, top - halo), top + 60 + halo), slice(max(0, left - halo), left + 75 + halo)
            part = map_by_blocks(model, features.isel(y=y, x=x), LEGEND, areas[y, x], settings=SETTINGS)["land_cover"]
            tiled[top : top + 60, left : left + 75] = part.values[top - y.start :, left - x.start :][:60, :75]
    assert np.array_equal(tiled, whole)
    across = np.r_[tiled[59] != tiled[60], tiled[:, 74] != tiled[:, 75]].mean()
    inside = np.r_[(tiled[1:] != tiled[:-1]).ravel(), (tiled[:, 1:] != tiled[:, :-1]).ravel()].mean()
    assert across <= inside + 2 * np.sqrt(inside * (1 - inside) / 270)


def test_the_three_maps_agree_after_smoothing_and_unit(model, area):
    features, areas = area
    land_cover = map_by_blocks(model, features, LEGEND, areas, settings=SETTINGS)["land_cover"]
    coarser = coarser_legends(LEGEND)
    assert [each.name for each in coarser] == ["mexico_17", "mexico_8"]
    maps = coarser_maps(land_cover, LEGEND, coarser)
    for above in coarser:
        assert np.array_equal(maps[above.name].values, aggregate(land_cover, LEGEND, above).values)
    again = aggregate(maps["mexico_17"], coarser[0], coarser[1])
    assert np.array_equal(again.values, maps["mexico_8"].values)
    assert coarser_legends(load_legend("mato_grosso")) == ()


def test_second_and_third_class_beside_a_class_decided_elsewhere_by_hand():
    values = np.array([0.2, 0.45, 0.05, 0.3], dtype="float32")[:, None, None]
    shares = xr.DataArray(values, dims=("class", "y", "x"), coords={"class": [4, 9, 11, 20]})
    bands = {name: float(band[0, 0]) for name, band in map_land_cover(shares, np.array([[20]], "uint8")).items()}
    assert (bands["land_cover"], bands["second_class"], bands["third_class"]) == (20, 9, 4)
    wanted = [0.3, 0.45, 0.2, 0.15]
    assert [bands[n] for n in ("probability", "second_probability", "third_probability", "margin")] == pytest.approx(wanted)


def test_label_sets_and_known_land_by_hand(model):
    """Sets of all classes above 0.25; training at 0 with a reach of 1, a pixel at 0.9 is known land and one at 1.1 is not."""
    shares = xr.DataArray(
        np.array([[[0.5, 0.6, np.nan]], [[0.3, 0.2, np.nan]], [[0.2, 0.2, np.nan]]], dtype="float32"), dims=("class", "y", "x")
    )
    features = xr.Dataset({name: (("y", "x"), np.array([[0.9, 1.1, np.nan]]) * (name == "blue")) for name in NAMES})
    reach = Applicability(np.zeros(4), np.ones(4), np.zeros((1, 4), dtype="float32"), 1.0, 1.0)
    knowing = replace(model, sets=LabelSets("least_ambiguous", 0.9, 0.75), applicability=reach)
    found = trust_bands(knowing, features, shares)
    assert found["set_size"].values.tolist() == [[2, 1, 0]]
    assert found["applicable"].values.tolist() == [[1, 2, 0]]


def test_memory_is_that_of_a_block(model):
    """A larger tile takes the memory of the smaller one: nothing of a block outlives it."""
    peaks = []
    for side in (96, 128):
        features = make_features(3, (side, side))
        areas = xr.DataArray(np.full((side, side), 0.09), dims=("y", "x"))
        tracemalloc.start()
        for _ in map_blocks(model, features, LEGEND, areas, settings=MapSettings(window_px=5), block_px=32):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_bad_settings(model, area):
    with pytest.raises(InputError, match="allowed are coarse, fine"):
        MapSettings(first="both")
    with pytest.raises(InputError, match="0 or more"):
        MapSettings(unit_ha=-1)
    with pytest.raises(InputError, match="at least 1"):
        next(map_blocks(model, area[0], LEGEND, area[1], block_px=0))
