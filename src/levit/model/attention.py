"""Multi-head attention inside stages and subsampling attention between them (paper, sections 4.2 and 4.3).

Shapes: B images, N tokens, M queries, C channels, H heads, K query and key channels per head, V value channels per
head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from levit.errors import ConfigError
from levit.model.activations import ACTIVATIONS
from levit.model.attention_bias import gather_attention_biases, offset_table, resize_attention_biases
from levit.model.attention_functions import AttentionFunction
from levit.model.head_autoencoder import HeadAutoencoder
from levit.model.layers import LinearBatchNorm
from levit.spec.architecture import Grid


class BiasedAttention(nn.Module):
    """Base class of modules with an attention bias: the trained biases and their offset table.

    The table follows from the grid. It is a plain tensor and not a buffer, because buffers stay empty where a network
    is built on the meta device or moved with `to_empty`. It is built on the CPU even there, and then follows the
    biases to other devices.

    Args:
        num_heads: number of heads H.
        grid: rows and columns of the tokens that are keys.
        stride: distance of the tokens that are queries, in rows and in columns.
        has_mask: whether a mask removes keys of single queries: the buffer `attention_mask`, bool [H, M, N].
    """

    attention_mask: Tensor

    def __init__(self, *, num_heads: int, grid: Grid, stride: int, has_mask: bool) -> None:
        super().__init__()
        self.num_heads, self.grid, self.stride, self.has_mask = num_heads, grid, stride, has_mask
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, grid[0] * grid[1]))
        self.attention_bias_idxs = offset_table(grid, stride, device=torch.device("cpu"))
        if has_mask:
            self.register_buffer("attention_mask", torch.ones(num_heads, *self.attention_bias_idxs.shape).bool())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        if not self.attention_biases.is_meta:
            self.attention_bias_idxs = self.attention_bias_idxs.to(self.attention_biases.device)
        return self


class Attention(BiasedAttention):
    """Multi-head attention with an attention bias and an activation before the output projection.

    Args:
        width: channels C of input and output.
        num_heads: number of heads H.
        key_dim: query and key channels K per head.
        value_dim: value channels V per head.
        grid: rows and columns of the tokens that the attention bias is defined for.
        activation: a key of `ACTIVATIONS`.
        has_mask: whether a mask removes keys of single queries.

    Attributes:
        query_autoencoder: auto-encoder over the heads of the queries; None except in training with ViTCoD's.
        key_autoencoder: the same for the keys.
    """

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        key_dim: int,
        value_dim: int,
        grid: Grid,
        activation: str,
        has_mask: bool = False,
    ) -> None:
        super().__init__(num_heads=num_heads, grid=grid, stride=1, has_mask=has_mask)
        self.key_dim, self.value_dim = key_dim, value_dim
        self.query_autoencoder: HeadAutoencoder | None = None
        self.key_autoencoder: HeadAutoencoder | None = None
        self.queries_keys_values = LinearBatchNorm(
            input_width=width, output_width=num_heads * (2 * key_dim + value_dim)
        )
        self.activation = ACTIVATIONS[activation]()
        self.projection = LinearBatchNorm(input_width=num_heads * value_dim, output_width=width, zero_init=True)

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
        if self.query_autoencoder is not None and self.key_autoencoder is not None:
            query, key = self.query_autoencoder(query), self.key_autoencoder(key)
        context = attention_function(query, key, value, attention_bias(self, x))  # [B, N, H * V]
        return self.projection(self.activation(context)).view_as(x)


class SubsamplingAttention(BiasedAttention, GradientCheckpointingLayer):
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
        has_mask: whether a mask removes keys of single queries.
    """

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
        has_mask: bool = False,
    ) -> None:
        super().__init__(num_heads=num_heads, grid=grid, stride=stride, has_mask=has_mask)
        self.key_dim, self.value_dim = key_dim, value_dim
        self.keys_values = LinearBatchNorm(input_width=input_width, output_width=num_heads * (key_dim + value_dim))
        self.queries = LinearBatchNorm(input_width=input_width, output_width=num_heads * key_dim)
        self.activation = ACTIVATIONS[activation]()
        self.projection = LinearBatchNorm(input_width=num_heads * value_dim, output_width=output_width)

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


def attention_bias(attention: BiasedAttention, x: Tensor) -> Tensor:
    """Attention bias between all queries and keys, interpolated for another grid than the trained one.

    Args:
        attention: the module with the trained biases.
        x: its input, [B, rows, columns, C].

    Returns:
        [H, M, N], of the dtype of the biases; minus infinity where the mask removes a key.

    Raises:
        ConfigError: there is a mask, and the grid is not the trained one.
    """
    biases: Tensor = attention.attention_biases
    grid, offsets = (x.shape[1], x.shape[2]), attention.attention_bias_idxs
    if grid != attention.grid:
        if attention.has_mask:
            trained = "{}x{}".format(*attention.grid)
            reason = f"gives {grid[0]}x{grid[1]} tokens, but the attention masks are for {trained}"
            raise ConfigError(reason, source="pixel_values", hint="give images of the configured size")
        biases = resize_attention_biases(biases, attention.grid, grid)
    if grid != attention.grid or offsets.device != biases.device:  # another device: biases that were assigned
        offsets = offset_table(grid, attention.stride, device=biases.device)
    gathered = gather_attention_biases(biases, offsets)
    return gathered.masked_fill(~attention.attention_mask, -torch.inf) if attention.has_mask else gathered
