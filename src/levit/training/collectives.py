"""Collective operations of the processes that train together; each returns at once on a single process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from torch import Tensor, nn

from levit.training.control_group import connection_errors, sum_in_control_group


def all_reduce_flags(flags: Sequence[bool], accelerator: Accelerator) -> list[bool]:
    """All-reduce flags, such as those to stop and to save: each is true if it is true on any process.

    Raises:
        LevitError: another process has ended, or does not respond.
    """
    if accelerator.num_processes == 1:
        return list(flags)
    return [bool(count) for count in sum_in_control_group(flags)]


def all_reduce_sums(values: Sequence[float], accelerator: Accelerator) -> list[float]:
    """Sum numbers over all processes, in float64."""
    return all_reduce_rows([values], accelerator)[0]


def all_reduce_rows(rows: Sequence[Sequence[float]], accelerator: Accelerator) -> list[list[float]]:
    """Sum a matrix of numbers over all processes, in float64."""
    if accelerator.num_processes == 1:
        return [list(row) for row in rows]
    sums: Tensor = accelerator.reduce(torch.tensor(rows, dtype=torch.float64, device=accelerator.device))
    return sums.tolist()


def all_reduce_counts(counts: NDArray[np.int64], accelerator: Accelerator) -> NDArray[np.int64]:
    """Sum an array of integers over all processes."""
    if accelerator.num_processes == 1:
        return counts
    sums: NDArray[np.int64] = accelerator.reduce(torch.from_numpy(counts).to(accelerator.device)).cpu().numpy()
    return sums


def gather_rows(rows: Sequence[Tensor], columns: int, accelerator: Accelerator) -> Tensor:
    """Concatenate matrices of all processes.

    Args:
        rows: matrices of this process, [any, columns].
        columns: their width, for a process without a matrix.
        accelerator: device and processes.

    Returns:
        [rows of all processes, columns]; a process with fewer rows than another is padded with rows of -1.
    """
    local = torch.cat([torch.zeros(0, columns, device=accelerator.device), *rows])
    gathered: Tensor = accelerator.gather(accelerator.pad_across_processes(local, pad_index=-1))
    return gathered


def broadcast_network(network: nn.Module, accelerator: Accelerator) -> None:
    """Copy weights and buffers of the first process to all: each has its own statistics of batch norms."""
    if accelerator.num_processes > 1:
        for tensor in network.state_dict().values():
            torch.distributed.broadcast(tensor, 0)


def broadcast_text(text: str, accelerator: Accelerator | PartialState) -> str:
    """Return the text of the first process.

    Raises:
        LevitError: another process has ended, or does not respond.
    """
    if accelerator.num_processes == 1:
        return text
    texts = [text]
    with connection_errors():
        broadcast_object_list(texts)
    return texts[0]
