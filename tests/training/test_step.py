"""One step of training: accumulated gradients, the moving average, and the number of correct predictions."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import levit
from levit.training.losses import Loss
from levit.training.microbatches import Microbatch
from levit.training.model_state import ModelState, build_model_state
from levit.training.option_groups import ModelOptions, OptimizerOptions, ScheduleOptions, TeacherOptions
from levit.training.step import TrainingStep
from levit.training.student import read_logits
from tests.training.tiny import config, trained

PLAIN = Loss(label_smoothing=0.1, class_weights=None, is_multi_label=False, distillation=TeacherOptions())


def build_state(accelerator, **optimizer) -> ModelState:
    """A tiny network with frozen batch norms, whose weights change much in every step."""
    network = trained(levit.LevitForImageClassification(config()))
    state = build_model_state(
        network, accelerator, steps_per_epoch=2, compile_network=False, model=ModelOptions(freeze_batch_norm=True),
        optimizer=OptimizerOptions(**optimizer), schedule=ScheduleOptions(epochs=9, lr=0.05, warmup_epochs=0.0),
    )  # fmt: skip
    state.set_train_mode()
    return state


def build_step(accelerator, state, *, loss=PLAIN, **optimizer) -> TrainingStep:
    return TrainingStep(
        model=state, accelerator=accelerator, loss=loss, teacher=None, options=OptimizerOptions(**optimizer), seed=0
    )


def draw_batch(count=8) -> Microbatch:
    """Images with mixed labels."""
    return Microbatch(torch.randn(count, 3, 32, 32), torch.rand(count, 3).softmax(dim=1))


def split(batch, count) -> list[Microbatch]:
    parts = zip(batch.pixel_values.chunk(count), batch.targets.chunk(count), strict=True)
    return [Microbatch(*part) for part in parts]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_gradients_of_microbatches_are_those_of_the_whole_batch(accelerator, count):
    batch, state = draw_batch(), build_state(accelerator)
    loss = PLAIN(read_logits(state.network(batch.pixel_values)), batch.targets)
    expected = torch.autograd.grad(loss, list(state.network.parameters()))
    step = build_step(accelerator, state, accumulate=count)
    results = step(iter(split(batch, count)), epoch=0, step=0, steps_per_epoch=2)
    assert [result.images for result in results] == [8 // count] * count
    for (name, parameter), gradient in zip(state.network.named_parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5, msg=name)
    assert max(gradient.abs().max() for gradient in expected) > 0.01


def test_a_step_takes_as_many_microbatches_as_it_accumulates_and_updates_the_weights_once(accelerator):
    """By plain gradient descent, whose updates show how often and how large they are."""
    state = build_state(accelerator)
    before = {name: parameter.detach().clone() for name, parameter in state.network.named_parameters()}
    descent = accelerator.prepare(torch.optim.SGD(state.network.parameters(), lr=0.5))
    batches = iter(split(draw_batch(), 4))
    step = build_step(accelerator, replace(state, optimizer=descent), accumulate=2)
    step(batches, epoch=0, step=0, steps_per_epoch=2)
    for name, parameter in state.network.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] - 0.5 * parameter.grad)
    assert len(list(batches)) == 2


def expected_decay(number: int, ema: float, *, has_warmup: bool) -> float:
    """Decay of the average in the step of a number, from 0: with timm's warm-up, that of the first two steps is 0."""
    return min(ema, 1 - max(1, number) ** (-2 / 3)) if has_warmup else ema


@pytest.mark.parametrize("has_warmup", [False, True])
def test_the_average_is_an_exponential_one_of_the_weights_after_each_step(accelerator, has_warmup):
    options = {"ema": 0.55, "ema_warmup": has_warmup}  # the warm-up ends with the fifth step
    state = build_state(accelerator, **options)
    step = build_step(accelerator, state, **options)
    average = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    for number in range(6):
        step(iter([draw_batch(4)]), epoch=number // 2, step=number % 2, steps_per_epoch=2)
        decay = expected_decay(number, 0.55, has_warmup=has_warmup)
        for name, tensor in state.network.state_dict().items():
            if tensor.is_floating_point():
                average[name] = decay * average[name] + (1 - decay) * tensor
        for name, tensor in state.average.module.state_dict().items():
            torch.testing.assert_close(tensor, average[name], rtol=1e-5, atol=1e-5)
    name = "classifier.linear.weight"
    assert (average[name] - state.network.state_dict()[name]).abs().max() > 0.01


class Pixels(nn.Module):
    """Network whose logits are its pixels."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, pixel_values):
        return self.factor * pixel_values


def count_correct(accelerator, logits, targets, teacher_logits=None, **values) -> int:
    """Correct predictions of a step with one image."""
    network = Pixels()
    state = ModelState(
        network=network, prepared=network, average=None, schedule=SimpleNamespace(step_update=lambda number: None),
        optimizer=accelerator.prepare(torch.optim.SGD(network.parameters())),
    )  # fmt: skip
    loss = Loss(label_smoothing=0.0, class_weights=None, is_multi_label=False, distillation=TeacherOptions(), **values)
    rows = (logits, targets, teacher_logits)
    batch = Microbatch(*(None if row is None else torch.tensor([row], dtype=torch.float32) for row in rows))
    (result,) = build_step(accelerator, state, loss=loss)(iter([batch]), epoch=0, step=0, steps_per_epoch=1)
    return int(result.correct)


FIRST, SECOND, THIRD = (3, 1, 2), (1, 3, 2), (1, 2, 3)  # logits


@pytest.mark.parametrize(
    ("targets", "logits", "correct"),
    [
        ((0, 1, 0), SECOND, 1),
        ((0, 1, 0), FIRST, 0),
        ((0.3, 0.7, 0), SECOND, 1),  # of mixed images the larger share
        ((0.3, 0.7, 0), FIRST, 0),
        ((0.3, 0.7, 0), THIRD, 0),
        ((0.5, 0.5, 0), FIRST, 1),
        ((0.5, 0.5, 0), SECOND, 1),
        ((0.5, 0.5, 0), THIRD, 0),
        ((1, 0, 1), THIRD, 1),  # any of several labels
        ((1, 0, 1), SECOND, 0),
        ((0, 0, 0), FIRST, 0),
    ],
)
def test_a_prediction_of_a_label_with_the_largest_share_is_correct(accelerator, targets, logits, correct):
    assert count_correct(accelerator, logits, targets) == correct


@pytest.mark.parametrize(
    ("targets", "logits", "teacher_logits", "has_unlabeled", "correct"),
    [
        ((0, 0, 0), THIRD, (0, 1, 2), True, 1),
        ((0, 0, 0), SECOND, (0, 1, 2), True, 0),
        ((0, 0, 0), THIRD, (0, 1, 2), False, 0),  # such an image shows none of the classes
        ((0, 1, 0), THIRD, (0, 1, 2), True, 0),
        ((0, 1, 0), SECOND, (0, 1, 2), True, 1),
    ],
)
def test_of_an_image_without_a_label_the_class_of_the_teacher_is_correct(
    accelerator, targets, logits, teacher_logits, has_unlabeled, correct
):
    assert count_correct(accelerator, logits, targets, teacher_logits, has_unlabeled=has_unlabeled) == correct


@pytest.mark.parametrize(("targets", "correct"), [((0, 0, 0, 1), 0), ((0.4, 0, 0, 0.6), 0), ((0.6, 0, 0, 0.4), 1)])
def test_an_image_of_none_of_the_classes_is_never_correct(accelerator, targets, correct):
    assert count_correct(accelerator, FIRST, targets, has_outliers=True) == correct
