"""Checkpoint files of MindSpore (`.ckpt`), read and written without MindSpore.

A file is a message of protocol buffers (version 2):

    Checkpoint  { repeated Value value = 1; }
    Value       { required string tag = 1; oneof { TensorProto tensor = 2; MapTensorProto maptensor = 3; } }
    TensorProto { repeated int64 dims = 1; required string tensor_type = 2; required bytes tensor_content = 3; }

Numbers are little-endian. A tensor of more than 512 MiB is in several consecutive values of the same tag. A CRC-32 of
the message may follow it: `crc_num` and ten big-endian bytes.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterator, Mapping
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.protocol_buffers import BYTES, VARINT, read_fields
from levit.errors import CheckpointError

SUFFIX = ".ckpt"  # torch's Lightning uses it, too; the first byte shows which library wrote a file
MAX_CONTENT = 2**29  # bytes of a tensor in one value

_VALUE = 0x0A  # first byte of a file: field 1, a message
_ENCRYPTED = {(0x7F3A5ED8 + mode).to_bytes(4, "little") for mode in range(3)}  # AES-GCM, AES-CBC, SM4-CBC
_MAX_DIM = 2**48  # more than numpy has memory for
_CRC = b"crc_num"
_CRC_SIZE = len(_CRC) + 10

_TYPES: dict[str, Any] = {
    **{f"{kind}{bits}": np.dtype(f"{kind}{bits}".lower()) for kind in ("Int", "UInt") for bits in (8, 16, 32, 64)},
    **{f"Float{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    "BFloat16": np.dtype(ml_dtypes.bfloat16),
    "Bool": np.dtype(bool),
}
_TYPE_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_TEXT = "str"  # type of strings that training saves beside the tensors


def is_mindspore(file: Path) -> bool:
    """Return whether a file is one of MindSpore, by its suffix and first bytes.

    Args:
        file: a regular file that exists.

    Raises:
        CheckpointError: it cannot be read.
    """
    if file.suffix != SUFFIX:
        return False
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror or error})", source=file) from None
    return start[:1] == bytes([_VALUE]) or start in _ENCRYPTED


def read_mindspore(file: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a file; strings in it are skipped.

    Args:
        file: a file for which `is_mindspore` is true.

    Returns:
        Name -> array, in the order of the file. No array is larger than its bytes in the file.

    Raises:
        CheckpointError: the file is encrypted, truncated or damaged, or has a data type that NumPy does not support.
    """
    content = memoryview(file.read_bytes())
    if bytes(content[:4]) in _ENCRYPTED:
        raise CheckpointError(
            "encrypted by MindSpore",
            source=file,
            hint="load it in MindSpore with its key, and save it without `enc_key`",
        )
    if content[-_CRC_SIZE : -_CRC_SIZE + len(_CRC)] == _CRC:
        content, stored = content[:-_CRC_SIZE], int.from_bytes(content[-10:], "big")
        if crc32(content) != stored:
            raise CheckpointError("its CRC-32 does not match: it is damaged", source=file, hint="download it again")
    try:
        values = [_value(message) for message in _messages(content, 1)]
    except (IndexError, KeyError, ValueError):
        raise CheckpointError("not a MindSpore file, or truncated", source=file, hint="download it again") from None
    parts = {tag: [tensor for _, tensor in group] for tag, group in groupby(values, key=lambda value: value[0])}
    return {tag: _array(tag, tensors, file) for tag, tensors in parts.items() if tensors[0].type != _TEXT}


def write_mindspore(arrays: Mapping[str, NDArray[Any]], *, max_content: int = MAX_CONTENT) -> Iterator[bytes]:
    """Encode arrays as a file of MindSpore, without a CRC-32.

    Args:
        arrays: name -> array, of any type of integers, floating-point numbers or booleans.
        max_content: bytes of a tensor in one value; MindSpore splits larger ones, too.

    Yields:
        The values of the file, in order.

    Examples:
        >>> b"".join(write_mindspore({"head.bias": np.array([1, 2], np.int8)})).hex(" ", -4)
        '0a190a09 68656164 2e626961 73120c08 02120449 6e74381a 020102'
    """
    for tag, array in arrays.items():
        content = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
        dims = b"".join(_key(1, VARINT) + _varint(size) for size in array.shape)
        for start in range(0, max(len(content), 1), max_content):
            part = content[start : start + max_content]
            tensor = dims + _bytes_field(2, _TYPE_NAMES[array.dtype].encode()) + _bytes_field(3, part)
            yield _bytes_field(1, _bytes_field(1, tag.encode()) + _bytes_field(2, tensor))


class _Tensor(NamedTuple):
    """A `TensorProto`: its dims, type and content."""

    dims: tuple[int, ...]
    type: str
    content: memoryview


def _array(tag: str, tensors: list[_Tensor], file: Path) -> NDArray[Any]:
    """Array of a tensor that is in one or several values; its size is checked before it is made."""
    dims, name = tensors[0].dims, tensors[0].type
    dtype = _TYPES.get(name)
    if dtype is None:
        reason = f"{tag} has the data type {name[:40]!r}, which NumPy does not support"
        raise CheckpointError(reason, source=file)
    size = sum(len(tensor.content) for tensor in tensors)
    shape = () if dims == (0,) and size else dims
    is_too_large = any(dim > _MAX_DIM for dim in shape)  # beside a dim of 0
    if is_too_large or any(tensor[:2] != (dims, name) for tensor in tensors) or size != prod(shape) * dtype.itemsize:
        raise CheckpointError(
            f"{tag} has {size:,} bytes, which are not those of {list(shape)[:8]} {name}",
            source=file,
            hint="download it again",
        )
    content = bytearray().join(tensor.content for tensor in tensors)  # aligned, and writable
    try:
        return np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:  # too many dims, or too large ones beside a dim of 0
        raise CheckpointError(f"{tag} has a shape that NumPy cannot have ({error})", source=file) from None


def _value(message: memoryview) -> tuple[str, _Tensor]:
    """Tag and tensor of a `Value`."""
    fields = dict(read_fields(message))
    dims, tensor_type, content = [], b"", memoryview(b"")
    for number, value in read_fields(_message(fields[2])):
        if number == 1 and isinstance(value, int):
            dims.append(value)
        elif number == 2:
            tensor_type = bytes(_message(value))
        elif number == 3:
            content = _message(value)
    return bytes(_message(fields[1])).decode(), _Tensor(tuple(dims), tensor_type.decode(), content)


def _messages(message: memoryview, number: int) -> Iterator[memoryview]:
    for key, value in read_fields(message):
        if key != number:
            raise ValueError
        yield _message(value)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError
    return value


def _varint(value: int) -> bytes:
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _bytes_field(number: int, content: bytes) -> bytes:
    return _key(number, BYTES) + _varint(len(content)) + content
