"""LeViT image classification: checkpoints, network, training, and a runtime without torch.

Names are imported on first use, so that `import levit` is fast and needs no other package.

    >>> import levit
    >>> classify = levit.Classifier()  # the embedded model; or an exported file, a checkpoint, a name
    >>> classify("examples/espresso.jpg").top(1)[0].name
    'espresso'

Public names, each with its own help, as in help(levit.Classifier):

"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

__version__ = "0.1.0"


def _read_stub() -> dict[str, str]:
    """Read `__init__.pyi`, the only list of public names: from each name to the module that defines it."""
    stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = re.findall(r"^from (\S+) import \(?\s*(\w+) as \w+", stub, re.MULTILINE)
    return {name: module for module, name in imports}


_MODULES = _read_stub()
_NAMES = sorted(["__version__", *_MODULES])

__doc__ += "".join(f"    {name}\n" for name in _NAMES)

# Packages that the extras "torch" and "training" install, by the packages of levit that need them.
_TORCH_PACKAGES = ("torch", "transformers")
_TRAINING_PACKAGES = (*_TORCH_PACKAGES, "accelerate", "timm")
_EXTRA_PACKAGES = {"model": _TORCH_PACKAGES, "image_processing": _TORCH_PACKAGES, "training": _TRAINING_PACKAGES}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name == "__all__" and not _is_module(sys._getframe(1), "pydoc"):
        return _available_names()  # pydoc would show the whole help of each of them, 16,000 lines
    if name not in _MODULES:
        raise AttributeError(f"module 'levit' has no attribute {name!r}")
    module = _MODULES[name]
    try:
        value = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name not in _TRAINING_PACKAGES:
            raise
        extra = "training" if module.startswith("levit.training.") else "torch"
        raise ImportError(f'levit.{name} needs {error.name}: pip install "levit[{extra}]"') from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    if _is_module(sys._getframe(1), "inspect"):  # help(levit) would import everything, torch too where it is installed
        return [name for name in _NAMES if name in globals()]
    return _available_names()


def _available_names() -> list[str]:
    """Public names without those of extras that are not installed, so that a star import works."""
    from importlib.util import find_spec

    absent = {package for package in _TRAINING_PACKAGES if find_spec(package) is None}
    needed = {name: _EXTRA_PACKAGES.get(module.split(".")[1], ()) for name, module in _MODULES.items()}
    return [name for name in _NAMES if absent.isdisjoint(needed.get(name, ()))]


def _is_module(frame: FrameType, name: str) -> bool:
    """Return whether a frame is one of a module."""
    return frame.f_globals.get("__name__") == name
