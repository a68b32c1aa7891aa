"""One key table per dialect: how a library's weight names correspond to the canonical ones, both directions.

Canonical names are those of transformers' `LevitForImageClassificationWithTeacher`, so its own table only says what
to pass over: the offset tables that older releases stored beside each bias, which follow from the grid. A further
dialect is one more row here; nothing else in the package knows a library's names.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from levit.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The names of one library.

    Attributes:
        name: what people call it.
        signature: a key that every file of this dialect has, once `prefixes` are taken into account, and no other.
        prefixes: what may stand before every key of the file, longest first ("" for nothing).
        canonical_prefix: what the canonical names have in its place.
        ignored_suffixes: keys that carry nothing that can be learned.
    """

    name: str
    signature: str
    prefixes: tuple[str, ...]
    canonical_prefix: str
    ignored_suffixes: tuple[str, ...] = ()

    def names(self, keys: Collection[str]) -> dict[str, str] | None:
        """Canonical name of each key worth reading, or None where the keys are of another dialect."""
        for prefix in self.prefixes:
            if prefix + self.signature in keys:
                return {
                    key: self._canonical(key, prefix)
                    for key in keys
                    if not key.endswith(self.ignored_suffixes or ("\0",))
                }
        return None

    def _canonical(self, key: str, prefix: str) -> str:
        # The heads stand outside the backbone's prefix in every file that has one.
        if key.startswith(("classifier.", "classifier_distill.")):
            return key
        return self.canonical_prefix + key.removeprefix(prefix) if key.startswith(prefix) else key


TRANSFORMERS = Dialect(
    name="transformers",
    signature="patch_embeddings.embedding_layer_1.convolution.weight",
    prefixes=("levit.", ""),  # a file of LevitModel alone has no "levit."
    canonical_prefix="levit.",
    ignored_suffixes=(".attention_bias_idxs",),
)

DIALECTS = (TRANSFORMERS,)


def find_dialect(keys: Collection[str], name: str) -> tuple[Dialect, dict[str, str]]:
    """The dialect of a file, found out from its keys, and the canonical name of each key worth reading.

    Args:
        keys: all keys of the file.
        name: what to call the file in an error.

    Raises:
        CheckpointError: no dialect has these keys.
    """
    for dialect in DIALECTS:
        names = dialect.names(keys)
        if names is not None:
            return dialect, names
    some = ", ".join(sorted(keys)[:3]) or "none at all"
    known = ", ".join(dialect.name for dialect in DIALECTS)
    raise CheckpointError(f"{name}: not the keys of a LeViT that levit reads ({known}); it has {some}")
