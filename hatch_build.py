"""Build hook: compiles the native engine into the package; without a compiler the package is pure Python."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "src/levit/runtime/levit_native.so"
REASON = "src/levit/runtime/levit_native.txt"  # why there is no library, for levit/runtime/native_library.py
PLATFORM_VARIABLE = "LEVIT_NATIVE_PLATFORM"


class NativeBuildHook(BuildHookInterface[Any]):
    """Compile `native/` before a wheel is built, also for an editable installation, and add the recipes to the wheel.

    An editable installation writes the library into the working tree; a wheel takes it from a temporary folder, so that
    the tree may be read-only. LEVIT_NATIVE=0 leaves the library out of the wheel, and a present one as it is.
    LEVIT_NATIVE_PLATFORM names another platform that the wheel is for, of those in `native/build.py`, such as
    "linux-aarch64"; there, a library that cannot be compiled is an error.
    """

    PLUGIN_NAME = "custom"

    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the library and add it to the wheel, whose tag then names the platform.

        Args:
            version: "standard" or "editable".
            build_data: see hatchling; it is modified.

        Raises:
            OSError: the library for the platform in LEVIT_NATIVE_PLATFORM cannot be compiled.
            ValueError: there is no such platform.
        """
        if version == "editable":
            self._add_library(Path(self.root), None, build_data)
            return
        self._temporary = tempfile.TemporaryDirectory()
        folder = Path(self._temporary.name)
        self._add_library(folder, os.environ.get(PLATFORM_VARIABLE), build_data)
        included = {folder / name: name.removeprefix("src/") for name in (LIBRARY, REASON) if (folder / name).exists()}
        # Programs in configs/ are for a clone.
        recipes = [file for file in Path(self.root, "configs").rglob("*") if file.suffix in (".yaml", ".json")]
        for file in recipes:
            included[file] = f"levit/training/recipes/{file.relative_to(Path(self.root, 'configs')).as_posix()}"
        build_data["force_include"].update({str(file): target for file, target in included.items()})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Delete the files that the wheel now contains.

        Args:
            version: as in `initialize`.
            build_data: as in `initialize`.
            artifact_path: the wheel.
        """
        if self._temporary is not None:
            self._temporary.cleanup()

    def _add_library(self, folder: Path, platform: str | None, build_data: dict[str, Any]) -> None:
        """Write the library below a folder, or the reason why there is none."""
        library = folder / LIBRARY
        if os.environ.get("LEVIT_NATIVE") == "0":
            if not library.exists():
                _write_reason(folder, "built with LEVIT_NATIVE=0")
            return
        native = _build_module(Path(self.root))
        target = native.find_platform(platform)
        try:
            library.parent.mkdir(parents=True, exist_ok=True)
            native.build(library, target=target)
        except OSError as error:
            if platform:
                raise
            with suppress(OSError):  # in Windows, a running program may have loaded it
                library.unlink(missing_ok=True)
            _write_reason(folder, f"it could not be compiled: {_important_line(error)}")
            self.app.display_warning(f"without the native engine, because it cannot be compiled: {error}")
            return
        (folder / REASON).unlink(missing_ok=True)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{target.wheel}"


def _build_module(root: Path) -> ModuleType:
    """`native/build.py`, which is not in a package."""
    spec = importlib.util.spec_from_file_location("native_build", root / "native" / "build.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(root / "native" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write_reason(folder: Path, text: str) -> None:
    file = folder / REASON
    with suppress(OSError):  # an editable installation of a read-only tree
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", encoding="utf-8")


def _important_line(error: OSError) -> str:
    """The first error in the output of a compiler, or its last line; the first line of the whole is the command."""
    command, newline, output = str(error).partition("\n")
    if not newline:
        return command
    lines = output.splitlines() or [f"{command.split()[0]} fails"]
    return next((line for line in lines if "error" in line.lower()), lines[-1]).strip()
