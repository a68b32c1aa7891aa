"""Table of the methods of explanation."""

from __future__ import annotations

from typing import NamedTuple

from levit.errors import ConfigError
from levit.explaining.masks import CELLS, WINDOW
from levit.spec.choices import ExplanationMethod

DEFAULT_MASKS = 1000
"""Number of random masks of RISE."""


class MethodEntry(NamedTuple):
    """Row of the table of methods.

    Attributes:
        passes: forward passes of the network for one image, where a backward pass counts as two.
        needs_torch: True for a method that uses the network in torch, from a checkpoint.
        is_class_specific: False for a method whose map is the same for every class.
    """

    passes: int
    needs_torch: bool
    is_class_specific: bool


METHODS: dict[ExplanationMethod, MethodEntry] = {
    "occlusion": MethodEntry((CELLS - WINDOW + 1) ** 2 + 1, False, True),
    "rise": MethodEntry(DEFAULT_MASKS + 1, False, True),
    "cam": MethodEntry(2, False, True),
    "gradient-attention": MethodEntry(3, True, True),
    "rollout": MethodEntry(1, True, False),
}


def method_entry(name: str) -> MethodEntry:
    """Row of a method.

    Raises:
        ConfigError: no method has this name.

    Examples:
        >>> method_entry("occlusion").passes
        197
    """
    for method, entry in METHODS.items():
        if method == name:
            return entry
    raise ConfigError(f"is {name!r}", source="method", hint=f"use {', '.join(METHODS)}")
