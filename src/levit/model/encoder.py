"""Stem and stages: from pixels to tokens, built from the blocks of `levit.spec.blocks`.

Shapes: B images, N tokens, C channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from levit.errors import ConfigError
from levit.model.activations import ACTIVATIONS
from levit.model.attention import Attention, SubsamplingAttention
from levit.model.attention_functions import AttentionFunction
from levit.model.layers import ConvolutionBatchNorm, Mlp, Residual
from levit.spec.architecture import Architecture, Grid
from levit.spec.blocks import EncoderBlock, MlpBlock, StemLayer
from levit.spec.network import stage_blocks, stem_layers


class PatchEmbeddings(nn.Module):
    """Stem: strided convolutions with an activation between each two of them.

    Args:
        layers: the convolutions, in order.
        activation: a key of `ACTIVATIONS`.
    """

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
                    has_batch_norm=layer.has_batch_norm,
                ),
            )
        self.activation = ACTIVATIONS[activation]()

    def forward(self, pixel_values: Tensor | None) -> Tensor:
        """Embed images as tokens.

        Args:
            pixel_values: [B, channels, height, width], floating point, normalized.

        Returns:
            [B, rows, columns, C].

        Raises:
            ConfigError: pixel_values is None, not floating point, or has another number of axes or channels.
        """
        x = self._check(pixel_values)
        for index in range(1, self.num_layers + 1):
            x = self.get_submodule(f"embedding_layer_{index}")(x if index == 1 else self.activation(x))
        return x.permute(0, 2, 3, 1)

    def _check(self, pixel_values: Tensor | None) -> Tensor:
        if pixel_values is None:
            raise ConfigError("missing", source="pixel_values", hint="give images as [batch, channels, height, width]")
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.num_channels:
            raise ConfigError(
                f"has shape {list(pixel_values.shape)}",
                source="pixel_values",
                hint=f"give [batch, {self.num_channels}, height, width]",
            )
        if not pixel_values.is_floating_point():
            raise ConfigError(
                f"has dtype {pixel_values.dtype}", source="pixel_values", hint="normalize with the image processor"
            )
        return pixel_values


class StageOutput(NamedTuple):
    """Output of the stem or of a stage.

    Attributes:
        features: feature map [B, rows, columns, C], before the subsampling attention that leads to the next stage.
        tokens: [B, N, C], the input of the next stage, after the subsampling attention; in the last stage, and in the
            stem, the feature map as tokens.
        grid: rows and columns of `tokens`; their product is N.
    """

    features: Tensor
    tokens: Tensor
    grid: Grid


class Stage(nn.Module):
    """Blocks of one resolution, followed by the subsampling attention and MLP that lead to the next stage.

    Args:
        blocks: specification of the blocks, in order.
        activation: activation of the MLPs, a key of `ACTIVATIONS`.
        attention_activation: activation of the attention blocks.
        drop_path_rate: probability in [0, 1) of dropping a residual branch in training mode.
    """

    def __init__(
        self, blocks: list[EncoderBlock], *, activation: str, attention_activation: str, drop_path_rate: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            build_block(
                block,
                activation=activation if isinstance(block, MlpBlock) else attention_activation,
                drop_path_rate=drop_path_rate,
            )
            for block in blocks
        )

    def forward(self, tokens: Tensor, grid: Grid, attention_function: AttentionFunction) -> StageOutput:
        """Run all blocks.

        Args:
            tokens: [B, N, C].
            grid: rows and columns of the tokens; their product is N.
            attention_function: a function of `levit.model.attention_functions`.
        """
        x, features = tokens.unflatten(1, grid), None  # [B, rows, columns, C]
        for layer in self.layers:
            if isinstance(layer, SubsamplingAttention):
                features = x
            x = layer(x, attention_function)
        return _stage_output(x if features is None else features, x)


class Encoder(nn.Module):
    """All stages, in order.

    Args:
        architecture: of the network.
        drop_path_rate: probability in [0, 1) of dropping a residual branch in training mode.
    """

    def __init__(self, architecture: Architecture, *, drop_path_rate: float) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            Stage(
                list(stage_blocks(architecture, stage)),
                activation=architecture.activation,
                attention_activation=architecture.attention_activation or architecture.activation,
                drop_path_rate=drop_path_rate,
            )
            for stage in range(architecture.num_stages)
        )

    def forward(self, x: Tensor, attention_function: AttentionFunction) -> list[StageOutput]:
        """Run all stages.

        Args:
            x: output of the stem, [B, rows, columns, C].
            attention_function: a function of `levit.model.attention_functions`.

        Returns:
            The output of the stem, as given, and of each stage.
        """
        outputs = [_stage_output(x, x)]
        for stage in self.stages:
            outputs.append(stage(outputs[-1].tokens, outputs[-1].grid, attention_function))
        return outputs


def build_stem(architecture: Architecture) -> PatchEmbeddings:
    """Build the stem of an architecture."""
    activation = architecture.stem_activation or architecture.activation
    return PatchEmbeddings(stem_layers(architecture), activation=activation)


def build_block(block: EncoderBlock, *, activation: str, drop_path_rate: float) -> nn.Module:
    """Build the module that a block specification describes.

    Args:
        block: specification of an attention or MLP block.
        activation: a key of `ACTIVATIONS`.
        drop_path_rate: probability in [0, 1) of dropping a residual branch in training mode.
    """
    if isinstance(block, MlpBlock):
        mlp = Mlp(
            width=block.width,
            hidden_width=block.hidden_width,
            activation=activation,
            has_batch_norm=block.has_batch_norm,
        )
        return Residual(mlp, drop_path_rate=drop_path_rate)
    sizes: dict[str, Any] = {
        "num_heads": block.num_heads,
        "key_dim": block.key_dim,
        "value_dim": block.value_dim,
        "grid": block.input_grid,
        "activation": activation,
        "has_mask": block.has_mask,
    }
    if block.is_residual:
        return Residual(Attention(width=block.input_width, **sizes), drop_path_rate=drop_path_rate)
    return SubsamplingAttention(
        input_width=block.input_width, output_width=block.output_width, stride=block.stride, **sizes
    )


def _stage_output(features: Tensor, x: Tensor) -> StageOutput:
    return StageOutput(features=features, tokens=x.flatten(1, 2), grid=(x.shape[1], x.shape[2]))
