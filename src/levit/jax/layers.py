"""Building blocks: convolution and linear layers with batch norm, MLP, residual connection, classification head.

All weights have the names and shapes of canonical weights: linear layers are [outputs, inputs], convolutions [outputs,
inputs, rows, columns]. Shapes: B images, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from levit.checkpoints.dialects import BATCH_NORM_EPSILON
from levit.spec.blocks import HeadBlock, MlpBlock, StemLayer

Activation = Callable[[Array], Array]

ACTIVATIONS: dict[str, Activation] = {"hardswish": jax.nn.hard_swish, "silu": jax.nn.silu}

_MOMENTUM = 0.1  # weight of a batch in the running statistics, as in torch; flax's momentum is that of the past, 0.9


class Branch(Protocol):
    """Module that a residual connection can contain."""

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Transform [B, rows, columns, C] -> [B, rows, columns, C]."""
        ...


class BatchNorm(nnx.Module):
    """Batch norm over the last axis, with the arithmetic of torch.

    Unlike flax's, it divides the running variance by one less than the number of values, and counts batches. The
    statistics are computed in float32. A single row is normalized by the running statistics, which it does not update.

    Args:
        channels: number of channels C.
        zero_init: initialize the weight to 0 instead of 1, for the last layer of a residual branch.
    """

    def __init__(self, channels: int, *, zero_init: bool = False) -> None:
        self.weight = nnx.Param(jnp.zeros(channels) if zero_init else jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.running_mean = nnx.BatchStat(jnp.zeros(channels))
        self.running_var = nnx.BatchStat(jnp.ones(channels))
        self.num_batches_tracked = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Normalize [..., C] -> [..., C], of the same dtype."""
        dtype, x = x.dtype, x.astype(jnp.float32)
        mean, variance = self.running_mean[...], self.running_var[...]
        count = prod(x.shape[:-1])
        if train and count > 1:
            axes = tuple(range(x.ndim - 1))
            mean, variance = x.mean(axes), x.var(axes)
            self._update(mean, variance * (count / (count - 1)))
        scale = self.weight[...] * jax.lax.rsqrt(variance + BATCH_NORM_EPSILON)
        return ((x - mean) * scale + self.bias[...]).astype(dtype)

    def _update(self, mean: Array, variance: Array) -> None:
        for statistic, value in ((self.running_mean, mean), (self.running_var, variance)):
            old = statistic[...]
            statistic[...] = (1 - _MOMENTUM) * old + _MOMENTUM * jax.lax.stop_gradient(value)
        self.num_batches_tracked[...] += 1


class Weight(nnx.Module):
    """Weight of a convolution or linear layer, initialized as torch does: uniform up to 1 / √inputs.

    Args:
        shape: outputs first.
        rngs: random numbers of the initialization.
    """

    def __init__(self, *shape: int, rngs: nnx.Rngs) -> None:
        bound = 1 / sqrt(prod(shape[1:]))
        self.weight = nnx.Param(jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound))


class ConvolutionBatchNorm(nnx.Module):
    """Convolution without bias, followed by batch norm.

    Args:
        layer: specification of the convolution.
        rngs: random numbers of the initialization.
    """

    def __init__(self, layer: StemLayer, *, rngs: nnx.Rngs) -> None:
        self.stride, self.padding = layer.stride, layer.padding
        size = layer.kernel_size
        self.convolution = Weight(layer.output_channels, layer.input_channels, size, size, rngs=rngs)
        self.batch_norm = BatchNorm(layer.output_channels)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Convolve and normalize [B, height, width, C] -> [B, height, width after the stride, output channels]."""
        x = jax.lax.conv_general_dilated(
            x, self.convolution.weight[...].astype(x.dtype), (self.stride,) * 2, [self.padding] * 2,
            dimension_numbers=("NHWC", "OIHW", "NHWC"),
        )  # fmt: skip
        return self.batch_norm(x, train=train)


class LinearBatchNorm(nnx.Module):
    """Linear layer without bias, followed by batch norm over all tokens of all images.

    Args:
        input_width: channels of the input.
        output_width: channels of the output.
        zero_init: initialize the weight of the batch norm to 0 (see `BatchNorm`).
        rngs: random numbers of the initialization.
    """

    def __init__(self, input_width: int, output_width: int, *, zero_init: bool = False, rngs: nnx.Rngs) -> None:
        self.linear = Weight(output_width, input_width, rngs=rngs)
        self.batch_norm = BatchNorm(output_width, zero_init=zero_init)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Transform [..., input width] -> [..., output width]."""
        return self.batch_norm(x @ self.linear.weight[...].astype(x.dtype).T, train=train)


class Mlp(nnx.Module):
    """Multi-layer perceptron: two linear layers with an activation between them.

    Args:
        block: specification of the MLP.
        activation: a key of `ACTIVATIONS`.
        rngs: random numbers of the initialization.
    """

    def __init__(self, block: MlpBlock, *, activation: str, rngs: nnx.Rngs) -> None:
        self.activation = activation
        self.linear_up = LinearBatchNorm(block.width, block.hidden_width, rngs=rngs)
        self.linear_down = LinearBatchNorm(block.hidden_width, block.width, zero_init=True, rngs=rngs)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Transform [..., C] -> [..., C]."""
        x = ACTIVATIONS[self.activation](self.linear_up(x, train=train))
        return self.linear_down(x, train=train)


class Residual(nnx.Module):
    """Residual connection with drop path (stochastic depth).

    Args:
        module: the branch.
        drop_path_rate: probability in [0, 1) of dropping the branch of an image in training.
        rngs: random numbers of drop path (its stream `dropout`); unused if the rate is 0.
    """

    def __init__(self, module: Branch, *, drop_path_rate: float, rngs: nnx.Rngs) -> None:
        self.module = module
        self.drop_path_rate = drop_path_rate
        self.rngs = rngs["dropout"].fork() if drop_path_rate else nnx.data(None)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Add the branch to its input: [B, rows, columns, C] -> [B, rows, columns, C]."""
        branch = self.module(x, train=train)
        if train and self.rngs is not None:
            kept = 1 - self.drop_path_rate
            is_kept = jax.random.bernoulli(self.rngs(), kept, (x.shape[0], 1, 1, 1))
            branch = branch * (is_kept / kept).astype(x.dtype)
        return x + branch


class Linear(nnx.Module):
    """Linear layer of a head, initialized from a truncated normal distribution.

    Args:
        input_width: channels of the input.
        output_width: channels of the output.
        std: standard deviation of the initial weights, at least 0.
        rngs: random numbers of the initialization.
    """

    def __init__(self, input_width: int, output_width: int, *, std: float, rngs: nnx.Rngs) -> None:
        shape = (output_width, input_width)
        weight = std * jax.random.truncated_normal(rngs.params(), -2 / std, 2 / std, shape) if std else jnp.zeros(shape)
        self.weight = nnx.Param(weight)
        self.bias = nnx.Param(jnp.zeros(output_width))


class ClassificationHead(nnx.Module):
    """Batch norm and a linear layer on the mean of the tokens.

    Args:
        head: specification of the head.
        std: standard deviation of the initial weights.
        rngs: random numbers of the initialization.
    """

    def __init__(self, head: HeadBlock, *, std: float, rngs: nnx.Rngs) -> None:
        self.batch_norm = BatchNorm(head.width)
        self.linear = Linear(head.width, head.num_labels, std=std, rngs=rngs)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Compute logits in float32: [B, C] -> [B, classes]."""
        x = self.batch_norm(x, train=train)
        logits = x @ self.linear.weight[...].astype(x.dtype).T
        return logits.astype(jnp.float32) + self.linear.bias[...]
