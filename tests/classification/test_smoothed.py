"""Probabilities of a smoothed map: calibrated on the pixels around held-out samples, which the map smooths alike."""

import dataclasses
import logging

import numpy as np
import odc.geo.xr  # noqa: F401  gives .odc to the images
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.maps import blocks
from ceiba.classification.maps.smoothing import smooth_probabilities
from ceiba.classification.models import training
from ceiba.classification.models.calibration import calibration_error
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.classification.models.smoothed import SmoothedCalibration, smooth_centers
from ceiba.classification.samples.points import TrainingSet, extract_windows
from ceiba.errors import InputError
from ceiba.legends import load_legend

SIDE_PX, PIXEL_M, BLOCK_PX = 160, 20, 16
GEOBOX = GeoBox.from_bbox(
    (4_000_000, 1_200_000, 4_000_000 + SIDE_PX * PIXEL_M, 1_200_000 + SIDE_PX * PIXEL_M),
    "EPSG:6372",
    resolution=PIXEL_M,
)


@pytest.fixture(scope="module")
def land() -> tuple[np.ndarray, xr.Dataset]:
    """True classes in patches, dims ``(y, x)``, and two features that tell them badly, dims ``(time, y, x)``."""
    random = np.random.default_rng(3)
    truth = np.stack([gaussian_filter(random.normal(size=(SIDE_PX, SIDE_PX)), 5) for _ in range(3)]).argmax(axis=0)
    means = np.array([[0, 0], [1, 0], [0, 1]], dtype="float32")
    values = means[truth].transpose(2, 0, 1) + random.normal(0, 0.7, (2, SIDE_PX, SIDE_PX)).astype("float32")
    values[:, 3:5, 7] = np.nan
    template = odc.geo.xr.xr_zeros(GEOBOX, dtype="float32").expand_dims(
        time=np.array(["2018-07-01"], dtype="datetime64[ns]")
    )
    return truth, xr.Dataset(
        {name: template.copy(data=band[None]) for name, band in zip(("red", "nir"), values, strict=True)}
    )


def make(source: xr.Dataset, year: int) -> xr.Dataset:
    assert year == 2018
    return source.isel(time=0, drop=True)


