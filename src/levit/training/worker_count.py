"""Number of worker processes that load images: by the cores, and by the shared memory that their batches need."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

from levit.errors import LevitError, LevitWarning
from levit.runtime.cpu_count import usable_cores

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # of Linux; other systems have no such limit

_BATCHES_PER_WORKER = 2  # those that a worker prepares ahead; see `prefetch_factor` of torch's DataLoader
_MAX_VALIDATION_WORKERS = 4  # they stay alive beside those of training
_MAX_WORKERS = 16


def processes_on_machine(num_processes: int) -> int:
    """Number of training processes on this machine: that of torchrun, or of all machines where it is unknown."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", num_processes))


def num_validation_workers(num_workers: int) -> int:
    """Number of worker processes of the validation loader beside those of training."""
    return min(num_workers, _MAX_VALIDATION_WORKERS)


def choose_num_workers(workers: int | None, num_processes: int, *, on_cpu: bool, cores: int | None = None) -> int:
    """Choose the number of worker processes that load images for each training process.

    On a CPU the network needs the cores, and loading images takes a small part of the time.

    Args:
        workers: the number that the user requests; None to choose by the number of cores.
        num_processes: processes that train together; torchrun's LOCAL_WORLD_SIZE, those on this machine, precedes it.
        on_cpu: whether the network is trained on the CPU.
        cores: number of cores; default: those that this process may use.
    """
    if workers is not None:
        return workers
    num_processes = processes_on_machine(num_processes)
    cores = usable_cores() if cores is None else cores
    if on_cpu and cores <= 2 * num_processes:
        return 0
    return max(1, min(_MAX_WORKERS, cores // num_processes - int(on_cpu)))


def reduce_num_workers(num_workers: int, batch_bytes: int, num_processes: int, free: int | None) -> int:
    """Reduce the number of workers until their batches fit into the shared memory, with a warning.

    Args:
        num_workers: number of worker processes of each training process.
        batch_bytes: size in bytes of a batch of training images; one of validation images has twice as many.
        num_processes: processes that train together.
        free: free shared memory in bytes; None without a limit.
    """
    shortage = _describe_shortage(num_workers, batch_bytes, num_processes, free)
    if not shortage:
        return num_workers
    counts = range(num_workers)  # no worker needs no memory
    reduced = max(count for count in counts if not _describe_shortage(count, batch_bytes, num_processes, free))
    text = f"{SHARED_MEMORY}: {shortage}: {reduced} instead of {num_workers} workers load images, slower"
    warnings.warn(f"{text}; give more shared memory (docker run --shm-size=8g)", LevitWarning, stacklevel=2)
    return reduced


def check_shared_memory(num_workers: int, batch_bytes: int, num_processes: int, free: int | None) -> None:
    """Check that the batches of all workers on this machine fit into the shared memory; see `reduce_num_workers`.

    Raises:
        LevitError: they do not.
    """
    if shortage := _describe_shortage(num_workers, batch_bytes, num_processes, free):
        raise shared_memory_error(shortage)


def free_shared_memory(folder: Path = SHARED_MEMORY) -> int | None:
    """Free shared memory in bytes; None where the system does not limit it."""
    return shutil.disk_usage(folder).free if folder.is_dir() else None


def shared_memory_error(reason: str) -> LevitError:
    """An error of the shared memory, with the ways to avoid it."""
    hint = "set `workers` to 0 or give fewer, a smaller `batch_size`, or more shared memory (docker run --shm-size=8g)"
    return LevitError(reason, source=SHARED_MEMORY, hint=hint)


def describe_shared_memory(folder: Path = SHARED_MEMORY) -> str:
    """Size of the shared memory, as text."""
    if not folder.is_dir():
        return "the shared memory"
    return f"the shared memory of {shutil.disk_usage(folder).total / 1e6:,.0f} MB"


def _describe_shortage(num_workers: int, batch_bytes: int, num_processes: int, free: int | None) -> str:
    """How much shared memory is missing, as text; empty where the batches fit."""
    required = _required_bytes(num_workers, batch_bytes, num_processes)
    if free is None or required <= free:
        return ""
    return f"the batches of workers need {required / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"


def _required_bytes(num_workers: int, batch_bytes: int, num_processes: int) -> int:
    """Shared memory in bytes of the batches that the workers of both loaders prepare ahead, and of those in use."""
    if not num_workers:
        return 0
    training = (_BATCHES_PER_WORKER * num_workers + 1) * batch_bytes
    validation = (_BATCHES_PER_WORKER * num_validation_workers(num_workers) + 1) * 2 * batch_bytes
    return processes_on_machine(num_processes) * (training + validation)
