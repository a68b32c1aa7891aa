"""Files -> canonical weights."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from levit.checkpoints.architecture_inference import architecture_from_shapes
from levit.checkpoints.checkpoint import Checkpoint, Weights
from levit.checkpoints.dialect_detection import Recognition, recognize
from levit.checkpoints.dialects import BATCH_NORM_EPSILON, HEADS, is_linear
from levit.checkpoints.hub import find_weights
from levit.checkpoints.timm_configuration import (
    is_timm,
    timm_activation,
    timm_difference,
    timm_image_size,
    timm_labels,
    timm_preprocessing,
)
from levit.checkpoints.transformers_configuration import (
    CONFIG_FILE,
    MODEL_TYPES,
    PREPROCESSOR_FILE,
    TrainingFields,
    architecture_from_config,
    labels_from_config,
    preprocessing_from_config,
    training_fields,
)
from levit.checkpoints.weight_files import Stored, hash_file, read_json, read_stored
from levit.errors import CheckpointError, ConfigError, LevitWarning
from levit.spec.architecture import Architecture, Grid
from levit.spec.artifact import Source
from levit.spec.labels import default_labels
from levit.spec.preprocessing import Preprocessing

_STATISTICS = {"weight": 1.0, "running_mean": 0.0, "running_var": 1 - BATCH_NORM_EPSILON}


def read_checkpoint(
    path_or_id: str | Path,
    *,
    activation: str | None = None,
    image_size: int | Grid | None = None,
    revision: str | None = None,
    use_ema: bool = False,
) -> Checkpoint:
    """Read weights and configuration of any dialect.

    The dialect is found out from the keys. The configuration files of transformers and timm are read where they stand
    beside the weights. Without one, the architecture is inferred from the shapes; what those cannot tell has the
    published networks' value, unless an argument says otherwise.

    Args:
        path_or_id: a folder or a file (.safetensors; .pth, .pt, .bin, .ckpt or .pth.tar, for which torch must be
            installed), a name on the hub (`facebook/levit-128S`), a published size (`levit-128s`), or an address of
            one of the authors'.
        activation: "hardswish" or "silu", whatever a configuration says; default: what it says, "silu" for the sizes
            that timm has with it, otherwise "hardswish".
        image_size: of the input, in pixels, which must give the grid that the weights have; default: what a
            configuration says, otherwise square and a whole number of patches.
        revision: branch, tag or commit, for a name on the hub.
        use_ema: of a training checkpoint, take the moving average of the weights (facebook's `model_ema`, timm's
            `state_dict_ema`, torch's `AveragedModel`); default: the trained weights, or the average where there is
            nothing else. Where mmengine or Lightning averages, `state_dict` is the average already.

    Returns:
        The checkpoint; weights under canonical names, float32 (halves are widened, which is exact) or float64.

    Raises:
        CheckpointError: there is no such file, it is damaged or holds code, its weights do not fit, it has no moving
            average that is asked for, or a revision is given for something that is not on the hub.
        ConfigError: a configuration file describes no network.

    Examples:
        >>> import levit
        >>> checkpoint = levit.read_checkpoint("tests/golden/tiny/transformers")
        >>> checkpoint.architecture.hidden_sizes, checkpoint.num_parameters
        ((32, 48, 64), 147730)
    """
    file = find_weights(path_or_id, revision=revision)
    return read_weights(file, path_or_id, activation=activation, image_size=image_size, use_ema=use_ema)


def read_weights(
    file: Path,
    path_or_id: str | Path,
    *,
    activation: str | None = None,
    image_size: int | Grid | None = None,
    use_ema: bool = False,
) -> Checkpoint:
    """The same for the file that a path or name has been found to mean."""
    name = str(path_or_id)
    sha256 = _hash(file)
    stored = read_stored(file, use_ema=use_ema)
    _check_family(read_json(file.with_name(CONFIG_FILE)), name)
    found = recognize({key: array.shape for key, array in stored.arrays.items()}, name)
    weights = {canonical: canonical_array(stored.arrays[key], canonical) for key, canonical in found.names.items()}
    if found.dialect.is_fused:
        weights |= _identity_batch_norms(weights)
    settings = _settings(file, weights, found, name, activation, image_size)
    num_labels = settings.architecture.num_labels
    return Checkpoint(
        weights=weights,
        architecture=settings.architecture,
        labels=settings.labels or _stored_labels(stored, num_labels, name) or default_labels(num_labels),
        preprocessing=settings.preprocessing,
        source=Source(name=short_name(path_or_id, file), dialect=found.dialect.name, sha256=sha256),
        stored_as=_precision(stored.arrays),
        **settings.training,
    )


def _check_family(config: dict[str, Any], name: str) -> None:
    """Raise for another network of timm, as one that was trained to be a teacher."""
    architecture = str(config.get("architecture")) if is_timm(config) else "levit"
    if not architecture.startswith("levit"):
        raise CheckpointError(
            f"{name}: timm's {architecture}, and no LeViT: it can be a --teacher; timm and transformers open it"
        )


def _stored_labels(stored: Stored, num_labels: int, name: str) -> tuple[str, ...] | None:
    """The class names in the file, unless there is no head, or they are those of other classes than its own."""
    if num_labels and stored.class_names is not None and len(stored.class_names) != num_labels:
        warnings.warn(
            f"{name}: its meta data name {len(stored.class_names)} classes, and the head has {num_labels}: the names "
            "are left out",
            LevitWarning,
            stacklevel=2,
        )
        return None
    return stored.class_names if num_labels else None


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What is not in the weights."""

    architecture: Architecture
    labels: tuple[str, ...] | None
    preprocessing: Preprocessing
    training: TrainingFields


def _settings(
    file: Path,
    weights: Weights,
    found: Recognition,
    name: str,
    activation: str | None,
    image_size: int | Grid | None,
) -> _Settings:
    config = read_json(file.with_name(CONFIG_FILE))
    processor = read_json(file.with_name(PREPROCESSOR_FILE))
    arguments = {"activation": activation, "image_size": image_size}
    given: dict[str, Any] = {key: value for key, value in arguments.items() if value is not None}
    try:
        if config and not is_timm(config):
            return _transformers_settings(config | given, processor, weights)
        found.check_complete(name)
        said: dict[str, Any] = {"activation": timm_activation(config), "image_size": timm_image_size(config)} | given
        shapes = {key: array.shape for key, array in weights.items()}
        architecture = architecture_from_shapes(shapes, name, **said)
        size = architecture.image_height_width
        return _Settings(
            architecture=architecture,
            labels=timm_labels(config),
            preprocessing=_timm_preprocessing(config, size, name)
            if is_timm(config)
            else preprocessing_from_config(processor, size),
            training=training_fields({"problem_type": config.get("problem_type")}),
        )
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _timm_preprocessing(config: dict[str, Any], image_size: Grid, name: str) -> Preprocessing:
    if difference := timm_difference(config, image_size):
        warnings.warn(f"{name}: {difference}", LevitWarning, stacklevel=2)
    return timm_preprocessing(config, image_size)


def _transformers_settings(config: dict[str, Any], processor: dict[str, Any], weights: Weights) -> _Settings:
    if config.get("model_type", MODEL_TYPES[0]) not in MODEL_TYPES:
        raise ConfigError(f"{CONFIG_FILE} is of model_type {config['model_type']!r}, not of a LeViT")
    architecture = architecture_from_config(config, num_classifiers=count_heads(weights))
    return _Settings(
        architecture=architecture,
        labels=labels_from_config(config) if config.get("id2label") else None,
        preprocessing=preprocessing_from_config(processor, architecture.image_height_width),
        training=training_fields(config),
    )


def count_heads(weights: Weights) -> int:
    """How many heads there are, or at least a part of: what it lacks is then reported as missing."""
    return sum(any(name.startswith(f"{head}.") for name in weights) for head in HEADS)


def canonical_array(array: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    """Half precision to single, 1x1 convolutions to linear layers; whole numbers and higher precision as they are."""
    if is_linear(name) and array.shape[2:] == (1, 1):
        array = array[:, :, 0, 0]
    kept = ("int64",) if name.endswith("num_batches_tracked") else ("float32", "float64")
    if array.dtype.name in kept:
        return array
    if array.dtype.name not in ("float16", "bfloat16"):
        raise CheckpointError(f"{name} is of type {array.dtype.name}: convert it to float32, float16 or bfloat16")
    return array.astype(np.float32)


def _identity_batch_norms(weights: Weights) -> Weights:
    """Batch norms that only add a bias, for each layer of a fused file."""
    found: Weights = {}
    for name, array in weights.items():
        layer, _, tensor = name.rpartition(".")
        if name.endswith(".batch_norm.bias"):
            found |= {f"{layer}.{one}": np.full_like(array, value) for one, value in _STATISTICS.items()}
            found[f"{layer}.num_batches_tracked"] = np.array(0)
        elif tensor == "weight" and array.ndim == 2 and layer in (f"{head}.linear" for head in HEADS):
            width = array[0]
            batch_norm = layer.replace(".linear", ".batch_norm")
            values = {**_STATISTICS, "bias": 0.0}
            found |= {f"{batch_norm}.{one}": np.full_like(width, value) for one, value in values.items()}
            found[f"{batch_norm}.num_batches_tracked"] = np.array(0)
    return found


def _hash(file: Path) -> str:
    try:
        return hash_file(file)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from error


def _precision(arrays: Weights) -> str:
    """The narrowest floating-point type in the file, by its short name."""
    names = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}
    found = {array.dtype.name for array in arrays.values()}
    return next((short for name, short in names.items() if name in found), "fp32")


def short_name(path_or_id: str | Path, file: Path) -> str:
    """What to call a checkpoint: its folder's name, its file's, or the name by which it was asked for."""
    path = Path(path_or_id)
    if not path.exists():
        return str(path_or_id)
    return path.resolve().name if path.is_dir() else file.name