def draw(truth: np.ndarray, source: xr.Dataset, count: int = 1500) -> TrainingSet:
    """Samples of half of the blocks, of land that has data."""
    random = np.random.default_rng(4)
    row, column = random.integers(0, SIDE_PX, (2, count))
    values = np.stack([source[name].values[0, row, column] for name in source], axis=-1)
    kept = ((row // BLOCK_PX + column // BLOCK_PX) % 2 == 0) & np.isfinite(values).all(axis=1)
    row, column = row[kept], column[kept]
    x, y = GEOBOX.affine * (column + 0.5, row + 0.5)
    codes = np.array(load_legend("mato_grosso").codes[:3])[truth[row, column]]
    return TrainingSet(
        values[kept], ("red", "nir"), codes.astype("uint8"), x, y, np.full(len(x), 2018), np.arange(len(x))
    )


@pytest.fixture(scope="module")
def trained(land) -> tuple[TrainingSet, LandCoverModel]:
    samples = draw(*land)
    windows = extract_windows(land[1], samples, make_features=make)
    legend = load_legend("mato_grosso")
    trial = training.try_candidates(
        samples,
        legend,
        classifier="svm",
        trees=50,
        block_size_m=BLOCK_PX * PIXEL_M,
        set_level=0.9,
        seed=1,
        windows=windows,
    )
    assert trial.metrics()["smoothed_calibration_error"] == trial.smoothed.error < trial.smoothed.error_before
    return samples, training.fit_model(samples, legend, trial, seed=1)


def test_windows_are_what_the_map_sees(land):
    truth, source = land
    samples = draw(truth, source)
    windows = extract_windows(source, samples, make_features=make)
    assert (windows.samples == np.arange(len(samples))).all() and windows.features.shape[1:] == (25, 2)
    assert np.array_equal(windows.features[:, 12], samples.features)
    column, row = (np.floor(each).astype(int) for each in ~GEOBOX.affine * (samples.x, samples.y))
    wider = np.pad(source["nir"].values[0], 2, constant_values=np.nan)
    expected = [wider[top : top + 5, left : left + 5].ravel() for top, left in zip(row, column, strict=True)]
    assert np.array_equal(windows.features[:, :, 1], expected, equal_nan=True)
    few = extract_windows(source, samples, make_features=make, most=40)
    assert len(few.samples) == 40 and np.array_equal(few.features, windows.features[few.samples], equal_nan=True)
    with pytest.raises(InputError, match="4 pixels; it needs an odd number"):
        extract_windows(source, samples, window_px=4, make_features=make)


def test_middle_of_a_window_is_smoothed_as_in_the_map():
    random = np.random.default_rng(5)
    image = random.dirichlet(np.ones(4), (30, 20)).astype("float32")
    image[10:12, 3] = np.nan
    whole = smooth_probabilities(
        xr.DataArray(image, dims=("y", "x", "class"), coords={"class": range(4)}).transpose("class", "y", "x")
    )
    wider = np.pad(image, ((2, 2), (2, 2), (0, 0)), constant_values=np.nan)
    windows = np.stack([wider[y : y + 5, x : x + 5].reshape(25, 4) for y in range(30) for x in range(20)])
    assert np.array_equal(smooth_centers(windows), whole.values.reshape(4, -1).T, equal_nan=True)


def test_a_map_is_right_as_often_as_it_says(land, trained):
    truth, source = land
    samples, model = trained
    legend, features = load_legend("mato_grosso"), make(source, 2018)
    areas = pixel_areas(GEOBOX)
    known = blocks.map_by_blocks(model, features, legend, areas)
    plain = blocks.map_by_blocks(dataclasses.replace(model, smoothed=None), features, legend, areas)
    for name in ("land_cover", "second_class", "third_class", "set_size"):
        assert np.array_equal(known[name], plain[name]), "calibration changes no class"
    row, column = np.indices(truth.shape)
    new = ((row // BLOCK_PX + column // BLOCK_PX) % 2 == 1) & (known["land_cover"].values > 0)
    right = known["land_cover"].values[new] == np.array(legend.codes[:3])[truth[new]]
    errors = [calibration_error(each["probability"].values[new], right) for each in (plain, known)]
    assert errors[0] > 0.06 > 0.03 > errors[1]
    assert np.allclose(
        known[["probability", "second_probability", "third_probability"]].to_array().sum("variable").values[new],
        1,
        atol=1e-5,
    )


def test_the_card_keeps_it_and_another_smoothing_is_told(land, trained, tmp_path, caplog):
    _, model = trained
    for name, content in model.to_files().items():
        (tmp_path / name).write_bytes(content)
    again = LandCoverModel.read({name: tmp_path / name for name in model.to_files()})
    assert again.smoothed == model.smoothed
    assert blocks.is_calibrated(again, blocks.MapSettings()) and blocks.is_calibrated(
        again, blocks.MapSettings(window_px=1)
    )
    other = blocks.MapSettings(window_px=7)
    assert not blocks.is_calibrated(again, other)
    part = make(land[1], 2018).isel(y=slice(0, 20), x=slice(0, 20))
    with caplog.at_level(logging.WARNING):
        blocks.map_by_blocks(again, part, load_legend("mato_grosso"), pixel_areas(GEOBOX[:20, :20]), settings=other)
    assert "not calibrated for a window of 7 pixels" in caplog.text


def test_softening_by_hand():
    """0.6 and 0.4 squared are 0.36 and 0.16, of 0.52."""
    given = xr.DataArray(
        np.array([[[0.6, np.nan]], [[0.4, np.nan]]], dtype="float32"),
        dims=("class", "y", "x"),
        coords={"class": [1, 2]},
    )
    found = SmoothedCalibration(5, 0.5, 5.0, 0.5, 0.0, 0.1, 0.01).apply(given)
    assert found.values[:, 0, 0] == pytest.approx([0.36 / 0.52, 0.16 / 0.52]) and np.isnan(found.values[:, 0, 1]).all()
