"""Initial weights where the user names no model: a published size, or the embedded weights without a network."""

from __future__ import annotations

from levit.checkpoints.hub import is_reachable
from levit.checkpoints.weight_lookup import EMBEDDED_WEIGHTS, HUB_NAMES, find_weights, is_cached
from levit.errors import CheckpointError


def choose_initial_weights(model: str) -> str:
    """Return a published size if its weights are cached or can be downloaded, and otherwise the embedded weights.

    The hub is asked once, for a few seconds at most; the weights are then downloaded into its cache.

    Args:
        model: a published size, one of `levit.checkpoints.weight_lookup.HUB_NAMES`.

    Examples:
        >>> choose_initial_weights("levit-128s") in ("levit-128s", "embedded")
        True
    """
    if not is_cached(model):
        if not is_reachable(HUB_NAMES[model]):
            return EMBEDDED_WEIGHTS
        try:
            find_weights(model)
        except CheckpointError:
            return EMBEDDED_WEIGHTS
    return model
