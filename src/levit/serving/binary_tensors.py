"""Tensors of the Open Inference Protocol: JSON data, and the binary tensor extension, in both directions."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.serving.errors import RequestError

DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype(np.uint8), "FP32": np.dtype("<f4")}
"""Types of numbers; the values of BYTES are byte strings of any length."""

_LENGTH = struct.Struct("<I")  # before each element of BYTES
_MAX_DIMENSIONS = 8


class Tensor(NamedTuple):
    """Input of a request.

    Attributes:
        name: its name.
        datatype: "BYTES", "UINT8" or "FP32".
        shape: its shape.
        values: array of this shape; for BYTES a list of byte strings in its order.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | list[bytes]


def read_tensor(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Tensor:
    """Read a tensor from JSON data, flat or nested; BYTES are texts in base64.

    Raises:
        RequestError: the data are not of the type and shape, 400.

    Examples:
        >>> read_tensor("pixels", "UINT8", (1, 2), [[3, 4]]).values.tolist()
        [[3, 4]]
    """
    if datatype == "BYTES":
        texts = list(_flat(data))
        _check_count(name, shape, len(texts))
        return Tensor(name, datatype, shape, [_decode(name, text) for text in texts])
    try:
        array = np.array(data)
    except ValueError as error:  # rows of unequal lengths
        raise _mismatch(name, datatype, shape) from error
    if array.dtype.kind not in ("iu" if datatype == "UINT8" else "iuf") and array.size:
        raise _mismatch(name, datatype, shape)
    if datatype == "UINT8" and array.size and not (array.min() >= 0 and array.max() <= 255):
        raise RequestError(400, f"input {name!r}: the values of UINT8 are from 0 to 255")
    _check_count(name, shape, array.size)
    with np.errstate(over="ignore"):  # infinity, whose logits are refused
        return Tensor(name, datatype, shape, array.astype(DTYPES[datatype]).reshape(shape))


def read_binary_tensor(name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Tensor:
    r"""Read a tensor of the binary extension: little-endian numbers, or BYTES with their lengths.

    Raises:
        RequestError: the data are not of the type and shape, 400.

    Examples:
        >>> read_binary_tensor("image", "BYTES", (1,), memoryview(b"\x02\0\0\0ab")).values
        [b'ab']
    """
    if datatype == "BYTES":
        elements = _split_elements(name, data)
        _check_count(name, shape, len(elements))
        return Tensor(name, datatype, shape, elements)
    dtype = DTYPES[datatype]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise _mismatch(name, datatype, shape)
    return Tensor(name, datatype, shape, np.frombuffer(data, dtype).reshape(shape))


def check_shape(name: str, shape: object) -> tuple[int, ...]:
    """The shape of a tensor in JSON.

    Raises:
        RequestError: it is not a list of sizes, 400.
    """
    if not isinstance(shape, list) or not 0 < len(shape) <= _MAX_DIMENSIONS:
        raise RequestError(400, f"input {name!r}: shape must be a list of 1 to {_MAX_DIMENSIONS} sizes")
    if any(isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**31 for size in shape):
        raise RequestError(400, f"input {name!r}: shape must contain whole numbers")
    return tuple(shape)


def write_elements(elements: Sequence[bytes]) -> bytes:
    r"""Write BYTES for the binary extension, each element with its length.

    Examples:
        >>> write_elements([b"ab"])
        b'\x02\x00\x00\x00ab'
    """
    return b"".join(_LENGTH.pack(len(element)) + element for element in elements)


def _split_elements(name: str, data: memoryview) -> list[bytes]:
    elements, position = [], 0
    while position < len(data):
        start = position + _LENGTH.size
        if start > len(data):
            raise RequestError(400, f"input {name!r}: an element of BYTES has no length")
        (length,) = _LENGTH.unpack(data[position:start])
        position = start + length
        if position > len(data):
            raise RequestError(400, f"input {name!r}: an element of BYTES is incomplete")
        elements.append(bytes(data[start:position]))
    return elements


def _flat(data: object) -> list[object]:
    """The values of nested lists."""
    values, pending = [], [data]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(reversed(item))
        else:
            values.append(item)
    return values


def _decode(name: str, text: object) -> bytes:
    if not isinstance(text, str):
        raise RequestError(400, f"input {name!r}: the values of BYTES are texts in base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"input {name!r}: a value of BYTES is not base64") from error


def _check_count(name: str, shape: tuple[int, ...], count: int) -> None:
    if math.prod(shape) != count:
        raise RequestError(400, f"input {name!r}: the shape {list(shape)} does not have {count} values")


def _mismatch(name: str, datatype: str, shape: tuple[int, ...]) -> RequestError:
    return RequestError(400, f"input {name!r}: the data are not {datatype} of the shape {list(shape)}")
