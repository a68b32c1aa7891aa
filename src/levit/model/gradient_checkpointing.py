"""Gradient checkpointing that leaves the statistics of batch norm as they would be without it.

A checkpointed block runs twice: forwards, and again in the backward pass to recompute what it did not keep. Batch norm
would count the batch both times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Checkpoint = Callable[..., Any]


def checkpoint_once(block: nn.Module, checkpoint: Checkpoint, run: Callable[..., Any], *inputs: Any) -> Any:
    """Checkpoint a block, so that only its first run updates the statistics of batch norm.

    Args:
        block: what runs.
        checkpoint: `torch.utils.checkpoint.checkpoint`, with its options.
        run: the forward pass of the block.
        *inputs: of the block.
    """
    if torch.compiler.is_compiling():  # there the recomputation is a graph, which updates nothing
        return checkpoint(run, *inputs)
    runs = 0

    def run_block(*inputs: Any) -> Any:
        nonlocal runs
        runs += 1
        if runs == 1:
            return run(*inputs)
        with _fixed_statistics(block):
            return run(*inputs)

    return checkpoint(run_block, *inputs)


@contextmanager
def _fixed_statistics(block: nn.Module) -> Iterator[None]:
    """Batch norm by the batch, as in training, but without a trace of it."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
