"""Accuracy figures against hand-worked and published values."""

import numpy as np
import pytest

from ceiba.classification.accuracy.validation import (
    blocked_folds,
    cluster_interval,
    measure_accuracy,
    random_folds,
    spatial_blocks,
    wilson_interval,
)
from ceiba.errors import InputError


def test_blocks_are_squares_anchored_at_the_origin():
    blocks = spatial_blocks(np.array([0.0, 99.9, 100.0, -1.0]), np.array([0.0, 50.0, 0.0, 0.0]), 100)
    assert blocks[0] == blocks[1]
    assert len(set(blocks.tolist())) == 3
    with pytest.raises(InputError, match="must be positive"):
        spatial_blocks(np.zeros(2), np.zeros(2), 0)


def test_no_block_lies_in_two_folds():
    rng = np.random.default_rng(0)
    codes, blocks = rng.integers(1, 6, 300), rng.integers(0, 30, 300)
    folds = blocked_folds(codes, blocks, folds=5, seed=1)
    assert set(folds.tolist()) == {0, 1, 2, 3, 4}
    assert all(len(set(folds[blocks == block].tolist())) == 1 for block in range(30))
    assert np.array_equal(folds, blocked_folds(codes, blocks, folds=5, seed=1))
    with pytest.raises(InputError, match="single block"):
        blocked_folds(codes, np.zeros(300), folds=5)


def test_random_folds_spread_every_class():
    codes = np.repeat([1, 2], [50, 10])
    folds = random_folds(codes, folds=5, seed=2)
    assert [int(((folds == fold) & (codes == 2)).sum()) for fold in range(5)] == [2] * 5


def test_wilson_interval_as_published():
    """Newcombe 1998 (Stat. Med. 17:857), table I, method 3: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_accuracy_of_a_hand_worked_table():
    """Two classes: 8 of 10 mapped as 1 are right, 5 of 10 mapped as 2."""
    mapped = np.repeat([1, 1, 2, 2], [8, 2, 5, 5])
    reference = np.repeat([1, 2, 2, 1], [8, 2, 5, 5])
    found = measure_accuracy(mapped, reference, [1, 2, 3])
    assert found.overall == pytest.approx(13 / 20)
    assert found.matrix.loc[1].tolist() == [8, 2, 0]
    rows = found.classes.set_index("code")
    assert rows.loc[1, "users_accuracy"] == pytest.approx(0.8)
    assert rows.loc[1, "producers_accuracy"] == pytest.approx(8 / 13)
    assert rows.loc[2, "f1"] == pytest.approx(2 * 5 / 17)
    assert found.macro_f1 == pytest.approx((16 / 23 + 10 / 17) / 2)
    assert np.isnan(rows.loc[3, "users_accuracy"])
    assert found.summary()["samples"] == 20
    with pytest.raises(InputError, match=r"codes \[9\]"):
        measure_accuracy(np.array([9]), np.array([1]), [1, 2])


def test_blocks_widen_the_interval_where_errors_come_together():
    """Hand-worked: 4 blocks of 25 with 25, 25, 25 and 5 right: residuals 5, 5, 5, -15, sum of squares 300, t(3) 3.1824."""
    correct = np.concatenate([np.ones(80), np.zeros(20)])
    blocks = np.repeat(np.arange(4), 25)
    half = 3.18245 * np.sqrt(4 / 3 * 300 / 100**2)
    low, high = cluster_interval(correct, blocks)
    assert low == pytest.approx(0.8 - half, abs=1e-4)
    assert high == 1.0
    plain = wilson_interval(80, 100)
    assert low < plain[0]
    assert cluster_interval(np.ones(50), np.repeat([0, 1], 25)) == pytest.approx(wilson_interval(50, 50))
