"""How good a network is, against scikit-learn."""

from math import inf, isnan, nan

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, top_k_accuracy_score
from torch import nn

from levit.errors import DataError
from levit.training.data_loader import Batch
from levit.training.losses import Loss
from levit.training.validation import METRICS, rank, validate


@pytest.fixture(scope="module")
def accelerator():
    AcceleratorState._reset_state()  # of a run in this process, with another precision
    return Accelerator(cpu=True, mixed_precision="no")


class Known(nn.Module):
    """Answers with the first pixels of an image."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, pixel_values):
        assert not self.training
        return pixel_values.flatten(1)[:, : self.classes]


def batches_of(logits, targets, size=4):
    for start in range(0, len(logits), size):
        part = torch.from_numpy(logits[start : start + size])
        pixels = torch.zeros(len(part), 3, 4, 4)
        pixels.view(len(part), -1)[:, : part.shape[1]] = part
        yield Batch(pixels, torch.from_numpy(targets[start : start + size]), [])


def judge(accelerator, logits, targets, *, is_multi_label=False, smoothing=0.0, weights=None, batches=None):
    classes = logits.shape[1]
    loss = Loss(
        label_smoothing=smoothing, weights=weights, is_multi_label=is_multi_label, kind="hard", alpha=0.5, tau=1.0
    )
    given_batches = batches_of(logits, targets) if batches is None else batches
    networks = [Known(classes).train()]
    return validate(networks, given_batches, loss, accelerator, classes=classes, is_multi_label=is_multi_label)[0]


def one_hot(labels, classes):
    return np.eye(classes, dtype=np.float32)[labels]


def draw(seed, count, classes, *, present=None):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, present or classes, count)
    logits = generator.normal(size=(count, classes)).astype(np.float32) + 1.5 * one_hot(labels, classes)
    return labels, logits


@given(seed=st.integers(0, 999), count=st.integers(1, 30), classes=st.integers(2, 9))
def test_one_label_is_judged_as_by_scikit_learn(accelerator, seed, count, classes):
    labels, logits = draw(seed, count, classes, present=max(2, classes - 2))
    found = judge(accelerator, logits, one_hot(labels, classes))
    answers = logits.argmax(axis=1)
    assert set(found) == {"loss", "top1", "top5", "f1"}
    assert found["top1"] == pytest.approx(100 * accuracy_score(labels, answers))
    assert found["f1"] == pytest.approx(100 * f1_score(labels, answers, average="macro", zero_division=0))
    if classes > 5:
        top5 = top_k_accuracy_score(labels, logits, k=5, labels=np.arange(classes))
        assert found["top5"] == pytest.approx(100 * top5)
    else:
        assert found["top5"] == 100
    expected = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    assert found["loss"] == pytest.approx(float(expected), rel=1e-5)


@given(seed=st.integers(0, 999), count=st.integers(1, 30), classes=st.integers(1, 6))
def test_several_labels_are_judged_as_by_scikit_learn(accelerator, seed, count, classes):
    generator = np.random.default_rng(seed)
    targets = (generator.random((count, classes)) < 0.4).astype(np.float32)
    targets[0, 0] = 1
    logits = (generator.normal(size=(count, classes)) + targets).astype(np.float32)
    found = judge(accelerator, logits, targets, is_multi_label=True)
    present = targets.any(axis=0)
    assert set(found) == {"loss", "map", "f1"}
    expected = average_precision_score(targets[:, present], logits[:, present], average="macro")
    assert found["map"] == pytest.approx(100 * expected)
    counted = np.flatnonzero(present | (logits >= 0).any(axis=0))
    scores = [f1_score(targets[:, label], logits[:, label] >= 0, zero_division=0) for label in counted]
    assert found["f1"] == pytest.approx(100 * np.mean(scores))


def test_the_loss_is_the_one_that_is_minimized(accelerator):
    labels, logits = draw(0, 11, 4)
    weights = np.array([1.0, 2.0, 0.5, 3.0], np.float32)
    found = judge(accelerator, logits, one_hot(labels, 4), smoothing=0.1, weights=weights)
    expected = nn.functional.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(one_hot(labels, 4)), torch.from_numpy(weights), label_smoothing=0.1
    )
    assert found["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_the_size_of_batches_does_not_matter(accelerator):
    labels, logits = draw(1, 13, 7)
    targets = one_hot(labels, 7)
    found = [judge(accelerator, logits, targets, batches=batches_of(logits, targets, size)) for size in (1, 4, 13)]
    assert found[0] == pytest.approx(found[1])
    assert found[0] == pytest.approx(found[2])


class Contrary(Known):
    """Answers with what is the least likely."""

    def forward(self, pixel_values):
        return -super().forward(pixel_values)


@pytest.mark.parametrize("is_multi_label", [False, True])
def test_several_networks_see_the_images_once_and_are_judged_each_by_itself(accelerator, is_multi_label):
    labels, logits = draw(3, 9, 4)
    targets = one_hot(labels, 4)
    loss = Loss(label_smoothing=0.0, weights=None, is_multi_label=is_multi_label, kind="hard", alpha=0.5, tau=1.0)
    once = iter(list(batches_of(logits, targets)))
    found = validate([Known(4), Contrary(4)], once, loss, accelerator, classes=4, is_multi_label=is_multi_label)
    alone = [judge(accelerator, values, targets, is_multi_label=is_multi_label) for values in (logits, -logits)]
    assert found == alone
    assert found[0]["f1"] > found[1]["f1"]


def empty(classes, bad="1.png"):
    return Batch(torch.zeros(0), torch.zeros(0, classes), [(bad, "cannot be decoded")])


def test_batches_of_bad_images_are_told_and_passed_over(accelerator):
    labels, logits = draw(2, 6, 3)
    targets, told = one_hot(labels, 3), []
    loss = Loss(label_smoothing=0.0, weights=None, is_multi_label=False, kind="hard", alpha=0.5, tau=1.0)
    [found] = validate(
        [Known(3)], [empty(3), *batches_of(logits, targets), empty(3, "2.png")], loss, accelerator,
        classes=3, is_multi_label=False, told=lambda batch: told.extend(name for name, _ in batch.bad),
    )  # fmt: skip
    assert found == judge(accelerator, logits, targets)
    assert told == ["1.png", "2.png"]


@pytest.mark.parametrize("is_multi_label", [False, True])
@pytest.mark.parametrize("batches", [[], [empty(3)]])
def test_where_nothing_could_be_judged_that_is_said(accelerator, is_multi_label, batches):
    with pytest.raises(DataError, match=r"^none of the images to choose by can be read: mend them"):
        judge(accelerator, np.zeros((0, 3), np.float32), None, is_multi_label=is_multi_label, batches=batches)


def test_several_labels_of_which_none_occurs_have_no_precision(accelerator):
    found = judge(accelerator, np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32), is_multi_label=True)
    assert isnan(found["map"])
    assert isnan(found["f1"])
    assert found["loss"] > 0


def test_a_network_that_answers_nan_gives_a_loss_that_is_none(accelerator):
    found = judge(accelerator, np.full((3, 2), nan, np.float32), one_hot([0, 1, 0], 2))
    assert isnan(found["loss"])


def test_a_network_that_answers_nan_to_several_labels_is_never_the_best(accelerator):
    targets = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    found = judge(accelerator, np.full((3, 2), nan, np.float32), targets, is_multi_label=True)
    assert isnan(found["loss"])
    assert rank(found, "loss") == (-inf, -inf)


def test_no_gradient_is_kept(accelerator):
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    loss = Loss(label_smoothing=0.0, weights=None, is_multi_label=False, kind="hard", alpha=0.5, tau=1.0)
    labels, logits = draw(2, 6, 3)
    batches = batches_of(logits, one_hot(labels, 3))
    validate([network], batches, loss, accelerator, classes=3, is_multi_label=False)
    assert all(one.grad is None for one in network.parameters())
    assert not network.training


@pytest.mark.parametrize("metric", METRICS)
def test_better_is_more_but_of_the_loss(metric):
    higher, lower = (1.0, 0.5) if metric != "loss" else (0.5, 1.0)
    assert rank({"loss": 0.3, metric: higher}, metric) > rank({"loss": 0.3, metric: lower}, metric)


def test_of_equals_the_lower_loss_is_better():
    worse, better = ({"top1": 50.0, "loss": loss, "ema_top1": 40.0, "ema_loss": 0.1} for loss in (0.7, 0.6))
    assert rank(better, "top1") > rank(worse, "top1") > rank(better, "top1", "ema_")


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_no_number_is_never_better(metric):
    assert rank({"loss": nan, metric: nan}, metric) < rank(
        {"loss": 1e9, metric: -1e9 if metric != "loss" else 1e9}, metric
    )
