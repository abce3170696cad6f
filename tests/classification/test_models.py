"""Models: compiled forests equal scikit-learn's, files are reproducible and refuse what they were not trained on."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from ceiba.classification.accuracy.validation import blocked_folds, measure_accuracy, spatial_blocks
from ceiba.classification.features.seasons import annual_features
from ceiba.classification.maps.prediction import map_land_cover, predict_probabilities
from ceiba.classification.models.applicability import fit_applicability, measure_importance
from ceiba.classification.models.calibration import calibrate, fit_isotonic, log_loss, read_calibration
from ceiba.classification.models.conformal import fit_label_sets
from ceiba.classification.models.forest import Forest
from ceiba.classification.models.land_cover_model import (
    LandCoverModel,
    choose_candidate,
    fit_candidate,
    list_candidates,
    train_model,
)
from ceiba.classification.samples.points import extract_features, read_samples
from ceiba.errors import InputError
from ceiba.legends import load_legend

LEGEND = load_legend("mato_grosso")


@pytest.fixture(scope="module")
def training(mato_grosso):
    series, table = mato_grosso
    return extract_features(series, read_samples(table, LEGEND), season_start_month=9)


@pytest.fixture(scope="module")
def trained(training):
    blocks = spatial_blocks(training.x, training.y, 1000)
    folds = blocked_folds(training.codes, blocks, seed=7)
    classes = np.unique(training.codes).astype("int64")
    candidates = list_candidates("extra_trees", trees=50)
    candidate, held_out = choose_candidate(training, folds, classes, candidates=candidates, seed=7)
    index = np.searchsorted(classes, training.codes)
    calibration = calibrate(held_out, index, folds, trees=50)
    accuracy = measure_accuracy(classes[held_out.argmax(axis=1)], training.codes, classes, blocks=blocks)
    metrics = {"blocked": accuracy.summary()}
    sets = fit_label_sets(calibration.probabilities, index, blocks)
    importance = measure_importance(training.features, training.codes)
    area = fit_applicability(training.features, folds, importance)
    options = {"candidate": candidate, "seed": 7, "metrics": metrics, "sets": sets, "applicability": area}
    return train_model(training, LEGEND, calibration, **options), calibration, accuracy, options


def write_files(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in files}


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
def test_compiled_forest_equals_scikit_learn(kind):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(400, 6)).astype("float32")
    codes = np.array([3, 7, 20, 31])[np.clip((features[:, 0] + rng.normal(size=400)).astype(int) + 1, 0, 3)]
    ensemble = kind(20, random_state=1, min_samples_leaf=2).fit(features, codes)
    fresh = rng.normal(size=(1000, 6)).astype("float32")
    forest = Forest.from_sklearn(ensemble)
    assert np.allclose(forest.predict_proba(fresh), ensemble.predict_proba(fresh), atol=2e-6)
    # Which block a pixel falls into must not change its last bit.
    assert np.array_equal(forest.predict_proba(fresh)[300:], forest.predict_proba(fresh[300:]))
    with pytest.raises(InputError, match="takes 6 features"):
        forest.predict_proba(fresh[:, :5])


def test_published_partitions_are_predicted_at_least_as_well_as_published(training, sample_folder):
    """Ten of dtwSat's 100 partitions, by the published file: TWDTW reaches 97.81 % on all of them."""
    folder = sample_folder / "eo" / "modis_timeseries_mato_grosso_2007_2013"
    partitions = json.loads((folder / "cv_partitions_training_index_1based.json").read_text())
    scores = []
    for rows in list(partitions.values())[:10]:
        learn = np.zeros(len(training), dtype=bool)
        learn[np.array(rows) - 1] = True
        diverse = list_candidates("extra_trees", trees=100)[0]
        forest = fit_candidate(diverse, training.features[learn], training.codes[learn], seed=0)
        predicted = forest.classes[forest.predict_proba(training.features[~learn]).argmax(axis=1)]
        scores.append((predicted == training.codes[~learn]).mean())
    assert np.mean(scores) >= 0.978


