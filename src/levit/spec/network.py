"""The network of an architecture: its blocks in order, the shapes of its weights, and their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from levit.spec.architecture import Architecture
from levit.spec.blocks import MASK, AttentionBlock, Block, EncoderBlock, HeadBlock, MlpBlock, Shapes, StemLayer


def stem_layers(architecture: Architecture) -> list[StemLayer]:
    """Convolutions of the stem, in order."""
    inputs = (architecture.num_channels, *architecture.stem_widths[:-1])
    return [
        StemLayer(
            key=f"levit.patch_embeddings.embedding_layer_{index}",
            name=f"stem.convolution{index}",
            input_channels=input_channels,
            output_channels=output_channels,
            kernel_size=architecture.kernel_size,
            stride=architecture.stride,
            padding=architecture.stem_padding,
            output_grid=grid,
            has_batch_norm=architecture.stem_batch_norm,
        )
        for index, (input_channels, output_channels, grid) in enumerate(
            zip(inputs, architecture.stem_widths, architecture.stem_grids, strict=True), start=1
        )
    ]


def stage_blocks(architecture: Architecture, stage: int) -> Iterator[EncoderBlock]:
    """Blocks of one stage (counted from 0) in order, with the subsampling attention and its MLP at the end."""
    width, grid = architecture.hidden_sizes[stage], architecture.stage_grids[stage]
    layers = f"levit.encoder.stages.{stage}.layers"
    position = 0
    for block in range(1, architecture.depths[stage] + 1):
        yield AttentionBlock(
            key=f"{layers}.{position}.module",
            name=f"stage{stage + 1}.block{block}.attention",
            input_width=width,
            output_width=width,
            num_heads=architecture.num_attention_heads[stage],
            key_dim=architecture.key_dim[stage],
            value_dim=int(architecture.attention_ratio[stage] * architecture.key_dim[stage]),
            input_grid=grid,
            output_grid=grid,
            stride=1,
            is_residual=True,
            has_mask=architecture.has_attention_masks,
        )
        position += 1
        hidden_width = int(width * architecture.mlp_ratio[stage])
        if hidden_width:
            key, name = f"{layers}.{position}.module", f"stage{stage + 1}.block{block}.mlp"
            yield _mlp(architecture, key, name, stage, hidden_width)
            position += 1
    if stage + 1 < architecture.num_stages:
        yield from _downsample_blocks(architecture, stage, f"{layers}.{position}", f"{layers}.{position + 1}.module")


def _downsample_blocks(architecture: Architecture, stage: int, key: str, mlp_key: str) -> Iterator[EncoderBlock]:
    downsample = (architecture.downsamples or ())[stage]
    output_width, output_grid = architecture.hidden_sizes[stage + 1], architecture.stage_grids[stage + 1]
    yield AttentionBlock(
        key=key,
        name=f"stage{stage + 1}.downsample.attention",
        input_width=architecture.hidden_sizes[stage],
        output_width=output_width,
        num_heads=downsample.num_attention_heads,
        key_dim=downsample.key_dim,
        value_dim=int(downsample.attention_ratio * downsample.key_dim),
        input_grid=architecture.stage_grids[stage],
        output_grid=output_grid,
        stride=downsample.stride,
        is_residual=False,
        has_mask=architecture.has_attention_masks,
    )
    hidden_width = int(output_width * downsample.mlp_ratio)
    if hidden_width:
        yield _mlp(architecture, mlp_key, f"stage{stage + 1}.downsample.mlp", stage + 1, hidden_width)


def _mlp(architecture: Architecture, key: str, name: str, stage: int, hidden_width: int) -> MlpBlock:
    """MLP with the width and the tokens of a stage."""
    return MlpBlock(
        key=key,
        name=name,
        width=architecture.hidden_sizes[stage],
        hidden_width=hidden_width,
        grid=architecture.stage_grids[stage],
        has_batch_norm=architecture.mlp_batch_norm,
    )


def encoder_blocks(architecture: Architecture) -> list[EncoderBlock]:
    """Blocks of all stages, in order."""
    return [block for stage in range(architecture.num_stages) for block in stage_blocks(architecture, stage)]


def attention_blocks(architecture: Architecture) -> list[AttentionBlock]:
    """Attention blocks of all stages, in order."""
    return [block for block in encoder_blocks(architecture) if isinstance(block, AttentionBlock)]


def heads(architecture: Architecture) -> list[HeadBlock]:
    """Classification heads: none, one, or two of which the second is the distillation head."""
    width, num_labels = architecture.hidden_sizes[-1], architecture.num_labels
    keys = ("classifier", "classifier_distill")[: architecture.num_classifiers] if num_labels else ()
    has_norm = architecture.head_batch_norm
    return [HeadBlock(key=key, name=key, width=width, num_labels=num_labels, has_batch_norm=has_norm) for key in keys]


def all_blocks(architecture: Architecture) -> list[Block]:
    """Stem, encoder and heads, in order."""
    return [*stem_layers(architecture), *encoder_blocks(architecture), *heads(architecture)]


def count_flops(architecture: Architecture) -> int:
    """Number of multiply-adds for one image, as the paper counts them.

    Convolutions, linear layers, query-key and attention-value products are counted, and each entry of a softmax as one;
    biases, activations and batch norms are not (the counter of `speed_test.py` in facebookresearch/LeViT).

    Examples:
        >>> count_flops(Architecture(image_size=224)), count_flops(Architecture(image_size=160))
        (406114880, 201543808)
    """
    return sum(block.flops() for block in all_blocks(architecture))


def weight_shapes(architecture: Architecture) -> Shapes:
    """Canonical name and shape of every weight, including running statistics.

    The canonical names are those of transformers' `LevitForImageClassificationWithTeacher`;
    `num_batches_tracked` has the empty shape.

    Examples:
        >>> shapes = weight_shapes(Architecture(num_labels=10))
        >>> shapes["classifier.linear.weight"], shapes["levit.patch_embeddings.embedding_layer_1.convolution.weight"]
        ((10, 384), (16, 3, 3, 3))
    """
    return {name: shape for block in all_blocks(architecture) for name, shape in block.weight_shapes().items()}


def is_statistic(name: str) -> bool:
    """Return whether a canonical name is that of a statistic of a batch norm or of a mask, not of a parameter."""
    return name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked", MASK)


def count_parameters(architecture: Architecture) -> int:
    """Number of trainable parameters, including batch norms (the convention of all implementations).

    Examples:
        >>> count_parameters(Architecture(num_labels=10))
        8451636
    """
    return sum(prod(shape) for name, shape in weight_shapes(architecture).items() if not is_statistic(name))
