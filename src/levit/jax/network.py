"""The network: stem, stages and heads.

Shapes: B images, N tokens, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from levit.errors import ConfigError
from levit.jax.attention import Attention, SubsamplingAttention
from levit.jax.layers import ACTIVATIONS, ClassificationHead, ConvolutionBatchNorm, Mlp, Residual
from levit.spec.architecture import Architecture
from levit.spec.blocks import EncoderBlock, MlpBlock
from levit.spec.distillation import DISTILLATION_DEFAULTS
from levit.spec.labels import default_labels
from levit.spec.network import heads, stage_blocks, stem_layers
from levit.spec.preprocessing import Preprocessing
from levit.spec.variants import find_variant


class LevitOutput(NamedTuple):
    """Output of `LeViT`.

    Attributes:
        logits: float32 [B, classes], of prediction: the mean of both heads, where there are two; None without a head.
        cls_logits: float32 [B, classes], of the head that is trained on the labels; None without a head.
        distillation_logits: float32 [B, classes], of the head that is trained on a teacher; None with fewer than two.
        pooler_output: [B, C], the mean of the tokens, of the dtype of the computation.
        last_hidden_state: [B, N, C], the tokens, of the dtype of the computation.
    """

    logits: Array | None
    cls_logits: Array | None
    distillation_logits: Array | None
    pooler_output: Array
    last_hidden_state: Array


class LeViT(nnx.Module):
    """LeViT in JAX, for all sizes, with no head, one or two.

    The initial weights have the distributions of the paper's code. Parameters are `nnx.Param` and running statistics
    `nnx.BatchStat`, all in float32; their paths in the module are canonical names.

    Args:
        config: architecture of the network, or the name of a published size such as "levit-128s".
        drop_path_rate: probability in [0, 1) of dropping a residual branch in training (stochastic depth).
        dtype: type of the computation: float32 or bfloat16. Batch norm statistics and softmax are float32 in both.
        labels: class names, in the order of the logits; default: those of `levit.read_checkpoint` for files without
            names.
        preprocessing: preprocessing of images, for the files that `levit.jax.save` writes; default: that of ImageNet.
        initializer_range: standard deviation of the initial weights of the heads.
        is_multi_label: whether an image may have several labels, for the files that `levit.jax.save` writes, and for
            `levit.jax.distillation_loss`.
        problem_type, distillation_type, distillation_alpha, distillation_tau: settings of other libraries' training, as
            in `levit.LevitConfig`, for the files that `levit.jax.save` writes only.
        rngs: random numbers: the stream `params` for initial weights, `dropout` for drop path.

    Raises:
        ConfigError: no size has that name; the network has layers or an activation that are not implemented in JAX,
            another number of classes than labels, or a drop path rate outside [0, 1).

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import levit
        >>> config = levit.Architecture(image_size=32, hidden_sizes=(16, 32), depths=(1, 1), num_attention_heads=(1, 2),
        ...     key_dim=(8, 8), mlp_ratio=(2, 2), attention_ratio=(2, 2), num_labels=10)
        >>> model = LeViT(config, rngs=nnx.Rngs(0))
        >>> model(jnp.zeros((4, 3, 32, 32)), train=False).logits.shape
        (4, 10)
    """

    def __init__(
        self,
        config: Architecture | str,
        *,
        drop_path_rate: float = 0.0,
        dtype: DTypeLike = jnp.float32,
        labels: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        initializer_range: float = 0.02,
        is_multi_label: bool = False,
        problem_type: str | None = None,
        distillation_type: str = DISTILLATION_DEFAULTS["distillation_type"],
        distillation_alpha: float = DISTILLATION_DEFAULTS["distillation_alpha"],
        distillation_tau: float = DISTILLATION_DEFAULTS["distillation_tau"],
        rngs: nnx.Rngs,
    ) -> None:
        config = find_variant(config).architecture() if isinstance(config, str) else config
        _check(config, drop_path_rate)
        self.config, self.drop_path_rate, self.dtype = config, drop_path_rate, jnp.dtype(dtype)
        self.initializer_range, self.is_multi_label = initializer_range, is_multi_label
        self.problem_type, self.distillation_type = problem_type, distillation_type
        self.distillation_alpha, self.distillation_tau = distillation_alpha, distillation_tau
        self.labels = default_labels(config.num_labels) if labels is None else tuple(labels)
        if len(self.labels) != config.num_labels:
            raise ConfigError(f"{len(self.labels)} names for {config.num_labels} classes", source="labels")
        self.preprocessing = preprocessing or Preprocessing.for_image_size(config.image_height_width)
        self.levit = Backbone(config, drop_path_rate=drop_path_rate, rngs=rngs)
        for head in heads(config):
            setattr(self, head.key, ClassificationHead(head, std=initializer_range, rngs=rngs))

    def __call__(self, pixel_values: Array, *, train: bool) -> LevitOutput:
        """Compute the logits of a batch of images.

        Args:
            pixel_values: [B, channels, height, width], floating point, normalized: what the image processors return
                with `return_tensors="jax"`.
            train: normalize by the statistics of the batch, update the running statistics, and drop branches.

        Raises:
            ConfigError: pixel_values is not floating point, or has another shape than that of the configuration.
        """
        size = (self.config.num_channels, *self.config.image_height_width)
        if pixel_values.ndim != 4 or pixel_values.shape[1:] != size:
            hint = "give [batch, {}, {}, {}]".format(*size)
            raise ConfigError(f"has shape {list(pixel_values.shape)}", source="pixel_values", hint=hint)
        if not jnp.issubdtype(pixel_values.dtype, jnp.floating):
            hint = "normalize with the image processor"
            raise ConfigError(f"has dtype {pixel_values.dtype}", source="pixel_values", hint=hint)
        x = self.levit(pixel_values.transpose(0, 2, 3, 1).astype(self.dtype), train=train)
        tokens = x.reshape(x.shape[0], -1, x.shape[-1])
        pooled = tokens.astype(jnp.float32).mean(axis=1).astype(self.dtype)
        logits = [getattr(self, head.key)(pooled, train=train) for head in heads(self.config)]
        return LevitOutput(
            logits=sum(logits[1:], start=logits[0]) / len(logits) if logits else None,
            cls_logits=logits[0] if logits else None,
            distillation_logits=logits[1] if len(logits) > 1 else None,
            pooler_output=pooled,
            last_hidden_state=tokens,
        )


class Backbone(nnx.Module):
    """Stem and stages.

    Args:
        config: architecture of the network.
        drop_path_rate: probability in [0, 1) of dropping a residual branch in training.
        rngs: random numbers of the initialization and of drop path.
    """

    def __init__(self, config: Architecture, *, drop_path_rate: float, rngs: nnx.Rngs) -> None:
        self.patch_embeddings = Stem(config, rngs=rngs)
        self.encoder = Encoder(config, drop_path_rate=drop_path_rate, rngs=rngs)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Compute the tokens of images: [B, height, width, channels] -> [B, rows, columns, C]."""
        return self.encoder(self.patch_embeddings(x, train=train), train=train)


