"""Build of the native library: `python native/build.py FILE`, with clang from the package ziglang or a system compiler.

Each instruction set is compiled from the same source, `target.cpp`; the library chooses one as it is opened.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

SOURCES = Path(__file__).parent

_AVX512 = [
    *("-mavx2", "-mfma", "-mbmi2", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni"),
    "-mprefer-vector-width=512",
]

# Flags of each instruction set; the keys are the names of the targets in processor.cpp.
_X86 = {
    "portable": [],
    "avx2": ["-mavx2", "-mfma", "-mbmi2", "-mf16c"],
    "avxvnni": ["-mavx2", "-mfma", "-mbmi2", "-mf16c", "-mavxvnni"],
    "avx512": _AVX512,
    "amx": [*_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-int8", "-mamx-bf16"],
}
_FLAGS = ["-std=c++20", "-O3", "-fPIC", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden", "-ffp-contract=fast"]
_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wno-psabi",
    "-Wno-ignored-attributes",
    "-Wno-unknown-warning-option",
    "-Wno-empty-body",
]


def find_compiler() -> list[str] | None:
    """Command of a C++ compiler, the first of: $CXX, the package ziglang, clang++, g++; None if there is none."""
    if os.environ.get("CXX"):
        return os.environ["CXX"].split()
    if find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++"]
    for name in ("clang++", "g++"):
        if shutil.which(name):
            return [name]
    return None


def wheel_platform() -> str:
    """Platform in the name of a wheel with the library, such as "manylinux_2_17_x86_64"."""
    if _uses_zig(find_compiler() or []) and _glibc_target():
        return f"manylinux_2_17_{platform.machine()}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _uses_zig(command: Sequence[str]) -> bool:
    return "ziglang" in command


def _glibc_target() -> str | None:
    """Zig's name of a Linux with the oldest glibc that Python's wheels support; None on other systems."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        return f"{platform.machine()}-linux-gnu.2.17"
    return None


def build(library: Path, *, compiler: Sequence[str] | None = None, flags: Sequence[str] = ()) -> None:
    """Compile and link the library.

    Args:
        library: the file to write.
        compiler: command of the compiler; None for that of `find_compiler`.
        flags: further flags.

    Raises:
        OSError: there is no compiler, or it fails; the message is its output.
    """
    command = list(compiler or find_compiler() or [])
    if not command:
        raise OSError("no C++ compiler: pip install ziglang")
    with tempfile.TemporaryDirectory() as folder:
        objects = _compile(Path(folder), command, [], flags)
        # Linked as C: the sources need no library of C++.
        linker = [part.replace("c++", "cc") if part == "c++" else part for part in command]
        linked = Path(folder) / library.name
        _run([*linker, *_base_flags(command), *flags, "-shared", "-s", *objects, "-lpthread", "-o", str(linked)])
        # A running process may have mapped the present file, so that is not overwritten.
        copy = library.with_suffix(".new")
        shutil.copy(linked, copy)
        copy.replace(library)


def build_program(program: Path, sources: Sequence[Path], *, compiler: Sequence[str], flags: Sequence[str]) -> None:
    """Compile and link a program that contains the engine, for sanitizers.

    Args:
        program: the file to write.
        sources: the sources of the program itself.
        compiler: command of the compiler.
        flags: further flags, such as those of a sanitizer.

    Raises:
        OSError: the compiler fails; the message is its output.
    """
    with tempfile.TemporaryDirectory() as folder:
        objects = _compile(Path(folder), compiler, sources, flags)
        _run([*compiler, *flags, *objects, "-lpthread", "-o", str(program)])


def _compile(folder: Path, command: Sequence[str], sources: Sequence[Path], flags: Sequence[str]) -> list[str]:
    """Object files of the engine, with every instruction set, and of further sources."""
    targets = _X86 if platform.machine() in ("x86_64", "AMD64") else {"portable": []}
    jobs = [(SOURCES / "target.cpp", name, [f"-DLEVIT_TARGET={name}", *extra]) for name, extra in targets.items()]
    others = [file for file in sorted(SOURCES.glob("*.cpp")) if file.stem != "target"]
    jobs += [(file, file.stem, []) for file in (*others, *sources)]
    common = [*command, *_FLAGS, *_WARNINGS, *_base_flags(command)]
    objects = [str(folder / f"{name}.o") for _, name, _ in jobs]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = [
            pool.submit(_run, [*common, *extra, *flags, "-c", str(file), "-o", output])
            for (file, _, extra), output in zip(jobs, objects, strict=True)
        ]
        for job in compiled:
            job.result()
    return objects


def _base_flags(command: Sequence[str]) -> list[str]:
    """Flags of the portable target, which is for every processor of the kind, not only for this one."""
    if not _uses_zig(command):
        return ["-march=x86-64"] if platform.machine() in ("x86_64", "AMD64") else []
    target = _glibc_target()
    return ["-mcpu=baseline", *(["-target", target] if target else [])]


def _run(command: Sequence[str]) -> None:
    process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # a compiler
    if process.returncode:
        raise OSError(f"{' '.join(command)}\n{process.stdout}{process.stderr}")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
