"""Linear probe: new heads start as a logistic regression of the features of the training images.

With few images, fine-tuning from random heads changes the features before the heads are of use (Kumar et al., arXiv
2202.10054).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from levit.errors import ImageError
from levit.model.image_classification import LevitForImageClassification, LevitForImageClassificationWithTeacher
from levit.training.augmentation import EvaluationTransform
from levit.training.indexed_images import IndexedImages
from levit.training.sampler import SampleIndex
from levit.training.student import Student

_STRENGTH = 0.01  # of the data compared with the L2 penalty: `C` of scikit-learn
_BATCH_SIZE = 32
_MAX_ITERATIONS = 200

Levit = LevitForImageClassification | LevitForImageClassificationWithTeacher


def start_heads(student: Student, images: IndexedImages) -> None:
    """Set the heads of a LeViT to a logistic regression of its features; other weights stay as they are.

    The regression is that of scikit-learn with standardized features and C = 0.01.

    Args:
        student: the network, on the CPU.
        images: training images with one label each; those without a label and unreadable ones are left out.
    """
    network = student.network
    if not isinstance(network, Levit):
        raise TypeError(f"{type(network).__name__} is not a LeViT")
    features, labels = _compute_features(student, network, images)
    if not len(labels):
        return
    mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0).clamp_min(1e-6)
    weight, bias = fit_logistic_regression((features - mean) / deviation, labels, len(student.classes))
    heads = [network.classifier]
    if isinstance(network, LevitForImageClassificationWithTeacher):
        heads.append(network.classifier_distill)
    for head in heads:
        _set_head(head, weight, bias, mean, deviation)


def fit_logistic_regression(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression with an L2 penalty, without one of the intercept.

    A class that does not occur has weights of 0 and the smallest intercept of the others: fitted, its intercept, which
    has no penalty, would go towards minus infinity.

    Args:
        features: float64 [N, channels], standardized.
        labels: int64 [N].
        num_classes: number of classes.

    Returns:
        Weights, float64 [classes, channels], and intercepts, float64 [classes].

    Examples:
        >>> features = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        >>> weight, bias = fit_logistic_regression(features, torch.tensor([0, 1]), 2)
        >>> bool((features @ weight.T + bias).argmax(dim=1).tolist() == [0, 1])
        True
    """
    occurring, targets = labels.unique(return_inverse=True)
    weight = torch.zeros(len(occurring), features.shape[1], dtype=features.dtype, requires_grad=True)
    bias = torch.zeros(len(occurring), dtype=features.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=_MAX_ITERATIONS, tolerance_grad=1e-9, tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(functional.linear(features, weight, bias), targets, reduction="sum")
        total = weight.square().sum() / 2 + _STRENGTH * loss
        total.backward()
        return total

    optimizer.step(objective)
    all_weights = weight.new_zeros(num_classes, features.shape[1])
    all_biases = bias.detach().min().repeat(num_classes)
    all_weights[occurring], all_biases[occurring] = weight.detach(), bias.detach()
    return all_weights, all_biases


def _compute_features(student: Student, network: Levit, images: IndexedImages) -> tuple[Tensor, Tensor]:
    """Pooled features of labeled images, float64 [N, channels], and their labels, int64 [N]."""
    was_training = network.training
    network.eval()
    features: list[Tensor] = []
    labels: list[int] = []
    with torch.inference_mode():
        for pixels, of_batch in _batches(student, images):
            features.append(network.levit(pixels).pooler_output.double())
            labels.extend(of_batch)
    network.train(was_training)
    return torch.cat(features).clone() if features else torch.zeros(0, 0), torch.tensor(labels)


def _batches(student: Student, images: IndexedImages) -> Iterator[tuple[Tensor, list[int]]]:
    transform = EvaluationTransform(student.preprocessing)
    pixels: list[Tensor] = []
    labels: list[int] = []
    for index in range(len(images)):
        if len(of_image := images.labels(index)) != 1:
            continue
        try:
            pixels.append(transform(images.image(index), SampleIndex(0, index, 0)))
        except ImageError:  # training reports it
            continue
        labels.append(of_image[0])
        if len(labels) == _BATCH_SIZE:
            yield torch.stack(pixels), labels
            pixels, labels = [], []
    if labels:
        yield torch.stack(pixels), labels


def _set_head(head: nn.Module, weight: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor) -> None:
    """Set a linear layer, and the batch norm before it, which standardizes, or without one also its scale."""
    linear, norm = head.linear, getattr(head, "batch_norm", None)
    assert isinstance(linear, nn.Linear)  # noqa: S101
    with torch.no_grad():
        if isinstance(norm, nn.BatchNorm1d):
            norm.reset_parameters()
            assert norm.running_mean is not None and norm.running_var is not None  # noqa: S101, PT018
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(deviation.square())
            weight = weight * (1 + norm.eps / deviation.square()).sqrt()  # which the batch norm adds to the variance
        else:
            weight = weight / deviation
            bias = bias - weight @ mean
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