class Stem(nnx.Module):
    """Strided convolutions with an activation between each two of them.

    Args:
        config: architecture of the network.
        rngs: random numbers of the initialization.
    """

    def __init__(self, config: Architecture, *, rngs: nnx.Rngs) -> None:
        self.activation, self.num_layers = config.activation, config.num_stem_layers
        for index, layer in enumerate(stem_layers(config), start=1):
            setattr(self, f"embedding_layer_{index}", ConvolutionBatchNorm(layer, rngs=rngs))

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Embed images as tokens: [B, height, width, channels] -> [B, rows, columns, C]."""
        for index in range(1, self.num_layers + 1):
            x = x if index == 1 else ACTIVATIONS[self.activation](x)
            x = getattr(self, f"embedding_layer_{index}")(x, train=train)
        return x


class Encoder(nnx.Module):
    """All stages, in order, each followed by the subsampling attention that leads to the next.

    Args:
        config: architecture of the network.
        drop_path_rate: probability in [0, 1) of dropping a residual branch in training.
        rngs: random numbers of the initialization and of drop path.
    """

    def __init__(self, config: Architecture, *, drop_path_rate: float, rngs: nnx.Rngs) -> None:
        self.stages = nnx.List(
            Stage(
                [_build(block, config.activation, drop_path_rate, rngs) for block in stage_blocks(config, stage)],
            )
            for stage in range(config.num_stages)
        )

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Run all stages: [B, rows, columns, C] -> [B, rows, columns, C] of the last stage."""
        for stage in self.stages:
            x = stage(x, train=train)
        return x


class Stage(nnx.Module):
    """Blocks of one resolution, followed by the subsampling attention and MLP that lead to the next stage.

    Args:
        layers: the blocks, in order.
    """

    def __init__(self, layers: list[nnx.Module]) -> None:
        self.layers = nnx.List(layers)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Run all blocks: [B, rows, columns, C] -> [B, rows, columns, C] of the next stage."""
        for layer in self.layers:
            x = layer(x, train=train)
        return x


def _build(block: EncoderBlock, activation: str, drop_path_rate: float, rngs: nnx.Rngs) -> nnx.Module:
    """Build the module of a block."""
    if isinstance(block, MlpBlock):
        return Residual(Mlp(block, activation=activation, rngs=rngs), drop_path_rate=drop_path_rate, rngs=rngs)
    if not block.is_residual:
        return SubsamplingAttention(block, activation=activation, rngs=rngs)
    attention = Attention(block, activation=activation, rngs=rngs)
    return Residual(attention, drop_path_rate=drop_path_rate, rngs=rngs)


def _check(config: Architecture, drop_path_rate: float) -> None:
    if not config.has_layers_of_paper:
        raise ConfigError("not implemented in JAX: its layers are not those of the paper", source="config")
    if config.activation not in ACTIVATIONS:
        hint = f"use one of {', '.join(ACTIVATIONS)}"
        raise ConfigError(f"{config.activation} is not implemented in JAX", source="activation", hint=hint)
    if not 0 <= drop_path_rate < 1:
        raise ConfigError(
            f"{drop_path_rate!r} is invalid", source="drop_path_rate", hint="use a number from 0 to below 1"
        )
