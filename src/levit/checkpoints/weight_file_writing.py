"""Writing of weights as one file: safetensors, or the format of the library of their dialect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import save

from levit.checkpoints.checkpoint import Weights
from levit.checkpoints.dialects import VIT_PYTORCH, Dialect
from levit.checkpoints.flax_files import SUFFIX as FLAX_SUFFIX
from levit.checkpoints.flax_files import write_flax
from levit.checkpoints.mindspore_files import SUFFIX as MINDSPORE_SUFFIX
from levit.checkpoints.mindspore_files import write_mindspore
from levit.errors import CheckpointError, first_line
from levit.files import replacing, write_bytes


def write_weight_file(path: Path, arrays: Weights, dialect: Dialect, labels: tuple[str, ...]) -> None:
    """Write the weights of a network to one file, which appears when it is complete.

    Args:
        path: file to write or to replace; its suffix, `.safetensors` or one of the dialect, selects the format.
        arrays: key in the dialect -> array.
        dialect: dialect of the keys.
        labels: class names, which files of mmpretrain contain.

    Raises:
        CheckpointError: the suffix is another one, the file cannot be written, or torch is needed and not installed.
    """
    if path.suffix == ".safetensors":
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, save(arrays))
    elif path.suffix not in dialect.suffixes:
        raise CheckpointError(
            f"{dialect.name} stores its weights in one file",
            source=path,
            hint=f"give a name that ends in {dialect.suffixes[0]}",
        )
    elif path.suffix == FLAX_SUFFIX:
        with write_errors(path), _replacing_in_new_folder(path) as partial:
            partial.write_bytes(write_flax(arrays))
    elif path.suffix == MINDSPORE_SUFFIX:
        with write_errors(path), _replacing_in_new_folder(path) as partial, partial.open("wb") as stream:
            stream.writelines(write_mindspore(arrays))
    else:
        _write_pickle(path, arrays, dialect, labels)


def _write_pickle(path: Path, arrays: Weights, dialect: Dialect, labels: tuple[str, ...]) -> None:
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            f"writing a {path.suffix} file needs torch",
            source=path,
            hint='pip install "levit[torch]", or give a .safetensors file',
        ) from error
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    content: dict[str, Any] = tensors if dialect is VIT_PYTORCH else {"model": tensors}
    if dialect.name == "mmpretrain":
        content = {"meta": _mmpretrain_meta(labels), "state_dict": tensors}
    with write_errors(path), _replacing_in_new_folder(path) as partial:
        torch.save(content, partial)


def _mmpretrain_meta(labels: tuple[str, ...]) -> dict[str, Any]:
    """Meta data for mmpretrain, which reads class names from its own configuration if `dataset_meta` is absent."""
    is_named = any(label != f"LABEL_{index}" for index, label in enumerate(labels))
    return {"dataset_meta": {"classes": list(labels)}} if is_named else {}


@contextmanager
def _replacing_in_new_folder(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        yield partial


@contextmanager
def write_errors(target: Path) -> Iterator[None]:
    """Convert the errors of a full disk or a missing permission, which have a type for each library.

    Args:
        target: source of the error.

    Raises:
        CheckpointError: the block raised one of them.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise CheckpointError(f"cannot be written ({reason})", source=target) from error
