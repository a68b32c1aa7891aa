"""Heads that start as a logistic regression, compared with scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import levit
from levit.data.open_data import open_data
from levit.errors import ConfigError
from levit.training.indexed_images import IndexedImages, index_images
from levit.training.linear_probe import fit_logistic_regression, start_heads
from levit.training.options import TrainingOptions
from levit.training.student import read_logits
from levit.training.train import train
from tests.training.tiny import CLASSES, predict, save_levit


@pytest.fixture
def images(photos: Path, tmp_path: Path) -> IndexedImages:
    """The photos of three classes."""
    data = open_data(photos)
    return index_images(data, tmp_path / "copy", classes=data.classes, class_indices=range(3))


def expected_logits(student, images: IndexedImages) -> tuple[NDArray[np.float64], torch.Tensor]:
    """Decisions of scikit-learn on the pooled features of the images, and their pixels."""
    from levit.training.augmentation import EvaluationTransform
    from levit.training.sampler import SampleIndex

    transform = EvaluationTransform(student.preprocessing)
    pixels = torch.stack([transform(images.image(n), SampleIndex(0, n, 0)) for n in range(len(images))])
    with torch.no_grad():
        features = student.network.eval().levit(pixels).pooler_output.double().numpy()
    scaled = StandardScaler().fit_transform(features)
    labels = [images.labels(number)[0] for number in range(len(images))]
    model = LogisticRegression(C=0.01, tol=1e-9, max_iter=10_000).fit(scaled, labels)
    return model.decision_function(scaled), pixels


@pytest.mark.parametrize("num_classes", [3, 5])
def test_the_regression_is_that_of_scikit_learn(num_classes: int) -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(40, 7)), np.arange(40) % num_classes
    expected = LogisticRegression(C=0.01, tol=1e-9, max_iter=10_000).fit(features, labels)
    weight, bias = fit_logistic_regression(torch.from_numpy(features), torch.from_numpy(labels), num_classes)
    np.testing.assert_allclose(weight, expected.coef_, atol=1e-5)
    np.testing.assert_allclose(bias - bias.mean(), expected.intercept_ - expected.intercept_.mean(), atol=1e-5)


def test_a_class_without_images_does_not_change_the_regression_and_can_be_predicted() -> None:
    generator = np.random.default_rng(0)
    features, occurring = generator.normal(size=(40, 7)), np.array([1, 2, 4])
    labels = occurring[np.arange(40) % 3]
    expected = LogisticRegression(C=0.01, tol=1e-9, max_iter=10_000).fit(features, labels)
    weight, bias = fit_logistic_regression(torch.from_numpy(features), torch.from_numpy(labels), 6)
    np.testing.assert_allclose(weight[occurring], expected.coef_, atol=1e-5)
    fitted = bias[occurring] - bias[occurring].mean()
    np.testing.assert_allclose(fitted, expected.intercept_ - expected.intercept_.mean(), atol=1e-5)
    for absent in (0, 3, 5):
        assert not weight[absent].any()
        assert bias[absent] == bias[occurring].min()


@pytest.mark.parametrize("has_batch_norm", [False, True])
def test_the_head_of_a_class_without_images_starts_near_the_others(
    build, images: IndexedImages, tmp_path: Path, has_batch_norm: bool
) -> None:
    save_levit(tmp_path / "base", ("gnu", "yak"), head_batch_norm=has_batch_norm)
    student = build(tmp_path / "base", (*CLASSES, "emu"), new_heads="linear-probe")
    start_heads(student, images)
    expected, pixels = expected_logits(student, images)
    logits = predict(student.network, pixels).double().numpy()
    centered = logits[:, :3] - logits[:, :3].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(centered, expected - expected.mean(axis=1, keepdims=True), atol=1e-3)
    np.testing.assert_allclose(logits[:, 3], logits[0, 3], atol=1e-5)
    assert logits[:, 3].max() > logits[:, :3].min() - 1


@pytest.mark.parametrize("has_teacher", [False, True])
def test_all_heads_predict_what_the_regression_predicts(
    build, network: Path, images: IndexedImages, has_teacher: bool
) -> None:
    teacher = {"teacher": str(network)} if has_teacher else {}
    student = build(network, new_heads="linear-probe", **teacher)
    assert student.has_new_heads
    start_heads(student, images)
    expected, pixels = expected_logits(student, images)
    with torch.no_grad():
        logits = read_logits(student.network(pixels))
    heads = [logits.cls_logits, *([logits.distillation_logits] if has_teacher else [])]
    for head in heads:
        centered = head.double().numpy() - head.double().numpy().mean(axis=1, keepdims=True)
        np.testing.assert_allclose(centered, expected - expected.mean(axis=1, keepdims=True), atol=1e-3)


def test_heads_without_a_batch_norm_contain_the_scale(build, images: IndexedImages, tmp_path: Path) -> None:
    config = levit.LevitConfig(
        image_size=32, hidden_sizes=[16, 24, 32], num_attention_heads=[1, 2, 2], depths=[1, 1, 1], key_dim=[8, 8, 8],
        head_batch_norm=False, num_labels=5,
    )  # fmt: skip
    levit.LevitForImageClassification(config).save_pretrained(tmp_path / "plain")
    student = build(tmp_path / "plain", new_heads="linear-probe")
    start_heads(student, images)
    expected, pixels = expected_logits(student, images)
    with torch.no_grad():
        logits = student.network(pixels).logits.double().numpy()
    np.testing.assert_allclose(
        logits - logits.mean(axis=1, keepdims=True), expected - expected.mean(axis=1, keepdims=True), atol=1e-3
    )


def test_trained_heads_of_the_same_classes_are_kept(build, checkpoint: Path) -> None:
    assert not build(checkpoint, new_heads="linear-probe").has_new_heads
    assert not build("levit-128s", from_scratch=True).has_new_heads


def test_a_run_starts_from_the_regression(run_options: TrainingOptions, capsys: pytest.CaptureFixture[str]) -> None:
    """With a learning rate of almost zero, it is what remains."""
    values = {"epochs": 1, "lr": 1e-9, "min_lr": 0.0, "warmup_lr": 0.0, "ema": 0.0, "freeze_batch_norm": True}
    accuracies = {
        kind: train(run_options.with_values(**values, new_heads=kind, out=f"{run_options.run.out}-{kind}")).best
        for kind in ("random", "linear-probe")
    }
    assert accuracies["linear-probe"] > max(0.8, accuracies["random"])
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("new heads: logistic regression of the features of 48 training images") == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": "timm/resnet10t"},
            "new_heads is not for timm/resnet10t, which is not a LeViT: leave out `new_heads`",
        ),
        ({"from_scratch": True}, "new_heads is linear-probe, which has no effect on random weights"),
    ],
)
def test_the_option_without_effect_is_refused(build, network: Path, values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        build(**{"model": network, "new_heads": "linear-probe"} | values)


def test_images_with_several_labels_have_no_regression(build, network: Path) -> None:
    with pytest.raises(ConfigError, match=r"^new_heads is 'linear-probe', which needs one label for each image"):
        build(network, CLASSES, is_multi_label=True, new_heads="linear-probe")
