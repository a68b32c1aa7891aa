"""The machine and the libraries that figures were measured with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import levit
from levit.runtime.cpu_count import usable_cores
from levit.runtime.openvino_core import openvino_core

_LIBRARIES = ("openvino", "onnxruntime", "torch", "transformers", "timm")


def describe_machine() -> dict[str, str]:
    """Processor, cores that this process may use, what it computes natively, system, and versions."""
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
