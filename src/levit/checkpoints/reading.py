"""Reading of checkpoints of any dialect."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from levit.checkpoints.architecture_inference import infer_architecture
from levit.checkpoints.canonical_translation import TranslatedWeights, translate_weights
from levit.checkpoints.canonical_weights import (
    count_heads,
    narrowest_precision,
)
from levit.checkpoints.checkpoint import Checkpoint, Weights
from levit.checkpoints.hashing import hash_file
from levit.checkpoints.head_autoencoders import fold_head_autoencoders
from levit.checkpoints.json_files import read_json
from levit.checkpoints.timm_configuration import (
    is_timm,
    timm_activation,
    timm_image_size,
    timm_labels,
    timm_preprocessing,
    unsupported_timm_preprocessing,
)
from levit.checkpoints.training_fields import TrainingFields, training_fields
from levit.checkpoints.transformers_configuration import (
    CONFIG_FILE,
    MODEL_TYPES,
    PREPROCESSOR_FILE,
    architecture_from_config,
    labels_from_config,
    preprocessing_from_config,
)
from levit.checkpoints.weight_files import StoredWeights, read_weight_file
from levit.checkpoints.weight_lookup import find_weights
from levit.errors import CheckpointError, ConfigError, LevitWarning
from levit.spec.architecture import Architecture, Grid
from levit.spec.artifact import Source
from levit.spec.field_values import shown
from levit.spec.labels import default_labels
from levit.spec.preprocessing import Preprocessing


def read_checkpoint(
    path_or_id: str | PathLike[str],
    *,
    activation: str | None = None,
    image_size: int | Grid | None = None,
    revision: str | None = None,
    use_ema: bool = False,
) -> Checkpoint:
    """Read weights and configuration of any dialect.

    The dialect is detected by the keys. The configuration files of transformers or timm are read from the folder of the
    weights. Without them, the architecture is inferred from the shapes; fields that the shapes do not determine have
    the values of the published networks.

    Args:
        path_or_id: a folder or a file (.safetensors; .ckpt of MindSpore; .msgpack of Flax; .pth, .pt, .bin, .ckpt or
            .pth.tar, for which torch must be installed), a model ID on the Hugging Face Hub (`facebook/levit-128S`), a
            published size (`levit-128s`), or the URL of a file whose name contains its hash, as those of the authors
            do.
        activation: one of `levit.spec.architecture.ACTIVATIONS`, instead of that of the configuration. Default without
            a configuration: "silu" for the sizes for which timm uses it, otherwise "hardswish". For vit-pytorch it is
            that of the MLPs, which is "gelu" in older releases.
        image_size: side, or height and width, of the input in pixels, instead of that of the configuration; it must
            give the number of tokens that the weights have. Default without a configuration: square, and a whole number
            of patches.
        revision: branch, tag or commit of a model on the Hugging Face Hub.
        use_ema: read the moving average of the weights of a training checkpoint (facebook's `model_ema`, timm's
            `state_dict_ema`, torch's `AveragedModel`). Default: the trained weights, or the average if the file has
            nothing else. In files of mmengine or Lightning with averaging, `state_dict` is the average.

    Returns:
        The checkpoint; its weights have canonical names and are float32 (half precision is widened, which is exact) or
        float64.

    Raises:
        CheckpointError: there is no such file; it is damaged or contains code; its weights do not fit; it has no moving
            average although `use_ema` is set; or a revision is given for something that is not on the hub.
        ConfigError: a configuration file is invalid.

    Examples:
        >>> import levit
        >>> checkpoint = levit.read_checkpoint("tests/golden/tiny/transformers")
        >>> checkpoint.architecture.hidden_sizes, checkpoint.num_parameters
        ((32, 48, 64), 147730)
    """
    file = find_weights(path_or_id, revision=revision)
    return read_checkpoint_file(file, path_or_id, activation=activation, image_size=image_size, use_ema=use_ema)


def read_checkpoint_file(
    file: Path,
    path_or_id: str | PathLike[str],
    *,
    activation: str | None = None,
    image_size: int | Grid | None = None,
    use_ema: bool = False,
) -> Checkpoint:
    """Read the checkpoint in a weight file.

    Args:
        file: result of `find_weights`.
        path_or_id: path, name or URL by which the file was found; the checkpoint is named after it.
        activation: as in `read_checkpoint`.
        image_size: as in `read_checkpoint`.
        use_ema: as in `read_checkpoint`.
    """
    sha256 = hash_checkpoint_file(file)
    stored = fold_head_autoencoders(read_weight_file(file, use_ema=use_ema), fspath(path_or_id))
    config, processor = read_json(file.with_name(CONFIG_FILE)), read_json(file.with_name(PREPROCESSOR_FILE))
    return assemble_checkpoint(
        stored,
        config,
        processor,
        fspath(path_or_id),
        activation=activation,
        image_size=image_size,
        source_name=checkpoint_name(path_or_id, file),
        sha256=sha256,
    )


def assemble_checkpoint(
    stored: StoredWeights,
    config: Mapping[str, Any],
    processor: Mapping[str, Any],
    name: str,
    *,
    activation: str | None = None,
    image_size: int | Grid | None = None,
    source_name: str | None = None,
    sha256: str | None = None,
) -> Checkpoint:
    """Assemble a checkpoint of stored weights and their configuration files.

    Args:
        stored: content of a weight file.
        config: content of config.json, of transformers or timm; empty if there is none.
        processor: content of preprocessor_config.json; empty if there is none.
        name: source of errors.
        activation: as in `read_checkpoint`.
        image_size: as in `read_checkpoint`.
        source_name: name of the checkpoint for people; default: `name`.
        sha256: hash of the weight file.

    Raises:
        CheckpointError: the weights do not fit the configuration, or are not those of a LeViT.
        ConfigError: the configuration is invalid.
    """
    _check_is_levit(config, name)
    translated = translate_weights(stored.arrays, name)
    weights = translated.weights
    given = {key: value for key, value in (("activation", activation), ("image_size", image_size)) if value is not None}
    try:
        if config and not is_timm(config) and not translated.fields:
            configuration = _transformers_configuration({**config, **given}, processor, weights)
        else:
            translated.check_complete(name)
            configuration = _inferred_configuration(config, processor, translated, given, name)
    except ConfigError as error:
        field = f"{name}: {error.source}" if error.source else name
        raise ConfigError(error.reason, source=field, hint=error.hint) from None
    num_labels = configuration.architecture.num_labels
    return Checkpoint(
        weights=weights,
        architecture=configuration.architecture,
        labels=configuration.labels or _stored_labels(stored, num_labels, name) or default_labels(num_labels),
        preprocessing=configuration.preprocessing,
        source=Source(name=source_name or name, dialect=translated.dialect, sha256=sha256),
        stored_precision=narrowest_precision(stored.arrays),
        **configuration.training,
    )


def checkpoint_name(path_or_id: str | PathLike[str], file: Path) -> str:
    """Name of a checkpoint for people: the name of its folder or file, or its model ID on the hub.

    Args:
        path_or_id: path, name or URL by which the file was found.
        file: result of `find_weights`.
    """
    path = Path(path_or_id)
    if not path.exists():
        return fspath(path_or_id)
    return path.resolve().name if path.is_dir() else file.name


@dataclass(frozen=True, kw_only=True)
class _Configuration:
    """Parts of a checkpoint that are not in its weights; labels are None if no file names the classes."""

    architecture: Architecture
    labels: tuple[str, ...] | None
    preprocessing: Preprocessing
    training: TrainingFields


def _transformers_configuration(
    config: Mapping[str, Any], processor: Mapping[str, Any], weights: Weights
) -> _Configuration:
    if str(config.get("model_type", MODEL_TYPES[0])) not in MODEL_TYPES:
        raise ConfigError(f"model_type is {shown(config['model_type'])}, not that of a LeViT", source=CONFIG_FILE)
    architecture = architecture_from_config(config, num_classifiers=count_heads(weights))
    return _Configuration(
        architecture=architecture,
        labels=labels_from_config(config) if config.get("id2label") else None,
        preprocessing=preprocessing_from_config(processor, architecture.image_height_width),
        training=training_fields(config),
    )


def _inferred_configuration(
    config: Mapping[str, Any],
    processor: Mapping[str, Any],
    translated: TranslatedWeights,
    given: Mapping[str, Any],
    name: str,
) -> _Configuration:
    """Configuration by the shapes of the weights, and by timm's config.json if there is one."""
    shapes = {key: array.shape for key, array in translated.weights.items()}
    timm_fields: dict[str, Any] = {"image_size": timm_image_size(config)}
    if "activation" not in given:
        timm_fields["activation"] = timm_activation(config)
    architecture = infer_architecture(shapes, name, fields=translated.fields, **{**timm_fields, **given})
    labels, num_labels = timm_labels(config), architecture.num_labels
    if labels is not None and len(labels) != num_labels:
        raise ConfigError(f"has {len(labels)} names for {num_labels} classes", source="label_names")
    size = architecture.image_height_width
    if is_timm(config):
        preprocessing = _timm_preprocessing(config, size, name)
    else:
        preprocessing = preprocessing_from_config(processor, size)
    return _Configuration(
        architecture=architecture,
        labels=labels,
        preprocessing=preprocessing,
        training=training_fields({"problem_type": config.get("problem_type")}),
    )


def _timm_preprocessing(config: Mapping[str, Any], image_size: Grid, name: str) -> Preprocessing:
    if unsupported := unsupported_timm_preprocessing(config, image_size):
        warnings.warn(f"{name}: {unsupported}", LevitWarning, stacklevel=2)
    return timm_preprocessing(config, image_size)


def _check_is_levit(config: Mapping[str, Any], name: str) -> None:
    """Check that a configuration of timm is not that of another network, such as a teacher."""
    architecture = str(config.get("architecture")) if is_timm(config) else "levit"
    if not architecture.startswith("levit"):
        raise CheckpointError(
            f"timm's {architecture}, not a LeViT",
            source=name,
            hint="use it as `teacher`, or open it with timm or transformers",
        )


def _stored_labels(stored: StoredWeights, num_labels: int, name: str) -> tuple[str, ...] | None:
    """Class names in the weight file, unless there is no head or their number is not that of the head."""
    if num_labels and stored.class_names is not None and len(stored.class_names) != num_labels:
        warnings.warn(
            f"{name}: its meta data name {len(stored.class_names)} classes, but the head has {num_labels}: the names "
            "are ignored",
            LevitWarning,
            stacklevel=2,
        )
        return None
    return stored.class_names if num_labels else None


def hash_checkpoint_file(file: Path) -> str:
    """SHA-256 of a file of a checkpoint, in hexadecimal.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        return hash_file(file)
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror})", source=file) from error
