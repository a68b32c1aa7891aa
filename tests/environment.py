"""The environment of all tests: nothing of the developer's caches and settings.

`conftest.py` imports it before any library that reads the environment. Other processes inherit the result, such as the
workers of pytest-xdist, which share a folder.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import MutableMapping

# Set by the process that has made the environment, for those that it starts.
FOLDER = "TESTS_OF_LEVIT"

# No test run sets any of these on purpose but LEVIT_EXAMPLES (CONTRIBUTING.md).
PREFIXES = ("HF_", "LEVIT_")
SETTINGS = {"FORCE_COLOR", "HUGGINGFACE_HUB_CACHE", "NO_COLOR", "ONEDNN_MAX_CPU_ISA", "TRANSFORMERS_CACHE"}
KEPT = "LEVIT_EXAMPLES"


def isolate(environment: MutableMapping[str, str], folder: str) -> None:
    """Delete the developer's settings, and set caches in a folder. No test uses a hub, or a proxy for this machine."""
    for name in list(environment):
        if name in SETTINGS or (name.startswith(PREFIXES) and name != KEPT):
            del environment[name]
    direct = environment.get("no_proxy") or environment.get("NO_PROXY")
    without_proxy = ",".join(filter(None, [direct, "127.0.0.1", "localhost"]))
    environment.update(
        {
            FOLDER: folder,
            "HF_HOME": os.path.join(folder, "huggingface"),  # noqa: PTH118
            "HF_HUB_OFFLINE": "1",
            "LEVIT_CACHE": os.path.join(folder, "levit"),  # noqa: PTH118
            "NO_PROXY": without_proxy,
            "no_proxy": without_proxy,  # which is read first
        }
    )


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # not a forked one
        shutil.rmtree(folder, ignore_errors=True)


if FOLDER not in os.environ:
    isolate(os.environ, tempfile.mkdtemp(prefix="levit-tests-"))
    atexit.register(_remove, os.environ[FOLDER], os.getpid())
# Parallel workers of pytest-xdist share the cores; more threads than cores make each operation many times slower.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
