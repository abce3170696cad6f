"""Label sets and areas of applicability: hand-worked values, promises kept on simulated data."""

import numpy as np
import pytest

from ceiba.classification.models.applicability import Applicability, fit_applicability
from ceiba.classification.models.conformal import LabelSets, class_scores, conformal_threshold, fit_label_sets
from ceiba.errors import InputError


def test_scores_by_hand():
    share = np.array([[0.5, 0.2, 0.3]])
    assert class_scores(share, method="least_ambiguous")[0] == pytest.approx([0.5, 0.8, 0.7])
    # Sums down to each class: 0.5, then 0.8 with the third, then 1.0 with the second; less half of its own.
    assert class_scores(share, method="adaptive")[0] == pytest.approx([0.25, 0.9, 0.65])
    with pytest.raises(InputError, match="there are least_ambiguous, adaptive"):
        class_scores(share, method="raps")


def test_threshold_is_the_split_conformal_quantile_where_every_sample_is_a_group():
    """Ten scores: the ninth smallest at level 0.8, as ceil(11 * 0.8) = 9, the tenth at 0.9, none at 0.95."""
    scores = np.arange(1, 11) / 10
    assert conformal_threshold(scores, np.arange(10), 0.8) == pytest.approx(0.9)
    assert conformal_threshold(scores, np.arange(10), 0.9) == pytest.approx(1.0)
    assert conformal_threshold(scores, np.arange(10), 0.95) == np.inf


def test_groups_count_alike_whatever_their_size():
    """Three blocks a, b, c by hand; a quantile just above the half is needed for 0.6.

    Without a, c has half of the weight with 0.2, then comes 0.5; without c, a has it with 0.1, then 0.5; without b, 0.1 then 0.2.
    0.5, 0.5 and 0.2 cover a, c and nothing of b: two of three blocks. No threshold of a and c covers any of b.
    """
    scores = np.array([0.1, 0.5, 0.6, 0.7, 0.8, 0.9, 0.2])
    groups = np.array(list("abbbbbc"))
    assert conformal_threshold(scores, groups, 0.6) == pytest.approx(0.5)
    assert conformal_threshold(scores, groups, 0.7) == np.inf
    assert conformal_threshold(scores, np.zeros(7), 0.6) == np.inf
    with pytest.raises(InputError, match="between 0 and 1"):
        conformal_threshold(scores, groups, 90)


def test_sets_hold_the_class_as_promised_on_new_blocks():
    """Blocks with effects of their own, few of them: over many draws coverage on new blocks lies at 90 %, neither below nor above."""
    random, covered, pooled = np.random.default_rng(5), [], []
    for _ in range(60):
        share, index, groups = draw_blocks(random, 20)
        new_share, new_index, _ = draw_blocks(random, 40)
        for method in ("least_ambiguous", "adaptive"):
            sets = fit_label_sets(share, index, groups, method=method)
            inside = sets.contains(new_share)
            covered.append(inside[np.arange(len(new_index)), new_index].mean())
        pooled.append(fit_label_sets(share, index, groups).coverage)
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)
    assert np.mean(pooled) == pytest.approx(0.9, abs=0.03)


def draw_blocks(random, blocks, per_block=12):
    groups = np.repeat(np.arange(blocks), per_block)
    odds = random.normal(size=(len(groups), 5)) * 1.5
    share = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    # In some blocks the model is right more often than in others.
    shift = np.repeat(random.normal(size=(blocks, 5)) * 0.7, per_block, axis=0)
    true = np.exp(odds + shift) / np.exp(odds + shift).sum(axis=1, keepdims=True)
    index = (random.random(len(groups))[:, None] > np.cumsum(true, axis=1)).sum(axis=1).clip(0, 4)
    return share, index, groups


def test_a_set_is_never_empty():
    sets = LabelSets("least_ambiguous", 0.9, threshold=0.05)
    assert sets.contains(np.array([[0.4, 0.35, 0.25]])).tolist() == [[True, False, False]]


def test_dissimilarity_by_hand():
    """One feature, samples at 0 and 4 in different folds: standard deviation 2, mean distance 2 (standardised).

    A pixel at 8 lies 4 / 2 = 2 standard deviations from the nearest, dissimilarity 2 / 2 = 1; one at 2 has 0.5.
    """
    area = fit_applicability(np.array([[0.0], [4.0]]), np.array([0, 1]), np.array([1.0]))
    assert area.mean_distance == pytest.approx(2) and area.threshold == pytest.approx(1)
    assert area.dissimilarity(np.array([[8.0], [2.0], [4.0]])) == pytest.approx([1, 0.5, 0])
    assert area.contains(np.array([[8.0], [8.1]])).tolist() == [True, False]


def test_only_important_features_count_and_files_read_back():
    random = np.random.default_rng(1)
    features, folds = random.normal(size=(300, 3)), np.arange(300) % 3
    area = fit_applicability(features, folds, np.array([1.0, 0.5, 0.0]))
    far = np.zeros((3, 3))
    np.fill_diagonal(far, 30.0)
    distances = area.dissimilarity(far)
    assert distances[0] > distances[1] > area.threshold > distances[2]
    again = Applicability.from_bytes(area.to_bytes())
    assert np.array_equal(again.dissimilarity(far), distances) and again.to_bytes() == area.to_bytes()
    assert area.contains(features).mean() > 0.95
    with pytest.raises(InputError, match="two folds"):
        fit_applicability(features, np.zeros(300), np.ones(3))
    with pytest.raises(InputError, match="no feature"):
        fit_applicability(np.ones((5, 2)), np.arange(5), np.ones(2))
    with pytest.raises(InputError, match="3 features"):
        area.dissimilarity(far[:, :2])
