"""Build of the native library: `python native/build.py FILE [PLATFORM]`, for this system or another one.

The compiler is clang of the package ziglang, which compiles for every platform, or one of the system. Each instruction
set is compiled from the same source, `target.cpp`; the library chooses one as it is opened.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parent

_AVX2 = ["-mavx2", "-mfma", "-mbmi2"]
_AVX512 = [
    *_AVX2,
    *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mprefer-vector-width=512"),
]

# Flags of each instruction set; the keys are the names of the targets in processor.cpp. They are linked in this order:
# of an inline function that several objects contain, the linker keeps the first, which must be for every processor.
_X86 = {
    "portable": [],
    "avx2": _AVX2,
    "avxvnni": [*_AVX2, "-mavxvnni"],
    "avx512": _AVX512,
    "amx": [*_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-int8", "-mamx-bf16"],
}
# Of Arm, features; compilers differ in how they are written.
_ARM = {"portable": "", "dotprod": "+dotprod", "i8mm": "+dotprod+i8mm+bf16"}

_FLAGS = ["-std=c++20", "-O3", "-fPIC", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden", "-ffp-contract=fast"]
_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wno-psabi",
    "-Wno-ignored-attributes",
    "-Wno-unknown-warning-option",
    "-Wno-empty-body",
]


class Platform(NamedTuple):
    """Operating system and processor that the library is for.

    Attributes:
        machine: "x86_64", "aarch64" or another one, which has the portable instructions only.
        triple: zig's name, which includes the oldest version of the system; empty for that of the compiler.
        wheel: platform in the name of a wheel.
    """

    machine: str
    triple: str
    wheel: str


# Platforms for which ziglang compiles on any machine.
PLATFORMS = {
    "linux-x86_64": Platform("x86_64", "x86_64-linux-gnu.2.17", "manylinux_2_17_x86_64"),
    "linux-aarch64": Platform("aarch64", "aarch64-linux-gnu.2.17", "manylinux_2_17_aarch64"),
    "macos-arm64": Platform("aarch64", "aarch64-macos.11.0", "macosx_11_0_arm64"),
    "macos-x86_64": Platform("x86_64", "x86_64-macos.10.15", "macosx_10_15_x86_64"),
    "windows-x86_64": Platform("x86_64", "x86_64-windows-gnu", "win_amd64"),
}


def this_platform(compiler: Sequence[str]) -> Platform:
    """Platform of this machine: with zig one of PLATFORMS, if it is one of them.

    Args:
        compiler: command of the compiler.
    """
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    is_musl = system == "linux" and platform.libc_ver()[0] != "glibc"
    known = PLATFORMS.get(f"{system}-{'arm64' if (system, machine) == ('macos', 'aarch64') else machine}")
    if _uses_zig(compiler) and known is not None and not is_musl:
        return known
    return Platform(machine, "", _wheel_platform())


def _wheel_platform() -> str:
    """Platform in the name of a wheel whose library is for this processor and version of the system only."""
    if sys.platform != "darwin":
        return sysconfig.get_platform().replace("-", "_").replace(".", "_")
    # Python may be for both processors, "universal2"; since macOS 11, names of wheels have no minor versions.
    major, minor, *_ = f"{platform.mac_ver()[0]}.0".split(".")
    return f"macosx_{major}_{minor if major == '10' else 0}_{platform.machine()}"


def find_compiler() -> list[str] | None:
    """Command of a C++ compiler, the first of: $CXX, the package ziglang, clang++, g++; None if there is none."""
    if os.environ.get("CXX"):
        return shlex.split(os.environ["CXX"], posix=os.name != "nt")  # in Windows, backslashes are part of a path
    if find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++"]
    for name in ("clang++", "g++"):
        if shutil.which(name):
            return [name]
    return None


def find_platform(name: str | None) -> Platform:
    """Platform by its name.

    Args:
        name: a key of PLATFORMS; None or "" for that of this machine.

    Raises:
        ValueError: there is no such platform.
        OSError: only ziglang compiles for another platform, and the compiler is another one.
    """
    compiler = find_compiler() or []
    if not name:
        return this_platform(compiler)
    if name not in PLATFORMS:
        raise ValueError(f"no platform is called {name!r}: use one of {', '.join(PLATFORMS)}")
    if not _uses_zig(compiler):
        raise OSError(f"only ziglang compiles for {name}: pip install ziglang")
    return PLATFORMS[name]


def _uses_zig(command: Sequence[str]) -> bool:
    return "ziglang" in command


def build(
    library: Path,
    *,
    compiler: Sequence[str] | None = None,
    target: Platform | None = None,
    flags: Sequence[str] = (),
) -> None:
    """Compile and link the library.

    Args:
        library: the file to write.
        compiler: command of the compiler; None for that of `find_compiler`.
        target: platform; None for that of this machine.
        flags: further flags.

    Raises:
        OSError: there is no compiler, or it fails, in which case the message is its output; or the processor is
            big-endian, and model files are not.
    """
    command = list(compiler or find_compiler() or [])
    if not command:
        raise OSError("no C++ compiler: pip install ziglang")
    target = target or this_platform(command)
    if sys.byteorder == "big" and not target.triple:
        raise OSError("the native engine is for little-endian processors")
    with tempfile.TemporaryDirectory() as folder:
        objects = _compile(Path(folder), command, target, [], flags)
        linked = Path(folder) / library.name
        _link(Path(folder), linked, objects, command, target, [*flags, "-shared", "-s"])
        # A running process may have mapped the present file, so that is replaced, not overwritten.
        with tempfile.TemporaryDirectory(dir=library.parent) as beside:
            copy = Path(shutil.copy(linked, beside))
            copy.replace(library)


def build_program(
    program: Path,
    sources: Sequence[Path],
    *,
    compiler: Sequence[str],
    target: Platform | None = None,
    flags: Sequence[str] = (),
    library: Path | None = None,
) -> None:
    """Compile and link a program that contains the engine or uses its library, for sanitizers and emulators.

    Args:
        program: the file to write.
        sources: the sources of the program itself.
        compiler: command of the compiler.
        target: platform; None for that of this machine.
        flags: further flags, such as those of a sanitizer.
        library: the library, for a program that uses it where it is; None for a program that contains the engine.

    Raises:
        OSError: the compiler fails; the message is its output.
    """
    target = target or this_platform(compiler)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if library is None:
            objects = _compile(folder, compiler, target, sources, flags)
        else:
            jobs = [(file, file.stem, _base_flags(compiler, target)) for file in sources]
            objects = [*_compile_all(folder, compiler, jobs, flags), str(library), f"-Wl,-rpath,{library.parent}"]
        _link(folder, program, objects, compiler, target, flags)


def _compile(
    folder: Path, command: Sequence[str], target: Platform, sources: Sequence[Path], flags: Sequence[str]
) -> list[str]:
    """Object files of the engine, with every instruction set, and of further sources."""
    base = _base_flags(command, target)
    jobs = [
        (SOURCES / "target.cpp", name, [f"-DLEVIT_TARGET={name}", *extra])
        for name, extra in _instruction_sets(command, target).items()
    ]
    others = [file for file in sorted(SOURCES.glob("*.cpp")) if file.stem != "target"]
    jobs += [(file, file.stem, base) for file in (*others, *sources)]
    return _compile_all(folder, command, jobs, flags)


def _compile_all(
    folder: Path, command: Sequence[str], jobs: Sequence[tuple[Path, str, list[str]]], flags: Sequence[str]
) -> list[str]:
    """Compile sources into objects of the given names, each with flags of its own."""
    common = [*command, *_FLAGS, *_WARNINGS]
    objects = [str(folder / f"{name}.o") for _, name, _ in jobs]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = [
            pool.submit(_run, [*common, *extra, *flags, "-c", str(file), "-o", output], folder)
            for (file, _, extra), output in zip(jobs, objects, strict=True)
        ]
        for job in compiled:
            job.result()
    return objects


def _link(
    folder: Path, output: Path, objects: Sequence[str], command: Sequence[str], target: Platform, flags: Sequence[str]
) -> None:
    """Link as C, which zig does faster: the sources need no library of C++."""
    linker = ["cc" if part == "c++" else part for part in command]
    _run([*linker, *_base_flags(command, target), *flags, *objects, "-lpthread", "-o", str(output)], folder)


def _instruction_sets(command: Sequence[str], target: Platform) -> dict[str, list[str]]:
    """All flags of each instruction set that is compiled."""
    if target.machine == "aarch64":
        return {name: _base_flags(command, target, features) for name, features in _ARM.items()}
    sets = _X86 if target.machine == "x86_64" else {"portable": []}
    return {name: [*_base_flags(command, target), *extra] for name, extra in sets.items()}


def _base_flags(command: Sequence[str], target: Platform, arm_features: str = "") -> list[str]:
    """Flags of the portable instructions, which are for every processor of the kind, not only for this one."""
    if _uses_zig(command):
        return [f"-mcpu=baseline{arm_features}", *(["-target", target.triple] if target.triple else [])]
    if target.machine == "aarch64" and arm_features:
        return [f"-march=armv8.2-a{arm_features}"]
    return ["-march=x86-64"] if target.machine == "x86_64" else []


def _run(command: Sequence[str], folder: Path) -> None:
    """Run a compiler, with a temporary folder for what it keeps.

    Raises:
        OSError: it fails; the message is the command and its output.
    """
    environment = os.environ | _zig_cache(folder)
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if process.returncode:
        raise OSError(f"{' '.join(command)}\n{process.stdout}{process.stderr}")


def _zig_cache(folder: Path) -> dict[str, str]:
    """Variable that moves zig's cache into a folder, where that of the user is absent or cannot be written."""
    if os.name == "nt" or "ZIG_GLOBAL_CACHE_DIR" in os.environ:
        return {}
    home, cache = os.environ.get("HOME"), os.environ.get("XDG_CACHE_HOME")
    if cache or home:
        with suppress(OSError):
            default = (Path(cache) if cache else Path(str(home), ".cache")) / "zig"
            default.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=default).close()
            return {}
    return {"ZIG_GLOBAL_CACHE_DIR": str(folder / "zig-cache")}


if __name__ == "__main__":
    build(Path(sys.argv[1]), target=find_platform(sys.argv[2] if len(sys.argv) > 2 else None))
