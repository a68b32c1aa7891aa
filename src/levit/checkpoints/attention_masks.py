"""Attention masks of sparse attention: files, and their addition to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.weight_files import read_weight_file
from levit.errors import CheckpointError
from levit.files import write_bytes
from levit.spec.architecture import Architecture
from levit.spec.blocks import MASK, Shapes
from levit.spec.network import attention_blocks

MASKS_FILE = "masks.safetensors"

Masks = dict[str, NDArray[np.bool_]]


def mask_shapes(architecture: Architecture) -> Shapes:
    """Canonical name and shape, heads, queries and keys, of the mask of each attention.

    Examples:
        >>> list(mask_shapes(Architecture()).values())[0]
        (4, 196, 196)
    """
    return {f"{block.key}.{MASK}": block.map_shape for block in attention_blocks(architecture)}


def with_masks(checkpoint: Checkpoint, masks: Mapping[str, NDArray[np.bool_]], name: str = "masks") -> Checkpoint:
    """Add attention masks to a checkpoint, or replace those that it has.

    Args:
        checkpoint: checkpoint of any network.
        masks: canonical name -> bool [heads, queries, keys], True where the key is used.
        name: source of the error.

    Returns:
        A new checkpoint, whose architecture has attention masks.

    Raises:
        CheckpointError: the masks are not those of the network, or leave a query without keys.

    Examples:
        >>> import levit
        >>> checkpoint = levit.read_checkpoint("tests/golden/tiny/transformers")
        >>> masks = {key: np.ones(shape, bool) for key, shape in mask_shapes(checkpoint.architecture).items()}
        >>> with_masks(checkpoint, masks).architecture.has_attention_masks
        True
    """
    check_masks(masks, checkpoint.architecture, name)
    architecture = replace(checkpoint.architecture, has_attention_masks=True)
    weights = checkpoint.weights | {key: np.asarray(mask, bool) for key, mask in masks.items()}
    return replace(checkpoint, architecture=architecture, weights=weights)


def check_masks(masks: Mapping[str, NDArray[Any]], architecture: Architecture, name: str) -> None:
    """Check that masks are those of a network.

    Raises:
        CheckpointError: a mask is missing, unexpected or of another shape, or leaves a query without keys.
    """
    shapes = mask_shapes(architecture)
    differing = [key for key in {**shapes, **masks} if key not in masks or shapes.get(key) != masks[key].shape]
    if differing:
        key = differing[0]
        found = list(masks[key].shape) if key in masks else "missing"
        expected = list(shapes[key]) if key in shapes else "no mask"
        raise CheckpointError(
            f"not the masks of this network: {key} is {found}, not {expected}", source=name,
            hint="give masks that were made for this architecture and image size",
        )  # fmt: skip
    empty = [key for key, mask in masks.items() if not mask.any(axis=-1).all()]
    if empty:
        raise CheckpointError(f"{empty[0]} leaves a query without keys", source=name)


def read_masks(file: str | PathLike[str]) -> Masks:
    """Read a file of masks.

    Args:
        file: a `masks.safetensors` of `levit sparsify`.

    Raises:
        CheckpointError: the file is not a file of masks, or is damaged.
    """
    file = Path(file)
    arrays = read_weight_file(file).arrays
    masks = {key: array for key, array in arrays.items() if key.endswith(f".{MASK}") and array.dtype == bool}
    if not masks or len(masks) != len(arrays):
        raise CheckpointError("not a file of attention masks", source=file, hint="give masks of `levit sparsify`")
    return masks


def write_masks(file: str | PathLike[str], masks: Masks) -> None:
    """Write masks as safetensors: bool [heads, queries, keys] under canonical names.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(Path(file), save({key: np.ascontiguousarray(mask) for key, mask in masks.items()}))
