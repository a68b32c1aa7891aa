"""Schedule of the learning rates."""

from math import cos, pi

import pytest

import levit
from levit.training.optimizer import build_optimizer, build_schedule
from levit.training.option_groups import OptimizerOptions, ScheduleOptions
from tests.training.tiny import config


@pytest.fixture
def network():
    return levit.LevitForImageClassificationWithTeacher(config(depths=[1, 2, 1]))


def learning_rates(network, steps_per_epoch, num_steps, *, layer_decay=1.0, **values):
    """Optimizer, and the learning rates of its groups in each step."""
    options = ScheduleOptions(**values)
    optimizer = build_optimizer(network, OptimizerOptions(layer_decay=layer_decay), lr=options.lr)
    schedule = build_schedule(optimizer, options, steps_per_epoch)
    rates = []
    for step in range(num_steps):
        schedule.step_update(step)
        rates.append([group["lr"] for group in optimizer.param_groups])
    return optimizer, rates


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_the_learning_rate_has_a_linear_warm_up_a_cosine_and_a_cool_down(network, layer_decay):
    optimizer, rates = learning_rates(
        network, 7, 84, layer_decay=layer_decay,
        epochs=10, cooldown_epochs=2, warmup_epochs=2.0, lr=0.1, min_lr=0.001, warmup_lr=1e-4,
    )  # fmt: skip
    scales = [group["lr_scale"] for group in optimizer.param_groups]
    for step, of_groups in enumerate(rates):
        if step < 14:
            expected = 1e-4 + (0.1 - 1e-4) * step / 14
        elif step < 70:
            expected = 0.001 + (0.1 - 0.001) * (1 + cos(pi * step / 70)) / 2
        else:
            expected = 0.001
        assert of_groups == pytest.approx([expected * scale for scale in scales], rel=1e-9), step


def test_the_learning_rate_is_a_function_of_the_step(network):
    _, rates = learning_rates(network, 5, 15, epochs=3)
    options = ScheduleOptions(epochs=3)
    optimizer = build_optimizer(network, OptimizerOptions(), lr=options.lr)
    build_schedule(optimizer, options, 5).step_update(11)
    assert [group["lr"] for group in optimizer.param_groups] == rates[11]


@pytest.mark.parametrize("steps_per_epoch", [1, 2, 3])
def test_the_shortest_run_has_a_positive_learning_rate_in_every_step(network, steps_per_epoch):
    _, rates = learning_rates(network, steps_per_epoch, steps_per_epoch, epochs=1, lr=0.1)
    assert all(0 < rate <= 0.1 for of_groups in rates for rate in of_groups)
    assert max(max(of_groups) for of_groups in rates) > 0.05


def test_the_warm_up_may_be_most_of_a_run(network):
    _, rates = learning_rates(network, 2, 8, epochs=4, warmup_epochs=3.0, lr=0.1, warmup_lr=0.0)
    assert [of_groups[0] for of_groups in rates[:6]] == pytest.approx([0.1 * step / 6 for step in range(6)])


@pytest.mark.parametrize("warmup_epochs", [2.0, 5.0])
def test_a_warm_up_as_long_as_the_run_is_half_of_it(network, warmup_epochs):
    _, rates = learning_rates(network, 4, 8, epochs=2, warmup_epochs=warmup_epochs, lr=0.1, warmup_lr=0.0)
    first = [of_groups[0] for of_groups in rates]
    assert first[:4] == pytest.approx([0.1 * step / 4 for step in range(4)])
    assert 0.1 > first[4] > first[5] > first[6] > first[7] > 0


def test_the_warm_up_does_not_start_above_the_peak_learning_rate(network):
    _, rates = learning_rates(network, 2, 2, lr=1e-7, min_lr=0.0, epochs=4, warmup_epochs=2.0)
    assert rates[0][0] == pytest.approx(1e-7)
