"""Description of the machine and of the installed libraries."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import levit
from levit.runtime.cpu_count import usable_cores
from levit.runtime.openvino_core import openvino_core

_LIBRARIES = ("openvino", "onnxruntime", "torch", "transformers", "timm")


def describe_machine() -> dict[str, str]:
    """Describe the machine on which the measurements are made.

    Returns:
        The processor, the number of cores that this process may use, the number formats that OpenVINO computes
        natively on it (`capabilities`), the operating system and Python, and the versions of the libraries.
    """
    core = openvino_core()
    versions = [f"levit {levit.__version__}"]
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return {
        "processor": core.get_property("CPU", "FULL_DEVICE_NAME").strip(),
        "cores": f"{usable_cores()} cores",
        "capabilities": " ".join(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(versions),
    }
