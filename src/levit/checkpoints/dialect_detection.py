"""Detection of the dialect of a checkpoint by its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from levit.checkpoints.dialects import DIALECTS, OFFSETS, TRANSFORMERS, Dialect, is_linear, is_optional
from levit.checkpoints.key_translation import find_blocks, translate_keys
from levit.errors import CheckpointError, first_few


@dataclass(frozen=True, kw_only=True)
class DetectedDialect:
    """Dialect of a checkpoint, and the meaning of its keys.

    Attributes:
        dialect: dialect of the keys.
        canonical_names: key -> canonical name. Offset tables are absent; a key that is not in the dialect keeps its
            name, so that it is reported as unexpected.
        unknown: keys that are not in the dialect.
        missing: keys that are absent although other keys of the same block are present.
    """

    dialect: Dialect
    canonical_names: dict[str, str]
    unknown: frozenset[str]
    missing: tuple[str, ...]

    def check_complete(self, name: str) -> None:
        """Check that no keys are missing; with a configuration, the check of the weights finds missing blocks, too.

        Args:
            name: source of the error.

        Raises:
            CheckpointError: the reason counts the missing keys and names the first ones.
        """
        if self.missing:
            raise CheckpointError(
                f"an incomplete LeViT of {self.dialect.name}, {len(self.missing)} missing ({first_few(self.missing)})",
                source=name,
                hint="download the file again, or save all weights",
            )


def detect_dialect(shapes: Mapping[str, tuple[int, ...]], name: str) -> DetectedDialect:
    """Select the dialect with the largest number of known keys, among them those of the stem.

    Args:
        shapes: key -> shape, of all weights of a network.
        name: source of the error.

    Raises:
        CheckpointError: no dialect has these keys.
    """
    best: Dialect | None = None
    best_names: dict[str, str] = {}
    for dialect in DIALECTS:
        for variant in (dialect, replace(dialect, prefix="")):  # a file of the backbone alone has no prefix
            names = translate_keys(shapes, variant, TRANSFORMERS)
            if len(names) > len(best_names) and _is_compatible(variant, shapes, names):
                best, best_names = variant, names
    if best is None:
        examples = first_few(sorted(shapes)) or "none at all"
        known = ", ".join(dialect.name for dialect in DIALECTS)
        raise CheckpointError(f"not the keys of a LeViT (known: {known}); it has {examples}", source=name)
    return DetectedDialect(
        dialect=next(dialect for dialect in DIALECTS if dialect.name == best.name),
        canonical_names={key: best_names.get(key, key) for key in shapes if not key.endswith(OFFSETS)},
        unknown=frozenset(shapes) - frozenset(best_names),
        missing=tuple(
            key
            for position in find_blocks(best, shapes)
            for tensor, key in best.keys(position)
            if key not in shapes and not is_optional(position, tensor)
        ),
    )


def _is_compatible(dialect: Dialect, shapes: Mapping[str, tuple[int, ...]], names: Mapping[str, str]) -> bool:
    has_stem = next(find_blocks(dialect, shapes)).kind == "stem"  # heads have the same keys in other networks
    has_convolutions = any(len(shapes[key]) == 4 for key, canonical in names.items() if is_linear(canonical))
    return has_stem and dialect.is_convolutional == has_convolutions
