"""Random changes of the content of a file."""

from __future__ import annotations

import numpy as np

_HEADER = 64  # bytes; most formats have their sizes and offsets there
_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

_SHARES = (0.3, 0.2, 0.2, 0.1, 0.05, 0.1, 0.05)  # of the kinds of changes below


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    """Return the content after one to three random changes.

    A change flips bits, writes random or extreme values, or removes, repeats, inserts or truncates a part. A third of
    the positions is in the first 64 bytes.

    Args:
        content: content of a file, at least one byte.
        generator: source of all random numbers.
    """
    changed = bytearray(content)
    for _ in range(int(generator.integers(1, 4))):
        if changed:
            _change(changed, generator)
    return bytes(changed)


def _change(content: bytearray, generator: np.random.Generator) -> None:
    is_in_header = generator.random() < 1 / 3
    start = int(generator.integers(min(_HEADER, len(content)) if is_in_header else len(content)))
    length = int(generator.integers(1, 33))
    part = content[start : start + length]
    kind = int(generator.choice(7, p=_SHARES))
    if kind == 0:
        content[start] ^= 1 << int(generator.integers(8))
    elif kind == 1:
        content[start : start + len(part)] = generator.bytes(len(part))
    elif kind == 2:
        width = int(generator.choice([1, 2, 4, 8]))
        number = _NUMBERS[int(generator.integers(len(_NUMBERS)))] & (1 << 8 * min(width, 4)) - 1
        order = "little" if generator.random() < 0.5 else "big"
        content[start : start + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
    elif kind == 3:
        del content[start : start + length]
    elif kind == 4:
        content[start:start] = part * int(generator.integers(1, 9))
    elif kind == 5:
        content[start:start] = generator.bytes(length)
    else:
        del content[max(start, 1) :]
