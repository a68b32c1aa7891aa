"""A network in memory -> canonical weights, without importing the library that it is written in."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from levit.checkpoints.checkpoint import Checkpoint, Weights
from levit.checkpoints.configuration import (
    architecture_from_config,
    labels_from_config,
    preprocessing_from_config,
)
from levit.checkpoints.dialects import HEADS, find_dialect
from levit.spec.artifact import Source


class TorchModel(Protocol):
    """What is asked of a model: that of levit and that of transformers both have it."""

    config: Any

    def state_dict(self) -> Any:
        """Name -> tensor."""
        ...


def checkpoint_from_model(model: TorchModel) -> Checkpoint:
    """The checkpoint that a network would be saved as: its present weights and configuration.

    Args:
        model: any of levit's networks, or transformers' own LeViT.

    Raises:
        CheckpointError: its weights are not those of a LeViT.
    """
    tensors = model.state_dict()
    name = type(model).__name__
    dialect, names = find_dialect({key: tuple(tensor.shape) for key, tensor in tensors.items()}, name)
    weights: Weights = {canonical: _to_array(tensors[key]) for key, canonical in names.items()}
    config = model.config.to_dict()
    num_classifiers = sum(f"{key}.linear.weight" in weights for key in HEADS)
    architecture = architecture_from_config(config, num_classifiers=num_classifiers)
    return Checkpoint(
        weights=weights,
        architecture=architecture,
        labels=labels_from_config(config),
        preprocessing=preprocessing_from_config({}, architecture.image_height_width),
        source=Source(name=config.get("_name_or_path") or name, dialect=dialect.name),
        drop_path_rate=float(config.get("levit_drop_path_rate", config.get("drop_path_rate", 0.0))),
        initializer_range=float(config.get("initializer_range", 0.02)),
    )


def _to_array(tensor: Any) -> Any:
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()  # numpy has no bfloat16
    return np.array(tensor.numpy())
