"""Files of weights -> named arrays, safely: safetensors, and pickles that may hold nothing but data."""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # teaches numpy, and with it safetensors, what bfloat16 is
import numpy as np
from safetensors import SafetensorError, safe_open

from levit.checkpoints.checkpoint import Weights
from levit.errors import CheckpointError

PICKLE_SUFFIXES = (".pth", ".pt", ".bin")
# Under which of its entries a training checkpoint keeps the weights: facebook's, mmpretrain's, timm's moving average.
_WEIGHT_ENTRIES = ("model", "state_dict", "state_dict_ema", "model_ema")


def read_arrays(file: Path) -> Weights:
    """All arrays of a file, under its own keys.

    Raises:
        CheckpointError: it is damaged, of another format, or a pickle that holds more than data.
    """
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    if file.suffix in PICKLE_SUFFIXES:
        return _read_pickle(file)
    raise CheckpointError(f"{file}: give a .safetensors file, a {', '.join(PICKLE_SUFFIXES)} file, or their folder")


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


def _read_pickle(file: Path) -> Weights:
    """A file that torch wrote, read by its loader for data alone: no code in it is ever run."""
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            f'{file}: reading a {file.suffix} file needs torch: pip install "levit[torch]", or convert it to '
            "safetensors where torch is installed"
        ) from error
    try:
        # The files of facebookresearch/LeViT keep their training arguments in a Namespace, which is plain data.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that an old file has another pickle protocol
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{file}: {_pickle_reason(str(error))}") from None
    except PermissionError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise CheckpointError(f"{file}: not a complete file of torch ({_one_line(error)}): fetch it again") from None
    try:
        return {str(key): to_array(tensor) for key, tensor in _weights_in(content, file).items()}
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(f"{file}: holds tensors that are no plain numbers ({_one_line(error)})") from None


def _weights_in(content: Any, file: Path) -> Mapping[str, Any]:
    for entry in _WEIGHT_ENTRIES:
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            content = content[entry]
            break
    if not isinstance(content, Mapping) or not all(hasattr(value, "detach") for value in content.values()):
        kind = "entries that are no tensors" if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise CheckpointError(f"{file}: holds {kind}, not the weights of a network")
    return content


def _pickle_reason(message: str) -> str:
    if "unsupported global" in message.lower() or "unsupported class" in message.lower():
        named = message.partition("GLOBAL ")[2].split(" ")[0]
        return f"refused, because it holds code and not only weights ({named or 'an unknown object'})"
    return "not a file of torch, or an incomplete one: fetch it again"


def to_array(tensor: Any) -> np.ndarray[Any, Any]:
    """A tensor of torch as an array of the same type; it may share the tensor's memory."""
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # which torch does not give to numpy
        return np.asarray(tensor.float().numpy()).astype(ml_dtypes.bfloat16)
    return np.asarray(tensor.numpy())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
