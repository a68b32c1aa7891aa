"""Canonical weights -> files of any dialect."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from levit.checkpoints.checkpoint import Checkpoint, Weights
from levit.checkpoints.conversion_warnings import warn_of_changes, warn_of_lost_decisions, warn_of_lost_labels
from levit.checkpoints.dialects import BIASES, OFFSETS, TRANSFORMERS, WRITABLE, Dialect, is_linear, translate
from levit.checkpoints.hub import SAFETENSORS_FILE, WEIGHTS_FILES, find_weights
from levit.checkpoints.pickles import is_pickle
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.timm_configuration import timm_config, timm_preprocessing
from levit.checkpoints.transformers_configuration import (
    CONFIG_FILE,
    PREPROCESSOR_FILE,
    config_from_checkpoint,
    is_stock,
    preprocessing_from_config,
    preprocessor_config,
)
from levit.errors import CheckpointError
from levit.spec.architecture import Grid
from levit.spec.blocks import AttentionBlock, all_blocks, weight_shapes
from levit.spec.preprocessing import Preprocessing

_BY_NAME = {dialect.name: dialect for dialect in WRITABLE}


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str,
    activation: str | None = None,
    image_size: int | Grid | None = None,
    revision: str | None = None,
    use_ema: bool = False,
) -> Path:
    """Rewrite a checkpoint in another library's names and layout.

    transformers and timm get a folder with configuration files, as they write it themselves. facebook and mmpretrain
    get one `.pth` file (for which torch must be installed), or a `.safetensors` file where `target` ends so.

    What these files cannot say of the preprocessing is named in a `LevitWarning`.

    Args:
        source: what `levit.read_checkpoint` takes.
        target: the folder or file to write. An existing file is replaced when the new one is complete; an existing
            folder keeps what is not written anew, and its configuration is replaced last.
        to: transformers, timm, timm-conv, facebook, facebook-conv or mmpretrain.
        activation: "hardswish" or "silu", which weights do not tell; default: as for `levit.read_checkpoint`.
        image_size: of the input, in pixels, likewise.
        revision: branch, tag or commit, for a source on the hub.
        use_ema: of a training checkpoint, take the moving average of the weights.

    Returns:
        The path that was written.

    Raises:
        CheckpointError: the source cannot be read, the dialect is unknown, its library has no such network, or the
            target is the source.

    Examples:
        >>> import levit, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = levit.convert("tests/golden/tiny/transformers", f"{folder}/timm", to="timm")
        ...     sorted(file.name for file in path.iterdir())
        ['config.json', 'model.safetensors']
    """
    _check_is_elsewhere(source, target)
    checkpoint = read_checkpoint(
        source, activation=activation, image_size=image_size, revision=revision, use_ema=use_ema
    )
    return write_checkpoint(checkpoint, target, to=to)


def _check_is_elsewhere(source: str | Path, target: str | Path) -> None:
    """Raise if what is read would be written over."""
    with suppress(OSError):  # a name that is no file
        weights = find_weights(source).resolve() if Path(source).exists() else None
        if weights in {path.resolve() for path in (Path(target), *(Path(target) / name for name in WEIGHTS_FILES))}:
            raise CheckpointError(f"{target}: this is what is to be converted: give another place to write to")


def write_checkpoint(checkpoint: Checkpoint, target: str | Path, *, to: str = TRANSFORMERS.name) -> Path:
    """Write a checkpoint in a dialect; see `convert`."""
    if to not in _BY_NAME:
        raise CheckpointError(f"no dialect is called {to!r}: use {', '.join(_BY_NAME)}")
    dialect, path = _BY_NAME[to], Path(target).absolute()
    arrays = arrays_in(checkpoint, dialect)
    size = checkpoint.architecture.image_height_width
    if dialect.name not in ("transformers", "timm", "timm-conv"):
        if path.suffix == ".safetensors":
            _replace(path, lambda partial: partial.write_bytes(save(arrays)))
        else:
            _write_pickle(checkpoint, arrays, path, dialect)
        if path.suffix == ".safetensors" or dialect.name != "mmpretrain":
            warn_of_lost_labels(checkpoint, str(target))
        warn_of_lost_decisions(checkpoint, str(target))
        warn_of_changes(checkpoint, Preprocessing.for_image_size(size), str(target))  # which a file without it means
        return Path(target)
    if path.suffix == ".safetensors" or is_pickle(path):
        raise CheckpointError(f"{path}: {dialect.name} keeps its configuration beside the weights: give a folder")
    if dialect is TRANSFORMERS:
        files = _transformers_files(checkpoint)
        kept = preprocessing_from_config(files[PREPROCESSOR_FILE], size)
    else:
        files = {CONFIG_FILE: timm_config(checkpoint, is_convolutional=dialect.is_convolutional)}
        kept = timm_preprocessing(files[CONFIG_FILE], size)
    _replace(path, lambda partial: _write_folder(partial, arrays, files))
    warn_of_changes(checkpoint, kept, str(target))
    return Path(target)


def arrays_in(checkpoint: Checkpoint, dialect: Dialect) -> Weights:
    """The weights under a dialect's names, in its shapes and in the order of its networks."""
    order = weight_shapes(checkpoint.architecture)
    names = translate(order, TRANSFORMERS, dialect)
    offsets = _offset_tables(checkpoint) if dialect.stores_offsets else {}
    arrays: Weights = {}
    for canonical in order:
        array = checkpoint.weights[canonical]
        if dialect.is_convolutional and is_linear(canonical):
            array = array[:, :, None, None]
        arrays[names[canonical]] = np.array(array, order="C")
        if canonical in offsets:
            arrays[names[canonical].removesuffix(BIASES) + OFFSETS] = offsets[canonical]
    return arrays


