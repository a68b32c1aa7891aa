"""The keys of a file -> whose they are, what each means, and which are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from levit.checkpoints.dialects import DIALECTS, OFFSETS, TRANSFORMERS, Dialect, is_linear, translate, walk
from levit.errors import CheckpointError

_NAMED_IN_ERRORS = 3  # keys named; the count tells the rest


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """What the keys of a file tell.

    Attributes:
        dialect: whose keys these are.
        names: key -> canonical name; offset tables are left out, and a key that no table knows keeps its name, so that
            it is reported as unexpected.
        missing: keys that the file lacks although it has others of the same block.
    """

    dialect: Dialect
    names: dict[str, str]
    missing: tuple[str, ...]

    def check_complete(self, name: str) -> None:
        """Raise if keys are missing; for files without a configuration, which would tell the same of whole blocks.

        Raises:
            CheckpointError: the message counts the missing keys and names the first few, as the dialect calls them.
        """
        if self.missing:
            count, some = len(self.missing), ", ".join(self.missing[:_NAMED_IN_ERRORS])
            raise CheckpointError(
                f"{name}: an incomplete LeViT of {self.dialect.name}, {count} missing "
                f"({some}{', …' if count > _NAMED_IN_ERRORS else ''}): fetch the file again, or save it whole"
            )


def recognize(shapes: Mapping[str, tuple[int, ...]], name: str) -> Recognition:
    """Find out whose keys these are: the dialect that knows the most of them, the stem's among them.

    Args:
        shapes: key -> shape, of all weights of a network.
        name: what to call the file in an error.

    Raises:
        CheckpointError: no dialect has these keys.
    """
    best: Dialect | None = None
    best_names: dict[str, str] = {}
    for dialect in DIALECTS:
        for variant in (dialect, replace(dialect, prefix="")):  # a backbone alone has its names without the prefix
            names = translate(shapes, variant, TRANSFORMERS)
            if len(names) > len(best_names) and _fits(variant, shapes, names):
                best, best_names = variant, names
    if best is None:
        some = ", ".join(sorted(shapes)[:_NAMED_IN_ERRORS]) or "none at all"
        known = ", ".join(dialect.name for dialect in DIALECTS)
        raise CheckpointError(f"{name}: not the keys of a LeViT (known: {known}); it has {some}")
    return Recognition(
        dialect=next(dialect for dialect in DIALECTS if dialect.name == best.name),
        names={key: best_names.get(key, key) for key in shapes if not key.endswith(OFFSETS)},
        missing=tuple(key for place in walk(best, shapes) for _, key in best.tensors(place) if key not in shapes),
    )


def _fits(dialect: Dialect, shapes: Mapping[str, tuple[int, ...]], names: Mapping[str, str]) -> bool:
    has_stem = next(walk(dialect, shapes)).kind == "stem"  # heads alone are called the same elsewhere
    has_convolutions = any(len(shapes[key]) == 4 for key, canonical in names.items() if is_linear(canonical))
    return has_stem and dialect.is_convolutional == has_convolutions
