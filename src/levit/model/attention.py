"""Attention, and its shrinking form between stages (paper, sections 4.2 and 4.3).

Shapes: B images, N tokens, M queries, C channels, H heads, K key and V value channels of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from levit.model.layers import ACTIVATIONS, LinearBatchNorm
from levit.model.position_bias import gather_position_bias, offset_table
from levit.spec.architecture import Grid


class Attention(nn.Module):
    """Multi-head attention inside a stage, with an activation before the projection."""

    attention_bias_idxs: Tensor

    def __init__(
        self, *, width: int, num_heads: int, key_dim: int, value_dim: int, grid: Grid, activation: str
    ) -> None:
        super().__init__()
        self.num_heads, self.key_dim, self.value_dim = num_heads, key_dim, value_dim
        self.grid, self.stride = grid, 1
        self.queries_keys_values = LinearBatchNorm(
            input_width=width, output_width=num_heads * (2 * key_dim + value_dim)
        )
        self.activation = ACTIVATIONS[activation]()
        self.projection = LinearBatchNorm(input_width=num_heads * value_dim, output_width=width, starts_at_zero=True)
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, grid[0] * grid[1]))
        self.register_buffer("attention_bias_idxs", offset_table(grid), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        packed = self.queries_keys_values(x).view(*x.shape[:2], self.num_heads, -1)  # [B, N, H, K + K + V]
        query, key, value = packed.split([self.key_dim, self.key_dim, self.value_dim], dim=3)
        bias = gather_position_bias(self.attention_biases, self.attention_bias_idxs)
        return self.projection(self.activation(attend(query, key, value, bias)))


class ShrinkingAttention(nn.Module):
    """Attention whose queries are every `stride`-th token in both directions, and which changes the width."""

    attention_bias_idxs: Tensor

    def __init__(
        self,
        *,
        input_width: int,
        output_width: int,
        num_heads: int,
        key_dim: int,
        value_dim: int,
        grid: Grid,
        stride: int,
        activation: str,
    ) -> None:
        super().__init__()
        self.num_heads, self.key_dim, self.value_dim = num_heads, key_dim, value_dim
        self.grid, self.stride = grid, stride
        self.keys_values = LinearBatchNorm(input_width=input_width, output_width=num_heads * (key_dim + value_dim))
        self.queries = LinearBatchNorm(input_width=input_width, output_width=num_heads * key_dim)
        self.activation = ACTIVATIONS[activation]()
        self.projection = LinearBatchNorm(input_width=num_heads * value_dim, output_width=output_width)
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, grid[0] * grid[1]))
        self.register_buffer("attention_bias_idxs", offset_table(grid, stride), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, M, output width]."""
        batch, tokens, width = x.shape
        packed = self.keys_values(x).view(batch, tokens, self.num_heads, -1)  # [B, N, H, K + V]
        key, value = packed.split([self.key_dim, self.value_dim], dim=3)
        sampled = x.view(batch, *self.grid, width)[:, :: self.stride, :: self.stride].reshape(batch, -1, width)
        query = self.queries(sampled).view(*sampled.shape[:2], self.num_heads, self.key_dim)
        bias = gather_position_bias(self.attention_biases, self.attention_bias_idxs)
        return self.projection(self.activation(attend(query, key, value, bias)))


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Scaled dot-product attention with a bias on the scores.

    Args:
        query: [B, M, H, K].
        key: [B, N, H, K].
        value: [B, N, H, V].
        bias: [H, M, N].

    Returns:
        [B, M, H * V].
    """
    query, key, value = (x.permute(0, 2, 1, 3) for x in (query, key, value))  # [B, H, tokens, channels]
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5 + bias  # [B, H, M, N]
    context = scores.softmax(dim=-1) @ value  # [B, H, M, V]
    return context.transpose(1, 2).flatten(2)
