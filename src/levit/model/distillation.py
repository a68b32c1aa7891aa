"""The loss of a network with two heads: one learns from the labels, the other from a teacher."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from torch import Tensor
from torch.nn import functional

from levit.errors import ConfigError

LossFunction = Callable[[Tensor, Tensor], Tensor]

# As the paper's code names and sets them.
DISTILLATION_DEFAULTS: dict[str, Any] = {
    "distillation_type": "hard",
    "distillation_alpha": 0.5,
    "distillation_tau": 1.0,
}


def check_distillation(kind: object, alpha: object, tau: object) -> None:
    """Raise unless these are settings of `distillation_loss`.

    Raises:
        ConfigError: one is not; the message names the field of the configuration.
    """
    if kind not in ("hard", "soft"):
        raise ConfigError(f'distillation_type is {kind!r}: use "hard" or "soft"')
    if not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise ConfigError(f"distillation_alpha is {alpha!r}: it must be from 0 to 1")
    if not isinstance(tau, int | float) or not 0 < tau < inf:
        raise ConfigError(f"distillation_tau is {tau!r}: it must be above 0")


def distillation_loss(
    *,
    cls_logits: Tensor,
    distillation_logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor | None,
    loss_function: LossFunction,
    kind: str,
    alpha: float,
    tau: float,
    is_multi_label: bool,
) -> Tensor:
    """The loss of the paper (section 5.1; Touvron et al., arXiv 2012.12877, section 4).

    `(1 - alpha) * loss(cls_logits, labels) + alpha * loss(distillation_logits, teacher)`, where the second loss is

    - "hard": the same as the first, with the teacher's decision in place of the labels;
    - "soft": the Kullback-Leibler divergence of the student's distribution from the teacher's, both at temperature
      `tau`, times tau²: the sum over classes and mean over images of the paper. (The paper's code divides by the
      number of classes too, which makes it a thousand times smaller on ImageNet.)

    Without a teacher the labels take its place, so that both heads learn.

    Args:
        cls_logits: [B, classes], of the head that learns from the labels.
        distillation_logits: [B, classes], of the head that learns from the teacher.
        labels: what `loss_function` takes.
        teacher_logits: [B, classes], of the teacher for the same images; no gradient flows into them.
        loss_function: takes labels and logits.
        kind: "hard" or "soft".
        alpha: the teacher's share of the loss, 0 to 1.
        tau: temperature of the soft loss.
        is_multi_label: whether an image may have several labels, on each of which the teacher decides.

    Returns:
        A scalar.

    Raises:
        ConfigError: teacher_logits has another shape than the student's, or the network gives one number.
    """
    cls_loss = loss_function(labels, cls_logits)
    if teacher_logits is None:
        return (1 - alpha) * cls_loss + alpha * loss_function(labels, distillation_logits)
    if teacher_logits.shape != distillation_logits.shape:
        raise ConfigError(
            f"teacher_logits has shape {list(teacher_logits.shape)}, the network's logits "
            f"{list(distillation_logits.shape)}: the teacher must know the same classes"
        )
    if is_multi_label and distillation_logits.shape[-1] == 1:
        raise ConfigError("teacher_logits: there is no distillation of one number (regression): give labels alone")
    teacher = teacher_logits.detach()
    if kind == "soft":
        loss = _divergence(distillation_logits, teacher, tau, independent=is_multi_label)
    elif is_multi_label:
        loss = loss_function((teacher > 0).to(labels.dtype), distillation_logits)
    else:
        loss = loss_function(teacher.argmax(dim=-1), distillation_logits)
    return (1 - alpha) * cls_loss + alpha * loss


def _divergence(student: Tensor, teacher: Tensor, tau: float, *, independent: bool) -> Tensor:
    """Between softmax distributions, or between the independent decisions of several labels an image."""
    student, teacher = student.float() / tau, teacher.float() / tau
    if independent:
        decided = teacher.sigmoid()
        cross_entropy = functional.binary_cross_entropy_with_logits(student, decided)
        return tau**2 * (cross_entropy - functional.binary_cross_entropy_with_logits(teacher, decided))
    divergence = functional.kl_div(
        student.log_softmax(dim=-1), teacher.log_softmax(dim=-1), reduction="batchmean", log_target=True
    )
    return tau**2 * divergence
