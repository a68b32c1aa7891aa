"""Checks of the values in the records of data files: labels, class names, file names, text and JSON.

The checks raise `DataError` with a reason only; a reader adds file and record with `in_record`.
"""

from __future__ import annotations

import json
import math
import os
import posixpath
import reprlib
import unicodedata
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from levit.errors import DataError, first_line
from levit.files import check_regular_file

MAX_LABEL = 2**31 - 1
"""Largest class index that a file may contain."""

_NO_NAMES = frozenset({"", "nan", "NaN", "None", "null", "<NA>"})  # how pandas and others write a missing value
_MAX_SHOWN = 60
_SHORT = reprlib.Repr()  # bounded in time for structures that contain one another many times


def in_record(error: DataError, source: object, record: str) -> DataError:
    """Copy an error, with the file and the record of the value that caused it.

    Examples:
        >>> print(in_record(DataError("0.7 is not a class index"), "val.parquet", "row 3"))
        val.parquet: row 3: 0.7 is not a class index
    """
    return DataError(f"{record}: {error.reason}", source=source, hint=error.hint)


def label_indices(value: Any) -> tuple[int, ...]:
    """Class indices in a field: a number, or a list of numbers.

    None, NaN and negative numbers mean that there is no label.

    Raises:
        DataError: the value is, or contains, anything else than a whole number up to `MAX_LABEL`.

    Examples:
        >>> label_indices(2), label_indices([0, 3.0]), label_indices(-1), label_indices(None)
        ((2,), (0, 3), (), ())
    """
    if type(value) is int and 0 <= value <= MAX_LABEL:
        return (value,)
    values = value if isinstance(value, list | tuple) else [value]
    indices = (label_index(label) for label in values)
    return tuple(dict.fromkeys(index for index in indices if index is not None))


def label_index(value: Any) -> int | None:
    """The class index that a value is; None for None, NaN and negative numbers, which mean that there is no label.

    Raises:
        DataError: the value is not a whole number up to `MAX_LABEL`.

    Examples:
        >>> label_index(2), label_index(1.0), label_index(-1)
        (2, 1, None)
    """
    if value is None or (isinstance(value, Real) and value != value):
        return None
    number = whole_number(value)
    if number > MAX_LABEL:
        raise DataError(f"{describe(value)} is too large for a class index")
    return number if number >= 0 else None


def label_index_in_text(text: str) -> int | None:
    r"""The class index in a string, as `label_index`; it may be written with decimals, as numpy does.

    Raises:
        DataError: the text is not a whole number up to `MAX_LABEL`.

    Examples:
        >>> label_index_in_text("7\n"), label_index_in_text("0.0"), label_index_in_text("-1")
        (7, 0, None)
    """
    try:
        number = float(text)
    except ValueError:
        number = math.inf
    if math.isinf(number):
        raise DataError(f"{describe(text.strip())} is not a class index")
    return label_index(number)


def whole_number(value: Any) -> int:
    """The number that a value is.

    Raises:
        DataError: the value is not a whole number; True and False are none.

    Examples:
        >>> whole_number(3.0)
        3
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Real) and not isinstance(value, Integral) and float(value).is_integer():
        return int(float(value))
    raise DataError(f"{describe(value)} is not a whole number")


def class_name(value: Any) -> str | None:
    """The class name in a field, as `normalize_name` writes it; None if it means "no value" ("", "nan", "None").

    Raises:
        DataError: the value is neither text nor a whole number.

    Examples:
        >>> class_name(" cat "), class_name(3), class_name("None")
        ('cat', '3', None)
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    name = normalize_name(value if isinstance(value, str) else str(whole_number(value)))
    return None if name in _NO_NAMES else name


def label_names(value: Any) -> tuple[str, ...]:
    """Class names in a field, as `class_name` reads them: one, or a list.

    Raises:
        DataError: the value is, or contains, neither text nor a whole number.

    Examples:
        >>> label_names("cat"), label_names(["dog", "cat"]), label_names(None)
        (('cat',), ('dog', 'cat'), ())
    """
    names = map(class_name, value if isinstance(value, list | tuple) else [value])
    return tuple(dict.fromkeys(name for name in names if name is not None))


