"""Attention functions: scaled dot-product attention with an additive attention bias.

Shapes: B images, N keys, M queries, H heads, K query and key channels per head, V value channels per head.

Every attention function takes, in this order,

- query: [B, M, H, K], floating point;
- key: [B, N, H, K], of the dtype of query;
- value: [B, N, H, V], of the dtype of query;
- bias: [H, M, N], floating point, added to the scaled scores;

and returns the heads' weighted sums of the values, concatenated: [B, M, H * V].
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

AttentionFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def eager_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention as separate operations, bit-identical to the reference implementations."""
    return _weighted_sum(_attention_probabilities(query, key, bias), value)


def sdpa_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention by torch's fused `scaled_dot_product_attention`."""
    query, key, value = (x.permute(0, 2, 1, 3) for x in (query, key, value))  # [B, H, tokens, channels]
    context = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype)[None])
    return context.transpose(1, 2).flatten(2)


class RecordingAttention:
    """Eager attention that keeps the attention probabilities of every call.

    Attributes:
        probabilities: one tensor [B, H, M, N] per call, in call order; each row of N sums to 1.
    """

    def __init__(self) -> None:
        self.probabilities: list[Tensor] = []

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Compute attention and append its probabilities."""
        self.probabilities.append(_attention_probabilities(query, key, bias))
        return _weighted_sum(self.probabilities[-1], value)


# Keys are the values of transformers' `attn_implementation`.
ATTENTION_FUNCTIONS: dict[str, AttentionFunction] = {"eager": eager_attention, "sdpa": sdpa_attention}


def _attention_probabilities(query: Tensor, key: Tensor, bias: Tensor) -> Tensor:
    query, key = (x.permute(0, 2, 1, 3) for x in (query, key))  # [B, H, tokens, K]
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5 + bias.to(query.dtype)
    return scores.softmax(dim=-1)  # [B, H, M, N]


def _weighted_sum(probabilities: Tensor, value: Tensor) -> Tensor:
    context = probabilities.to(value.dtype) @ value.permute(0, 2, 1, 3)  # [B, H, M, V]
    return context.transpose(1, 2).flatten(2)
