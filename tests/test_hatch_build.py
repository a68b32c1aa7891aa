"""The build hook leaves the library of the working tree as it is, or says why there is none."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Generic, TypeVar

import pytest

from tests.conftest import ROOT

Configuration = TypeVar("Configuration")


class Hook(Generic[Configuration]):
    """Base class of hatchling, which is not installed: the folder of the package, and where warnings are shown."""

    def __init__(self, root: Path) -> None:
        self.root, self.warnings = str(root), []
        self.app = SimpleNamespace(display_warning=self.warnings.append)


@pytest.fixture
def hook(tmp_path, monkeypatch) -> Hook:
    """Hook of a package with the sources of the engine and a library, and with a compiler that fails."""
    interface = ModuleType("interface")
    interface.BuildHookInterface = Hook
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("CXX", f"{sys.executable} -c exit(1)")
    monkeypatch.delenv("LEVIT_NATIVE_PLATFORM", raising=False)
    (tmp_path / "native").symlink_to(ROOT / "native")
    library = tmp_path / module.LIBRARY
    library.parent.mkdir(parents=True)
    library.write_text("a library")
    return module.NativeBuildHook(tmp_path)


def library_of(hook: Hook) -> Path:
    return Path(hook.root) / "src" / "levit" / "runtime" / "levit_native.so"


def test_a_wheel_without_the_engine_leaves_the_library_of_the_working_tree(hook, monkeypatch):
    monkeypatch.setenv("LEVIT_NATIVE", "0")
    data = {"artifacts": []}
    hook.initialize("standard", data)
    assert data == {"artifacts": []}
    assert library_of(hook).read_text() == "a library"


def test_a_library_of_other_sources_is_deleted_where_it_cannot_be_compiled(hook):
    data = {"artifacts": []}
    hook.initialize("standard", data)
    assert data == {"artifacts": []}
    assert not library_of(hook).exists()
    (message,) = hook.warnings
    assert message.startswith("without the native engine, because it cannot be compiled: ")


def test_a_library_that_cannot_be_deleted_is_left(hook, monkeypatch):
    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(path)  # as in Windows, where a program has loaded it

    monkeypatch.setattr(Path, "unlink", refuse)
    hook.initialize("standard", {"artifacts": []})
    assert library_of(hook).exists()
    assert len(hook.warnings) == 1
