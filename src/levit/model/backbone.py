"""Stem, stages, LevitModel.

Shapes: B images, N tokens, C channels.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndNoAttention

from levit.errors import ConfigError
from levit.model.attention import Attention, ShrinkingAttention
from levit.model.config import LevitConfig
from levit.model.layers import ACTIVATIONS, ConvolutionBatchNorm, Mlp, Residual
from levit.model.pretrained import LevitPreTrainedModel
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

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[B, channels, height, width] -> [B, N, C]."""
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.num_channels:
            raise ConfigError(
                f"pixel_values has shape {list(pixel_values.shape)}: give [batch, {self.num_channels}, height, width]"
            )
        x = pixel_values
        for index in range(1, self.num_layers + 1):
            x = self.get_submodule(f"embedding_layer_{index}")(x if index == 1 else self.activation(x))
        if tuple(x.shape[2:]) != self.grid:
            raise ConfigError(
                f"pixel_values of {pixel_values.shape[2]}x{pixel_values.shape[3]} give {x.shape[2]}x{x.shape[3]} "
                f"tokens, but the network was built for {self.grid[0]}x{self.grid[1]}: "
                "resize the images, or build it with that image_size"
            )
        return x.flatten(2).transpose(1, 2)


class Stage(nn.Module):
    """The blocks of one resolution, and those that lead to the next."""

    def __init__(self, blocks: list[EncoderBlock], *, activation: str, drop_path_rate: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            build_block(block, activation=activation, drop_path_rate=drop_path_rate) for block in blocks
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, N of the next stage, C of the next stage]."""
        for layer in self.layers:
            x = layer(x)
        return x


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

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, N, C] -> the input and the output of each stage."""
        states = [x]
        for stage in self.stages:
            states.append(stage(states[-1]))
        return states


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


class LevitModel(LevitPreTrainedModel):
    """The network without a head.

    Args:
        config: what to build.

    Examples:
        >>> import torch
        >>> from levit import LevitConfig, LevitModel
        >>> model = LevitModel(LevitConfig.from_variant("levit-128s")).eval()
        >>> model(torch.zeros(1, 3, 224, 224)).last_hidden_state.shape
        torch.Size([1, 16, 384])
    """

    def __init__(self, config: LevitConfig) -> None:
        super().__init__(config)
        architecture = config.architecture()
        self.patch_embeddings = PatchEmbeddings(stem_layers(architecture), activation=architecture.activation)
        self.encoder = Encoder(architecture, drop_path_rate=config.drop_path_rate)
        self.post_init()

    @property
    def grid(self) -> Grid:
        """Rows and columns of tokens after the stem."""
        return self.patch_embeddings.grid

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | BaseModelOutputWithPoolingAndNoAttention:
        """Features of a batch of images.

        Args:
            pixel_values: [B, channels, height, width], normalised.
            output_hidden_states: also return the stem's tokens and those after each stage (and its shrinking).
            return_dict: False for a plain tuple; default `config.return_dict`.
            **kwargs: passed over, for transformers' pipelines and Trainer.

        Returns:
            `last_hidden_state` [B, N, C], `pooler_output` [B, C] (the mean of the tokens), and `hidden_states`, a
            tuple of [B, N, C], where asked for.

        Raises:
            ConfigError: pixel_values is missing, or has a shape that the network was not built for.
        """
        if pixel_values is None:
            raise ConfigError("pixel_values is missing: give the images as [batch, channels, height, width]")
        states = self.encoder(self.patch_embeddings(pixel_values))
        pooled = states[-1].mean(dim=1)  # [B, C]
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        hidden_states = tuple(states) if wanted else None
        if not (self.config.return_dict if return_dict is None else return_dict):
            return (states[-1], pooled) + ((hidden_states,) if hidden_states else ())
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=states[-1], pooler_output=pooled, hidden_states=hidden_states
        )
