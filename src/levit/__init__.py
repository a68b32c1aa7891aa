"""LeViT image classification: checkpoints, network, training, and a runtime without torch.

Names are imported on first use, so that `import levit` is fast and needs no other package.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _read_stub() -> dict[str, str]:
    """Read `__init__.pyi`, the only list of public names: from each name to the module that defines it."""
    stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = re.findall(r"^from (\S+) import \(?\s*(\w+) as \w+", stub, re.MULTILINE)
    return {name: module for module, name in imports}


_MODULES = _read_stub()

__all__ = sorted(["__version__", *_MODULES])

# Packages that the extras "torch" and "training" install.
_EXTRA_PACKAGES = ("torch", "transformers", "accelerate", "timm")


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'levit' has no attribute {name!r}")
    module = _MODULES[name]
    try:
        value = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA_PACKAGES:
            raise
        extra = "training" if module.startswith("levit.training.") else "torch"
        raise ImportError(f'levit.{name} needs {error.name}: pip install "levit[{extra}]"') from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
