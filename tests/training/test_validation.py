"""Validation during training, compared with scikit-learn."""

from math import inf, isnan, nan

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, top_k_accuracy_score
from torch import nn

from levit.errors import DataError, ImageError
from levit.training.data_loader import Batch
from levit.training.progress import ranking_key
from levit.training.validation import Validator


class FirstPixels(nn.Module):
    """Network whose logits are the first pixels of an image, times a factor."""

    def __init__(self, num_classes, factor=1):
        super().__init__()
        self.num_classes, self.factor = num_classes, factor

    def forward(self, pixel_values):
        assert not self.training
        return self.factor * pixel_values.flatten(1)[:, : self.num_classes]


def split_batches(logits, targets, size=4):
    """Batches of images whose first pixels are the logits."""
    batches = []
    for start in range(0, len(logits), size):
        part = torch.from_numpy(logits[start : start + size])
        pixels = torch.zeros(len(part), 3, 4, 4)
        pixels.view(len(part), -1)[:, : part.shape[1]] = part
        batches.append(Batch(pixels, torch.from_numpy(targets[start : start + size]), []))
    return batches


@pytest.fixture(scope="module")
def build(accelerator):
    def build(batches, num_classes, *, is_multi_label=False):
        return Validator(
            batches=batches, accelerator=accelerator, num_classes=num_classes, is_multi_label=is_multi_label
        )

    return build


@pytest.fixture(scope="module")
def validate(build):
    """Metrics of given logits."""

    def validate(logits, targets, *, size=4, **values):
        num_classes = logits.shape[1]
        validator = build(split_batches(logits, targets, size), num_classes, **values)
        return validator.validate([FirstPixels(num_classes).train()])[0]

    return validate


def one_hot(labels, num_classes):
    return np.eye(num_classes, dtype=np.float32)[labels]


def draw(seed, count, num_classes, *, present=None):
    """Random labels, and logits that are higher for them."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, present or num_classes, count)
    logits = generator.normal(size=(count, num_classes)).astype(np.float32) + 1.5 * one_hot(labels, num_classes)
    return labels, logits


@given(seed=st.integers(0, 999), count=st.integers(1, 30), num_classes=st.integers(2, 9))
def test_metrics_of_one_label_are_those_of_scikit_learn(validate, seed, count, num_classes):
    labels, logits = draw(seed, count, num_classes, present=max(2, num_classes - 2))
    metrics = validate(logits, one_hot(labels, num_classes))
    predictions = logits.argmax(axis=1)
    assert set(metrics) == {"loss", "top1", "top5", "f1"}
    assert metrics["top1"] == pytest.approx(accuracy_score(labels, predictions))
    assert metrics["f1"] == pytest.approx(f1_score(labels, predictions, average="macro", zero_division=0))
    if num_classes > 5:
        top5 = top_k_accuracy_score(labels, logits, k=5, labels=np.arange(num_classes))
        assert metrics["top5"] == pytest.approx(top5)
    else:
        assert metrics["top5"] == 1
    expected = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    assert metrics["loss"] == pytest.approx(float(expected), rel=1e-5)


@given(seed=st.integers(0, 999), count=st.integers(1, 30), num_classes=st.integers(1, 6))
def test_metrics_of_several_labels_are_those_of_scikit_learn(validate, seed, count, num_classes):
    generator = np.random.default_rng(seed)
    targets = (generator.random((count, num_classes)) < 0.4).astype(np.float32)
    targets[0, 0] = 1
    logits = (generator.normal(size=(count, num_classes)) + targets).astype(np.float32)
    metrics = validate(logits, targets, is_multi_label=True)
    present = targets.any(axis=0)
    assert set(metrics) == {"loss", "map", "f1"}
    expected = average_precision_score(targets[:, present], logits[:, present], average="macro")
    assert metrics["map"] == pytest.approx(expected)
    expected = nn.functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(targets))
    assert metrics["loss"] == pytest.approx(float(expected), rel=1e-5)
    counted = np.flatnonzero(present | (logits >= 0).any(axis=0))
    scores = [f1_score(targets[:, label], logits[:, label] >= 0, zero_division=0) for label in counted]
    assert metrics["f1"] == pytest.approx(np.mean(scores))


def test_the_batch_size_does_not_change_the_metrics(validate):
    labels, logits = draw(1, 13, 7)
    metrics = [validate(logits, one_hot(labels, 7), size=size) for size in (1, 4, 13)]
    assert metrics[0] == pytest.approx(metrics[1])
    assert metrics[0] == pytest.approx(metrics[2])


@pytest.mark.parametrize("is_multi_label", [False, True])
def test_several_networks_are_evaluated_in_one_pass_and_independently(build, validate, is_multi_label):
    labels, logits = draw(3, 9, 4)
    targets = one_hot(labels, 4)
    one_pass = iter(split_batches(logits, targets))
    validator = build(one_pass, 4, is_multi_label=is_multi_label)
    metrics = validator.validate([FirstPixels(4), FirstPixels(4, factor=-1)])
    alone = [validate(values, targets, is_multi_label=is_multi_label) for values in (logits, -logits)]
    assert metrics == alone
    assert metrics[0]["f1"] > metrics[1]["f1"]


def unreadable(num_classes, name="1.png"):
    """Batch without an image."""
    return Batch(torch.zeros(0), torch.zeros(0, num_classes), [ImageError("not an image", source=name)])


def test_batches_without_a_readable_image_are_left_out(build, validate):
    labels, logits = draw(2, 6, 3)
    targets, names = one_hot(labels, 3), []
    batches = [unreadable(3), *split_batches(logits, targets), unreadable(3, "2.png")]
    [metrics] = build(batches, 3).validate(
        [FirstPixels(3)], lambda batch: names.extend(error.source for error in batch.errors)
    )
    assert metrics == validate(logits, targets)
    assert names == ["1.png", "2.png"]


@pytest.mark.parametrize("is_multi_label", [False, True])
@pytest.mark.parametrize("batches", [[], [unreadable(3)]])
def test_a_validation_set_without_a_readable_image_is_an_error(build, is_multi_label, batches):
    with pytest.raises(DataError, match=r"^no validation image can be read: repair them"):
        build(batches, 3, is_multi_label=is_multi_label).validate([FirstPixels(3)])


def test_several_labels_of_which_none_occurs_have_no_precision(validate):
    metrics = validate(np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32), is_multi_label=True)
    assert isnan(metrics["map"])
    assert isnan(metrics["f1"])
    assert metrics["loss"] > 0


def test_logits_of_nan_give_a_loss_of_nan(validate):
    metrics = validate(np.full((3, 2), nan, np.float32), one_hot([0, 1, 0], 2))
    assert isnan(metrics["loss"])


def test_logits_of_nan_for_several_labels_are_never_the_best(validate):
    targets = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    metrics = validate(np.full((3, 2), nan, np.float32), targets, is_multi_label=True)
    assert isnan(metrics["loss"])
    assert ranking_key([metrics], "loss") == (-inf, -inf)


def test_validation_computes_no_gradients(build):
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    labels, logits = draw(2, 6, 3)
    build(split_batches(logits, one_hot(labels, 3)), 3).validate([network])
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.training


def test_a_validator_can_be_used_again(build):
    labels, logits = draw(4, 6, 3)
    validator = build(split_batches(logits, one_hot(labels, 3)), 3)
    assert validator.validate([FirstPixels(3)]) == validator.validate([FirstPixels(3)])
