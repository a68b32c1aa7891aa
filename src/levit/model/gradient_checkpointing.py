"""Gradient checkpointing that updates the running statistics of batch norm once per batch.

A checkpointed block runs in the forward pass, and again in the backward pass to recompute its activations. Without
this module, batch norm would update its running statistics both times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

CheckpointFunction = Callable[..., Any]


def checkpoint_block(
    block: nn.Module, checkpoint: CheckpointFunction, forward: Callable[..., Any], *inputs: Any
) -> Any:
    """Checkpoint a block so that only its first run updates the running statistics of batch norm.

    Args:
        block: module that is checkpointed.
        checkpoint: `torch.utils.checkpoint.checkpoint`, with its options bound.
        forward: forward pass of the block.
        *inputs: inputs of the forward pass.

    Returns:
        Output of the forward pass.
    """
    if torch.compiler.is_compiling():  # the recomputation is then a graph that updates no statistics
        return checkpoint(forward, *inputs)
    num_runs = 0

    def run(*inputs: Any) -> Any:
        nonlocal num_runs
        num_runs += 1
        if num_runs == 1:
            return forward(*inputs)
        with _frozen_statistics(block):
            return forward(*inputs)

    return checkpoint(run, *inputs)


@contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    """Normalize by the statistics of the batch, as in training mode, without updating the running statistics."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    saved = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, saved, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
