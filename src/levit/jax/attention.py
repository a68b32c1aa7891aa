"""Multi-head attention inside stages and subsampling attention between them (paper, sections 4.2 and 4.3).

Shapes: B images, N keys, M queries, C channels, H heads, K query and key channels per head, V value channels per head.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from levit.jax.layers import ACTIVATIONS, LinearBatchNorm
from levit.spec.blocks import AttentionBlock


class AttentionMask(nnx.Variable[Array]):
    """Mask of an attention, bool [H, M, N], True where the key is used; it is not trained."""


class Attention(nnx.Module):
    """Multi-head attention with an attention bias and an activation before the output projection.

    Args:
        block: specification of an attention inside a stage.
        activation: a key of `ACTIVATIONS`.
        rngs: random numbers of the initialization.
    """

    def __init__(self, block: AttentionBlock, *, activation: str, rngs: nnx.Rngs) -> None:
        self.block, self.activation = block, activation
        heads, values = block.num_heads, block.num_heads * block.value_dim
        self.attention_biases = nnx.Param(jnp.zeros((heads, prod(block.input_grid))))
        self.attention_mask = _mask(block)
        width = heads * (2 * block.key_dim + block.value_dim)
        self.queries_keys_values = LinearBatchNorm(block.input_width, width, rngs=rngs)
        self.projection = LinearBatchNorm(values, block.output_width, zero_init=True, rngs=rngs)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Compute self-attention: [B, rows, columns, C] -> [B, rows, columns, C]."""
        packed = _split_heads(self.queries_keys_values(x, train=train), self.block.num_heads)
        query, key, value = jnp.split(packed, [self.block.key_dim, 2 * self.block.key_dim], axis=-1)
        context = _attend(query, key, value, _gathered_biases(self))
        x = ACTIVATIONS[self.activation](context).reshape(*x.shape[:3], -1)
        return self.projection(x, train=train)


class SubsamplingAttention(nnx.Module):
    """Attention from every `stride`-th token in both directions to all tokens, without a shortcut.

    Args:
        block: specification of an attention between two stages.
        activation: a key of `ACTIVATIONS`.
        rngs: random numbers of the initialization.
    """

    def __init__(self, block: AttentionBlock, *, activation: str, rngs: nnx.Rngs) -> None:
        self.block, self.activation = block, activation
        heads, key_dim, value_dim = block.num_heads, block.key_dim, block.value_dim
        self.attention_biases = nnx.Param(jnp.zeros((heads, prod(block.input_grid))))
        self.attention_mask = _mask(block)
        self.keys_values = LinearBatchNorm(block.input_width, heads * (key_dim + value_dim), rngs=rngs)
        self.queries = LinearBatchNorm(block.input_width, heads * key_dim, rngs=rngs)
        self.projection = LinearBatchNorm(heads * value_dim, block.output_width, rngs=rngs)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Attend from the subsampled tokens: [B, rows, columns, C] -> [B, fewer rows, fewer columns, output width]."""
        heads, stride = self.block.num_heads, self.block.stride
        packed = _split_heads(self.keys_values(x, train=train), heads)
        key, value = jnp.split(packed, [self.block.key_dim], axis=-1)
        sampled = x[:, ::stride, ::stride]
        query = _split_heads(self.queries(sampled, train=train), heads)
        context = _attend(query, key, value, _gathered_biases(self))
        x = ACTIVATIONS[self.activation](context).reshape(*sampled.shape[:3], -1)
        return self.projection(x, train=train)


def _split_heads(x: Array, num_heads: int) -> Array:
    """Split the channels by head: [B, rows, columns, H * channels] -> [B, tokens, H, channels]."""
    return x.reshape(x.shape[0], x.shape[1] * x.shape[2], num_heads, -1)


def _attend(query: Array, key: Array, value: Array, bias: Array) -> Array:
    """Weighted sums of the values, [B, M, H, V]; scores and softmax are computed in float32.

    `jax.nn.dot_product_attention` requires values of the width of the keys, which those of LeViT do not have.
    """
    scores = jnp.einsum("bmhk,bnhk->bhmn", query, key, preferred_element_type=jnp.float32)
    probabilities = jax.nn.softmax(scores * query.shape[-1] ** -0.5 + bias, axis=-1)
    return jnp.einsum("bhmn,bnhv->bmhv", probabilities.astype(value.dtype), value)


def _mask(block: AttentionBlock) -> AttentionMask | None:
    """Mask with all keys, which a checkpoint replaces; None without one."""
    return AttentionMask(jnp.ones(block.map_shape, bool)) if block.has_mask else nnx.data(None)


def _gathered_biases(attention: Attention | SubsamplingAttention) -> Array:
    """Bias of each head between each query and each key, [H, M, N]; minus infinity where a mask removes the key."""
    biases = attention.attention_biases[...][:, _offset_table(attention.block)]
    if attention.attention_mask is None:
        return biases
    return jnp.where(attention.attention_mask[...], biases, -jnp.inf)


@lru_cache(maxsize=256)
def _offset_table(block: AttentionBlock) -> NDArray[np.int32]:
    return np.array(block.offset_table(), np.int32)
