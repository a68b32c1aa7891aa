"""Number of worker processes that load images."""

from __future__ import annotations

import os

from levit.runtime.cpu_count import usable_cores

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
