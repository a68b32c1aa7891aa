"""State that a training step changes: network, optimizer, learning rate and moving average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import nn

from levit.training.optimizer import build_optimizer, build_schedule, freeze_parameters, set_train_mode
from levit.training.option_groups import ModelOptions, OptimizerOptions, ScheduleOptions


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """Network, optimizer, learning rate schedule and moving average of the weights.

    Attributes:
        network: the network on its device, as it is validated and saved.
        prepared: the same network, compiled and wrapped by accelerate, as it is trained.
        optimizer: the optimizer, wrapped by accelerate.
        schedule: timm's schedule, which sets the learning rate by the number of the step.
        average: moving average of the weights; None if there is none.
        freeze_batch_norm: whether all batch norms keep their running statistics.
    """

    network: nn.Module
    prepared: nn.Module
    optimizer: Any
    schedule: Any
    average: ModelEmaV3 | None
    freeze_batch_norm: bool = False

    @property
    def lr(self) -> float:
        """The highest learning rate of the parameter groups."""
        return float(max(group["lr"] for group in self.optimizer.param_groups))

    def set_train_mode(self) -> None:
        """Set train mode, with frozen batch norms where their weights or statistics are frozen."""
        set_train_mode(self.network, freeze_batch_norm=self.freeze_batch_norm)

    def networks(self) -> list[nn.Module]:
        """The networks to validate: the trained one and, if there is one, the average."""
        return [self.network] if self.average is None else [self.network, self.average.module]


def build_model_state(
    network: nn.Module,
    accelerator: Accelerator,
    *,
    steps_per_epoch: int,
    compile_network: bool,
    model: ModelOptions,
    optimizer: OptimizerOptions,
    schedule: ScheduleOptions,
) -> ModelState:
    """Move a network to its device, freeze parts of it, and build its optimizer, schedule and average."""
    freeze_parameters(network, model)
    if model.sync_bn and accelerator.device.type == "cuda":
        network = convert_sync_batchnorm(network)  # timm's version keeps the activations of timm's own batch norms
    # On CPUs a step is about a tenth faster with channels last.
    network = network.to(accelerator.device).to(memory_format=torch.channels_last)
    average = ModelEmaV3(network, decay=optimizer.ema, use_warmup=optimizer.ema_warmup) if optimizer.ema else None
    plain = build_optimizer(network, optimizer, lr=schedule.lr)
    lr_schedule = build_schedule(plain, schedule, steps_per_epoch)
    prepared, wrapped = accelerator.prepare(torch.compile(network) if compile_network else network, plain)
    return ModelState(
        network=network, prepared=prepared, optimizer=wrapped, schedule=lr_schedule, average=average,
        freeze_batch_norm=model.freeze_batch_norm,
    )  # fmt: skip
