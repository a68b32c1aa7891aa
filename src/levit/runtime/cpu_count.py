"""Number of CPU cores that this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from math import ceil
from pathlib import Path


def usable_cores(*, root: Path = Path("/")) -> int:
    """Number of CPU cores that the scheduler gives this process, by its affinity and the quotas of its control groups.

    In a container with a quota of 2 cores, `os.cpu_count()` returns all 64 cores of the machine; most of 64
    threads would wait.

    Args:
        root: folder that contains `proc` and `sys`.

    Returns:
        At least 1. A quota of a fraction of a core is rounded up.

    Examples:
        >>> 1 <= usable_cores() <= (os.cpu_count() or 1)
        True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else visible_cores()
    quotas = [quota for folder in _control_groups(root) if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *(ceil(quota) for quota in quotas)]))


def visible_cores() -> int:
    """Number of CPU cores of the machine, including those that this process may not use."""
    return os.cpu_count() or 1


def _control_groups(root: Path) -> list[Path]:
    """Folders of the control groups of this process, and of their parents."""
    folders = []
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text(encoding="ascii", errors="replace").splitlines()
    for line in lines:
        _, controllers, group = line.split(":", 2) if line.count(":") >= 2 else ("", "-", "")
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        folder = base / group.strip("/")
        # In many containers the base folder is that of the process's own group, despite the path in /proc.
        folders += [path for path in (folder, *folder.parents, base) if path.is_relative_to(base)]
    return folders


def _quota(folder: Path) -> float | None:
    """Quota of a control group in cores; None without a limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):  # version 2
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):  # version 1
        quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
        period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return int(quota) / int(period) if int(quota) > 0 else None
    return None
