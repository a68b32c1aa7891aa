"""Metric accumulator: against scikit-learn, in batches, over processes, with several correct labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from levit.evaluation.accumulator import MetricAccumulator, top_classes


def draw(num_images: int, num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.random((num_images, num_classes), np.float32), generator.integers(0, num_classes, num_images)


@given(st.integers(1, 40), st.integers(6, 9), st.integers(0, 1000), st.integers(0, 40))
def test_metrics_of_batches_and_processes_are_those_of_scikit_learn(num_images, num_classes, seed, boundary):
    logits, targets = draw(num_images, num_classes, seed)
    first, second = MetricAccumulator(num_classes), MetricAccumulator(num_classes)
    first.update(top_classes(logits[:boundary]), targets[:boundary])
    second.update(top_classes(logits[boundary:]), targets[boundary:])
    first.counts = first.counts + second.counts
    predictions = logits.argmax(axis=1)
    assert first.num_images == num_images
    assert first.top1 == pytest.approx(metrics.accuracy_score(targets, predictions))
    classes = range(num_classes)
    assert first.top5 == pytest.approx(metrics.top_k_accuracy_score(targets, logits, k=5, labels=[*classes]))
    assert first.macro_f1 == pytest.approx(metrics.f1_score(targets, predictions, average="macro"))


def test_any_of_several_labels_is_correct():
    accumulator = MetricAccumulator(6)
    predictions = np.array([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
    counted = accumulator.update(predictions, np.array([[5, 0], [5, 4], [5, -1]]))
    assert counted.tolist() == [0, 5, 5]
    assert (accumulator.num_correct, accumulator.num_top5_correct, accumulator.num_images) == (1, 2, 3)


def test_equal_logits_are_ordered_by_class_index():
    assert top_classes(np.float32([[1, 2, 2, 2, 0, 2, 2]])).tolist() == [[1, 2, 3, 5, 6]]


def test_metrics_without_images_are_not_a_number():
    accumulator = MetricAccumulator(3)
    assert np.isnan([accumulator.top1, accumulator.top5, accumulator.macro_f1]).all()
