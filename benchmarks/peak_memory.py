"""Peak memory of processes, from what the system counts."""

from __future__ import annotations

import resource
import sys


def peak_bytes(usage: resource.struct_rusage) -> int:
    """Peak resident memory in bytes; Linux counts in kilobytes, macOS in bytes."""
    return usage.ru_maxrss if sys.platform == "darwin" else 1024 * usage.ru_maxrss
