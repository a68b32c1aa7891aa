"""Losses of a network with one head or two.

Shapes: B images.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from levit.errors import ConfigError
from levit.jax.network import LevitOutput
from levit.spec.distillation import check_distillation


def distillation_loss(
    output: LevitOutput,
    labels: Array,
    teacher_logits: Array | None = None,
    *,
    distillation_type: str = "hard",
    distillation_alpha: float = 0.5,
    distillation_tau: float = 1.0,
    label_smoothing: float = 0.0,
) -> Array:
    """Training loss: cross-entropy, and for the second head that with a teacher (section 5.1 of the paper).

    `(1 - alpha) * loss(cls_logits, labels) + alpha * loss(distillation_logits, teacher)`, where the second loss is

    - "hard": cross-entropy with the teacher's predicted classes as labels;
    - "soft": tau² times the Kullback-Leibler divergence of the student's distribution from the teacher's, both at
      temperature tau.

    Without a teacher both heads are trained on the labels; a network with one head has cross-entropy only.

    Args:
        output: output of `LeViT` with `train=True`.
        labels: int [B], class indices; or float [B, classes], the share of each class (mixup).
        teacher_logits: float [B, classes], the teacher's logits for the same images, which receive no gradient.
        distillation_type: "hard" or "soft".
        distillation_alpha: weight of the second term, alpha, in [0, 1].
        distillation_tau: temperature tau of the soft loss, above 0.
        label_smoothing: smoothing of the labels, in [0, 1); predictions of a teacher are not smoothed.

    Returns:
        Scalar, the mean over images (nats).

    Raises:
        ConfigError: an option is invalid, the network has no head, or teacher_logits has another shape than the logits
            or is given to a network with one head.

    Examples:
        >>> import levit.jax
        >>> model = levit.jax.load("tests/golden/tiny/transformers")
        >>> output = model(jnp.zeros((2, 3, 112, 112)), train=False)
        >>> distillation_loss(output, jnp.array([0, 1])).shape
        ()
    """
    check_distillation(distillation_type, distillation_alpha, distillation_tau)
    labels = jnp.asarray(labels)
    if output.cls_logits is None:
        raise ConfigError("the network has no head", source="output")
    cls_loss = _cross_entropy(output.cls_logits, labels, label_smoothing)
    if output.distillation_logits is None:
        if teacher_logits is not None:
            raise ConfigError("requires a network with two heads", source="teacher_logits")
        return cls_loss
    if teacher_logits is None:
        return (1 - distillation_alpha) * cls_loss + distillation_alpha * _cross_entropy(
            output.distillation_logits, labels, label_smoothing
        )
    if teacher_logits.shape != output.distillation_logits.shape:
        raise ConfigError(
            f"has shape {list(teacher_logits.shape)}, the network's logits {list(output.distillation_logits.shape)}",
            source="teacher_logits",
            hint="use a teacher with the same classes",
        )
    teacher = jax.lax.stop_gradient(jnp.asarray(teacher_logits, jnp.float32))
    if distillation_type == "soft":
        tau = distillation_tau
        loss = tau**2 * _divergence(output.distillation_logits / tau, teacher / tau)
    else:
        loss = _cross_entropy(output.distillation_logits, teacher.argmax(axis=-1), 0.0)
    return (1 - distillation_alpha) * cls_loss + distillation_alpha * loss


def _cross_entropy(logits: Array, labels: Array, smoothing: float) -> Array:
    classes = logits.shape[-1]
    targets = labels if jnp.issubdtype(labels.dtype, jnp.floating) else jax.nn.one_hot(labels, classes)
    targets = targets * (1 - smoothing) + smoothing / classes
    return -(targets * jax.nn.log_softmax(logits)).sum(axis=-1).mean()


def _divergence(student: Array, teacher: Array) -> Array:
    """Kullback-Leibler divergence of softmax distributions, summed over classes, the mean over images."""
    log_teacher = jax.nn.log_softmax(teacher)
    return (jnp.exp(log_teacher) * (log_teacher - jax.nn.log_softmax(student))).sum(axis=-1).mean()
