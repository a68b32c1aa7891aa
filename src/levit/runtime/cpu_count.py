"""How many cores this process may really use."""

from __future__ import annotations

import os
from contextlib import suppress
from math import ceil
from pathlib import Path


def usable_cores(*, root: Path = Path("/")) -> int:
    """The cores that the scheduler gives this process: its affinity, and the quota of its control groups.

    A container with a quota of two cores sees all 64 of its machine; as many threads would wait for one another.

    Args:
        root: where /proc and /sys are looked for.

    Examples:
        >>> 1 <= usable_cores() <= (os.cpu_count() or 1)
        True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else visible_cores()
    quotas = [quota for folder in _control_groups(root) if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *(ceil(quota) for quota in quotas)]))


def visible_cores() -> int:
    """The cores of the machine, whoever may use them."""
    return os.cpu_count() or 1


def _control_groups(root: Path) -> list[Path]:
    """The folders of the control groups that this process is in, and of those above them."""
    folders = []
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text(encoding="ascii", errors="replace").splitlines()
    for line in lines:
        _, controllers, group = line.split(":", 2) if line.count(":") >= 2 else ("", "-", "")
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        place = base / group.strip("/")
        # A container often sees its own group as the root, whatever path /proc names.
        folders += [folder for folder in (place, *place.parents, base) if folder.is_relative_to(base)]
    return folders


def _quota(folder: Path) -> float | None:
    """Cores' worth of time that a control group may use; None where there is no limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):  # version 2
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):  # version 1
        quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
        period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return int(quota) / int(period) if int(quota) > 0 else None
    return None
