"""MATLAB files (`.mat`), in which some data sets store their labels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any

from levit.data.record_values import parse_json
from levit.errors import DataError, first_line
from levit.files import check_regular_file

_WORKER = Path(__file__).with_name("matlab_worker.py")
_TIME_LIMIT = 120  # seconds; the largest file of the known data sets takes one


def read_matlab(*files: Path) -> list[Mapping[str, Any]]:
    """Read the variables of each file: numbers, strings, and lists and dictionaries of them.

    The files are read in a process of their own, because scipy can crash on a damaged one. The last files are kept in
    memory, because each split of a data set reads the same ones.

    Raises:
        DataError: one is not a MATLAB file.
        ImportError: scipy is not installed.
    """
    if find_spec("scipy") is None or find_spec("scipy.io") is None:
        raise ImportError('reading .mat files needs scipy: pip install "levit[evaluation]"')
    for file in files:
        check_regular_file(file, DataError)
    return _read(tuple((file.absolute(), file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@lru_cache(maxsize=4)
def _read(files: tuple[tuple[Path, int, int], ...]) -> list[Mapping[str, Any]]:
    """Variables of files, which are given with the time of their last change and their size."""
    # -P: modules beside the script have no precedence over installed ones.
    command = [sys.executable, "-P", str(_WORKER), *(str(file) for file, _, _ in files)]
    try:
        worker = subprocess.run(  # noqa: S603 (this interpreter, with a script of this package)
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIME_LIMIT, check=False
        )
        lines = worker.stdout.splitlines()
    except subprocess.TimeoutExpired as error:
        lines = (error.stdout or b"").splitlines()
    except OSError as error:
        raise DataError(f"no process can be started to read it ({first_line(error)})", source=files[0][0]) from error
    # A crash ends the process before it writes the line of the damaged file.
    results = zip_longest((file for file, _, _ in files), lines)
    return [_variables(file, line) for file, line in results if file is not None]


def _variables(file: Path, line: bytes | None) -> Mapping[str, Any]:
    try:
        result = parse_json(line or b"")
    except DataError as error:
        raise DataError("not a .mat file (scipy failed to read it)", source=file) from error
    if "error" in result:
        raise DataError(f"not a .mat file ({result['error']})", source=file)
    variables: Mapping[str, Any] = result["variables"]
    return variables


def as_list(value: Any) -> list[Any]:
    """The elements of a variable, which scipy reads as a single value if there is only one.

    Examples:
        >>> as_list(3), as_list([[1, 2]]), as_list(["a"])
        ([3], [1, 2], ['a'])
    """
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        return as_list(value[0])
    return value if isinstance(value, list) else [value]


@contextmanager
def malformed_fields(file: Path) -> Iterator[None]:
    """Convert errors of access to variables and fields that a file does not have to a `DataError`."""
    try:
        yield
    except DataError as error:
        if error.source is not None:
            raise
        raise DataError(f"its variables are not those of this data set ({error.reason})", source=file) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"its variables are not those of this data set ({first_line(error)})"
        raise DataError(reason, source=file) from error
