"""Training loss: cross-entropy of mixed, smoothed and weighted labels, and distillation."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from levit.model.distillation import distillation_loss
from levit.training.option_groups import TeacherOptions
from levit.training.student import HeadLogits


class Loss(nn.Module):
    """Cross-entropy, or binary cross-entropy of several labels; with two heads the distillation loss.

    The distillation loss is that of the paper (section 5.1). The loss is the mean over images: the weight of an image
    does not depend on the classes of the other images in its step, so that the mean over processes is that of one
    process.

    Args:
        label_smoothing: smoothing of the labels, in [0, 1); targets of a teacher are not smoothed.
        class_weights: float32 [classes]; or of several labels float32 [2, classes], weights where a label is absent and
            where it is present; None for equal weights.
        is_multi_label: whether an image may have any number of labels.
        distillation: kind, weight and temperature of distillation; see `levit.model.distillation.distillation_loss`.
        has_unlabeled: whether images may have no label; then their only loss is that of the teacher.
        has_outliers: whether there are out-of-distribution images. Both heads are trained to give them equal scores
            of all classes, whatever the teacher predicts (outlier exposure: Hendrycks et al., arXiv 1812.04606).

    Attributes:
        has_unlabeled: the argument.
    """

    def __init__(
        self,
        *,
        label_smoothing: float,
        class_weights: NDArray[np.float32] | None,
        is_multi_label: bool,
        distillation: TeacherOptions,
        has_unlabeled: bool = False,
        has_outliers: bool = False,
    ) -> None:
        super().__init__()
        self._label_smoothing, self._is_multi_label = label_smoothing, is_multi_label
        self._distillation, self.has_unlabeled, self._has_outliers = distillation, has_unlabeled, has_outliers
        weights = None if class_weights is None else torch.from_numpy(class_weights)
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: HeadLogits, targets: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """Compute the training loss.

        Args:
            logits: those of the student.
            targets: float32 [B, classes], or with outliers [B, classes + 1]: the share of each class, or 1 for each
                label of an image; in the last column the share of outliers.
            teacher_logits: float32 [B, classes]; None without a teacher.

        Returns:
            A scalar.
        """
        outliers = None
        if self._has_outliers:
            targets, outliers = targets[:, :-1], targets[:, -1:]
        targets = self._smooth(targets)
        loss_function = self._cross_entropy
        if outliers is not None:
            targets = targets + outliers / targets.shape[-1]
            loss_function = partial(self._cross_entropy, outliers=outliers)
            if teacher_logits is not None:
                leveled = _level(teacher_logits.float().softmax(dim=-1), outliers).log()
                teacher_logits = torch.where(outliers > 0, leveled, teacher_logits.float())
        if logits.distillation_logits is None:
            return loss_function(targets, logits.cls_logits)
        return distillation_loss(
            cls_logits=logits.cls_logits,
            distillation_logits=logits.distillation_logits,
            labels=targets,
            teacher_logits=teacher_logits,
            loss_function=loss_function,
            kind=self._distillation.distillation,
            alpha=self._distillation.alpha,
            tau=self._distillation.tau,
            is_multi_label=self._is_multi_label,
        )

    def _smooth(self, targets: Tensor) -> Tensor:
        """Smooth labels; targets of a teacher do not pass through here."""
        choices = 2 if self._is_multi_label else targets.shape[-1]
        if self.has_unlabeled or self._has_outliers:  # targets of an image without a label are 0, before and after
            share = targets.sum(dim=-1, keepdim=True)
            return targets * (1 - self._label_smoothing) + share * self._label_smoothing / choices
        return targets * (1 - self._label_smoothing) + self._label_smoothing / choices

    def _cross_entropy(self, targets: Tensor, logits: Tensor, *, outliers: Tensor | None = None) -> Tensor:
        """Mean loss of targets, float [B, classes], or of the classes that a teacher predicts, int64 [B].

        The share of `outliers`, [B, 1], is contained in the targets, but not in the predicted classes.
        """
        logits = logits.float()
        if self._is_multi_label:
            if self.class_weights is None:
                return functional.binary_cross_entropy_with_logits(logits, targets)
            absent, present = self.class_weights
            losses = present * targets * functional.logsigmoid(logits)
            return -(losses + absent * (1 - targets) * functional.logsigmoid(-logits)).mean()
        if not targets.is_floating_point():
            targets = functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)
            if outliers is not None:
                targets = _level(targets, outliers)
        return functional.cross_entropy(logits, targets, weight=self.class_weights)


def _level(scores: Tensor, outliers: Tensor) -> Tensor:
    """Mix scores, [B, classes], with equal scores of all classes, whose share is `outliers`, [B, 1]."""
    return scores * (1 - outliers) + outliers / scores.shape[-1]


def balanced_class_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights that give every class the same total weight; their mean over all images is 1 (scikit-learn's "balanced").

    Args:
        counts: images of each class, int64 [classes].

    Returns:
        float32 [classes]; 1 for a class without images, which only a teacher predicts.

    Examples:
        >>> balanced_class_weights(np.array([1, 3])).tolist()
        [2.0, 0.666...]
    """
    present = counts > 0
    weights = np.ones(len(counts), np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def balanced_label_weights(counts: NDArray[np.int64], num_images: int) -> NDArray[np.float32]:
    """Weights that give the images with a label, and those without it, half of the weight each, for every label.

    Args:
        counts: images with each label, int64 [classes].
        num_images: number of all images.

    Returns:
        float32 [2, classes]: the weight where a label is absent, and where it is present; 1 for a label that all images
        have, or none.

    Examples:
        >>> balanced_label_weights(np.array([1, 4]), 4).tolist()
        [[0.666..., 1.0], [2.0, 1.0]]
    """
    both = np.stack([num_images - counts, counts])
    return np.where(both.all(axis=0), num_images / (2 * np.maximum(both, 1)), 1).astype(np.float32)
