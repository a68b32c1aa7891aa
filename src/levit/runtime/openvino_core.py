"""OpenVINO, imported without telemetry, and the `openvino.Core` of this process."""

from __future__ import annotations

import functools

from levit.managed_engine import ProcessGuard
from levit.runtime.telemetry import telemetry_disabled

try:
    with telemetry_disabled():
        import openvino
except ImportError as error:
    raise ImportError(f"OpenVINO is missing ({error}): pip install openvino", name=error.name) from error

__all__ = ["OPENVINO_GUARD", "openvino", "openvino_core"]  # every other module imports OpenVINO from here

OPENVINO_GUARD = ProcessGuard("OpenVINO")
"""Guard of the threads that all compiled networks of a process share; they do not exist in a forked child."""


@functools.cache
def openvino_core() -> openvino.Core:
    """The `openvino.Core` that reads and compiles all networks; it is never destroyed before the process ends.

    A core gives the thread that first computes with it a new stack for signal handlers, and restores the previous
    stack when it is destroyed. When two cores are destroyed in the order of their creation, the restored stack is that
    of the first core, which no longer exists, and the next signal (Ctrl-C, the end of a child process) is a
    segmentation fault (OpenVINO 2026.4 on a processor with AMX).
    """
    return openvino.Core()