def class_names(values: Any) -> tuple[str, ...]:
    """The names of all classes, in order: a list of strings.

    Raises:
        DataError: it is not a list, or an element is not a name.

    Examples:
        >>> class_names(["cat", "dog"])
        ('cat', 'dog')
    """
    if not isinstance(values, list | tuple):
        raise DataError(f"{describe(values)} is not a list of class names")
    names = tuple(normalize_name(value) if isinstance(value, str) else "" for value in values)
    if "" in names:
        raise DataError(f"class {names.index('')} has no name")
    return names


def normalize_name(name: str) -> str:
    r"""A class name in composed form (NFC), without outer spaces.

    Raises:
        DataError: it is not valid Unicode.

    Examples:
        >>> normalize_name("cafe\u0301") == "caf\u00e9"
        True
    """
    if name.isascii():
        return name.strip()
    _check_unicode(name, "surrogateescape")
    return unicodedata.normalize("NFC", name).strip()


def file_name(value: Any, folder: Path, *, allow_outside: bool = False) -> str:
    r"""The name of a file relative to a folder, in one spelling on every system: with slashes, without `.` and `..`.

    An absolute name in the folder becomes relative. Backslashes are separators, unless there is a file of that name on
    a system where names may contain them.

    Args:
        value: value of a field.
        folder: folder that names are relative to.
        allow_outside: whether the file may be outside the folder; its name then begins with `..`, or is absolute.

    Raises:
        DataError: the value is not a file name, or leads out of the folder.

    Examples:
        >>> file_name(".\\cat\\1.jpg", Path("photos"))
        'cat/1.jpg'
    """
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{describe(value)} is not a file name")
    if "\0" in value:
        raise DataError(f"{describe(value)} contains a null character")
    _check_unicode(value, "surrogateescape")
    name: str = value
    if "\\" in name and (os.sep == "\\" or not (folder / name).is_file()):
        name = name.replace("\\", "/")
    name = posixpath.normpath(name)
    if not _is_inside(name):
        name = _relative(name, folder)
    if not allow_outside and not _is_inside(name):
        hint = "put the images into the folder of the data, or set `allow_outside`"
        raise DataError(f"{describe(value)} is outside {folder}", hint=hint)
    return name


def read_text(file: Path, *, errors: str = "strict") -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        file: the file.
        errors: "surrogateescape" for a list of files, whose names may have other bytes.

    Raises:
        DataError: it cannot be read, is not a regular file, or is not UTF-8.
    """
    check_regular_file(file, DataError)
    try:
        return file.read_text(encoding="utf-8-sig", errors=errors)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({first_line(error)})", source=file) from error


def read_json(file: Path) -> Any:
    """Read a JSON file; see `read_text` and `parse_json`."""
    text = read_text(file)
    try:
        return parse_json(text)
    except DataError as error:
        raise DataError(f"cannot be read ({error.reason})", source=file) from None


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        DataError: it is not JSON, too deeply nested, or contains a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise DataError("too deeply nested JSON") from None
    except ValueError as error:
        raise DataError(first_line(error)) from None


def describe(value: Any) -> str:
    """The representation of a value in an error, shortened.

    Examples:
        >>> describe("cat"), len(describe("x" * 100)), describe({"a": 1})
        ("'cat'", 60, "{'a': 1}")
    """
    if isinstance(value, int) and abs(value) > 10**_MAX_SHOWN:  # Python refuses to write thousands of digits
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        text = repr(value[:_MAX_SHOWN])
        return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
    try:
        text = _SHORT.repr(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _check_unicode(text: str, errors: str) -> None:
    try:
        text.encode(errors=errors)
    except UnicodeEncodeError:
        raise DataError(f"{describe(text)} is not valid Unicode") from None


def _is_inside(name: str) -> bool:
    """Return whether a normalized name stays in the folder that it is relative to."""
    return not Path(name).anchor and name.split("/", 1)[0] != ".."


def _relative(name: str, folder: Path) -> str:
    """A name relative to the folder, if the file is inside; links below the folder are the user's own."""
    path = Path(os.path.normpath(folder.absolute() / name))
    roots = (Path(os.path.normpath(folder.absolute())), folder.resolve())
    return next((path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root)), name)
