"""The losses in JAX against those of the network in torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import levit
from levit.jax import LevitOutput
from levit.jax.losses import distillation_loss
from levit.model import distillation as torch_distillation

CLS, DISTILLATION, TEACHER = np.random.default_rng(0).normal(0, 2, (3, 6, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 0, 1])


def output(distillation=DISTILLATION) -> LevitOutput:
    return LevitOutput(jnp.asarray(CLS), jnp.asarray(CLS), distillation, jnp.zeros((6, 8)), jnp.zeros((6, 1, 8)))


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("teacher", [TEACHER, None], ids=["teacher", "no teacher"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_distillation_loss_equals_that_of_torch(kind, teacher, smoothing):
    loss = distillation_loss(
        output(), jnp.asarray(LABELS), teacher, distillation_type=kind, distillation_alpha=0.3,
        distillation_tau=2.5, label_smoothing=smoothing,
    )  # fmt: skip

    def cross_entropy(targets, logits):  # predictions of a teacher are not smoothed
        is_teacher = teacher is not None and logits is distilled
        return torch.nn.functional.cross_entropy(logits, targets, label_smoothing=0 if is_teacher else smoothing)

    distilled = torch.from_numpy(DISTILLATION)
    expected = torch_distillation.distillation_loss(
        cls_logits=torch.from_numpy(CLS), distillation_logits=distilled, labels=torch.from_numpy(LABELS),
        teacher_logits=None if teacher is None else torch.from_numpy(teacher), loss_function=cross_entropy,
        kind=kind, alpha=0.3, tau=2.5, is_multi_label=False,
    )  # fmt: skip
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("teacher", [TEACHER, None], ids=["teacher", "no teacher"])
def test_the_loss_of_several_labels_equals_that_of_torch(kind, teacher):
    labels = (np.random.default_rng(1).random((6, 4)) < 0.5).astype(np.float32)
    options = {"distillation_type": kind, "distillation_alpha": 0.3, "distillation_tau": 2.5}
    loss = distillation_loss(output(), jnp.asarray(labels), teacher, is_multi_label=True, **options)
    expected = torch_distillation.distillation_loss(
        cls_logits=torch.from_numpy(CLS), distillation_logits=torch.from_numpy(DISTILLATION),
        labels=torch.from_numpy(labels), teacher_logits=None if teacher is None else torch.from_numpy(teacher),
        loss_function=lambda targets, logits: torch.nn.functional.binary_cross_entropy_with_logits(logits, targets),
        kind=kind, alpha=0.3, tau=2.5, is_multi_label=True,
    )  # fmt: skip
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)


def test_mixed_labels_are_shares_of_classes():
    shares = jax.nn.one_hot(jnp.asarray(LABELS), 4)
    assert float(distillation_loss(output(None), shares)) == float(distillation_loss(output(None), jnp.asarray(LABELS)))
    half = distillation_loss(output(None), (shares + shares[::-1]) / 2)
    both = [float(distillation_loss(output(None), part)) for part in (shares, shares[::-1])]
    np.testing.assert_allclose(half, np.mean(both), rtol=1e-6)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_the_teacher_receives_no_gradient(kind):
    labels = jnp.asarray(LABELS)
    gradient = jax.grad(lambda teacher: distillation_loss(output(), labels, teacher, distillation_type=kind))
    assert not gradient(jnp.asarray(TEACHER)).any()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((output(), LABELS, TEACHER[:, :3]), {}, "teacher_logits has shape [6, 3], the network's logits [6, 4]"),
        ((output(None), LABELS, TEACHER), {}, "teacher_logits requires a network with two heads"),
        ((output()._replace(cls_logits=None), LABELS), {}, "output: the network has no head"),
        ((output()._replace(cls_logits=CLS[:, :1]), LABELS), {}, "output: a network with one output has no cross-ent"),
        ((output(), LABELS), {"distillation_type": "firm"}, "distillation_type: 'firm' is invalid"),
        ((output(), LABELS), {"distillation_tau": 0}, "distillation_tau: 0 is invalid"),
        ((output(), LABELS), {"label_smoothing": 1.5}, "label_smoothing is 1.5"),
        ((output(), LABELS[:, None]), {}, "labels has shape [6, 1]: give [6]"),
        ((output(), LABELS), {"is_multi_label": True}, "labels has shape [6]: give [6, 4]"),
    ],
)
def test_invalid_arguments_are_refused(arguments, options, message):
    with pytest.raises(levit.ConfigError) as error:
        distillation_loss(*arguments, **options)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("is_multi_label", [False, True])
def test_a_class_that_the_teacher_excludes_has_no_part_in_the_soft_loss(is_multi_label):
    labels = jax.nn.one_hot(LABELS, 4)

    def loss(student, excluded):
        teacher = jnp.asarray(TEACHER).at[:, 1].set(excluded)
        options = {"distillation_type": "soft", "is_multi_label": is_multi_label}
        return distillation_loss(output(student), labels, teacher, **options)

    student = jnp.asarray(DISTILLATION)
    np.testing.assert_allclose(loss(student, -jnp.inf), loss(student, -1000.0), rtol=1e-6)
    assert jnp.isfinite(jax.grad(loss)(student, -jnp.inf)).all()
