"""Writing of checkpoints in any dialect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from levit.checkpoints.checkpoint import Checkpoint, Weights
from levit.checkpoints.conversion_warnings import warn_about_labels, warn_about_multi_label, warn_about_preprocessing
from levit.checkpoints.dialects import BIASES, FLAX, OFFSETS, TRANSFORMERS, VIT_PYTORCH, WRITABLE, Dialect, is_linear
from levit.checkpoints.flax_weights import to_flax
from levit.checkpoints.key_translation import translate_keys
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.timm_configuration import timm_config, timm_preprocessing
from levit.checkpoints.transformers_configuration import (
    CONFIG_FILE,
    PREPROCESSOR_FILE,
    config_from_checkpoint,
    is_supported_by_transformers,
    preprocessor_config,
)
from levit.checkpoints.vit_pytorch_architecture import check_vit_pytorch
from levit.checkpoints.vit_pytorch_weights import to_vit_pytorch
from levit.checkpoints.weight_file_writing import write_errors, write_weight_file
from levit.checkpoints.weight_lookup import check_is_not_source
from levit.checkpoints.weight_names import SAFETENSORS_FILE, WEIGHT_FILES, is_pickle
from levit.errors import CheckpointError
from levit.files import updating_folder
from levit.spec.architecture import Grid
from levit.spec.network import attention_blocks, weight_shapes
from levit.spec.preprocessing import Preprocessing

_DIALECTS = {dialect.name: dialect for dialect in (*WRITABLE, VIT_PYTORCH, FLAX)}
_FOLDER_DIALECTS = ("transformers", "timm", "timm-conv")  # a folder with a configuration; other dialects are one file

ConfigurationFiles = Mapping[str, Mapping[str, Any]]


def convert(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    to: str,
    activation: str | None = None,
    image_size: int | Grid | None = None,
    revision: str | None = None,
    use_ema: bool = False,
) -> Path:
    """Convert a checkpoint to the key names and files of another library.

    For transformers and timm, a folder with configuration files is written, as these libraries write it. Other dialects
    are one file: `.pth` for facebook and mmpretrain and `.pt` for vit-pytorch (for which torch must be installed),
    `.ckpt` for MindSpore, `.msgpack` for Flax, or `.safetensors` for each of them. A `LevitWarning` names the
    preprocessing and labels that a file cannot contain.

    Args:
        source: path, name or URL, as in `levit.read_checkpoint`.
        target: folder or file to write. An existing file is replaced when the new one is complete; an existing folder
            keeps its other files, and its configuration is replaced last.
        to: "transformers", "timm", "timm-conv", "facebook", "facebook-conv", "mmpretrain", "mindspore" (as mindcv names
            the stem) or "mindspore-plain" (as the other implementations in MindSpore do); "vit-pytorch" or "flax" for
            networks that were read from these.
        activation: one of `levit.spec.architecture.ACTIVATIONS`, as in `levit.read_checkpoint`.
        image_size: size of the input in pixels, as in `levit.read_checkpoint`.
        revision: branch, tag or commit of a model on the Hugging Face Hub.
        use_ema: read the moving average of the weights of a training checkpoint.

    Returns:
        The path that was written.

    Raises:
        CheckpointError: the source cannot be read, the target cannot be written or is the source, the dialect is
            unknown, or its library has no such network.
        ConfigError: a configuration file of the source is invalid.

    Examples:
        >>> import levit, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = levit.convert("tests/golden/tiny/transformers", f"{folder}/timm", to="timm")
        ...     sorted(file.name for file in path.iterdir())
        ['config.json', 'model.safetensors']
    """
    _check_path(Path(target))
    check_is_not_source(source, Path(target), *(Path(target, name) for name in WEIGHT_FILES))
    checkpoint = read_checkpoint(
        source, activation=activation, image_size=image_size, revision=revision, use_ema=use_ema
    )
    return write_checkpoint(checkpoint, target, to=to)


def write_checkpoint(checkpoint: Checkpoint, target: str | PathLike[str], *, to: str = TRANSFORMERS.name) -> Path:
    """Write a checkpoint in a dialect; see `convert`."""
    if to not in _DIALECTS:
        raise CheckpointError(f"unknown format {to!r}", source="to", hint=f"use {', '.join(_DIALECTS)}")
    if checkpoint.architecture.has_attention_masks:
        reason = f"has attention masks, which {to} lacks"
        raise CheckpointError(reason, source=checkpoint.source.name, hint="export it, or convert it before")
    target = Path(target)
    _check_path(target)
    dialect, path = _DIALECTS[to], target.absolute()
    size = checkpoint.architecture.image_height_width
    if to in _FOLDER_DIALECTS:
        files = _configuration_files(checkpoint, dialect)
        write_folder(path, arrays_in(checkpoint, dialect), files, dialect)
        if dialect is TRANSFORMERS:  # `preprocessor_config` warns about what it changes
            return target
        written = timm_preprocessing(files[CONFIG_FILE], size)
    else:
        write_weight_file(path, arrays_in(checkpoint, dialect), dialect, checkpoint.labels)
        if path.suffix == ".safetensors" or to != "mmpretrain":
            warn_about_labels(checkpoint, str(target))
        warn_about_multi_label(checkpoint, str(target))
        written = Preprocessing.for_image_size(size)  # assumed by readers of such a file
    warn_about_preprocessing(checkpoint, written, str(target))
    return target


def arrays_in(checkpoint: Checkpoint, dialect: Dialect) -> Weights:
    """Weights of a checkpoint with the keys, shapes and order of a dialect.

    Raises:
        CheckpointError: the library of the dialect has no such network.
    """
    if dialect in (VIT_PYTORCH, FLAX):
        is_flax = dialect is FLAX
        check_vit_pytorch(checkpoint.architecture, dialect.name, checkpoint.source.name, is_flax=is_flax)
        weights = to_vit_pytorch(checkpoint.weights, checkpoint.architecture)
        return to_flax(weights) if is_flax else weights
    if dialect is not TRANSFORMERS and not checkpoint.architecture.has_layers_of_paper:
        raise CheckpointError(
            f"{dialect.name} has the LeViT of the paper, and this network has other layers (stem, activations or "
            "batch norms)",
            source=checkpoint.source.name,
            hint=f"use {VIT_PYTORCH.name} or {FLAX.name}, or export it",
        )
    shapes = weight_shapes(checkpoint.architecture)
    keys = translate_keys(shapes, TRANSFORMERS, dialect)
    offsets = _offset_tables(checkpoint) if dialect.stores_offsets else {}
    arrays: Weights = {}
    for canonical in filter(dialect.stores, shapes):
        array = checkpoint.weights[canonical]
        if dialect.is_convolutional and is_linear(canonical):
            array = array[:, :, None, None]
        arrays[keys[canonical]] = np.array(array, order="C")
        if canonical in offsets:
            arrays[keys[canonical].removesuffix(BIASES) + OFFSETS] = offsets[canonical]
    return arrays


def _check_path(target: Path) -> None:
    if "\0" in str(target):
        raise CheckpointError("contains a NUL character", source=target, hint="give another path")


def _offset_tables(checkpoint: Checkpoint) -> Weights:
    """Canonical name of each attention's biases -> its offset table [queries, keys], int64."""
    return {
        f"{block.key}.{BIASES}": np.array(block.offset_table(), np.int64)
        for block in attention_blocks(checkpoint.architecture)
    }


