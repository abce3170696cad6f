"""Entropy, margin and calibration against hand-worked values."""

import numpy as np
import pytest
import xarray as xr

from ceiba.classification.maps.uncertainty import margin, normalized_entropy
from ceiba.classification.models.calibration import (
    calibration_error,
    fit_calibration,
    fit_temperature,
    log_loss,
    soften,
)


def probabilities(*rows):
    return xr.DataArray(np.array(rows, dtype="float64").T, dims=("class", "pixel"))


def test_entropy_is_0_when_certain_1_when_even_and_nan_without_data():
    found = normalized_entropy(probabilities([1, 0], [0.5, 0.5], [0.9, 0.1], [np.nan, np.nan]))
    # The entropy of a coin of 0.9 is 0.46900 bit.
    assert found.values[:3] == pytest.approx([0, 1, 0.46900], abs=1e-5)
    assert np.isnan(found.values[3])
    assert found.attrs["units"] == "1"


def test_margin_of_the_two_largest():
    assert margin(probabilities([0.2, 0.5, 0.3], [1, 0, 0])).values == pytest.approx([0.2, 1.0])


def test_temperature_two_is_the_square_root():
    found = soften(np.array([[0.9, 0.1]]), 2.0, 0.0)
    assert found[0, 0] == pytest.approx(3 / 4)
    assert soften(np.array([[1.0, 0.0]]), 1.0, 0.1)[0] == pytest.approx([0.95, 0.05])


def test_overconfident_probabilities_get_a_temperature_above_one():
    """A source that claims 0.99 and is right in 3 of 4: the best answer is 0.75, a temperature of ln 99 / ln 3."""
    claimed = np.tile([0.99, 0.01], (400, 1))
    truth = np.repeat([0, 1], [300, 100])
    found = fit_temperature(claimed, truth, 0.0)
    assert found == pytest.approx(np.log(99) / np.log(3), abs=0.01)
    assert log_loss(soften(claimed, found, 0.0), truth) == pytest.approx(
        -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), abs=1e-4
    )


def test_calibration_error_of_a_hand_worked_case():
    confidence = np.array([0.6] * 10 + [0.9] * 10)
    correct = np.array([1] * 5 + [0] * 5 + [1] * 10)
    assert calibration_error(confidence, correct, bins=2) == pytest.approx((0.1 + 0.1) / 2)


def test_wrong_labels_raise_the_floor_and_not_the_temperature():
    """A source that is right but for one label in ten: mixing in an even share of 0.2 of two classes is the answer."""
    claimed = np.tile([1.0, 0.0], (1000, 1))
    truth = np.repeat([0, 1], [900, 100])
    temperature, floor = fit_calibration(claimed, truth, 0.001)
    found = soften(claimed, temperature, floor)
    assert found[0] == pytest.approx([0.9, 0.1], abs=0.002)
