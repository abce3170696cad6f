"""Wrong labels: found on known clusters, with the figures of the paper, and never looked for among test samples."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ceiba.classification.samples.cleaning import (
    clean_folds,
    confident_outliers,
    cross_predict_cleaned,
    isolation_outliers,
    keep_all,
    map_outliers,
)
from ceiba.classification.samples.label_quality import estimate_joint, find_label_issues, judge_by_map
from ceiba.classification.samples.points import TrainingSet
from ceiba.classification.samples.self_organizing_maps import SelfOrganizingMap, fit_map
from ceiba.errors import InputError

CLASSES = np.array([1, 2, 3])


def clusters(count=150, *, wrong=0.06, seed=0):
    """Three clusters far apart, features of very different units, and the samples whose label is wrong."""
    random = np.random.default_rng(seed)
    true = random.integers(0, 3, count)
    centers = np.array([[0, 0, 0, 0], [8, 0, 8, 0], [0, 8, 8, 8]])
    features = (centers[true] + random.normal(size=(count, 4))) * [1, 1000, 1e-3, 1]
    bad = random.random(count) < wrong
    codes = CLASSES[np.where(bad, (true + random.integers(1, 3, count)) % 3, true)]
    zeros = np.zeros(count)
    groups = np.full(count, "", dtype=object)
    training = TrainingSet(
        features.astype("float32"), tuple("abcd"), codes, zeros, zeros, zeros, np.arange(count), groups
    )
    return training, bad


def predict(train, features):
    center, scale = train.features.mean(axis=0), train.features.std(axis=0)
    model = LogisticRegression().fit((train.features - center) / scale, train.codes)
    return model.predict_proba((features - center) / scale)


def test_neighbors_on_the_map_are_alike():
    # Points along a curve: on a map the neurons keep its order, so neighboring neurons lie close on the curve.
    position = np.linspace(0, 1, 400)
    features = np.column_stack([position, np.sin(6 * position)])
    som = fit_map(features, side=5)
    where = som.weights[:, 0] * som.scale[0] + som.center[0]
    gaps = np.abs(where[:, None] - where)[som.grid_distances() == 1]
    assert gaps.mean() < 0.5 * np.abs(where[:, None] - where).mean()
    np.testing.assert_array_equal(som.weights, fit_map(features, side=5).weights)
    # Each sample lies nearer to its neuron than the spread of all, by far.
    residual = (features - som.center) / som.scale - som.weights[som.place(features)]
    assert (residual**2).sum(axis=1).mean() < 0.05 * 2


def test_map_with_a_single_feature_and_constant_features():
    features = np.column_stack([np.r_[np.zeros(20), np.ones(20)], np.full(40, 7.0)])
    som = fit_map(features, side=2)
    assert len(set(som.place(features)[:20])) == len(set(som.place(features)[20:])) == 1
    with pytest.raises(InputError, match="two samples or more of finite features"):
        fit_map(np.array([[1.0], [np.nan]]))


def test_probabilities_on_the_map_by_hand():
    som = SelfOrganizingMap((1, 3), np.array([[0.0], [1.0], [2.0]]), np.zeros(1), np.ones(1))
    features = np.array([[0.0], [0.0], [0.0], [1.0], [2.0], [2.0]])
    found = judge_by_map(features, np.array([1, 1, 2, 1, 2, 2]), fitted=som, rule="agreement")
    # First neuron: 1 1 2; a label does not count for itself. Its neighbor holds a 1 alone, worth 4 samples: (1 + 4) / (2 + 4).
    np.testing.assert_allclose(found["prior"], [1 / 2, 1 / 2, 0, np.nan, 1, 1])
    # Second: alone; its neighbors hold 2/3 and 0 of class 1. Third: (1 + 4 * 0) / (1 + 4).
    np.testing.assert_allclose(found["posterior"], [5 / 6, 5 / 6, 0, 1 / 3, 1 / 5, 1 / 5])
    assert found["verdict"].tolist() == ["drop", "drop", "drop", "check", "check", "check"]
    contradicted = judge_by_map(features, np.array([1, 1, 2, 1, 2, 2]), fitted=som)
    # The other class: (1 + 4 * 0) / 6, (2 + 4 * 1) / 6, (1/3 + 1) / 2, (0 + 4 * 1) / 5.
    np.testing.assert_allclose(contradicted["other_posterior"], [1 / 6, 1 / 6, 1, 2 / 3, 4 / 5, 4 / 5])
    assert contradicted["verdict"].tolist() == ["keep", "keep", "drop", "check", "drop", "drop"]
    with pytest.raises(InputError, match="no rule 'strict'"):
        judge_by_map(features, np.ones(6), fitted=som, rule="strict")


def test_wrong_labels_of_known_clusters_are_dropped():
    training, bad = clusters()
    verdict = judge_by_map(training.features, training.codes)["verdict"].to_numpy()
    assert (verdict[bad] == "drop").mean() > 0.8
    assert (verdict[~bad] == "keep").mean() > 0.9


def test_confident_joint_by_hand():
    first = np.array([0.9, 0.8, 0.1, 0.2, 0.3, 0.7, 0.5])
    codes = np.array([1, 1, 1, 2, 2, 2, 2])
    found = estimate_joint(codes, np.column_stack([first, 1 - first]), [1, 2])
    # Mean of 0.9 0.8 0.1, and of 0.8 0.7 0.3 0.5; the last sample reaches neither.
    np.testing.assert_allclose(found.thresholds, [0.6, 0.575])
    assert found.counts.tolist() == [[2, 1], [1, 2]]
    assert found.confident.tolist() == [0, 0, 1, 1, 1, 0, -1]
    # Rows scaled to three and four labels of seven.
    np.testing.assert_allclose(found.joint, [[2 / 7, 1 / 7], [4 / 21, 8 / 21]])
    for rule in ("joint", "class", "noise", "both"):
        issues = find_label_issues(codes, np.column_stack([first, 1 - first]), [1, 2], by=rule)
        assert np.flatnonzero(issues["wrong"]).tolist() == [2, 5], rule
    assert issues["rank"].tolist()[2] == 1 and issues["suggested"].tolist() == [2, 2, 2, 1, 1, 1, 1]


def test_joint_of_the_paper():
    # Northcutt et al. 2021, figure 1: confident joint of dog, fox, cow and the joint estimated from it.
    counts = np.array([[100, 40, 20], [56, 60, 0], [32, 12, 80]])
    codes, confident = [np.repeat(each.ravel(), counts.ravel()) for each in np.indices((3, 3))]
    probabilities = np.full((len(codes), 3), 0.05)
    probabilities[np.arange(len(codes)), confident] = 0.9
    found = estimate_joint(codes, probabilities, [0, 1, 2])
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.joint, [[0.25, 0.1, 0.05], [0.14, 0.15, 0], [0.08, 0.03, 0.2]], atol=0.005)


def test_classes_in_any_order_absent_classes_and_bad_input():
    first = np.array([0.9, 0.8, 0.1, 0.2, 0.3, 0.7])
    codes = np.array([7, 7, 7, 2, 2, 2])
    shares = np.column_stack([first, 1 - first, np.zeros(6)])
    issues = find_label_issues(codes, shares, [7, 2, 9])
    assert np.flatnonzero(issues["wrong"]).tolist() == [2, 5]
    assert issues["suggested"][2] == 2
    assert estimate_joint(codes, shares, [7, 2, 9]).noise == pytest.approx(1 / 3)
    for codes_given, shares_given, match in (
        (codes, shares * 2, "sum to 1"),
        (codes, shares[:, :2], "do not fit"),
        ([7, 7, 7, 2, 2, 5], shares, r"labels \[5\]"),
    ):
        with pytest.raises(InputError, match=match):
            estimate_joint(codes_given, shares_given, [7, 2, 9])
    with pytest.raises(InputError, match="no rule 'all'"):
        find_label_issues(codes, shares, [7, 2, 9], by="all")


def test_wrong_labels_are_found_by_out_of_fold_probabilities():
    training, bad = clusters(300)
    folds = np.arange(300) % 5
    shares, _ = cross_predict_cleaned(training, folds, keep_all, predict, CLASSES)
    assert estimate_joint(training.codes, shares, CLASSES).noise == pytest.approx(bad.mean(), abs=0.02)
    wrong = find_label_issues(training.codes, shares, CLASSES)["wrong"].to_numpy()
    assert wrong[bad].mean() > 0.65 and bad[wrong].mean() > 0.95


def test_a_proposer_never_sees_nor_drops_a_test_sample():
    training, _ = clusters()
    folds = np.arange(150) % 3
    seen = []

    def propose(part):
        seen.append(set(part.rows.tolist()))
        return np.arange(len(part)) % 10 == 0

    tested = []
    for number, fold in enumerate(clean_folds(training, folds, propose)):
        assert seen[number] == set(np.flatnonzero(folds != number).tolist())
        np.testing.assert_array_equal(fold.test, np.flatnonzero(folds == number))
        assert len(fold.dropped) == 10 and len(fold.train) == 90
        assert not set(fold.test) & (set(fold.train) | set(fold.dropped))
        tested += fold.test.tolist()
    assert sorted(tested) == list(range(150))
    shares, dropped = cross_predict_cleaned(training, folds, propose, predict, CLASSES)
    assert np.isfinite(shares).all() and dropped == 10


def test_proposals_that_do_not_fit_are_refused():
    training, _ = clusters(30)
    folds = np.arange(30) % 3
    for propose, match in (
        (lambda part: np.zeros(30, dtype=bool), "a mask of 20 samples"),
        (lambda part: np.arange(20), "a mask of 20 samples; got int64"),
        (lambda part: part.codes == 2, r"no training sample of classes \[2\] in fold 0"),
    ):
        with pytest.raises(InputError, match=match):
            list(clean_folds(training, folds, propose))
    with pytest.raises(InputError, match="two folds at least"):
        list(clean_folds(training, np.zeros(30), keep_all))


def test_atypical_samples_of_each_class_are_proposed():
    training, _ = clusters(300, wrong=0)
    training.features[[0, 20, 40]] += np.array([60, 6e4, 0.06, 60], dtype="float32")
    out = isolation_outliers(training, share=0.05)
    assert out[[0, 20, 40]].all()
    members = [(training.codes == code).sum() for code in CLASSES]
    assert out.sum() == sum(int(0.05 * count) for count in members)
    with pytest.raises(InputError, match=r"a share of 0.7"):
        isolation_outliers(training, share=0.7)


def test_no_class_is_emptied():
    training, bad = clusters(60, wrong=0.3)
    lone = np.flatnonzero(training.codes == 3)
    part = training.take(np.setdiff1d(np.arange(60), lone[1:]))
    out = map_outliers(part)
    assert set(part.codes[~out]) == {1, 2, 3}
    found = confident_outliers(training, np.arange(60) % 3, predict)
    assert set(training.codes[~found]) == {1, 2, 3} and bad[found].mean() > 0.8
