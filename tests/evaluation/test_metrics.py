"""Figures from counts, against hand-made cases, definitions, and each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from levit.evaluation.metrics import calibration, per_class, share


def test_the_interval_is_wilsons():
    assert (share(0, 10).low, round(share(0, 10).high, 2)) == (0.0, 27.75)  # the textbook's example
    found = share(4205, 10_000)
    assert (found.percent, round(found.low, 2), round(found.high, 2)) == (42.05, 41.09, 43.02)
    assert np.isnan(share(0, 0).percent)


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_the_interval_holds_the_share_and_shrinks(right, more):
    whole = right + more
    small, large = share(right, whole), share(100 * right, 100 * whole)
    assert 0 <= small.low <= small.percent <= small.high <= 100
    assert large.high - large.low < small.high - small.low


def test_precision_recall_and_f1_are_those_of_the_definition():
    truth = np.array([0, 0, 0, 1, 1, 2])
    answer = np.array([0, 0, 1, 1, 1, 1])
    confusion = np.zeros((4, 4), np.int64)
    np.add.at(confusion, (truth, answer), 1)
    scores = per_class(confusion)
    np.testing.assert_array_equal(scores.support, [3, 2, 1, 0])
    np.testing.assert_array_equal(scores.answers, [2, 4, 0, 0])
    np.testing.assert_allclose(scores.precision, [1, 1 / 2, np.nan, np.nan])
    np.testing.assert_allclose(scores.recall, [2 / 3, 1, 0, np.nan])
    np.testing.assert_allclose(scores.f1, [4 / 5, 2 / 3, 0, np.nan])


@given(arrays(np.int64, (5, 5), elements=st.integers(0, 50)))
def test_f1_is_the_harmonic_mean(confusion):
    scores = per_class(confusion)
    defined = np.flatnonzero((scores.support > 0) & (scores.answers > 0) & (np.diagonal(confusion) > 0))
    precision, recall = scores.precision[defined], scores.recall[defined]
    np.testing.assert_allclose(scores.f1[defined], 2 * precision * recall / (precision + recall))


def test_calibration_is_the_mean_gap():
    found = calibration(np.array([2, 0, 8]), np.array([0.4, 0.0, 7.2]), np.array([1, 0, 6]))
    assert found.error == pytest.approx((2 * abs(0.2 - 0.5) + 8 * abs(0.9 - 0.75)) / 10)
    np.testing.assert_allclose(found.accuracy, [0.5, np.nan, 0.75])