def _offset_tables(checkpoint: Checkpoint) -> Weights:
    """For each attention's biases, which of them each query gives each key."""
    return {
        f"{block.key}.{BIASES}": np.array(block.offset_table(), np.int64)
        for block in all_blocks(checkpoint.architecture)
        if isinstance(block, AttentionBlock)
    }


def _transformers_files(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    if not is_stock(checkpoint.architecture):
        raise CheckpointError(
            f"{checkpoint.source.name}: stock transformers would compute this network wrongly (it knows only "
            "Hardswish, three stages, a stem of four convolutions, square images of whole patches): use another dialect"
        )
    return {
        CONFIG_FILE: config_from_checkpoint(checkpoint),
        PREPROCESSOR_FILE: preprocessor_config(checkpoint.preprocessing),
    }


def _write_folder(folder: Path, arrays: Weights, files: dict[str, dict[str, Any]]) -> None:
    folder.mkdir()
    # Not by save_file, whose files nobody else may read.
    (folder / SAFETENSORS_FILE).write_bytes(save(arrays, metadata={"format": "pt"}))
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_pickle(checkpoint: Checkpoint, arrays: Weights, path: Path, dialect: Dialect) -> None:
    if path.suffix not in (".pth", ".pt"):
        raise CheckpointError(f"{path}: {dialect.name} keeps its weights in one file: give a name that ends in .pth")
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            f'{path}: writing a .pth file needs torch: pip install "levit[torch]", or give a .safetensors file'
        ) from error
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    content: dict[str, Any] = {"model": tensors}
    if dialect.name == "mmpretrain":
        content = {"meta": _mmpretrain_meta(checkpoint.labels), "state_dict": tensors}
    _replace(path, lambda partial: torch.save(content, partial))


def _mmpretrain_meta(labels: tuple[str, ...]) -> dict[str, Any]:
    """What mmpretrain looks up beside the weights; without class names it looks further, in its own configuration."""
    is_named = any(label != f"LABEL_{number}" for number, label in enumerate(labels))
    return {"dataset_meta": {"classes": list(labels)}} if is_named else {}


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write beside the target under a temporary name, then rename: it is complete, or what it was before."""
    partial = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        if partial.is_dir() and target.is_dir():
            for file in sorted(partial.iterdir(), reverse=True):  # the weights before the configuration
                file.replace(target / file.name)
            partial.rmdir()
        else:
            partial.replace(target)
    except (OSError, RuntimeError, SafetensorError) as error:  # each writer's own way of saying that a disk is full
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise CheckpointError(f"{target}: cannot be written ({reason})") from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            with suppress(OSError):  # where not even the folder is one
                partial.unlink()
