"""Translation of the arrays of a file, of any dialect, to canonical weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from levit.checkpoints import flax_weights, vit_pytorch_weights
from levit.checkpoints.canonical_weights import batch_counts, canonical_array, identity_batch_norms
from levit.checkpoints.checkpoint import Weights
from levit.checkpoints.dialect_detection import DetectedDialect, detect_dialect
from levit.checkpoints.dialects import FLAX, VIT_PYTORCH
from levit.checkpoints.flax_weights import flax_keys, from_flax, is_flax
from levit.checkpoints.vit_pytorch_weights import from_vit_pytorch, is_vit_pytorch


@dataclass(frozen=True, kw_only=True)
class TranslatedWeights:
    """Canonical weights of a file.

    Attributes:
        weights: canonical name -> array; keys that are not in the dialect keep their names.
        dialect: name of the dialect.
        fields: fields of the architecture that the dialect determines, and the shapes of the weights do not.
        detected: dialect with its keys; None for a dialect whose weights were checked to be complete.
    """

    weights: Weights
    dialect: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    detected: DetectedDialect | None = None

    def check_complete(self, name: str) -> None:
        """Check that no weights are missing; see `DetectedDialect.check_complete`."""
        if self.detected is not None:
            self.detected.check_complete(name)


def translate_weights(arrays: Weights, name: str) -> TranslatedWeights:
    """Detect the dialect of arrays by their keys, and translate them.

    Args:
        arrays: key in the file -> array.
        name: source of the error.

    Raises:
        CheckpointError: no dialect has these keys, or an array is not of floating-point numbers.
    """
    if is_flax(arrays):
        plain = {key: canonical_array(array, key, name) for key, array in arrays.items()}
        weights = from_vit_pytorch(from_flax(plain), name, library=FLAX.name, keys=flax_keys(arrays))
        fields = flax_weights.ARCHITECTURE_FIELDS
        return TranslatedWeights(weights=weights, dialect=FLAX.name, fields=fields)
    if is_vit_pytorch(arrays):
        kept = {key: array for key, array in arrays.items() if not key.endswith(vit_pytorch_weights.OFFSETS)}
        plain = {key: canonical_array(array, key, name) for key, array in kept.items()}
        fields = vit_pytorch_weights.ARCHITECTURE_FIELDS
        return TranslatedWeights(weights=from_vit_pytorch(plain, name), dialect=VIT_PYTORCH.name, fields=fields)
    detected = detect_dialect({key: array.shape for key, array in arrays.items()}, name)
    # A key that is not in the dialect is unexpected, whatever its type.
    weights = {
        canonical: arrays[key] if key in detected.unknown else canonical_array(arrays[key], canonical, name)
        for key, canonical in detected.canonical_names.items()
    }
    if detected.dialect.is_fused:
        weights |= identity_batch_norms(weights)
    weights |= batch_counts(weights)
    return TranslatedWeights(weights=weights, dialect=detected.dialect.name, detected=detected)
