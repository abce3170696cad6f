"""Scores against scikit-learn and by hand."""

import numpy as np
import pytest

from ceiba.errors import NetworkError
from ceiba.integrity.accuracy import calibration_curve, score
from ceiba.integrity.inference import MISSING


def test_scores_against_scikit_learn():
    from sklearn.metrics import cohen_kappa_score, log_loss

    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(19), 400)
    truth = rng.integers(0, 19, 400).astype(np.uint8)
    found = score(probabilities, truth, tuple(range(19)))
    guess = probabilities.argmax(axis=1)
    kappa = cohen_kappa_score(truth, guess, weights="quadratic", labels=range(19))
    assert found["qwk"] == pytest.approx(kappa, abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(truth, probabilities, labels=range(19)), abs=1e-9)
    assert found["exact"] == np.mean(guess == truth)


def test_scores_by_hand():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    found = score(probabilities, np.array([0, 1], np.uint8), (0.0, 5.0, 18.0))
    assert found["exact"] == 0.5 and found["four_class"] == 0.5
    assert found["mae"] == 6.5
    # ((0.3^2 + 0.1^2) + (0.1^2 + 0.6^2)) / 2 rows / 2 thresholds
    assert found["rps"] == pytest.approx((0.1 + 0.37) / 4)
    assert found["ece"] == pytest.approx((0.3 + 0.6) / 2)
    curve = calibration_curve(probabilities, np.array([0, 1]))
    assert curve["share"].sum() == 1 and curve["accuracy"].tolist() == [0.0, 1.0]


def test_pixels_without_truth_are_refused():
    with pytest.raises(NetworkError, match="true state"):
        score(np.full((1, 2), 0.5), np.array([MISSING], np.uint8), (0.0, 18.0))
