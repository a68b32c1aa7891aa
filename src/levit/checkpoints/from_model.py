"""Conversion of a network in memory to a checkpoint, without importing the library of the network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.hub import cached_file
from levit.checkpoints.json_files import read_json
from levit.checkpoints.reading import assemble_checkpoint
from levit.checkpoints.transformers_configuration import MODEL_TYPES, PREPROCESSOR_FILE, preprocessing_from_config
from levit.checkpoints.weight_files import StoredWeights, to_array
from levit.checkpoints.weight_selection import strip_prefixes
from levit.errors import CheckpointError, LevitWarning
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing


class TorchModel(Protocol):
    """Network of torch: of levit or transformers, with its `config`; or of timm, with its `pretrained_cfg`."""

    def state_dict(self) -> Any:
        """Key -> tensor."""
        ...


def checkpoint_from_model(model: TorchModel) -> Checkpoint:
    """Checkpoint with a copy of the weights of a network, and its configuration.

    The preprocessing is that of the checkpoint, for a network of `levit.load_checkpoint`; or that of the folder, or of
    the model in the hub's cache, that the network was loaded from. Otherwise it is the default for the image size, with
    a `LevitWarning` if the network was loaded from anything. A network of timm has that of its `pretrained_cfg`. What
    the network of another library does not state is inferred from the weights, as for a file without a configuration.

    Args:
        model: a network of levit, or a LeViT of transformers, timm or another library.

    Raises:
        CheckpointError: the weights are not those of a LeViT, or adapters of peft are not merged into them.
        ConfigError: the configuration is invalid.
    """
    name = type(model).__name__
    if not hasattr(model, "state_dict"):
        raise CheckpointError(f"a {name} is not a network", hint="give a network, or the path of a checkpoint")
    _check_no_adapters(model, name)
    tensors = strip_prefixes(model.state_dict())
    arrays = {key: np.array(to_array(tensor)) for key, tensor in tensors.items()}
    stored = StoredWeights(arrays=arrays, class_names=None)
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "to_dict"):
        return assemble_checkpoint(stored, _timm_configuration(model), {}, name, source_name=f"<{name} in memory>")
    origin = getattr(config, "name_or_path", None) or f"<{name} in memory>"
    values = {**config.to_dict(), "model_type": MODEL_TYPES[0]}  # a derived class of configurations has its own
    checkpoint = assemble_checkpoint(stored, values, {}, name, source_name=Path(origin).name)
    return replace(checkpoint, preprocessing=_preprocessing(model, config, checkpoint.architecture.image_height_width))


def _timm_configuration(model: TorchModel) -> dict[str, Any]:
    """What the config.json of a network of timm would contain; empty for the networks of other libraries.

    It has no image size, which is that of the weights: `img_size` of `timm.create_model` does not change the settings.
    """
    settings = getattr(model, "pretrained_cfg", None)
    if not isinstance(settings, Mapping) or not isinstance(settings.get("architecture"), str):
        return {}
    activation = getattr(getattr(model, "stem", None), "act1", None)
    names: Any = settings.get("label_names") or ()
    has_names = len(names) == getattr(model, "num_classes", None)
    return {
        "architecture": settings["architecture"],
        "model_args": {} if activation is None else {"act_layer": type(activation).__name__},
        "label_names": list(names) if has_names else None,
        "pretrained_cfg": {**settings, "input_size": None},
    }


def _preprocessing(model: TorchModel, config: Any, image_size: Grid) -> Preprocessing:
    attached = getattr(model, "preprocessing", None)
    if isinstance(attached, Preprocessing):
        return attached
    origin = getattr(config, "name_or_path", None)
    if not origin:
        return Preprocessing.for_image_size(image_size)
    file = Path(origin, PREPROCESSOR_FILE)
    if not file.exists():
        file = cached_file(origin, PREPROCESSOR_FILE, getattr(config, "_commit_hash", None)) or file
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
