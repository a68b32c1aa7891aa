"""Reading of weight files, safetensors or files that torch, MindSpore or Flax wrote, as named arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes  # registers bfloat16 with numpy, and thereby with safetensors
import numpy as np
from safetensors import SafetensorError, safe_open

from levit.checkpoints.checkpoint import Weights
from levit.checkpoints.flax_files import SUFFIX as FLAX_SUFFIX
from levit.checkpoints.flax_files import read_flax
from levit.checkpoints.mindspore_files import is_mindspore, read_mindspore
from levit.checkpoints.pickles import read_pickle
from levit.checkpoints.stored_sizes import check_tensor_sizes
from levit.checkpoints.weight_names import PICKLE_SUFFIXES, is_pickle
from levit.checkpoints.weight_selection import class_names, select_weights
from levit.errors import CheckpointError, first_line
from levit.files import check_regular_file


@dataclass(frozen=True, kw_only=True)
class StoredWeights:
    """Content of a weight file.

    Attributes:
        arrays: weights of the network, by the keys of its library.
        class_names: class names in the order of the logits, or None if the file has none.
    """

    arrays: Weights
    class_names: tuple[str, ...] | None


def read_weight_file(file: Path, *, use_ema: bool = False) -> StoredWeights:
    """Read the arrays and the class names in a file.

    Args:
        file: a safetensors file, or a file that torch, MindSpore or Flax wrote.
        use_ema: read the moving average of the weights of a training checkpoint; see `select_weights`.

    Raises:
        CheckpointError: the file is damaged, encrypted, of another format, not a regular file, or contains code; or its
            weights would need much more memory than the file.
    """
    check_regular_file(file, CheckpointError)
    if file.suffix == ".safetensors":
        content: Any = _read_safetensors(file)
    elif is_mindspore(file):
        content = read_mindspore(file)
    elif file.suffix == FLAX_SUFFIX:
        content = read_flax(file)
    elif is_pickle(file):
        content = read_pickle(file)
    else:
        raise CheckpointError(
            "unknown type of file",
            source=file,
            hint=f"give a .safetensors file, a {', '.join((*PICKLE_SUFFIXES, FLAX_SUFFIX))} file, or their folder; "
            "exported models are .onnx and .xml files",
        )
    weights = select_weights(content, str(file), use_ema=use_ema)
    check_tensor_sizes(weights, file)
    return StoredWeights(
        arrays={key: _plain_array(key, value, file) for key, value in weights.items()},
        class_names=class_names(content),
    )


def to_array(tensor: Any) -> np.ndarray[Any, Any]:
    """Convert a tensor of torch to an array of the same type, which may share the tensor's memory."""
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # torch cannot convert it
        return np.asarray(tensor.float().numpy()).astype(ml_dtypes.bfloat16)
    return np.asarray(tensor.numpy())


def _read_safetensors(file: Path) -> Weights:
    try:
        with safe_open(file, framework="numpy") as stream:
            return {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118  # not a mapping
    except PermissionError as error:
        raise CheckpointError(f"cannot be read ({error.strerror or error})", source=file) from None
    except (SafetensorError, OSError, ValueError) as error:  # ValueError: a shape that NumPy cannot have
        raise CheckpointError(
            f"not a safetensors file, or truncated ({first_line(error)})", source=file, hint="download it again"
        ) from None
    except (AttributeError, TypeError) as error:
        reason = f"has a data type that NumPy does not support ({first_line(error)})"
        raise CheckpointError(reason, source=file) from None


def _plain_array(key: str, value: Any, file: Path) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    if not hasattr(value, "detach"):
        entry = f"{key} is a {type(value).__name__}"
        raise CheckpointError(f"has entries that are not tensors ({entry}), not the weights of a network", source=file)
    try:
        return to_array(value)
    except (RuntimeError, TypeError) as error:
        reason = first_line(error, limit=120)
        raise CheckpointError(f"has tensors that are not plain numbers ({key}: {reason})", source=file) from None
