"""Metrics from counts, against hand-made cases and definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from levit.evaluation.metrics import ClassMetrics, calibration, class_metrics, proportion


def metrics_of(confusion: np.ndarray) -> ClassMetrics:
    return class_metrics(np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0))


def test_interval_is_that_of_wilson():
    assert (proportion(0, 10).low, round(proportion(0, 10).high, 4)) == (0.0, 0.2775)  # the textbook's example
    estimate = proportion(4205, 10_000)
    assert (estimate.value, round(estimate.low, 4), round(estimate.high, 4)) == (0.4205, 0.4109, 0.4302)
    assert np.isnan(proportion(0, 0).value)


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_interval_holds_the_proportion_and_shrinks_with_the_sample(count, more):
    total = count + more
    small, large = proportion(count, total), proportion(100 * count, 100 * total)
    assert 0 <= small.low <= small.value <= small.high <= 1
    assert large.high - large.low < small.high - small.low


def test_precision_recall_and_f1_follow_their_definitions():
    targets = np.array([0, 0, 0, 1, 1, 2])
    predictions = np.array([0, 0, 1, 1, 1, 1])
    confusion = np.zeros((4, 4), np.int64)
    np.add.at(confusion, (targets, predictions), 1)
    metrics = metrics_of(confusion)
    np.testing.assert_array_equal(metrics.support, [3, 2, 1, 0])
    np.testing.assert_array_equal(metrics.predicted, [2, 4, 0, 0])
    np.testing.assert_allclose(metrics.precision, [1, 1 / 2, np.nan, np.nan])
    np.testing.assert_allclose(metrics.recall, [2 / 3, 1, 0, np.nan])
    np.testing.assert_allclose(metrics.f1, [4 / 5, 2 / 3, 0, np.nan])


@given(arrays(np.int64, (5, 5), elements=st.integers(0, 50)))
def test_f1_is_the_harmonic_mean_of_precision_and_recall(confusion):
    metrics = metrics_of(confusion)
    defined = np.flatnonzero((metrics.support > 0) & (metrics.predicted > 0) & (np.diagonal(confusion) > 0))
    precision, recall = metrics.precision[defined], metrics.recall[defined]
    np.testing.assert_allclose(metrics.f1[defined], 2 * precision * recall / (precision + recall))


def test_calibration_error_is_the_mean_difference_of_score_and_accuracy():
    result = calibration(np.array([2, 0, 8]), np.array([0.4, 0.0, 7.2]), np.array([1, 0, 6]))
    assert result.error == pytest.approx((2 * abs(0.2 - 0.5) + 8 * abs(0.9 - 0.75)) / 10)
    np.testing.assert_allclose(result.accuracy, [0.5, np.nan, 0.75])