def test_blocked_accuracy_of_mato_grosso(trained):
    assert trained[2].overall > 0.95
    assert trained[2].interval[0] < trained[2].overall < trained[2].interval[1]


def test_calibration_is_kept_only_where_it_helps_on_other_folds(trained):
    losses = trained[1].log_loss
    assert set(losses) == {"none", "temperature", "isotonic"}
    assert losses[trained[1].method] == min(losses.values())
    assert np.allclose(trained[1].probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_same_training_gives_the_same_bytes_and_reads_back(tmp_path, training, trained):
    model = trained[0]
    again = train_model(training, LEGEND, trained[1], **trained[3])
    assert again.to_files() == model.to_files()
    read = LandCoverModel.read(write_files(tmp_path, model.to_files()))
    assert np.array_equal(read.predict_samples(training.features), model.predict_samples(training.features))
    assert read.card["training_sha256"] == model.card["training_sha256"]
    assert read.names == training.names
    assert read.sets == model.sets and read.sets.coverage >= 0.9
    assert read.applicability.contains(training.features).mean() > 0.9


def test_a_model_refuses_other_features_legends_and_forests(tmp_path, mato_grosso, trained):
    features = annual_features(mato_grosso[0], 2010, season_start_month=9)
    with pytest.raises(InputError, match=r"missing are \['ndvi_03'\], unknown are \['ndvi_xx'\]"):
        predict_probabilities(trained[0], features.rename(ndvi_03="ndvi_xx"), LEGEND)
    with pytest.raises(InputError, match="another legend"):
        predict_probabilities(trained[0], features, load_legend("mexico_8"))
    files = write_files(tmp_path, trained[0].to_files())
    with pytest.raises(InputError, match=r"lacks classifier\.zip"):
        LandCoverModel.read({"card.json": files["card.json"]})
    files["classifier.zip"].write_bytes(files["classifier.zip"].read_bytes()[:-7])
    with pytest.raises(InputError, match="not the one that its card describes"):
        LandCoverModel.read(files)
    with pytest.raises(InputError, match="is no forest"):
        Forest.read(files["card.json"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-30], r"card\.json is no card of a land-cover model"),
        (lambda text: b"\xff" + text, r"card\.json is no card of a land-cover model"),
        (lambda text: b"[1]", "it holds list in place of an object"),
        (lambda text: text.replace(b'"format": 3', b'"format": 4'), "has format 4, this version of Ceiba reads format 3; train"),
        (lambda text: text.replace(b'"format": 3,', b""), "has format 1 or 2, this version"),
        (lambda text: text.replace(b'"ndvi_03"', b'"ndvi_04"'), "was changed after training"),
    ],
)
def test_a_damaged_changed_or_older_card_is_refused(tmp_path, trained, change, message):
    files = write_files(tmp_path, trained[0].to_files())
    files["card.json"].write_bytes(change(files["card.json"].read_bytes()))
    with pytest.raises(InputError, match=message):
        LandCoverModel.read(files)


def test_a_model_with_another_number_of_features_is_refused(tmp_path, trained):
    fewer = replace(trained[0], names=trained[0].names[1:])
    with pytest.raises(InputError, match="the card names 71 features, its classifier takes 72"):
        LandCoverModel.read(write_files(tmp_path, fewer.to_files()))


