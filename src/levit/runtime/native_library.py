"""The shared library of the native engine: where it is, and its functions."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from levit.errors import ConfigError, EngineError, first_line
from levit.runtime.native_format import FORMAT_VERSION

# Environment variables: "0" disables the native engine; path of a library, instead of the one in the package.
SWITCH_VARIABLE, LIBRARY_VARIABLE = "LEVIT_NATIVE", "LEVIT_NATIVE_LIBRARY"

# Environment variable: instruction set that is used instead of the fastest, one of `instruction_sets()`.
INSTRUCTIONS_VARIABLE = "LEVIT_NATIVE_INSTRUCTIONS"

BF16_INSTRUCTIONS = ("amx", "i8mm")  # instruction sets with products of bf16

# Beside this file, on every system; `hatch_build.py` writes the library, or the reason why there is none.
LIBRARY_NAME, REASON_NAME = "levit_native.so", "levit_native.txt"

_POINTER, _TEXT = ctypes.c_void_p, ctypes.c_char_p


def find_library() -> Path | None:
    """Path of the library; None if there is none for this processor, or LEVIT_NATIVE=0 disables it."""
    if os.environ.get(SWITCH_VARIABLE) == "0":
        return None
    chosen = os.environ.get(LIBRARY_VARIABLE)
    library = Path(chosen) if chosen else Path(__file__).with_name(LIBRARY_NAME)
    return library if library.is_file() else None


def load_library() -> ctypes.CDLL:
    """Load the library, with the types of its functions.

    Raises:
        EngineError: there is no library, it cannot be loaded, or it is of another version.
    """
    library = find_library()
    if library is None:
        raise EngineError(f"engine native is not installed ({_why_missing()})", hint="use `engine` openvino")
    return _load(library)


def _why_missing() -> str:
    if os.environ.get(SWITCH_VARIABLE) == "0":
        return f"disabled by {SWITCH_VARIABLE}=0"
    if chosen := os.environ.get(LIBRARY_VARIABLE):
        return f"{LIBRARY_VARIABLE} names {chosen}, which is not a file"
    with suppress(OSError):
        return Path(__file__).with_name(REASON_NAME).read_text(encoding="utf-8").strip()
    return "this installation has no native library"


def instruction_sets() -> list[str]:
    """Names of the instruction sets that the library uses on this processor, fastest first.

    Raises:
        EngineError: there is no library, it cannot be loaded, or it is of another version.
    """
    library, names = load_library(), list[str]()
    while (name := library.levit_supported(len(names))) is not None:
        names.append(name.decode())
    return names


def chosen_instruction_set() -> str:
    """Name of the instruction set in LEVIT_NATIVE_INSTRUCTIONS, or of the fastest.

    Raises:
        ConfigError: the variable has another value than one of `instruction_sets()`.
        EngineError: there is no library, it cannot be loaded, or it is of another version.
    """
    names = instruction_sets()
    chosen = os.environ.get(INSTRUCTIONS_VARIABLE) or names[0]
    if chosen not in names:
        hint = f"use one of {', '.join(names)}, which this processor has"
        raise ConfigError(f"is {chosen!r}", source=INSTRUCTIONS_VARIABLE, hint=hint)
    return chosen


@cache
def _load(file: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(file))
        library.levit_format.restype = ctypes.c_uint32
        version = library.levit_format()
    except (OSError, AttributeError) as error:
        raise EngineError(f"cannot be loaded ({first_line(error)})", source=file) from error
    if version != FORMAT_VERSION:
        reason = f"a library for version {version} of model files, not {FORMAT_VERSION}"
        raise EngineError(reason, source=file, hint=f"install levit again, or correct {LIBRARY_VARIABLE}")
    library.levit_open.restype = _POINTER
    library.levit_open.argtypes = [_POINTER, ctypes.c_uint64, ctypes.c_int, _TEXT, ctypes.POINTER(_TEXT)]
    for function in (library.levit_run_pixels, library.levit_run_values):
        function.restype = ctypes.c_int
        function.argtypes = [_POINTER, _POINTER, ctypes.c_int64, _POINTER]
    library.levit_close.restype, library.levit_close.argtypes = None, [_POINTER]
    library.levit_sizes.restype, library.levit_sizes.argtypes = None, [_POINTER, _POINTER]
    library.levit_supported.restype, library.levit_supported.argtypes = _TEXT, [ctypes.c_int]
    return library
