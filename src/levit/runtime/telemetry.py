"""Telemetry of OpenVINO and NNCF, which stays off in engines that levit opens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from levit.fork_safe_lock import ForkSafeLock

# Environment variables by which openvino_telemetry and NNCF recognize continuous integration and send no data.
_SWITCHES = {"CI": "true", "NNCF_CI": "1"}

_lock = ForkSafeLock()


@contextmanager
def telemetry_disabled() -> Iterator[None]:
    """Import OpenVINO or NNCF inside this block to keep their telemetry off.

    Both packages send usage data to Intel through the package openvino_telemetry: when they are imported, from a fork
    of the process, by default. Their supported switches are a setting of the user for all programs (the command
    `opt_in_out --opt_out`) and environment variables. The variables are read during the import, so they are set for
    the duration of the block only. The choice then holds in this process until another program in it initializes
    openvino_telemetry itself. A package that was imported before keeps its setting.

    Examples:
        >>> with telemetry_disabled():
        ...     import openvino
    """
    with _lock:
        previous = {name: os.environ.get(name) for name in _SWITCHES}
        os.environ.update(_SWITCHES)
        try:
            yield
        finally:
            for name, value in previous.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
