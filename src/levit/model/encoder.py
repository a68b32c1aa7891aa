"""Stem and stages: pixels -> tokens, in the order of the specification.

Shapes: B images, C channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from levit.errors import ConfigError
from levit.model.attention import Attention, ShrinkingAttention
from levit.model.attention_functions import Attend
from levit.model.layers import ACTIVATIONS, ConvolutionBatchNorm, Mlp, Residual
from levit.spec.architecture import Architecture, Grid
from levit.spec.blocks import EncoderBlock, MlpBlock, StemLayer, stage_blocks, stem_layers


class PatchEmbeddings(nn.Module):
    """The stem: convolutions with stride, an activation between each two."""

    def __init__(self, layers: list[StemLayer], *, activation: str) -> None:
        super().__init__()
        self.num_channels, self.grid = layers[0].input_channels, layers[-1].output_grid
        self.num_layers = len(layers)
        for index, layer in enumerate(layers, start=1):
            self.add_module(
                f"embedding_layer_{index}",
                ConvolutionBatchNorm(
                    input_channels=layer.input_channels,
                    output_channels=layer.output_channels,
                    kernel_size=layer.kernel_size,
                    stride=layer.stride,
                    padding=layer.padding,
                ),
            )
        self.activation = ACTIVATIONS[activation]()

    def forward(self, pixel_values: Tensor | None) -> Tensor:
        """[B, channels, height, width] -> [B, rows, columns, C].

        Raises:
            ConfigError: pixel_values is missing, no floats, or has another number of axes or channels.
        """
        if pixel_values is None:
            raise ConfigError("pixel_values is missing: give the images as [batch, channels, height, width]")
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.num_channels:
            raise ConfigError(
                f"pixel_values has shape {list(pixel_values.shape)}: give [batch, {self.num_channels}, height, width]"
            )
        if not pixel_values.is_floating_point():
            raise ConfigError(f"pixel_values are {pixel_values.dtype}: normalize them first, with the image processor")
        x = pixel_values
        for index in range(1, self.num_layers + 1):
            x = self.get_submodule(f"embedding_layer_{index}")(x if index == 1 else self.activation(x))
        return x.permute(0, 2, 3, 1)


class StageOutput(NamedTuple):
    """What a stage computes.

    Attributes:
        features: [B, rows, columns, C], before the shrinking that leads to the next stage: the feature map.
        tokens: [B, N, C] of the next stage, after it; in the last stage those of the feature map.
        grid: rows and columns of the tokens.
    """

    features: Tensor
    tokens: Tensor
    grid: Grid


class Stage(nn.Module):
    """The blocks of one resolution, and those that lead to the next."""

    def __init__(self, blocks: list[EncoderBlock], *, activation: str, drop_path_rate: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            build_block(block, activation=activation, drop_path_rate=drop_path_rate) for block in blocks
        )

    def forward(self, tokens: Tensor, grid: Grid, attend: Attend) -> StageOutput:
        """[B, N, C] of a grid of tokens -> its feature map, and the tokens of the next stage."""
        x, features = tokens.unflatten(1, grid), None  # [B, rows, columns, C]
        for layer in self.layers:
            if isinstance(layer, ShrinkingAttention):
                features = x
            x = layer(x, attend)
        return _output(x if features is None else features, x)


class Encoder(nn.Module):
    """All stages."""

    def __init__(self, architecture: Architecture, *, drop_path_rate: float) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            Stage(
                list(stage_blocks(architecture, stage)),
                activation=architecture.activation,
                drop_path_rate=drop_path_rate,
            )
            for stage in range(architecture.num_stages)
        )

    def forward(self, x: Tensor, attend: Attend) -> list[StageOutput]:
        """[B, rows, columns, C] -> what the stem, which is the input, and each stage compute."""
        states = [_output(x, x)]
        for stage in self.stages:
            states.append(stage(states[-1].tokens, states[-1].grid, attend))
        return states


def build_stem(architecture: Architecture) -> PatchEmbeddings:
    """The stem that an architecture describes."""
    return PatchEmbeddings(stem_layers(architecture), activation=architecture.activation)


def build_block(block: EncoderBlock, *, activation: str, drop_path_rate: float) -> nn.Module:
    """The module that a block of the specification describes."""
    if isinstance(block, MlpBlock):
        mlp = Mlp(width=block.width, hidden_width=block.hidden_width, activation=activation)
        return Residual(mlp, drop_path_rate=drop_path_rate)
    sizes: dict[str, Any] = {
        "num_heads": block.num_heads,
        "key_dim": block.key_dim,
        "value_dim": block.value_dim,
        "grid": block.input_grid,
        "activation": activation,
    }
    if block.is_residual:
        return Residual(Attention(width=block.input_width, **sizes), drop_path_rate=drop_path_rate)
    return ShrinkingAttention(
        input_width=block.input_width, output_width=block.output_width, stride=block.stride, **sizes
    )


def _output(features: Tensor, x: Tensor) -> StageOutput:
    return StageOutput(features=features, tokens=x.flatten(1, 2), grid=(x.shape[1], x.shape[2]))
