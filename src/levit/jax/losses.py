"""Losses of a network with one head or two.

Shapes: B images.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import entr

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
    is_multi_label: bool = False,
) -> Array:
    """Training loss: cross-entropy, and for the second head that with a teacher (section 5.1 of the paper).

    `(1 - alpha) * loss(cls_logits, labels) + alpha * loss(distillation_logits, teacher)`, where the second loss is

    - "hard": cross-entropy with the teacher's predicted classes as labels;
    - "soft": tau² times the Kullback-Leibler divergence of the student's distribution from the teacher's, both at
      temperature tau. Classes that the teacher excludes, by a logit of minus infinity, have no part in it.

    Without a teacher both heads are trained on the labels; a network with one head has cross-entropy only. Where an
    image may have several labels, each class has a binary cross-entropy and divergence of its own, averaged over
    classes; the classes that a teacher predicts are those with logits above 0.

    Args:
        output: output of `LeViT` with `train=True`.
        labels: int [B], class indices; or float [B, classes], the share of each class (mixup), or with several labels 1
            for each label.
        teacher_logits: float [B, classes], the teacher's logits for the same images, which receive no gradient.
        distillation_type: "hard" or "soft".
        distillation_alpha: weight of the second term, alpha, in [0, 1].
        distillation_tau: temperature tau of the soft loss, above 0.
        label_smoothing: smoothing of the labels, in [0, 1); predictions of a teacher are not smoothed.
        is_multi_label: whether an image may have several labels; `LeViT.is_multi_label`.

    Returns:
        Scalar, the mean over images (nats).

    Raises:
        ConfigError: an option is invalid, the network has no head, or a single output that is not one of several
            possible labels; labels or teacher_logits have another shape than the logits, or teacher_logits is given to
            a network with one head.

    Examples:
        >>> import levit.jax
        >>> model = levit.jax.load("tests/golden/tiny/transformers")
        >>> output = model(jnp.zeros((2, 3, 112, 112)), train=False)
        >>> distillation_loss(output, jnp.array([0, 1])).shape
        ()
    """
    check_distillation(distillation_type, distillation_alpha, distillation_tau)
    cross_entropy = _binary_cross_entropy if is_multi_label else _cross_entropy
    cls_logits = _check_head(output.cls_logits, is_multi_label=is_multi_label)
    targets = _targets(jnp.asarray(labels), cls_logits.shape, is_multi_label=is_multi_label)
    targets = _smooth(targets, label_smoothing, choices=2 if is_multi_label else targets.shape[-1])
    cls_loss = cross_entropy(cls_logits, targets)
    if output.distillation_logits is None:
        if teacher_logits is not None:
            raise ConfigError("requires a network with two heads", source="teacher_logits")
        return cls_loss
    alpha = distillation_alpha
    if teacher_logits is None:
        return (1 - alpha) * cls_loss + alpha * cross_entropy(output.distillation_logits, targets)
    if teacher_logits.shape != output.distillation_logits.shape:
        raise ConfigError(
            f"has shape {list(teacher_logits.shape)}, the network's logits {list(output.distillation_logits.shape)}",
            source="teacher_logits",
            hint="use a teacher with the same classes",
        )
    teacher = jax.lax.stop_gradient(jnp.asarray(teacher_logits, jnp.float32))
    if distillation_type == "soft":
        tau, divergence = distillation_tau, _binary_divergence if is_multi_label else _divergence
        loss = tau**2 * divergence(output.distillation_logits / tau, teacher / tau)
    else:
        predicted = teacher > 0 if is_multi_label else jax.nn.one_hot(teacher.argmax(axis=-1), teacher.shape[-1])
        loss = cross_entropy(output.distillation_logits, predicted.astype(jnp.float32))
    return (1 - alpha) * cls_loss + alpha * loss


def _check_head(logits: Array | None, *, is_multi_label: bool) -> Array:
    """Logits that can be trained on labels."""
    if logits is None:
        raise ConfigError("the network has no head", source="output")
    if logits.shape[-1] == 1 and not is_multi_label:  # a softmax over one class is always 1, and its loss 0
        hint = "set `is_multi_label`"
        raise ConfigError("a network with one output has no cross-entropy", source="output", hint=hint)
    return logits


def _targets(labels: Array, shape: tuple[int, ...], *, is_multi_label: bool) -> Array:
    """Labels as float [B, classes]."""
    is_float = jnp.issubdtype(labels.dtype, jnp.floating)
    expected = shape if is_float or is_multi_label else shape[:1]
    if labels.shape != expected:
        raise ConfigError(f"has shape {list(labels.shape)}", source="labels", hint=f"give {list(expected)}")
    return labels.astype(jnp.float32) if len(expected) == 2 else jax.nn.one_hot(labels, shape[-1])


def _smooth(targets: Array, smoothing: float, *, choices: int) -> Array:
    if not 0 <= smoothing < 1:
        raise ConfigError(f"is {smoothing}", source="label_smoothing", hint="use a number from 0 to below 1")
    return targets * (1 - smoothing) + smoothing / choices


def _cross_entropy(logits: Array, targets: Array) -> Array:
    return -(targets * jax.nn.log_softmax(logits)).sum(axis=-1).mean()


def _binary_cross_entropy(logits: Array, targets: Array) -> Array:
    return -(targets * jax.nn.log_sigmoid(logits) + (1 - targets) * jax.nn.log_sigmoid(-logits)).mean()


def _binary_divergence(student: Array, teacher: Array) -> Array:
    """Kullback-Leibler divergence of one Bernoulli distribution for each class, the mean over classes and images."""
    targets = jax.nn.sigmoid(teacher)
    entropy = (entr(targets) + entr(jax.nn.sigmoid(-teacher))).mean()
    return _binary_cross_entropy(student, targets) - entropy


def _divergence(student: Array, teacher: Array) -> Array:
    """Kullback-Leibler divergence of softmax distributions, summed over classes, the mean over images."""
    targets = jax.nn.softmax(teacher)  # 0 for a class that the teacher excludes by a logit of minus infinity
    return _cross_entropy(student, targets) - entr(targets).sum(axis=-1).mean()
