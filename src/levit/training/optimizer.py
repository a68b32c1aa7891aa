"""Optimizer: frozen parameters, parameter groups of AdamW and Muon, cosine schedule, adaptive gradient clipping."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import torch
from timm.optim import Muon, param_groups_layer_decay
from timm.scheduler import CosineLRScheduler
from timm.utils import adaptive_clip_grad
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from levit.errors import ConfigError
from levit.model.pretrained import LevitPreTrainedModel
from levit.model.torch_engine import has_bfloat16
from levit.training.muon import Float32Muon
from levit.training.option_groups import ModelOptions, OptimizerOptions, ScheduleOptions

_LAYER = re.compile(r"levit\.encoder\.stages\.(\d+)\.layers\.(\d+)\.")

_STEM, _HEADS = (-1, 0), (10**6, 0)  # positions before and after all blocks


def freeze_parameters(network: nn.Module, options: ModelOptions) -> None:
    """Disable the gradients of the frozen parameters; `set_train_mode` freezes their batch norm statistics.

    Args:
        network: the network.
        options: `freeze` is "nothing", "stem", or "backbone" (all but the heads).

    Raises:
        ConfigError: stem or heads have unknown names, so that nothing or everything would be frozen.
    """
    if options.freeze == "nothing":
        return
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_head(name) or (options.freeze == "stem" and not _is_stem(name)))
    if len({parameter.requires_grad for parameter in network.parameters()}) == 1:
        reason = f"is {options.freeze!r}, and {options.model} names none of its parameters accordingly"
        raise ConfigError(reason, source="freeze", hint="set `freeze` to nothing")


def set_train_mode(network: nn.Module, *, freeze_batch_norm: bool) -> None:
    """Set train mode with frozen batch norms: those of frozen parameters, or all of them, keep their statistics."""
    network.train()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            is_frozen = not all(parameter.requires_grad for parameter in module.parameters(recurse=False))
            if freeze_batch_norm or is_frozen:
                module.eval()


def is_head(name: str) -> bool:
    """Return whether a parameter of this name belongs to a classification head.

    Examples:
        >>> is_head("classifier_distill.linear.weight"), is_head("levit.encoder.stages.0.layers.0.x")
        (True, False)
    """
    return name.startswith(("classifier", "head", "fc."))


def build_optimizer(network: nn.Module, options: OptimizerOptions, *, lr: float) -> torch.optim.Optimizer:
    """Build AdamW or Muon, with layer-wise learning rate decay.

    Biases, norms and attention biases have no weight decay, nor have those parameters that a timm network excludes from
    it, such as position embeddings. Muon orthogonalizes the updates of the matrices inside the network and gives them
    the usual size of AdamW's updates, so that learning rates are about the same (Liu et al., arXiv 2502.16982); its
    other parameters are updated by NAdamW.

    Args:
        network: the network; frozen parameters are left out.
        options: optimizer, weight decay and layer decay.
        lr: peak learning rate.
    """
    if isinstance(network, LevitPreTrainedModel):
        groups = _levit_groups(network, options)
    else:
        without_decay: Collection[str] = getattr(network, "no_weight_decay", set)()
        groups = param_groups_layer_decay(
            network, weight_decay=options.weight_decay, layer_decay=options.layer_decay,
            no_weight_decay_list=without_decay, fallback_no_weight_decay=options.optimizer == "muon",
        )  # fmt: skip
    device = next(network.parameters()).device
    if options.optimizer == "muon":
        muon = Muon if has_bfloat16(device) else Float32Muon
        return muon(_split_matrices(network, groups), lr=lr, nesterov=True)
    return torch.optim.AdamW(groups, lr=lr, fused=device.type in ("cpu", "cuda"))


def build_schedule(
    optimizer: torch.optim.Optimizer, options: ScheduleOptions, steps_per_epoch: int
) -> CosineLRScheduler:
    """Build the learning rate schedule, a function of the step: linear warm-up, cosine, constant cool-down."""
    total = options.epochs * steps_per_epoch
    warmup = round(options.warmup_epochs * steps_per_epoch) if options.warmup_epochs < options.epochs else total // 2
    return CosineLRScheduler(
        optimizer,
        t_initial=max(2, total),  # timm warns that 1 has no effect
        lr_min=options.min_lr,
        warmup_t=warmup,
        warmup_lr_init=min(options.warmup_lr, options.lr),
        t_in_epochs=False,
    )


def clip_gradients(network: nn.Module, clip_factor: float) -> None:
    """Adaptive gradient clipping (Brock et al., arXiv 2102.06171) of all parameters but the heads.

    The gradient of each unit is limited to `clip_factor` times the norm of its weights; 0 disables clipping. The
    paper's code intends to leave out both heads and leaves out one.
    """
    if clip_factor:
        body = [parameter for name, parameter in network.named_parameters() if not is_head(name)]
        adaptive_clip_grad(body, clip_factor=clip_factor)


def _is_stem(name: str) -> bool:
    return "patch_embed" in name or name.startswith(("stem", "conv_stem", "conv1.", "bn1."))


def _levit_groups(network: LevitPreTrainedModel, options: OptimizerOptions) -> list[dict[str, Any]]:
    """Parameter groups of a LeViT: by weight decay, and with layer decay by block."""
    positions = sorted({_block_position(name) for name, _ in network.named_parameters()})
    groups: dict[tuple[tuple[int, int], bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        position, decays = _block_position(name), parameter.ndim > 1 and not name.endswith("attention_biases")
        scale = options.layer_decay ** (len(positions) - 1 - positions.index(position))
        group = groups.setdefault(
            (position if options.layer_decay < 1 else positions[-1], decays),
            {"params": [], "weight_decay": options.weight_decay if decays else 0.0, "lr_scale": scale},
        )
        group["params"].append(parameter)
    return list(groups.values())


def _split_matrices(network: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Split each group into the matrices inside the network and the parameters that Muon leaves to NAdamW.

    Parameters that a timm network excludes from weight decay are not matrices, whatever their shape.
    """
    matrices = {
        id(parameter)
        for name, parameter in network.named_parameters()
        if parameter.ndim > 1 and not is_head(name) and not name.endswith("attention_biases")
    }
    result = []
    for group in groups:
        for is_matrix in (True, False):
            members = [
                parameter
                for parameter in group["params"]
                if (id(parameter) in matrices and "use_fallback" not in group) is is_matrix
            ]
            if members:
                result.append(group | {"params": members, "use_fallback": not is_matrix})
    return result


def _block_position(name: str) -> tuple[int, int]:
    """Position of a parameter between stem and heads: stage, and pair of attention and MLP in the stage."""
    match = _LAYER.match(name)
    if match:
        return int(match[1]), int(match[2]) // 2
    return _HEADS if is_head(name) else _STEM
