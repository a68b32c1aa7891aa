"""Conversion of a network in memory to a checkpoint, without importing the library of the network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from levit.checkpoints.canonical_weights import canonical_array, count_heads
from levit.checkpoints.checkpoint import Checkpoint, Weights
from levit.checkpoints.dialect_detection import detect_dialect
from levit.checkpoints.hub import cached_file
from levit.checkpoints.json_files import read_json
from levit.checkpoints.training_fields import training_fields
from levit.checkpoints.transformers_configuration import (
    PREPROCESSOR_FILE,
    architecture_from_config,
    labels_from_config,
    preprocessing_from_config,
)
from levit.checkpoints.weight_files import to_array
from levit.checkpoints.weight_selection import strip_prefixes
from levit.errors import CheckpointError, LevitWarning
from levit.spec.architecture import Grid
from levit.spec.artifact import Source
from levit.spec.preprocessing import Preprocessing


class TorchModel(Protocol):
    """Network of levit or transformers.

    Attributes:
        config: a transformers configuration.
    """

    config: Any

    def state_dict(self) -> Any:
        """Key -> tensor."""
        ...


def checkpoint_from_model(model: TorchModel) -> Checkpoint:
    """Checkpoint with a copy of the weights of a network, and its configuration.

    The preprocessing is that of the checkpoint, for a network of `levit.load_checkpoint`; or that of the folder, or of
    the model in the hub's cache, that the network was loaded from. Otherwise it is the default for the image size, with
    a `LevitWarning` if the network was loaded from anything.

    Args:
        model: a network of levit, or a LeViT of transformers.

    Raises:
        CheckpointError: the weights are not those of a LeViT, or adapters of peft are not merged into them.
        ConfigError: the configuration is invalid.
    """
    if not hasattr(model, "state_dict") or not hasattr(model, "config"):
        raise CheckpointError(
            f"a {type(model).__name__} is not a network", hint="give a network, or the path of a checkpoint"
        )
    name = type(model).__name__
    _check_no_adapters(model, name)
    tensors = strip_prefixes(model.state_dict())
    detected = detect_dialect({key: tuple(tensor.shape) for key, tensor in tensors.items()}, name)
    weights: Weights = {
        canonical: np.array(canonical_array(to_array(tensors[key]), canonical, name))
        for key, canonical in detected.canonical_names.items()
    }
    config = model.config.to_dict()
    origin = getattr(model.config, "name_or_path", None) or f"<{name} in memory>"
    architecture = architecture_from_config(config, num_classifiers=count_heads(weights))
    return Checkpoint(
        weights=weights,
        architecture=architecture,
        labels=labels_from_config(config),
        preprocessing=_preprocessing(model, architecture.image_height_width),
        source=Source(name=Path(origin).name, dialect=detected.dialect.name),
        **training_fields(config),
    )


def _preprocessing(model: TorchModel, image_size: Grid) -> Preprocessing:
    attached = getattr(model, "preprocessing", None)
    if isinstance(attached, Preprocessing):
        return attached
    origin = getattr(model.config, "name_or_path", None)
    if not origin:
        return Preprocessing.for_image_size(image_size)
    file = Path(origin, PREPROCESSOR_FILE)
    if not file.exists():
        file = cached_file(origin, PREPROCESSOR_FILE, getattr(model.config, "_commit_hash", None)) or file
    values = read_json(file)
    if not values:
        warnings.warn(
            f"{origin}: no {PREPROCESSOR_FILE} there or in the hub's cache, so the default preprocessing is assumed: "
            "load the network with levit.load_checkpoint, which keeps that of the checkpoint",
            LevitWarning,
            stacklevel=4,  # the caller of `export`
        )
    return preprocessing_from_config(values, image_size)


def _check_no_adapters(model: TorchModel, name: str) -> None:
    """Check that no adapters of peft are beside the weights; `merge_and_unload` is a method of its models."""
    if hasattr(model, "merge_and_unload") or any(".lora_" in key for key in model.state_dict()):
        raise CheckpointError(
            "has adapters of peft beside its weights", source=name, hint="give the result of model.merge_and_unload()"
        )
