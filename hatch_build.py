"""Build hook: compiles the native engine into the package; without a compiler the package is pure Python."""

from __future__ import annotations

import importlib.util
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "src/levit/runtime/levit_native.so"
PLATFORM_VARIABLE = "LEVIT_NATIVE_PLATFORM"


class NativeBuildHook(BuildHookInterface[Any]):
    """Compile `native/` before a wheel is built, also for an editable installation.

    LEVIT_NATIVE=0 leaves it out of the wheel, and a present library as it is. LEVIT_NATIVE_PLATFORM names another
    platform that the wheel is for, of those in `native/build.py`, such as "linux-aarch64"; there, a library that cannot
    be compiled is an error.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the library and add it to the wheel, whose tag then names the platform.

        Args:
            version: "standard" or "editable".
            build_data: see hatchling; it is modified.

        Raises:
            OSError: the library for the platform in LEVIT_NATIVE_PLATFORM cannot be compiled.
            ValueError: there is no such platform.
        """
        root, platform = Path(self.root), os.environ.get(PLATFORM_VARIABLE)
        library = root / LIBRARY
        if platform:  # the library of this machine stays as it is
            library = root / "build" / platform / library.name
        if os.environ.get("LEVIT_NATIVE") == "0":
            return
        spec = importlib.util.spec_from_file_location("native_build", root / "native" / "build.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(root / "native" / "build.py")
        native = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(native)
        target = native.find_platform(platform)
        library.parent.mkdir(parents=True, exist_ok=True)
        try:
            native.build(library, target=target)
        except OSError as error:
            if platform:
                raise
            with suppress(OSError):  # in Windows, a running program may have loaded it
                library.unlink(missing_ok=True)
            self.app.display_warning(f"without the native engine, because it cannot be compiled: {error}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{target.wheel}"
        if platform:
            build_data["force_include"][str(library)] = LIBRARY.removeprefix("src/")
        else:
            build_data["artifacts"].append(LIBRARY)
