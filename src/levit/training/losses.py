"""What is minimized: of labels that may be mixed, smoothed and weighted, and of what a teacher says."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from levit.model.distillation import distillation_loss
from levit.training.student import HeadLogits


class Loss(nn.Module):
    """Cross-entropy, or binary cross-entropy of several labels; with a teacher that of the paper (section 5.1).

    Every image counts the same, whatever classes the others of its step have, so that the mean over processes is that
    of one process.

    Args:
        label_smoothing: of the labels, not of what a teacher decides.
        weights: of the classes, float [classes]; of several labels float [2, classes], where they are not there and
            where they are; or None for the same for all.
        is_multi_label: whether each label is decided by itself.
        kind, alpha, tau: of distillation; see `levit.model.distillation.distillation_loss`.
    """

    def __init__(
        self,
        *,
        label_smoothing: float,
        weights: NDArray[np.float32] | None,
        is_multi_label: bool,
        kind: str,
        alpha: float,
        tau: float,
    ) -> None:
        super().__init__()
        self._smoothing, self._is_multi_label = label_smoothing, is_multi_label
        self._kind, self._alpha, self._tau = kind, alpha, tau
        self.register_buffer("weights", None if weights is None else torch.from_numpy(weights), persistent=False)

    def forward(self, logits: HeadLogits, targets: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """A scalar.

        Args:
            logits: of the student.
            targets: float [B, classes]: the share of each class, or which labels there are.
            teacher_logits: [B, classes].
        """
        targets = self._smoothed(targets)
        if logits.distillation_logits is None:
            return self._cross_entropy(targets, logits.cls_logits)
        return distillation_loss(
            cls_logits=logits.cls_logits,
            distillation_logits=logits.distillation_logits,
            labels=targets,
            teacher_logits=teacher_logits,
            loss_function=self._cross_entropy,
            kind=self._kind,
            alpha=self._alpha,
            tau=self._tau,
            is_multi_label=self._is_multi_label,
        )

    def of_labels(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Without a teacher, of one head: a scalar.

        Args:
            targets: float [B, classes].
            logits: [B, classes].
        """
        return self._cross_entropy(self._smoothed(targets), logits)

    def _smoothed(self, targets: Tensor) -> Tensor:
        """What a teacher decides does not come here."""
        choices = 2 if self._is_multi_label else targets.shape[-1]
        return targets * (1 - self._smoothing) + self._smoothing / choices

    def _cross_entropy(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Of shares or decisions, float [B, classes]; or of a teacher's decisions, int64 [B]."""
        weights = self.weights if isinstance(self.weights, Tensor) else None
        logits = logits.float()
        if self._is_multi_label:
            if weights is None:
                return functional.binary_cross_entropy_with_logits(logits, targets)
            absent, present = weights
            losses = present * targets * functional.logsigmoid(logits)
            return -(losses + absent * (1 - targets) * functional.logsigmoid(-logits)).mean()
        if not targets.is_floating_point():
            targets = functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)
        return functional.cross_entropy(logits, targets, weight=weights)


def balanced_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights with which every class counts the same, in the mean over all images 1 (scikit-learn's "balanced").

    Args:
        counts: images of each class; 0 gets weight 0.

    Examples:
        >>> balanced_weights(np.array([1, 3])).tolist()
        [2.0, 0.666...]
    """
    present = counts > 0
    weights = np.zeros(len(counts), np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def balanced_label_weights(counts: NDArray[np.int64], images: int) -> NDArray[np.float32]:
    """Weights with which every label counts the same, and the images that have it as much as all others together.

    Args:
        counts: images that have each label.
        images: all of them.

    Returns:
        [2, classes]: where a label is not there, and where it is; of a label that all have, or none, 1.

    Examples:
        >>> balanced_label_weights(np.array([1, 4]), 4).tolist()
        [[0.666..., 1.0], [2.0, 1.0]]
    """
    both = np.stack([images - counts, counts])
    return np.where(both.all(axis=0), images / (2 * np.maximum(both, 1)), 1).astype(np.float32)
