"""Description of the machine and of the installed libraries."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import levit
from levit.runtime.cpu_count import usable_cores
from levit.runtime.model_info import native_engine

_LIBRARIES = ("openvino", "onnxruntime", "torch", "transformers", "timm")


def describe_machine() -> dict[str, str]:
    """Describe the machine on which the measurements are made.

    Returns:
        The processor, the number of cores that this process may use, the number formats that OpenVINO computes
        natively on it (`capabilities`; without OpenVINO, the instruction sets of the native engine), the operating
        system and Python, and the versions of the libraries.
    """
    processor, capabilities = _processor()
    versions = [f"levit {levit.__version__}"]
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return {
        "processor": processor,
        "cores": f"{usable_cores()} cores",
        "capabilities": capabilities,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(versions),
    }


def _processor() -> tuple[str, str]:
    """Name and capabilities of the processor."""
    if find_spec("openvino") is None:
        return platform.processor() or platform.machine(), native_engine()
    from levit.runtime.openvino_core import openvino_core

    core = openvino_core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return core.get_property("CPU", "FULL_DEVICE_NAME").strip(), " ".join(capabilities)
