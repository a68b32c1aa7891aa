"""Shared memory of worker processes: whether their batches fit, and an error that names its size."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from levit.errors import LevitError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # of Linux; other systems have no such limit

_BATCHES_PER_WORKER = 2  # those that a worker prepares ahead; see `prefetch_factor` of torch's DataLoader


class LoaderShape(NamedTuple):
    """Workers and batches of one data loader.

    Attributes:
        num_workers: number of worker processes.
        batch_bytes: size of a batch in bytes.
    """

    num_workers: int
    batch_bytes: int

    @property
    def required_bytes(self) -> int:
        """Shared memory in bytes of the batches that workers prepare ahead, and of the one in use."""
        return (_BATCHES_PER_WORKER * self.num_workers + 1) * self.batch_bytes if self.num_workers else 0


def free_shared_memory(folder: Path = SHARED_MEMORY) -> int | None:
    """Free shared memory in bytes; None where the system does not limit it."""
    return shutil.disk_usage(folder).free if folder.is_dir() else None


def check_shared_memory(loaders: Sequence[LoaderShape], free: int | None) -> None:
    """Check that the batches of workers fit into the shared memory.

    Args:
        loaders: all data loaders on this machine.
        free: free shared memory in bytes; None without a limit.

    Raises:
        LevitError: they do not.
    """
    required = sum(loader.required_bytes for loader in loaders)
    if free is not None and required > free:
        raise shared_memory_error(
            f"the batches of workers need {required / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
        )


def shared_memory_error(reason: str) -> LevitError:
    """An error of the shared memory, with the ways to avoid it."""
    hint = "set `workers` to 0 or give fewer, a smaller `batch_size`, or more shared memory (docker run --shm-size=8g)"
    return LevitError(reason, source=SHARED_MEMORY, hint=hint)


def describe_shared_memory(folder: Path = SHARED_MEMORY) -> str:
    """Size of the shared memory, as text."""
    if not folder.is_dir():
        return "the shared memory"
    return f"the shared memory of {shutil.disk_usage(folder).total / 1e6:,.0f} MB"
