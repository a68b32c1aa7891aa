"""Files of Flax (`.msgpack`), read and written without Flax: nested maps of arrays in the format MessagePack.

An array is an extension of type 1 that contains its shape, the name of its type and its bytes, or one of type 3 if it
is a scalar. An array of more than 1 GiB is a map of its parts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from levit.errors import CheckpointError

SUFFIX = ".msgpack"

_ARRAY, _SCALAR = 1, 3  # types of extensions
_CHUNKED = "__msgpack_chunked_array__"
_MAX_DEPTH = 64  # of nested maps

_TYPES = {
    dtype.name: dtype
    for dtype in (
        *map(np.dtype, ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")),
        np.dtype(ml_dtypes.bfloat16),
    )
}

# Leading byte -> form of struct of a number, or of the length of what follows.
_NUMBERS = dict(enumerate((">f", ">d", ">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q"), start=0xCA))
_INTEGERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_TEXT = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_LISTS, _MAPS = {0xDC: ">H", 0xDD: ">I"}, {0xDE: ">H", 0xDF: ">I"}
_EXTENSIONS = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


def read_flax(file: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file, and the entry `params` alone with `batch_stats` if it is a training state.

    Args:
        file: a file that `flax.serialization.to_bytes` wrote.

    Returns:
        Names of nested maps, joined by slashes -> array. No array is larger than its bytes in the file.

    Raises:
        CheckpointError: the file cannot be read, is damaged, or contains something else.
    """
    try:
        content = memoryview(file.read_bytes())
        reader = _Reader(content)
        tree = reader.value()
        if reader.position != len(content) or not isinstance(tree, dict):
            raise ValueError
        arrays = dict(_flat(tree, ""))
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror or error})", source=file) from None
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError, struct.error):
        raise CheckpointError("not a Flax file, or truncated", source=file, hint="download it again") from None
    return {key: array for key, array in arrays.items() if key.startswith(("params/", "batch_stats/"))} or arrays


def write_flax(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Encode arrays as a file of Flax.

    Args:
        arrays: names of nested maps, joined by slashes -> array.

    Examples:
        >>> write_flax({"params/bias": np.array([1, 2], np.int8)}).hex(" ", -6)
        '81a670617261 6d7381a46269 6173c70c0193 9102a4696e74 38c4020102'
    """
    tree: dict[str, Any] = {}
    for key, array in arrays.items():
        *scopes, name = key.split("/")
        scope = tree
        for part in scopes:
            scope = scope.setdefault(part, {})
        scope[name] = array
    return b"".join(_encoded(tree))


def _flat(tree: dict[Any, Any], prefix: str) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, value in tree.items():
        if isinstance(value, dict) and _CHUNKED in value:
            parts = [np.ravel(value["chunks"][str(index)]) for index in range(len(value["chunks"]))]
            shape = tuple(value["shape"][str(index)] for index in range(len(value["shape"])))
            yield f"{prefix}{name}", np.concatenate(parts).reshape(shape)
        elif isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, np.ndarray):
            yield f"{prefix}{name}", value


class _Reader:
    """Values of MessagePack, one after the other."""

    def __init__(self, content: memoryview) -> None:
        self.content, self.position = content, 0

    def take(self, size: int) -> memoryview:
        start, self.position = self.position, self.position + size
        if self.position > len(self.content):
            raise IndexError
        return self.content[start : self.position]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self, depth: int = 0) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError
        head = self.take(1)[0]
        if head < 0x80 or head >= 0xE0:
            return head if head < 0x80 else head - 0x100
        if head < 0xA0 or head in _LISTS or head in _MAPS:
            return self.container(head, depth + 1)
        if head < 0xC0 or head in _TEXT:
            return str(self.take(self.number(_TEXT[head]) if head in _TEXT else head & 31), "utf-8")
        if head in _BYTES:
            return self.take(self.number(_BYTES[head]))
        if head in _CONSTANTS:
            return _CONSTANTS[head]
        if head in _NUMBERS:
            return self.number(_NUMBERS[head])
        size = _FIXED_EXTENSIONS[head] if head in _FIXED_EXTENSIONS else self.number(_EXTENSIONS[head])
        return self.extension(size)

    def container(self, head: int, depth: int) -> Any:
        is_map = head in _MAPS or head < 0x90
        size = head & 15 if head < 0xA0 else self.number((_LISTS | _MAPS)[head])
        if not is_map:
            return [self.value(depth) for _ in range(size)]
        return {self.value(depth): self.value(depth) for _ in range(size)}

    def extension(self, size: int) -> Any:
        kind, content = self.number(">b"), self.take(size)
        if kind not in (_ARRAY, _SCALAR):
            return None  # a complex number, or a type that Flax does not write
        shape, name, numbers = _Reader(content).value()
        dtype = _TYPES[name]
        if len(numbers) != prod(shape) * dtype.itemsize or min(shape, default=0) < 0:
            raise ValueError
        return np.frombuffer(bytearray(numbers), dtype).reshape(shape)  # aligned, and writable


def _encoded(value: Any) -> Iterator[bytes]:
    """Encode maps, lists, strings, bytes, non-negative integers and arrays, in parts."""
    if isinstance(value, dict):
        yield _head(len(value), 0x80, 15, _MAPS)
        for key, item in value.items():
            yield from _encoded(key)
            yield from _encoded(item)
    elif isinstance(value, list):
        yield _head(len(value), 0x90, 15, _LISTS)
        for item in value:
            yield from _encoded(item)
    elif isinstance(value, str):
        yield _head(len(value.encode()), 0xA0, 31, _TEXT) + value.encode()
    elif isinstance(value, bytes):
        yield _head(len(value), 0, -1, _BYTES) + value
    elif isinstance(value, int):
        yield _head(value, 0, 127, _INTEGERS)
    else:
        content = b"".join(_encoded([list(value.shape), value.dtype.name, value.tobytes()]))
        yield _head(len(content), 0, -1, _EXTENSIONS) + struct.pack(">b", _ARRAY if value.ndim else _SCALAR) + content


def _head(size: int, fixed: int, max_fixed: int, forms: Mapping[int, str]) -> bytes:
    """Leading byte with a small size, or followed by the size in one to eight bytes."""
    if size <= max_fixed:
        return bytes([fixed | size])
    for head, form in forms.items():
        if size < 1 << 8 * struct.calcsize(form):
            return bytes([head]) + struct.pack(form, size)
    raise ValueError(size)
