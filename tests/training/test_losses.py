"""Training losses, compared with timm, torch, scikit-learn and the loss of the network itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch.nn import functional

import levit
from levit.training.losses import Loss, balanced_class_weights, balanced_label_weights
from levit.training.option_groups import TeacherOptions
from levit.training.student import HeadLogits, read_logits
from tests.training.tiny import config, trained

CLASSES = 5
GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(8, CLASSES, generator=GENERATOR)
SECOND = torch.randn(8, CLASSES, generator=GENERATOR)
TEACHER = torch.randn(8, CLASSES, generator=GENERATOR) * 3
LABELS = torch.randint(0, CLASSES, (8,), generator=GENERATOR)
ONE_HOT = functional.one_hot(LABELS, CLASSES).float()
MIXED = 0.3 * ONE_HOT + 0.7 * ONE_HOT.flip(0)
SEVERAL = (torch.rand(8, CLASSES, generator=GENERATOR) > 0.6).float()
WEIGHTS = np.array([0.2, 3.0, 1.0, 0.5, 2.0], np.float32)


def make(*, distillation="hard", alpha=0.5, tau=1.0, **values):
    usual = {"label_smoothing": 0.0, "class_weights": None, "is_multi_label": False}
    options = TeacherOptions(distillation=distillation, alpha=alpha, tau=tau)
    return Loss(**{**usual, **values}, distillation=options)


def one_head(logits):
    return HeadLogits(logits, logits, None)


def two_heads():
    return HeadLogits((LOGITS + SECOND) / 2, LOGITS, SECOND)


def test_the_loss_of_mixed_labels_is_timms_loss_of_soft_targets():
    torch.testing.assert_close(make()(one_head(LOGITS), MIXED), SoftTargetCrossEntropy()(LOGITS, MIXED))


@pytest.mark.parametrize("smoothing", [0.05, 0.1, 0.5])
def test_label_smoothing_is_that_of_timm(smoothing):
    result = make(label_smoothing=smoothing)(one_head(LOGITS), ONE_HOT)
    torch.testing.assert_close(result, LabelSmoothingCrossEntropy(smoothing)(LOGITS, LABELS))


def test_label_smoothing_of_mixed_labels_is_the_mixture_of_both():
    both = [LabelSmoothingCrossEntropy(0.1)(LOGITS, labels) for labels in (LABELS, LABELS.flip(0))]
    result = make(label_smoothing=0.1)(one_head(LOGITS), MIXED)
    torch.testing.assert_close(result, 0.3 * both[0] + 0.7 * both[1])


def test_class_weights_are_those_of_torch_with_a_mean_over_images():
    result = make(class_weights=WEIGHTS)(one_head(LOGITS), ONE_HOT)
    each = functional.cross_entropy(LOGITS, LABELS, weight=torch.from_numpy(WEIGHTS), reduction="none")
    torch.testing.assert_close(result, each.mean())
    torch.testing.assert_close(result, functional.cross_entropy(LOGITS, ONE_HOT, weight=torch.from_numpy(WEIGHTS)))


@given(st.integers(1, 7), st.booleans(), st.floats(0, 0.5))
def test_the_mean_over_two_processes_is_that_of_one_process(first, is_weighted, smoothing):
    loss = make(class_weights=WEIGHTS if is_weighted else None, label_smoothing=smoothing)
    parts = [slice(0, first), slice(first, 8)]
    sizes = [first, 8 - first]
    result = sum(size * loss(one_head(LOGITS[part]), MIXED[part]) for size, part in zip(sizes, parts, strict=True)) / 8
    torch.testing.assert_close(result, loss(one_head(LOGITS), MIXED))


@pytest.fixture(scope="module")
def network():
    names = tuple(map(str, range(CLASSES)))
    return trained(levit.LevitForImageClassificationWithTeacher(config(names)))


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize(("alpha", "tau"), [(0.5, 1.0), (0.3, 2.0), (0.0, 1.0), (1.0, 3.0)])
def test_the_distillation_loss_is_that_of_the_network(network, kind, alpha, tau):
    network.config.distillation_type, network.config.problem_type = kind, None
    network.config.distillation_alpha, network.config.distillation_tau = alpha, tau
    pixels = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        output = network(pixels, labels=LABELS, teacher_logits=TEACHER)
    result = make(distillation=kind, alpha=alpha, tau=tau)(read_logits(output), ONE_HOT, TEACHER)
    torch.testing.assert_close(result, output.loss)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_the_distillation_loss_of_several_labels_is_that_of_the_network(network, kind):
    network.config.distillation_type, network.config.problem_type = kind, "multi_label_classification"
    network.config.distillation_alpha, network.config.distillation_tau = 0.4, 2.0
    with torch.no_grad():
        output = network(torch.randn(8, 3, 32, 32), labels=SEVERAL, teacher_logits=TEACHER)
    loss = make(distillation=kind, alpha=0.4, tau=2.0, is_multi_label=True)
    torch.testing.assert_close(loss(read_logits(output), SEVERAL, TEACHER), output.loss)


def test_the_class_that_a_teacher_predicts_is_not_smoothed():
    """As in the paper's code, where smoothing belongs to the criterion of the labels."""
    result = make(label_smoothing=0.2)(two_heads(), ONE_HOT, TEACHER)
    labels = functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.2)
    predicted = functional.cross_entropy(SECOND, TEACHER.argmax(dim=1))
    torch.testing.assert_close(result, (labels + predicted) / 2)


