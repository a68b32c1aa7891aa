"""Build hook: compiles the native engine into the package; without a compiler the package is pure Python."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "src/levit/runtime/levit_native.so"


class NativeBuildHook(BuildHookInterface[Any]):
    """Compile `native/` before a wheel is built, also for an editable installation; LEVIT_NATIVE=0 leaves it out."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the library and add it to the wheel, whose tag then names the platform.

        Args:
            version: "standard" or "editable".
            build_data: see hatchling; it is modified.
        """
        root = Path(self.root)
        library = root / LIBRARY
        if os.environ.get("LEVIT_NATIVE") == "0":
            library.unlink(missing_ok=True)
            return
        spec = importlib.util.spec_from_file_location("native_build", root / "native" / "build.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(root / "native" / "build.py")
        native = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(native)
        try:
            native.build(library)
        except OSError as error:
            library.unlink(missing_ok=True)
            self.app.display_warning(f"without the native engine, because it cannot be compiled: {error}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{native.wheel_platform()}"
        build_data["artifacts"].append(LIBRARY)
