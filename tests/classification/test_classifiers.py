"""Every kind of classifier: one interface, files without pickle, answers of the libraries themselves."""

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ceiba.classification.models.classifiers import (
    DEFAULTS,
    KINDS,
    SERIES,
    balance_weights,
    fit_classifier,
    read_classifier,
)
from ceiba.errors import InputError

QUICK = {"trees": 20, "rounds": 15, "steps": 300, "hidden": 16, "members": (("extra_trees", {"trees": 20}), "svm")}


def draw(classes=4, samples=240, seed=0):
    random = np.random.default_rng(seed)
    codes = random.choice([3, 7, 28, 31][:classes], samples)
    centers = {code: random.normal(size=6) * 2 for code in np.unique(codes)}
    features = np.stack([centers[code] for code in codes]) + random.normal(size=(samples, 6))
    return features.astype("float32"), codes


def quick(kind):
    return {name: value for name, value in QUICK.items() if name in DEFAULTS[kind]}


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(SERIES)))
def test_every_kind_learns_repeats_itself_and_survives_its_file(kind, classes):
    features, codes = draw(classes)
    model = fit_classifier(kind, features[:160], codes[:160], seed=1, options=quick(kind))
    share = model.predict_proba(features[160:])
    assert share.dtype == np.float32 and share.shape == (80, classes)
    assert share.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (model.classes[share.argmax(axis=1)] == codes[160:]).mean() > 0.8
    again = fit_classifier(kind, features[:160], codes[:160], seed=1, options=quick(kind))
    assert again.to_bytes() == model.to_bytes()
    assert np.array_equal(read_classifier(model.to_bytes()).predict_proba(features[160:]), share)
    assert model.predict_proba(features[:0]).shape == (0, classes)
    with pytest.raises(InputError, match="6 features"):
        model.predict_proba(features[:, :5])


@pytest.mark.parametrize("classes", [2, 4])
def test_support_vectors_decide_as_scikit_learn_does(classes):
    features, codes = draw(classes, seed=3)
    model = fit_classifier("svm", features, codes, seed=0).model
    scaler = StandardScaler().fit(features)
    theirs = SVC(C=10, gamma=1 / 6, decision_function_shape="ovr", break_ties=classes > 2).fit(scaler.transform(features), codes)
    new = np.random.default_rng(9).normal(size=(200, 6)).astype("float32") * 3
    decided = theirs.decision_function(scaler.transform(new))
    ours = model.decide(new)
    if classes > 2:
        assert ours == pytest.approx(decided, abs=1e-5)
    assert (model.classes[ours.argmax(axis=1)] == theirs.predict(scaler.transform(new))).all()


def test_boosted_trees_answer_as_their_libraries_do():
    features, codes = draw()
    index = np.unique(codes, return_inverse=True)[1]
    ours = fit_classifier("xgboost", features, codes, seed=0, options={"rounds": 10}).predict_proba(features)
    fixed = {name: value for name, value in DEFAULTS["xgboost"].items() if name != "rounds"}
    goal = {"objective": "multi:softprob", "num_class": 4, "seed": 0, "nthread": 1}
    theirs = xgboost.train(goal | fixed, xgboost.DMatrix(features, index), 10)
    assert ours == pytest.approx(theirs.predict(xgboost.DMatrix(features)), abs=1e-6)
    ours = fit_classifier("lightgbm", features, codes, seed=0, options={"rounds": 10})
    text = ours.model.model.decode()
    assert ours.predict_proba(features) == pytest.approx(lightgbm.Booster(model_str=text).predict(features), abs=1e-6)


def test_weights_balance_the_classes():
    """By hand: of 3 and 1 samples, weights 2/3 and 2 give both classes a total of 2."""
    assert balance_weights(np.array([5, 5, 5, 9])) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    assert balance_weights(np.array([5, 5, 5, 9]), power=0) == pytest.approx(1)
    features, codes = draw()
    rare = np.flatnonzero((codes != 3) | (np.arange(len(codes)) % 12 == 0))
    few, few_codes = features[rare] * 0.4, codes[rare]
    found = {}
    for name, weight in (("even", None), ("balanced", balance_weights(few_codes))):
        model = fit_classifier("random_forest", few, few_codes, seed=0, sample_weight=weight, options={"trees": 40, "min_leaf": 8})
        found[name] = model.predict_proba(features * 0.4)[:, 0].mean()
    assert found["balanced"] > found["even"]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [("forrest", None, "no classifier 'forrest'; there are extra_trees"), ("svm", {"trees": 3}, "no option trees; it has cost")],
)
def test_unknown_kinds_and_options_are_named(kind, options, message):
    features, codes = draw()
    with pytest.raises(InputError, match=message):
        fit_classifier(kind, features, codes, seed=0, options=options)


def test_samples_that_cannot_teach_are_refused():
    features, codes = draw()
    with pytest.raises(InputError, match="at least two classes"):
        fit_classifier("svm", features, np.full(len(codes), 3), seed=0)
    holed = features.copy()
    holed[5, 2] = np.nan
    with pytest.raises(InputError, match="1 samples have a feature without data"):
        fit_classifier("lightgbm", holed, codes, seed=0)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 4000), flip=st.integers(0, 4000), mask=st.integers(1, 255), junk=st.binary(max_size=60))
def test_damaged_files_are_refused_or_read_whole(cut, flip, mask, junk):
    for whole in FILES:
        for damaged in (whole[: cut % len(whole)], junk):
            with pytest.raises(InputError):
                read_classifier(damaged)
        changed = bytearray(whole)
        changed[flip % len(changed)] ^= mask
        try:
            found = read_classifier(bytes(changed))
        except InputError:
            continue
        # What is read in spite of a wrong bit has lost nothing: the bit lay in the envelope, as a date does.
        assert found.to_bytes() == whole


SMALL = {"svm": None, "extra_trees": {"trees": 3, "max_depth": 3}, "network": {"steps": 20, "hidden": 4}}
FILES = [fit_classifier(kind, *draw(samples=60), seed=0, options=options).to_bytes() for kind, options in SMALL.items()]
