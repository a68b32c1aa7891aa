"""Distillation loss of a network with two heads: one trained on labels, the other on the logits of a teacher."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from levit.errors import ConfigError

LossFunction = Callable[[Tensor, Tensor], Tensor]


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
    """Distillation loss of the paper (section 5.1; Touvron et al., arXiv 2012.12877, section 4).

    `(1 - alpha) * loss(cls_logits, labels) + alpha * loss(distillation_logits, teacher)`, where the second loss is

    - "hard": the loss function of the first term, with the teacher's predicted classes as labels;
    - "soft": tau² times the Kullback-Leibler divergence of the student's distribution from the teacher's, both at
      temperature tau: the sum over classes and the mean over images, as in the paper. (The paper's code also divides
      by the number of classes, which makes the term a thousand times smaller on ImageNet.) Classes that the teacher
      excludes, by a logit of minus infinity, have no part in it.

    Without a teacher both heads are trained on the labels.

    Args:
        cls_logits: [B, classes], of the head that is trained on the labels.
        distillation_logits: [B, classes], of the head that is trained on the teacher.
        labels: targets of `loss_function`.
        teacher_logits: [B, classes], the teacher's logits for the same images, which receive no gradient; or None.
        loss_function: called with labels and logits, returns a scalar.
        kind: "hard" or "soft".
        alpha: weight of the second term, in [0, 1].
        tau: temperature of the soft loss, above 0.
        is_multi_label: treat classes as independent: the teacher's predicted classes are those with logits above 0,
            and the divergence is that of one Bernoulli distribution per class, averaged over classes.

    Returns:
        Scalar.

    Raises:
        ConfigError: teacher_logits has another shape than distillation_logits, or the network has a single output that
            is not one of several possible labels.
    """
    cls_loss = loss_function(labels, cls_logits)
    if teacher_logits is None:
        return (1 - alpha) * cls_loss + alpha * loss_function(labels, distillation_logits)
    if teacher_logits.shape != distillation_logits.shape:
        raise ConfigError(
            f"has shape {list(teacher_logits.shape)}, the network's logits {list(distillation_logits.shape)}",
            source="teacher_logits",
            hint="use a teacher with the same classes",
        )
    if distillation_logits.shape[-1] == 1 and not is_multi_label:
        raise ConfigError("a network with one output has no distillation", source="teacher_logits", hint="omit it")
    teacher = teacher_logits.detach()
    if kind == "soft":
        loss = _divergence(distillation_logits, teacher, tau, independent=is_multi_label)
    elif is_multi_label:
        loss = loss_function((teacher > 0).to(labels.dtype), distillation_logits)
    else:
        loss = loss_function(teacher.argmax(dim=-1), distillation_logits)
    return (1 - alpha) * cls_loss + alpha * loss


def _divergence(student: Tensor, teacher: Tensor, tau: float, *, independent: bool) -> Tensor:
    """Kullback-Leibler divergence of softmax distributions, or of independent Bernoulli distributions."""
    student, teacher = student.float() / tau, teacher.float() / tau
    if independent:
        probabilities = teacher.sigmoid()
        entropy = (torch.special.entr(probabilities) + torch.special.entr((-teacher).sigmoid())).mean()
        return tau**2 * (functional.binary_cross_entropy_with_logits(student, probabilities) - entropy)
    # Not with `log_target`, which multiplies minus infinity by 0 for a class that the teacher excludes.
    divergence = functional.kl_div(student.log_softmax(dim=-1), teacher.softmax(dim=-1), reduction="batchmean")
    return tau**2 * divergence
