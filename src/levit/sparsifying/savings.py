"""What masks remove from a network: entries of attention maps, multiply-adds, and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.spec.architecture import Architecture
from levit.spec.blocks import MASK, AttentionBlock
from levit.spec.network import attention_blocks, count_flops

_BYTES_PER_ENTRY = 2  # scores in half precision
_BITS_PER_BYTE = 8


@dataclass(frozen=True, kw_only=True)
class LayerSavings:
    """Entries and multiply-adds of one attention, and what remains of them.

    Attributes:
        name: name of the block.
        heads: number of heads.
        queries, keys: number of tokens of each.
        sparsity: share of the entries that are removed, in [0, 1]; of all heads together.
        head_sparsity: the same for each head.
        flops: multiply-adds of the products of queries and keys, and of attention and values, and entries of the
            softmax, for one image.
        kept_flops: those of the kept entries.
        num_bytes: size of the attention maps in half precision.
        kept_bytes: size of the kept entries, and of a bitmap that marks them.
    """

    name: str
    heads: int
    queries: int
    keys: int
    sparsity: float
    head_sparsity: tuple[float, ...]
    flops: int
    kept_flops: int
    num_bytes: int
    kept_bytes: int


@dataclass(frozen=True, kw_only=True)
class Savings:
    """Counts of what masks remove from a network: entries of attention maps, multiply-adds and bytes.

    Attributes:
        layers: each attention, in order.
        network_flops: multiply-adds of the whole network for one image, without masks.
    """

    layers: tuple[LayerSavings, ...]
    network_flops: int

    @property
    def sparsity(self) -> float:
        """Share of the entries of all attention maps that are removed, in [0, 1]."""
        entries = [layer.heads * layer.queries * layer.keys for layer in self.layers]
        return sum(layer.sparsity * count for layer, count in zip(self.layers, entries, strict=True)) / sum(entries)

    def total(self, field: str) -> int:
        """Sum of a count over all layers."""
        return sum(getattr(layer, field) for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """All counts as plain JSON values."""
        totals = {name: self.total(name) for name in ("flops", "kept_flops", "num_bytes", "kept_bytes")}
        return {
            "sparsity": self.sparsity,
            "network_flops": self.network_flops,
            **totals,
            "layers": [asdict(layer) for layer in self.layers],
        }


def count_savings(architecture: Architecture, masks: Mapping[str, NDArray[np.bool_]]) -> Savings:
    """Count what masks remove from a network.

    Args:
        architecture: architecture of the network.
        masks: canonical name -> bool [heads, queries, keys], True where the key is kept.

    Examples:
        >>> from levit.checkpoints.attention_masks import mask_shapes
        >>> architecture = Architecture()
        >>> masks = {name: np.ones(shape, bool) for name, shape in mask_shapes(architecture).items()}
        >>> count_savings(architecture, masks).sparsity
        0.0
    """
    layers = tuple(_layer(block, masks[f"{block.key}.{MASK}"]) for block in attention_blocks(architecture))
    return Savings(layers=layers, network_flops=count_flops(architecture))


def _layer(block: AttentionBlock, mask: NDArray[np.bool_]) -> LayerSavings:
    heads, queries, keys = mask.shape
    cost, kept = block.key_dim + 1 + block.value_dim, int(mask.sum())
    bitmap = heads * queries * -(-keys // _BITS_PER_BYTE)
    return LayerSavings(
        name=block.name, heads=heads, queries=queries, keys=keys, sparsity=1 - kept / mask.size,
        head_sparsity=tuple(float(share) for share in 1 - mask.mean(axis=(1, 2))),
        flops=mask.size * cost, kept_flops=kept * cost,
        num_bytes=_BYTES_PER_ENTRY * mask.size, kept_bytes=_BYTES_PER_ENTRY * kept + bitmap,
    )  # fmt: skip
