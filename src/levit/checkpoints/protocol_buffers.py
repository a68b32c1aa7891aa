"""Fields of messages of protocol buffers, read without their library."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, BYTES = 0, 2  # wire types


def read_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    r"""Numbers and values of the fields of a message: varints, and everything that has a length.

    Raises:
        IndexError: the message is truncated.
        ValueError: it has a field of another kind.

    Examples:
        >>> [(number, bytes(value)) for number, value in read_fields(memoryview(b"\x0a\x03cat"))]
        [(1, b'cat')]
    """
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        value, position = _read_varint(message, position)
        if key & 7 == BYTES:
            if value > len(message) - position:
                raise IndexError
            yield key >> 3, message[position : position + value]
            position += value
        elif key & 7 == VARINT:
            yield key >> 3, value
        else:
            raise ValueError


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """An integer in groups of seven bits, the lowest first, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        value, position = value | (byte & 127) << shift, position + 1
        if byte < 128:
            return value, position
    raise ValueError