def _configuration_files(checkpoint: Checkpoint, dialect: Dialect) -> ConfigurationFiles:
    if dialect is not TRANSFORMERS:
        return {CONFIG_FILE: timm_config(checkpoint, is_convolutional=dialect.is_convolutional)}
    if not is_supported_by_transformers(checkpoint.architecture):
        raise CheckpointError(
            "stock transformers would compute this network wrongly (it supports only Hardswish, three stages, a stem "
            "of four convolutions, and square images of whole patches)",
            source=checkpoint.source.name,
            hint="use another format",
        )
    return {
        CONFIG_FILE: config_from_checkpoint(checkpoint),
        PREPROCESSOR_FILE: preprocessor_config(checkpoint.preprocessing),
    }


def write_folder(path: Path, arrays: Weights, files: ConfigurationFiles, dialect: Dialect) -> None:
    """Write weights and configuration files into a folder; the configuration is replaced last."""
    if path.suffix == ".safetensors" or is_pickle(path):
        raise CheckpointError(
            f"{dialect.name} stores its configuration next to the weights", source=path, hint="give a folder"
        )
    with write_errors(path), updating_folder(path, last=(CONFIG_FILE,)) as folder:
        # Not by safetensors' save_file, which makes the file readable by its owner only.
        (folder / SAFETENSORS_FILE).write_bytes(save(arrays, metadata={"format": "pt"}))
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