def test_a_forest_that_points_beyond_its_arrays_is_refused():
    """The compiled walk looks at no bounds: a file made to lead it out of its arrays must not be read."""
    random = np.random.default_rng(4)
    features = random.normal(size=(80, 3)).astype("float32")
    forest = Forest.from_sklearn(ExtraTreesClassifier(3, random_state=0, min_samples_leaf=3).fit(features, features[:, 0] > 0))
    assert np.array_equal(Forest.read(io.BytesIO(forest.to_bytes())).nodes, forest.nodes)
    beyond = {
        "nodes": forest.nodes + np.array([0, len(forest.nodes) << 8], dtype="int32"),
        "leaf": np.full_like(forest.leaf, -1 - len(forest.shares)),
        "roots": forest.roots + 1,
        "shares": forest.shares[:, :1],
        "depths": forest.depths[1:],
        "feature_count": 1,
    }
    for name, value in beyond.items():
        with pytest.raises(InputError, match="is no forest of Ceiba"):
            Forest.read(io.BytesIO(replace(forest, **{name: value}).to_bytes()))


def test_map_has_probabilities_and_no_data_where_features_have_none(mato_grosso, trained):
    features = annual_features(mato_grosso[0], 2010, season_start_month=9)
    features["evi_01"][3, 4] = np.nan
    probabilities = predict_probabilities(trained[0], features, LEGEND)
    assert probabilities.dims == ("class", *features["evi_01"].dims)
    bands = map_land_cover(probabilities)
    assert bands["land_cover"].dtype == bands["second_class"].dtype == "uint8"
    assert (bands["land_cover"][3, 4], bands["second_class"][3, 4]) == (0, 0)
    assert np.isnan(bands["probability"][3, 4]) and np.isnan(bands["entropy"][3, 4])
    assert int((bands["land_cover"] == 0).sum()) == 1
    assert bool((bands["probability"] >= bands["second_probability"]).where(bands["land_cover"] > 0, True).all())
    assert not bool((bands["land_cover"] == bands["second_class"]).where(bands["land_cover"] > 0, False).any())


def test_map_of_hand_worked_probabilities():
    values = np.array([[[0.2, np.nan]], [[0.5, np.nan]], [[0.3, np.nan]]], dtype="float32")
    bands = map_land_cover(xr.DataArray(values, dims=("class", "y", "x"), coords={"class": [4, 9, 11]}))
    first = {name: float(band[0, 0]) for name, band in bands.items()}
    assert (first["land_cover"], first["second_class"]) == (9, 11)
    assert (first["probability"], first["second_probability"]) == pytest.approx((0.5, 0.3))
    # -(0.2 ln 0.2 + 0.5 ln 0.5 + 0.3 ln 0.3) / ln 3
    assert first["entropy"] == pytest.approx(0.93725, abs=1e-4)


def test_candidates_are_named():
    assert [each.name for each in list_candidates("best", trees=10)] == ["diverse", "thorough", "lightgbm", "svm"]
    assert [each.kind for each in list_candidates("xgboost", trees=10)] == ["xgboost"]
    with pytest.raises(InputError, match="no classifier 'oak'; there are best, extra_trees"):
        list_candidates("oak", trees=10)


def test_a_rising_curve_mends_probabilities_that_bend():
    """Given p where the truth is p squared, scaled: the curve finds it on samples of its own kind."""
    random = np.random.default_rng(2)
    share = random.dirichlet(np.ones(3), 6000).astype("float32")
    true = share**2 / (share**2).sum(axis=1, keepdims=True)
    index = (random.random(6000)[:, None] > np.cumsum(true, axis=1)).sum(axis=1).clip(0, 2)
    fitted = fit_isotonic(share[:4000], index[:4000], 0.001)
    after = fitted.apply(share[4000:])
    assert log_loss(after, index[4000:]) < log_loss(share[4000:], index[4000:]) - 0.02
    assert after.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(read_calibration(json.loads(json.dumps(fitted.facts()))).apply(share), fitted.apply(share))


def test_arrow_strings_reach_the_forest(mato_grosso):
    """pandas 3 keeps text in Arrow; labels become NumPy codes before scikit-learn sees them."""
    table = mato_grosso[1].astype({"label": pd.StringDtype("pyarrow")})
    assert read_samples(table, LEGEND)["code"].dtype == "uint8"
