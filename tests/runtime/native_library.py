"""The native library of the tests: that of the package, unless its sources are newer."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from levit.runtime.native_library import LIBRARY_VARIABLE, find_library
from tests.conftest import ROOT

SOURCES = ROOT / "native"


def native_module(path: str) -> ModuleType:
    """Python file in `native/`, which is not a package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, SOURCES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def fresh_library(folder: Path) -> Path | None:
    """Library of the present sources; None where there is no compiler."""
    library = find_library()
    newest = max(file.stat().st_mtime for file in SOURCES.iterdir() if file.is_file())
    if library is not None and library.stat().st_mtime >= newest:
        return library
    build = native_module("build.py")
    if build.find_compiler() is None:
        return None
    build.build(folder / "levit_native.so")
    return folder / "levit_native.so"


@pytest.fixture(scope="session")
def _library(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return fresh_library(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def native_library(_library: Path | None) -> Path:
    """Path of the library, which the environment names during the module."""
    if _library is None:
        pytest.skip("needs a C++ compiler: pip install ziglang")
    before = os.environ.get(LIBRARY_VARIABLE)
    os.environ[LIBRARY_VARIABLE] = str(_library)
    yield _library
    os.environ.pop(LIBRARY_VARIABLE) if before is None else os.environ.update({LIBRARY_VARIABLE: before})
