"""Files -> canonical weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  # teaches numpy, and with it safetensors, what bfloat16 is
import numpy as np
from safetensors import SafetensorError, safe_open

from levit.checkpoints.checkpoint import Checkpoint, Weights, default_labels
from levit.checkpoints.configuration import (
    architecture_from_config,
    labels_from_config,
    preprocessing_from_config,
)
from levit.checkpoints.dialects import find_dialect
from levit.checkpoints.shapes import architecture_from_shapes
from levit.errors import CheckpointError, ConfigError
from levit.spec.architecture import Architecture
from levit.spec.artifact import Source

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read weights and configuration, without torch.

    The dialect is found out from the keys. `config.json` and `preprocessor_config.json` are read where they stand
    beside the weights; without the first the architecture is inferred from the shapes, without the second the
    preprocessing is the usual one for the image size.

    Args:
        path: a folder with `model.safetensors`, or a safetensors file (fp32, fp16 or bf16).

    Returns:
        The checkpoint; weights float32 (halves are widened, which is exact) under canonical names.

    Raises:
        CheckpointError: there is no such file, it is damaged, or its weights do not fit its configuration.
        ConfigError: a configuration file describes no network.

    Examples:
        >>> import levit
        >>> checkpoint = levit.read_checkpoint("tests/golden/tiny/transformers")
        >>> checkpoint.architecture.hidden_sizes, checkpoint.num_parameters
        ((32, 48, 64), 147730)
    """
    file = find_weights(path)
    arrays = _read_safetensors(file)
    dialect, names = find_dialect(arrays.keys(), str(path))
    weights = {canonical: _widen(arrays[key]) for key, canonical in names.items()}
    config = read_json(file.with_name(CONFIG_FILE))
    architecture = _architecture(config, weights, str(path))
    return Checkpoint(
        weights=weights,
        architecture=architecture,
        labels=_labels(config, architecture),
        preprocessing=preprocessing_from_config(
            read_json(file.with_name(PREPROCESSOR_FILE)), architecture.image_height_width
        ),
        source=Source(name=_name(path, file), dialect=dialect.name, sha256=hash_file(file)),
        stored_as=_precision(arrays),
        drop_path_rate=float(config.get("levit_drop_path_rate", config.get("drop_path_rate", 0.0))),
        initializer_range=float(config.get("initializer_range", 0.02)),
    )


def find_weights(path: str | Path) -> Path:
    """The safetensors file that a path means.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if not file.exists():
        what = f"no {WEIGHTS_FILE} in this folder" if path.is_dir() else "no such file or folder"
        raise CheckpointError(f"{path}: {what}")
    if file.suffix != ".safetensors":
        raise CheckpointError(f"{path}: not a .safetensors file: give one, or a folder with {WEIGHTS_FILE}")
    return file


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no such file.

    Raises:
        CheckpointError: it is damaged or holds something else.
    """
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
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
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: not a complete safetensors file ({error}): fetch it again") from None


def _widen(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Half precision to single; whole numbers and higher precision as they are."""
    if array.dtype == np.float64 or np.issubdtype(array.dtype, np.integer):
        return array
    return array.astype(np.float32, copy=False)


def _precision(arrays: Weights) -> str:
    """The narrowest floating-point type in the file, by its short name."""
    names = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}
    found = {array.dtype.name for array in arrays.values()}
    return next((short for name, short in names.items() if name in found), "fp32")


def _architecture(config: dict[str, Any], weights: Weights, name: str) -> Architecture:
    if not config:
        return architecture_from_shapes({key: array.shape for key, array in weights.items()}, name)
    num_classifiers = sum(f"{key}.linear.weight" in weights for key in ("classifier", "classifier_distill"))
    try:
        architecture = architecture_from_config(config, num_classifiers=num_classifiers)
    except ConfigError as error:
        raise ConfigError(f"{name}: {CONFIG_FILE}: {error}") from None
    if config.get("model_type", "levit") not in MODEL_TYPES:
        raise ConfigError(f"{name}: {CONFIG_FILE} is of model_type {config['model_type']!r}, not of a LeViT")
    return architecture


# The second is written for networks that stock transformers would compute wrongly, so that it refuses them.
MODEL_TYPES = ("levit", "levit_extended")


def _labels(config: dict[str, Any], architecture: Architecture) -> tuple[str, ...]:
    return labels_from_config(config) if config.get("id2label") else default_labels(architecture.num_labels)


def _name(path: str | Path, file: Path) -> str:
    return file.resolve().parent.name if Path(path).is_dir() else file.name
