"""Canonical names and shapes of the weights of a LeViT."""

from __future__ import annotations

from math import prod

from levit.spec.architecture import Architecture
from levit.spec.blocks import MASK, Shapes, all_blocks


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
