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

_JSON_TYPES: dict[str, set[type]] = {"UINT8": {int}, "FP32": {int, float}}  # a bool is no number

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
    """Read a tensor from JSON data, flat or nested; BYTES are strings in base64.

    Raises:
        RequestError: the data are not of the type and shape, 400.

    Examples:
        >>> read_tensor("pixels", "UINT8", (1, 2), [[3, 4]]).values.tolist()
        [[3, 4]]
    """
    if not isinstance(data, list):
        raise _mismatch(name, datatype, shape)
    values = _flat(data)
    _check_count(name, shape, len(values))
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, [_decode(name, text) for text in values])
    return Tensor(name, datatype, shape, _read_numbers(name, datatype, shape, values).reshape(shape))


def read_binary_tensor(name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Tensor:
    r"""Read a tensor of the binary extension: little-endian numbers, or BYTES with their lengths.

    Raises:
        RequestError: the data are not of the type and shape, 400.

    Examples:
        >>> read_binary_tensor("image", "BYTES", (1,), memoryview(b"\x02\0\0\0ab")).values
        [b'ab']
    """
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, _split_elements(name, shape, data))
    dtype = DTYPES[datatype]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise _mismatch(name, datatype, shape)
    return Tensor(name, datatype, shape, np.frombuffer(data, dtype).reshape(shape))


def check_shape(name: str, shape: object) -> tuple[int, ...]:
    """The shape of a tensor in JSON.

    Raises:
        RequestError: it is not a list of sizes, or one of them is 0, 400.
    """
    if not isinstance(shape, list) or not 0 < len(shape) <= _MAX_DIMENSIONS:
        raise RequestError(400, f"input {name!r}: shape must be a list of 1 to {_MAX_DIMENSIONS} sizes")
    if any(isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**31 for size in shape):
        raise RequestError(400, f"input {name!r}: shape must contain whole numbers")
    if 0 in shape:  # numpy has no arrays of some of these shapes
        raise RequestError(400, f"input {name!r} has no image: its shape is {shape}")
    return tuple(shape)


def write_elements(elements: Sequence[bytes]) -> bytes:
    r"""Write BYTES for the binary extension, each element with its length.

    Examples:
        >>> write_elements([b"ab"])
        b'\x02\x00\x00\x00ab'
    """
    return b"".join(_LENGTH.pack(len(element)) + element for element in elements)


def _read_numbers(name: str, datatype: str, shape: tuple[int, ...], values: list[Any]) -> NDArray[Any]:
    """Array of one dimension; a value of another type is refused before numpy makes room for it."""
    if not set(map(type, values)) <= _JSON_TYPES[datatype]:
        raise _mismatch(name, datatype, shape)
    if datatype == "UINT8" and not (min(values, default=0) >= 0 and max(values, default=0) <= 255):
        raise RequestError(400, f"input {name!r}: the values of UINT8 are from 0 to 255")
    try:
        with np.errstate(over="ignore"):  # infinity, whose logits are refused
            return np.fromiter(values, DTYPES[datatype], len(values))
    except OverflowError as error:  # a whole number beyond every float
        raise _mismatch(name, datatype, shape) from error


def _split_elements(name: str, shape: tuple[int, ...], data: memoryview) -> list[bytes]:
    elements: list[bytes] = []
    position, count = 0, math.prod(shape)
    while position < len(data) and len(elements) <= count:  # one more is enough for an error
        start = position + _LENGTH.size
        if start > len(data):
            raise RequestError(400, f"input {name!r}: an element of BYTES has no length")
        (length,) = _LENGTH.unpack(data[position:start])
        position = start + length
        if position > len(data):
            raise RequestError(400, f"input {name!r}: an element of BYTES is incomplete")
        elements.append(bytes(data[start:position]))
    _check_count(name, shape, len(elements))
    return elements


def _flat(data: list[object]) -> list[object]:
    """The values of nested lists."""
    if list not in set(map(type, data)):
        return data
    values: list[object] = []
    pending: list[object] = [data]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(reversed(item))
        else:
            values.append(item)
    return values


def _decode(name: str, text: object) -> bytes:
    if not isinstance(text, str):
        raise RequestError(400, f"input {name!r}: the values of BYTES must be strings in base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"input {name!r}: a value of BYTES is not base64") from error


def _check_count(name: str, shape: tuple[int, ...], count: int) -> None:
    if math.prod(shape) != count:
        raise RequestError(400, f"input {name!r}: the shape {list(shape)} does not have {count} values")


def _mismatch(name: str, datatype: str, shape: tuple[int, ...]) -> RequestError:
    return RequestError(400, f"input {name!r}: the data are not {datatype} of the shape {list(shape)}")
