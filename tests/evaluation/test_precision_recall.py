"""Average precision, thresholds and macro F1 against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from levit.evaluation.precision_recall import average_precision, best_threshold, macro_f1, mean_average_precision

SCORES = st.sampled_from([0.125, 0.25, 0.5, 0.75])


@given(arrays(np.float32, 30, elements=SCORES), arrays(np.bool_, 30))
def test_metrics_of_a_label_are_those_of_scikit_learn(scores, truth):
    if not truth.any():
        assert np.isnan(average_precision(scores, truth))
        return
    assert average_precision(scores, truth) == pytest.approx(metrics.average_precision_score(truth, scores))
    threshold, f1 = best_threshold(scores, truth)
    assert f1 == pytest.approx(metrics.f1_score(truth, scores >= threshold))
    assert all(metrics.f1_score(truth, scores >= other) <= f1 + 1e-12 for other in np.unique(scores))


@given(arrays(np.float32, (20, 3), elements=SCORES), arrays(np.bool_, (20, 3)))
def test_means_are_over_the_labels_that_occur(scores, truth):
    occurring, predicted = truth.any(axis=0), scores >= 0.5
    if not occurring.any():
        assert np.isnan([mean_average_precision(scores, truth), macro_f1(predicted, truth)]).all()
        return
    expected = [
        metrics.average_precision_score(truth[:, label], scores[:, label]) for label in np.flatnonzero(occurring)
    ]
    assert mean_average_precision(scores, truth) == pytest.approx(np.mean(expected))
    counted = np.flatnonzero(occurring | predicted.any(axis=0))
    expected = [metrics.f1_score(truth[:, label], predicted[:, label]) for label in counted]
    assert macro_f1(predicted, truth) == pytest.approx(np.mean(expected))
