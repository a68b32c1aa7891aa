"""Buffers of a network, such as the running statistics of batch norms, as they were before a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def restored_buffers(network: nn.Module, error: type[BaseException]) -> Iterator[None]:
    """Give the buffers of a network their values of before the block, where the block raises an error of this type."""
    buffers = list(network.buffers())
    values = [buffer.clone() for buffer in buffers]
    try:
        yield
    except error:
        with torch.no_grad():
            for buffer, value in zip(buffers, values, strict=True):
                buffer.copy_(value)
        raise
