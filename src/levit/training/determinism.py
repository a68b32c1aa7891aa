"""What makes a run repeat itself to the bit: seeds that are functions of where it is, and operations in one order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import deterministic

_MEMORY: Any = deterministic  # whose type is not told of its setting


def derive_seed(*parts: int | str) -> int:
    """A seed of 63 bits that is a function of all parts.

    Examples:
        >>> derive_seed(0, "step", 1) == derive_seed(0, "step", 1)
        True
        >>> derive_seed(0, "step", 1) == derive_seed(1, "step", 0)
        False
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_generators(*parts: int | str) -> None:
    """All that is random in a step, drop path that is, is a function of these; there is no generator to save."""
    seed = derive_seed(*parts)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def deterministic_algorithms(device: torch.device) -> Iterator[None]:
    """On a CPU every operation inside gives the same bits each time.

    The gradient of the attention bias adds many numbers into few places, in the order in which threads come unless
    torch is told otherwise. On a GPU nothing is changed: other operations, which are faster, are not repeatable there.
    """
    was_on = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = _MEMORY.fill_uninitialized_memory
    if device.type == "cpu" and not was_on:
        torch.use_deterministic_algorithms(True, warn_only=True)
        _MEMORY.fill_uninitialized_memory = False  # which takes time, and nothing reads it
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was_on, warn_only=only_warns)
        _MEMORY.fill_uninitialized_memory = fills
