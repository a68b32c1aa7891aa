"""The build hook: the library in a wheel and in the working tree, the reason where there is none, and the recipes."""

import importlib.util
import os
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Generic, TypeVar

import pytest

from levit.runtime import native_library
from tests.conftest import ROOT

Configuration = TypeVar("Configuration")

# Writes a library, as a compiler does; or fails.
COMPILER = "import sys; open(sys.argv[sys.argv.index('-o') + 1], 'w').write('compiled')"
FAILURE = "import sys; print('a warning', file=sys.stderr); sys.exit('error: unable to open the cache\\n1 error')"


class Hook(Generic[Configuration]):
    """Base class of hatchling, which is not installed: the folder of the package, and where warnings are shown."""

    def __init__(self, root: Path) -> None:
        self.root, self.warnings = str(root), []
        self.app = SimpleNamespace(display_warning=self.warnings.append)


def use_compiler(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setenv("CXX", f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}")


@pytest.fixture
def hook(tmp_path, monkeypatch) -> Hook:
    """Hook of a package with the sources of the engine and a library, and with a compiler that fails."""
    interface = ModuleType("interface")
    interface.BuildHookInterface = Hook
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("LEVIT_NATIVE", "LEVIT_NATIVE_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    use_compiler(monkeypatch, FAILURE)
    (tmp_path / "native").mkdir()
    shutil.copy(ROOT / "native" / "build.py", tmp_path / "native")
    (tmp_path / "native" / "target.cpp").touch()
    library = tmp_path / module.LIBRARY
    library.parent.mkdir(parents=True)
    library.write_text("a library")
    return module.NativeBuildHook(tmp_path)


def library_of(hook: Hook) -> Path:
    return Path(hook.root) / "src" / "levit" / "runtime" / "levit_native.so"


def build(hook: Hook, version: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What the hook gives to hatchling, and the text of each file that it adds, which is deleted at the end."""
    data = {"force_include": {}}
    hook.initialize(version, data)
    files = data.pop("force_include")
    texts = {target: Path(file).read_text() for file, target in files.items()}
    hook.finalize(version, data, "levit.whl")
    assert [file for file, target in files.items() if "runtime" in target and Path(file).exists()] == []
    return data, texts


def test_a_wheel_has_its_own_library_and_leaves_that_of_the_working_tree(hook, monkeypatch):
    use_compiler(monkeypatch, COMPILER)
    data, files = build(hook, "standard")
    assert files == {"levit/runtime/levit_native.so": "compiled"}
    assert data["pure_python"] is False
    assert data["tag"].startswith("py3-none-")
    assert library_of(hook).read_text() == "a library"


def test_an_editable_installation_has_the_library_in_the_working_tree(hook, monkeypatch):
    use_compiler(monkeypatch, COMPILER)
    reason = library_of(hook).with_suffix(".txt")
    reason.write_text("of an earlier installation")
    assert build(hook, "editable")[1] == {}
    assert library_of(hook).read_text() == "compiled"
    assert not reason.exists()


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_a_package_without_the_engine_leaves_the_library_of_the_working_tree(hook, monkeypatch, version):
    monkeypatch.setenv("LEVIT_NATIVE", "0")
    data, files = build(hook, version)
    assert data == {}
    reason = {"levit/runtime/levit_native.txt": "built with LEVIT_NATIVE=0\n"}
    assert files == (reason if version == "standard" else {})
    assert library_of(hook).read_text() == "a library"


def test_a_wheel_says_why_it_has_no_library(hook, monkeypatch):
    data, files = build(hook, "standard")
    assert data == {}
    text = "it could not be compiled: error: unable to open the cache"
    assert files == {f"levit/runtime/{native_library.REASON_NAME}": f"{text}\n"}
    (message,) = hook.warnings
    assert message.startswith("without the native engine, because it cannot be compiled: ")


@pytest.mark.parametrize(
    ("compiler", "reason"), [("false", "false fails"), ("missing-compiler", "No such file or directory")]
)
@pytest.mark.skipif(shutil.which("false") is None, reason="needs a program that fails without a message")
def test_a_compiler_without_messages_is_named(hook, monkeypatch, compiler, reason):
    monkeypatch.setenv("CXX", compiler)
    (text,) = build(hook, "standard")[1].values()
    assert reason in text
    assert compiler in text
    assert text.count("\n") == 1


def test_a_library_of_other_sources_is_deleted_where_it_cannot_be_compiled(hook):
    assert build(hook, "editable") == ({}, {})
    assert not library_of(hook).exists()
    assert library_of(hook).with_suffix(".txt").read_text().startswith("it could not be compiled: error: unable")
    assert len(hook.warnings) == 1


def test_a_library_that_cannot_be_deleted_is_left(hook, monkeypatch):
    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(path)  # as in Windows, where a program has loaded it

    monkeypatch.setattr(Path, "unlink", refuse)
    build(hook, "editable")
    assert library_of(hook).exists()
    assert len(hook.warnings) == 1


def test_a_wheel_for_another_platform_that_cannot_be_compiled_is_an_error(hook, monkeypatch):
    monkeypatch.setenv("LEVIT_NATIVE_PLATFORM", "linux-aarch64")
    with pytest.raises(OSError, match="only ziglang compiles for linux-aarch64"):
        build(hook, "standard")
    hook.finalize("standard", {}, "")


def test_a_wheel_has_the_recipes_and_not_the_programs_beside_them(hook, monkeypatch):
    monkeypatch.setenv("LEVIT_NATIVE", "0")
    configs = Path(hook.root) / "configs"
    (configs / "networks" / "small").mkdir(parents=True)
    for name in ("quick.yaml", "networks/small/config.json", "collect.py"):
        (configs / name).write_text(name)
    recipes = {target: text for target, text in build(hook, "standard")[1].items() if "recipes" in target}
    assert recipes == {f"levit/training/recipes/{name}": name for name in ("quick.yaml", "networks/small/config.json")}
    assert build(hook, "editable")[1] == {}


@pytest.mark.skipif(os.name == "nt", reason="the folders of zig's cache in Windows are those of the system")
def test_the_cache_of_zig_is_in_a_temporary_folder_where_the_home_folder_is_not_writable(hook, monkeypatch, tmp_path):
    use_compiler(
        monkeypatch, "import os; " + COMPILER.replace("'compiled'", "os.environ.get('ZIG_GLOBAL_CACHE_DIR', '')")
    )
    for name in ("ZIG_GLOBAL_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").touch()
    homes = {"absent": None, "not a folder": tmp_path / "file", "writable": tmp_path / "home"}
    caches = {}
    for case, home in homes.items():
        monkeypatch.delenv("HOME", raising=False) if home is None else monkeypatch.setenv("HOME", str(home))
        caches[case] = build(hook, "standard")[1]["levit/runtime/levit_native.so"]
    assert caches.pop("writable") == ""
    assert all(Path(cache).name == "zig-cache" and not Path(cache).exists() for cache in caches.values())
