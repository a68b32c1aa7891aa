"""ViTCoD's files of masks: one array for the attentions of each stage, and one for each subsampling attention.

`mask_dpt0.npy` is bool [blocks, heads, queries, keys] for the first stage, `mask_subsample0.npy` bool [1, heads,
queries, keys] for the attention after it, and so on; True marks a removed key, the opposite of the masks here.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.attention_masks import Masks, check_masks
from levit.errors import CheckpointError, first_line
from levit.files import check_regular_file, replacing
from levit.spec.architecture import Architecture
from levit.spec.blocks import MASK, AttentionBlock
from levit.spec.network import stage_blocks


def read_vitcod_masks(folder: str | PathLike[str], architecture: Architecture) -> Masks:
    """Read the masks in a folder of ViTCoD.

    Args:
        folder: folder with `mask_dpt*.npy` and `mask_subsample*.npy`.
        architecture: architecture of the network that the masks were made for.

    Returns:
        Canonical name -> bool [heads, queries, keys], True where the key is kept.

    Raises:
        CheckpointError: a file is missing or damaged, or the masks are not those of the network.
    """
    folder = Path(folder)
    masks: Masks = {}
    for name, blocks in _files(architecture).items():
        removed = _read(folder / name)
        if removed.ndim != 4 or len(removed) != len(blocks):
            reason = f"is of shape {list(removed.shape)}, not [{len(blocks)}, heads, queries, keys]"
            raise CheckpointError(reason, source=folder / name)
        masks |= {f"{block.key}.{MASK}": ~mask for block, mask in zip(blocks, removed, strict=True)}
    check_masks(masks, architecture, str(folder))
    return masks


def write_vitcod_masks(folder: str | PathLike[str], masks: Masks, architecture: Architecture) -> list[Path]:
    """Write masks as ViTCoD's files.

    Args:
        folder: folder to write, which is created.
        masks: canonical name -> bool [heads, queries, keys], True where the key is kept.
        architecture: architecture of the network.

    Returns:
        The paths of the files.
    """
    paths = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, blocks in _files(architecture).items():
        path = Path(folder) / name
        with replacing(path) as partial, partial.open("wb") as file:
            np.save(file, np.stack([~masks[f"{block.key}.{MASK}"] for block in blocks]))
        paths.append(path)
    return paths


def _files(architecture: Architecture) -> dict[str, list[AttentionBlock]]:
    """Name of each file -> the attention blocks whose masks it contains; stages without blocks have none."""
    files: dict[str, list[AttentionBlock]] = {}
    for stage in range(architecture.num_stages):
        for block in stage_blocks(architecture, stage):
            if isinstance(block, AttentionBlock):
                name = f"mask_dpt{stage}.npy" if block.is_residual else f"mask_subsample{stage}.npy"
                files.setdefault(name, []).append(block)
    return files


def _read(file: Path) -> NDArray[np.bool_]:
    check_regular_file(file, CheckpointError)
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, OverflowError) as error:
        raise CheckpointError(f"not a NumPy array ({first_line(error)})", source=file) from error
    if not isinstance(array, np.ndarray) or array.dtype not in (np.bool_, np.uint8):
        raise CheckpointError("is not an array of bool", source=file)
    return array.astype(bool)
