"""What attention does with queries, keys and values: step by step, or by torch's fused function.

Shapes: B images, N tokens, M queries, H heads, K key and V value channels of a head. Every function takes query
[B, M, H, K], key [B, N, H, K], value [B, N, H, V] and bias [H, M, N], which is added to the scores, and returns
[B, M, H * V].
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def attend_eager(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Scores, softmax and mean as separate operations, in the order of the references, to the last bit."""
    return _mean(_probabilities(query, key, bias), value)


def attend_sdpa(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """The same by torch's fused `scaled_dot_product_attention`."""
    query, key, value = (x.permute(0, 2, 1, 3) for x in (query, key, value))  # [B, H, tokens, channels]
    context = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype)[None])
    return context.transpose(1, 2).flatten(2)


class AttendAndRecord:
    """`attend_eager` that keeps the probabilities of every call: [B, H, M, N] each."""

    def __init__(self) -> None:
        self.probabilities: list[Tensor] = []

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Attend, and remember."""
        self.probabilities.append(_probabilities(query, key, bias))
        return _mean(self.probabilities[-1], value)


# The names of transformers' `attn_implementation`.
ATTEND: dict[str, Attend] = {"eager": attend_eager, "sdpa": attend_sdpa}


def _probabilities(query: Tensor, key: Tensor, bias: Tensor) -> Tensor:
    query, key = (x.permute(0, 2, 1, 3) for x in (query, key))  # [B, H, tokens, K]
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5 + bias.to(query.dtype)
    return scores.softmax(dim=-1)  # [B, H, M, N]


def _mean(probabilities: Tensor, value: Tensor) -> Tensor:
    context = probabilities.to(value.dtype) @ value.permute(0, 2, 1, 3)  # [B, H, M, V]
    return context.transpose(1, 2).flatten(2)