def test_both_heads_are_trained_on_the_labels_without_a_teacher():
    result = make(alpha=0.25)(two_heads(), ONE_HOT)
    expected = 0.75 * functional.cross_entropy(LOGITS, LABELS) + 0.25 * functional.cross_entropy(SECOND, LABELS)
    torch.testing.assert_close(result, expected)


def test_the_teacher_gets_no_gradient():
    teacher, second = TEACHER.clone().requires_grad_(), SECOND.clone().requires_grad_()
    make(distillation="soft")(HeadLogits(LOGITS, LOGITS, second), ONE_HOT, teacher).backward()
    assert teacher.grad is None
    assert second.grad.abs().sum() > 0


def test_the_loss_of_several_labels_is_binary_cross_entropy():
    result = make(is_multi_label=True)(one_head(LOGITS), SEVERAL)
    torch.testing.assert_close(result, functional.binary_cross_entropy_with_logits(LOGITS, SEVERAL))
    smoothed = make(is_multi_label=True, label_smoothing=0.1)(one_head(LOGITS), SEVERAL)
    expected = functional.binary_cross_entropy_with_logits(LOGITS, SEVERAL.clamp(0.05, 0.95))
    torch.testing.assert_close(smoothed, expected)
    weighted = make(is_multi_label=True, class_weights=np.stack([WEIGHTS, WEIGHTS[::-1]]))(one_head(LOGITS), SEVERAL)
    each = functional.binary_cross_entropy_with_logits(LOGITS, SEVERAL, reduction="none")
    absent, present = torch.from_numpy(WEIGHTS), torch.from_numpy(WEIGHTS).flip(0)
    torch.testing.assert_close(weighted, (each * torch.where(SEVERAL > 0, present, absent)).mean())


def test_the_labels_that_a_teacher_predicts_are_not_smoothed():
    result = make(is_multi_label=True, label_smoothing=0.2)(two_heads(), SEVERAL, TEACHER)
    labels = functional.binary_cross_entropy_with_logits(LOGITS, SEVERAL.clamp(0.1, 0.9))
    predicted = functional.binary_cross_entropy_with_logits(SECOND, (TEACHER > 0).float())
    torch.testing.assert_close(result, (labels + predicted) / 2)


def test_the_loss_is_computed_in_fp32():
    low = LOGITS.bfloat16()
    assert make()(one_head(low), MIXED).dtype == torch.float32
    torch.testing.assert_close(make()(one_head(low), MIXED), make()(one_head(low.float()), MIXED))


def test_class_weights_move_with_the_module_and_are_not_saved():
    loss = make(class_weights=WEIGHTS)
    assert loss.state_dict() == {}
    assert loss.to(torch.float64).class_weights.dtype == torch.float64


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8))
def test_balanced_class_weights_are_those_of_scikit_learn(counts):
    result = balanced_class_weights(np.array(counts))
    labels = np.repeat(np.arange(len(counts)), counts)
    np.testing.assert_allclose(result, compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels), 1e-6)
    assert result.dtype == np.float32
    assert np.average(result, weights=counts) == pytest.approx(1, rel=1e-5)


@given(st.lists(st.integers(1, 99), min_size=1, max_size=8))
def test_balanced_label_weights_are_those_of_scikit_learn_for_each_label(counts):
    result = balanced_label_weights(np.array(counts), 100)
    for count, weights in zip(counts, result.T, strict=True):
        has_it = np.arange(100) < count
        np.testing.assert_allclose(
            weights, compute_class_weight("balanced", classes=np.array([False, True]), y=has_it), 1e-6
        )


def test_a_label_of_all_images_or_of_none_has_weight_one():
    result = balanced_label_weights(np.array([0, 4, 2]), 4)
    np.testing.assert_allclose(result, [[1, 1, 1], [1, 1, 1]])


