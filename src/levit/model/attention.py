"""Multi-head attention inside stages and subsampling attention between them (paper, sections 4.2 and 4.3).

Shapes: B images, N tokens, M queries, C channels, H heads, K query and key channels per head, V value channels per
head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from levit.model.attention_bias import gather_attention_biases, offset_table, resize_attention_biases
from levit.model.attention_functions import AttentionFunction
from levit.model.layers import ACTIVATIONS, LinearBatchNorm
from levit.spec.architecture import Grid


class Attention(nn.Module):
    """Multi-head attention with a attention bias and an activation before the output projection.

    Args:
        width: channels C of input and output.
        num_heads: number of heads H.
        key_dim: query and key channels K per head.
        value_dim: value channels V per head.
        grid: rows and columns of the tokens that the attention bias is defined for.
        activation: a key of `ACTIVATIONS`.
    """

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
        self.projection = LinearBatchNorm(input_width=num_heads * value_dim, output_width=width, zero_init=True)
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, grid[0] * grid[1]))
        self.register_buffer("attention_bias_idxs", offset_table(grid), persistent=False)

    def forward(self, x: Tensor, attention_function: AttentionFunction) -> Tensor:
        """Compute self-attention.

        Args:
            x: tokens, [B, rows, columns, C].
            attention_function: a function of `levit.model.attention_functions`.

        Returns:
            [B, rows, columns, C].
        """
        packed = self.queries_keys_values(x).flatten(1, 2).unflatten(2, (self.num_heads, -1))
        query, key, value = packed.split([self.key_dim, self.key_dim, self.value_dim], dim=3)  # [B, N, H, channels]
        context = attention_function(query, key, value, attention_bias(self, x))  # [B, N, H * V]
        return self.projection(self.activation(context)).view_as(x)


class SubsamplingAttention(GradientCheckpointingLayer):
    """Attention from every `stride`-th token in both directions to all tokens, without a shortcut.

    It leads from one stage to the next: it reduces the grid and changes the width. (The paper calls it the shrinking
    attention block.)

    Args:
        input_width: channels of the input.
        output_width: channels of the output.
        num_heads: number of heads H.
        key_dim: query and key channels K per head.
        value_dim: value channels V per head.
        grid: rows and columns of the input tokens that the attention bias is defined for.
        stride: distance of the tokens that become queries, in rows and in columns.
        activation: a key of `ACTIVATIONS`.
    """

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

    def forward(self, x: Tensor, attention_function: AttentionFunction) -> Tensor:
        """Compute attention from the subsampled tokens to all tokens.

        Args:
            x: tokens, [B, rows, columns, input width].
            attention_function: a function of `levit.model.attention_functions`.

        Returns:
            [B, ceil(rows / stride), ceil(columns / stride), output width].
        """
        packed = self.keys_values(x).flatten(1, 2).unflatten(2, (self.num_heads, -1))
        key, value = packed.split([self.key_dim, self.value_dim], dim=3)  # [B, N, H, channels]
        sampled = x[:, :: self.stride, :: self.stride]
        query = self.queries(sampled).flatten(1, 2).unflatten(2, (self.num_heads, -1))  # [B, M, H, K]
        context = attention_function(query, key, value, attention_bias(self, x))  # [B, M, H * V]
        return self.projection(self.activation(context)).unflatten(1, sampled.shape[1:3])


def attention_bias(attention: Attention | SubsamplingAttention, x: Tensor) -> Tensor:
    """Attention bias between all queries and keys, interpolated for another grid than the trained one.

    Args:
        attention: the module with the trained biases.
        x: its input, [B, rows, columns, C].

    Returns:
        [H, M, N], of the dtype of the biases.
    """
    grid = (x.shape[1], x.shape[2])
    if grid == attention.grid:
        return gather_attention_biases(attention.attention_biases, attention.attention_bias_idxs)
    biases = resize_attention_biases(attention.attention_biases, attention.grid, grid)
    return gather_attention_biases(biases, offset_table(grid, attention.stride, device=x.device))
