"""Architectures that vit-pytorch's `LeViT` and its port to Flax have."""

from __future__ import annotations

from levit.errors import CheckpointError, first_few
from levit.spec.architecture import Architecture

_STEM_CHANNELS = (32, 64, 128)


def check_vit_pytorch(architecture: Architecture, library: str, name: str, *, is_flax: bool = False) -> None:
    """Check that vit-pytorch, or its port to Flax, has a network.

    Args:
        architecture: hyperparameters of the network.
        library: name of the library, for the error.
        name: source of the error.
        is_flax: whether it is for the port, whose padding and GELU are others.

    Raises:
        CheckpointError: the library has no such network; the reason names the first differences.
    """
    differences = [
        text
        for check in (_layers, _activations, _stem, _blocks)
        for is_other, text in check(architecture, is_flax)
        if is_other
    ]
    if differences:
        reason = f"{library} has another network under the name LeViT: {first_few(differences, separator='; ')}"
        raise CheckpointError(reason, source=name, hint="use another format")


def _layers(a: Architecture, is_flax: bool) -> list[tuple[bool, str]]:
    return [
        (a.stem_batch_norm, "its stem has no batch norms"),
        (a.mlp_batch_norm, "its MLPs have biases in place of batch norms"),
        (a.head_batch_norm, "its heads have no batch norm"),
        (a.has_attention_masks, "it has no attention masks"),
        (a.num_classifiers == 0 or a.num_labels == 0, "it has a head"),
    ]


def _activations(a: Architecture, is_flax: bool) -> list[tuple[bool, str]]:
    attention, mlp = ("gelu_tanh", ("hardswish",)) if is_flax else ("gelu", ("hardswish", "gelu"))
    return [
        ((a.stem_activation or a.activation) != "none", "its stem has no activations"),
        ((a.attention_activation or a.activation) != attention, f"its attention has the activation {attention}"),
        (a.activation not in mlp, f"its MLPs have the activation {' or '.join(mlp)}"),
    ]


def _stem(a: Architecture, is_flax: bool) -> list[tuple[bool, str]]:
    padding = (0, 1) if is_flax else 1
    stem = (a.num_channels, a.kernel_size, a.stride, a.padding, a.patch_size)
    height, width = a.image_height_width
    return [
        (stem != (3, 3, 2, padding, 16), f"its stem has 3x3 convolutions of RGB images with the padding {padding}"),
        (a.stem_widths[:-1] != _STEM_CHANNELS, "its stem has 32, 64 and 128 channels"),
        (height != width or a.stem_grids[-1] != (height // 16,) * 2, "its images are squares of whole patches"),
    ]


def _blocks(a: Architecture, is_flax: bool) -> list[tuple[bool, str]]:
    downsamples = a.downsamples or ()
    stages = list(zip(a.key_dim, a.attention_ratio, strict=True))
    stages = [dims for dims, depth in zip(stages, a.depths, strict=True) if depth]
    heads = [(key, int(key * ratio)) for key, ratio in stages]
    heads += [(down.key_dim, int(down.key_dim * down.attention_ratio)) for down in downsamples]
    ratios = {ratio for ratio, depth in zip(a.mlp_ratio, a.depths, strict=True) if depth}
    numbers = [down.num_attention_heads for down in downsamples]
    return [
        (len(set(heads)) > 1, "its heads have the same channels in all blocks"),
        (len(ratios) > 1 or any(ratio != int(ratio) or ratio < 1 for ratio in ratios), "it has one integer MLP ratio"),
        (any(down.mlp_ratio != 2 or down.stride != 2 for down in downsamples), "it halves the grid, with MLP ratio 2"),
        (
            any(
                number != 2 * of_stage
                for number, of_stage, depth in zip(numbers, a.num_attention_heads, a.depths, strict=False)
                if depth
            ),
            "it has twice the heads of a stage between this and the next",
        ),
    ]
