"""How weights change: which learn and how fast, AdamW or Muon, their cosine, and adaptive gradient clipping."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from timm.optim import Muon, param_groups_layer_decay
from timm.scheduler import CosineLRScheduler
from timm.utils import adaptive_clip_grad
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from levit.errors import ConfigError
from levit.model.pretrained import LevitPreTrainedModel
from levit.training.options import TrainingOptions

_STAGE = re.compile(r"levit\.encoder\.stages\.(\d+)\.layers\.(\d+)\.")


def freeze(network: nn.Module, options: TrainingOptions) -> None:
    """Take the gradients from what is not to learn; see `set_train_mode` for its batch norms.

    Raises:
        ConfigError: a network of timm calls its parts something else, so that nothing or everything would be frozen.
    """
    if options.model.freeze == "nothing":
        return
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_head(name) or (options.model.freeze == "stem" and not _is_stem(name)))
    if len({parameter.requires_grad for parameter in network.parameters()}) == 1:
        raise ConfigError(
            f"--freeze {options.model.freeze}: which part of {options.model.model} that is cannot be told: use --freeze nothing"
        )


def set_train_mode(network: nn.Module, options: TrainingOptions) -> None:
    """Set training mode, but for the batch norms that keep the statistics they have."""
    network.train()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            parameters = list(module.parameters(recurse=False))
            if options.model.freeze_batch_norm or not all(one.requires_grad for one in parameters):
                module.eval()


def is_head(name: str) -> bool:
    """Whether a parameter belongs to a classifier.

    Examples:
        >>> is_head("classifier_distill.linear.weight"), is_head("levit.encoder.stages.0.layers.0.x")
        (True, False)
    """
    return name.startswith(("classifier", "head", "fc."))


def build_optimizer(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """AdamW or Muon without weight decay on biases, norms and attention biases, slower to the stem with `layer_decay`.

    Muon makes the steps of the matrices inside the network orthogonal, of the size that AdamW's usually have, so that
    rates mean about the same (Liu et al., arXiv 2502.16982); everything else learns by NAdamW.
    """
    if isinstance(network, LevitPreTrainedModel):
        groups = _levit_groups(network, options)
    else:
        groups = param_groups_layer_decay(
            network, weight_decay=options.optimizer.weight_decay, layer_decay=options.optimizer.layer_decay
        )  # fmt: skip
    if options.optimizer.optimizer == "muon":
        return Muon(_matrices_apart(network, groups), lr=options.schedule.lr, nesterov=True)
    device = next(network.parameters()).device.type
    return torch.optim.AdamW(groups, lr=options.schedule.lr, fused=device in ("cpu", "cuda"))


def build_schedule(optimizer: torch.optim.Optimizer, options: TrainingOptions, steps: int) -> CosineLRScheduler:
    """The learning rate of every step, as a function of its number.

    Args:
        optimizer: of which it is.
        options: epochs, warm-up, highest and lowest rate.
        steps: in an epoch.
    """
    whole = options.schedule.epochs * steps
    warmup = round(options.schedule.warmup_epochs * steps) if options.schedule.warmup_epochs < options.schedule.epochs else whole // 2
    return CosineLRScheduler(
        optimizer,
        t_initial=max(2, whole),  # of 1 timm says that it has no effect
        lr_min=options.schedule.min_lr,
        warmup_t=warmup,
        warmup_lr_init=min(options.schedule.warmup_lr, options.schedule.lr),
        t_in_epochs=False,
    )


def clip_gradients(network: nn.Module, options: TrainingOptions) -> None:
    """Clip each unit's gradient to a share of its weights' norm (Brock et al., arXiv 2102.06171), but in the heads.

    The paper's code means to leave the heads out too, and leaves out only one of the two.
    """
    if options.optimizer.clip:
        adaptive_clip_grad(_body(network), clip_factor=options.optimizer.clip)


def _body(network: nn.Module) -> Iterable[nn.Parameter]:
    return [parameter for name, parameter in network.named_parameters() if not is_head(name)]


def _is_stem(name: str) -> bool:
    return "patch_embed" in name or name.startswith(("stem", "conv_stem", "conv1.", "bn1."))


def _levit_groups(network: LevitPreTrainedModel, options: TrainingOptions) -> list[dict[str, Any]]:
    learning = [(name, one) for name, one in network.named_parameters() if one.requires_grad]
    places = sorted({_place(name) for name, _ in network.named_parameters()})
    groups: dict[tuple[tuple[int, int], bool], dict[str, Any]] = {}
    for name, parameter in learning:
        place, decays = _place(name), parameter.ndim > 1 and not name.endswith("attention_biases")
        scale = options.optimizer.layer_decay ** (len(places) - 1 - places.index(place))
        group = groups.setdefault(
            (place if options.optimizer.layer_decay < 1 else places[-1], decays),
            {"params": [], "weight_decay": options.optimizer.weight_decay if decays else 0.0, "lr_scale": scale},
        )
        group["params"].append(parameter)
    return list(groups.values())


def _matrices_apart(network: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each group in two: the matrices inside the network, and all that timm's Muon leaves to NAdamW."""
    inside = {
        id(one)
        for name, one in network.named_parameters()
        if one.ndim > 1 and not is_head(name) and not name.endswith("attention_biases")
    }
    divided = []
    for group in groups:
        for is_matrix in (True, False):
            members = [one for one in group["params"] if (id(one) in inside) is is_matrix]
            if members:
                divided.append(group | {"params": members, "use_fallback": not is_matrix})
    return divided


def _place(name: str) -> tuple[int, int]:
    """Where a parameter stands from the stem to the heads: stage and layer, an attention with the MLP behind it."""
    found = _STAGE.match(name)
    if found:
        return int(found[1]), int(found[2]) // 2
    return (10**6, 0) if is_head(name) else (-1, 0)
