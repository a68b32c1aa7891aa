"""The one OpenVINO core of this process."""

from __future__ import annotations

import functools

import openvino


@functools.cache
def openvino_core() -> openvino.Core:
    """What reads and compiles networks, shared by all engines to the end of the process.

    A core gives the thread that first computes with it another stack for signal handlers, and at its own end brings
    back the one that was there before. Where two cores end in the order in which they began, that is the stack of the
    first, which is gone, and the next signal, Ctrl-C or the end of a child process, is a segmentation fault (OpenVINO
    2026.4). A core that does not end before the process has nothing to bring back.
    """
    return openvino.Core()
