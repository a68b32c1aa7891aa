"""Determinism: seeds as functions of the position in a run, and deterministic operations on CPUs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import deterministic

_DETERMINISTIC: Any = deterministic  # torch's type stubs lack fill_uninitialized_memory


def derive_seed(*parts: int | str) -> int:
    """Derive a 63-bit seed from numbers and names.

    Examples:
        >>> derive_seed(0, "step", 1) == derive_seed(0, "step", 1)
        True
        >>> derive_seed(0, "step", 1) == derive_seed(1, "step", 0)
        False
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_generators(*parts: int | str) -> None:
    """Seed torch's generators of all devices; the random numbers of a step (drop path) then need no saved state."""
    seed = derive_seed(*parts)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def deterministic_algorithms(device: torch.device) -> Iterator[None]:
    """Use deterministic operations in the block, if it runs on a CPU.

    The gradient of the attention bias adds many numbers to few elements, by default in an order that depends on
    threads. On a GPU nothing changes: other operations, which are faster, are not deterministic there.
    """
    enabled_before = torch.are_deterministic_algorithms_enabled()
    warn_only_before = torch.is_deterministic_algorithms_warn_only_enabled()
    fill_before = _DETERMINISTIC.fill_uninitialized_memory
    if device.type == "cpu" and not enabled_before:
        torch.use_deterministic_algorithms(True, warn_only=True)
        _DETERMINISTIC.fill_uninitialized_memory = False  # filling takes time, and the memory is written before use
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled_before, warn_only=warn_only_before)
        _DETERMINISTIC.fill_uninitialized_memory = fill_before