def test_a_class_without_images_has_the_mean_weight():
    weights = balanced_class_weights(np.array([2, 0, 6, 4, 4]))
    np.testing.assert_allclose(weights, [2, 1, 2 / 3, 1, 1], rtol=1e-6)
    values = {"class_weights": weights, "distillation": "hard", "alpha": 1.0, "has_unlabeled": True}
    unlabeled, teacher = torch.zeros(8, CLASSES), torch.eye(CLASSES)[[1] * 8]  # only the teacher predicts this class
    expected = make(**values | {"class_weights": None})(two_heads(), unlabeled, teacher)
    assert expected > 0
    torch.testing.assert_close(make(**values)(two_heads(), unlabeled, teacher), expected)


@pytest.mark.parametrize("distillation", ["hard", "soft"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_the_loss_of_an_image_without_a_label_is_that_of_the_teacher_alone(distillation, weights):
    values = {"label_smoothing": 0.1, "class_weights": weights, "distillation": distillation, "alpha": 0.3}
    targets = ONE_HOT.clone()
    targets[3:] = 0
    result = make(**values, has_unlabeled=True)(two_heads(), targets, TEACHER)
    both = make(**values)(two_heads(), ONE_HOT, TEACHER)
    labels_only = make(**values | {"alpha": 0.0})
    unlabeled = labels_only(HeadLogits(LOGITS[3:], LOGITS[3:], SECOND[3:]), ONE_HOT[3:], TEACHER[3:])
    torch.testing.assert_close(result, both - 0.7 * unlabeled * 5 / 8)


def test_labels_count_the_same_where_other_images_have_none():
    values = {"label_smoothing": 0.1}
    expected = make(**values)(two_heads(), MIXED, TEACHER)
    torch.testing.assert_close(make(**values, has_unlabeled=True)(two_heads(), MIXED, TEACHER), expected)


@pytest.mark.parametrize("distillation", ["hard", "soft"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_outliers_have_equal_targets_in_both_heads_whatever_the_teacher_predicts(distillation, weights):
    values = {"label_smoothing": 0.1, "class_weights": weights, "distillation": distillation, "alpha": 0.3}
    known, equal = 3, torch.full((5, CLASSES), 1 / CLASSES)
    targets = torch.cat([ONE_HOT, torch.zeros(8, 1)], dim=1)
    targets[known:] = torch.eye(CLASSES + 1)[-1]
    result = make(**values, has_outliers=True)(two_heads(), targets, TEACHER)

    def part(rows):
        return HeadLogits(*(logits[rows] for logits in two_heads()))

    labeled = make(**values)(part(slice(known)), ONE_HOT[:known], TEACHER[:known])
    if distillation == "soft":
        outliers = make(**values)(part(slice(known, None)), equal, torch.zeros(5, CLASSES))
    else:
        classes, distilled = (
            functional.cross_entropy(
                logits[known:], equal, weight=None if weights is None else torch.from_numpy(weights)
            )
            for logits in (LOGITS, SECOND)
        )
        outliers = 0.7 * classes + 0.3 * distilled
    torch.testing.assert_close(result, (known * labeled + 5 * outliers) / 8)


@pytest.mark.parametrize("distillation", ["hard", "soft"])
def test_a_teacher_that_is_certain_beside_outliers_has_the_loss_of_its_logits(distillation):
    certain = TEACHER * 100  # the softmax of some classes is 0 in float32
    expected = make(distillation=distillation)(two_heads(), ONE_HOT, certain)
    targets = torch.cat([ONE_HOT, torch.zeros(8, 1)], dim=1)
    torch.testing.assert_close(
        make(distillation=distillation, has_outliers=True)(two_heads(), targets, certain), expected
    )
    targets[3:] = torch.eye(CLASSES + 1)[-1]
    assert make(distillation=distillation, has_outliers=True)(two_heads(), targets, certain).isfinite()


def test_a_mixture_with_an_outlier_has_its_share_of_equal_targets():
    targets = torch.cat([0.3 * ONE_HOT, torch.full((8, 1), 0.7)], dim=1)
    result = make(has_outliers=True)(one_head(LOGITS), targets)
    equal = functional.cross_entropy(LOGITS, torch.full((8, CLASSES), 1 / CLASSES))
    torch.testing.assert_close(result, 0.3 * functional.cross_entropy(LOGITS, ONE_HOT) + 0.7 * equal)


def test_labels_count_the_same_where_other_images_are_outliers():
    values, none = {"label_smoothing": 0.1}, torch.zeros(8, 1)
    expected = make(**values)(two_heads(), MIXED, TEACHER)
    result = make(**values, has_outliers=True)(two_heads(), torch.cat([MIXED, none], dim=1), TEACHER)
    torch.testing.assert_close(result, expected)
