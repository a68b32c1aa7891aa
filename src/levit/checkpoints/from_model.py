"""A network in memory -> canonical weights, without importing the library that it is written in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from levit.checkpoints.checkpoint import Checkpoint, Weights
from levit.checkpoints.dialect_detection import recognize
from levit.checkpoints.reading import canonical_array, count_heads
from levit.checkpoints.training_state import unwrap
from levit.checkpoints.transformers_configuration import (
    PREPROCESSOR_FILE,
    architecture_from_config,
    labels_from_config,
    preprocessing_from_config,
    training_fields,
)
from levit.checkpoints.weight_files import read_json, to_array
from levit.errors import CheckpointError
from levit.spec.artifact import Source


class TorchModel(Protocol):
    """What is asked of a model: that of levit and that of transformers both have it."""

    config: Any

    def state_dict(self) -> Any:
        """Name -> tensor."""
        ...


def checkpoint_from_model(model: TorchModel) -> Checkpoint:
    """The checkpoint that a network would be saved as: its present weights and configuration.

    The preprocessing is that of the folder it was loaded from, or the usual one for its image size.

    Args:
        model: any of levit's networks, or transformers' own LeViT.

    Raises:
        CheckpointError: its weights are not those of a LeViT.
    """
    if not hasattr(model, "state_dict") or not hasattr(model, "config"):
        raise CheckpointError(f"a {type(model).__name__} is no network: give one, or the path of a checkpoint")
    tensors = unwrap(model.state_dict())
    name = type(model).__name__
    found = recognize({key: tuple(tensor.shape) for key, tensor in tensors.items()}, name)
    weights: Weights = {
        canonical: np.array(canonical_array(to_array(tensors[key]), canonical))
        for key, canonical in found.names.items()
    }
    config = model.config.to_dict()
    origin = Path(getattr(model.config, "name_or_path", None) or f"<{name} in memory>")  # where it was loaded from
    architecture = architecture_from_config(config, num_classifiers=count_heads(weights))
    return Checkpoint(
        weights=weights,
        architecture=architecture,
        labels=labels_from_config(config),
        preprocessing=preprocessing_from_config(read_json(origin / PREPROCESSOR_FILE), architecture.image_height_width),
        source=Source(name=origin.name, dialect=found.dialect.name),
        **training_fields(config),
    )
