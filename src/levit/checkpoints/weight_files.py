"""Files of weights -> named arrays: safetensors, and what torch writes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes  # teaches numpy, and with it safetensors, what bfloat16 is
import numpy as np
from safetensors import SafetensorError, safe_open

from levit.checkpoints.checkpoint import Weights
from levit.checkpoints.pickles import PICKLE_SUFFIXES, is_pickle, read_pickle
from levit.checkpoints.training_state import class_names, select_weights
from levit.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a file of weights holds.

    Attributes:
        arrays: the weights of the network, under its own names.
        class_names: one per class, or None where the file has none.
    """

    arrays: Weights
    class_names: tuple[str, ...] | None


def read_stored(file: Path, *, use_ema: bool = False) -> Stored:
    """The arrays of a file, and the class names in it.

    Args:
        file: safetensors, or what torch writes.
        use_ema: of a training checkpoint, the moving average of the weights; see `select_weights`.

    Raises:
        CheckpointError: it is damaged, of another format, or a pickle that holds more than data.
    """
    if file.suffix == ".safetensors":
        content: Any = _read_safetensors(file)
    elif is_pickle(file):
        content = read_pickle(file)
    else:
        kinds = ", ".join(PICKLE_SUFFIXES)
        raise CheckpointError(f"{file}: give a .safetensors file, a {kinds} file, or their folder")
    weights = select_weights(content, str(file), use_ema=use_ema)
    return Stored(
        arrays={key: _plain_array(key, value, file) for key, value in weights.items()},
        class_names=class_names(content),
    )


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no such file.

    Raises:
        CheckpointError: it is damaged or holds something else.
    """
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: holds a {type(content).__name__}, not an object")
    return content


def hash_file(file: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_safetensors(file: Path) -> Weights:
    try:
        with safe_open(file, framework="numpy") as stream:
            return {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118  # no mapping
    except PermissionError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: not a complete safetensors file ({error}): fetch it again") from None
    except (AttributeError, TypeError) as error:
        raise CheckpointError(f"{file}: has a type of numbers that numpy does not know ({error})") from None


def _plain_array(key: str, value: Any, file: Path) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    if not hasattr(value, "detach"):
        kind = f"{key} is a {type(value).__name__}"
        raise CheckpointError(f"{file}: holds entries that are no tensors ({kind}), not the weights of a network")
    try:
        return to_array(value)
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{file}: holds tensors that are no plain numbers ({key}: {reason})") from None


def to_array(tensor: Any) -> np.ndarray[Any, Any]:
    """A tensor of torch as an array of the same type; it may share the tensor's memory."""
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # which torch does not give to numpy
        return np.asarray(tensor.float().numpy()).astype(ml_dtypes.bfloat16)
    return np.asarray(tensor.numpy())
