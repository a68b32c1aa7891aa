"""Networks of timm other than LeViT: creation by name or folder, and configuration for timm and transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from levit.checkpoints.json_files import read_json
from levit.checkpoints.timm_configuration import is_timm, timm_labels, timm_preprocessing, timm_transform
from levit.checkpoints.transformers_configuration import CONFIG_FILE, MULTI_LABEL
from levit.checkpoints.weight_names import SAFETENSORS_FILE
from levit.data.class_matching import are_same_classes
from levit.errors import CheckpointError, ConfigError, first_line
from levit.spec.architecture import Grid
from levit.spec.labels import default_labels
from levit.spec.preprocessing import Preprocessing
from levit.training.option_groups import ModelOptions

TIMM_PREFIX = "timm/"

# Entries of timm's configuration that describe the weights from which training started.
_PROVENANCE = ("tag", "license", "origin_url", "paper_ids", "paper_name")


class ClassificationNetwork(NamedTuple):
    """Image classification network, its preprocessing, and its labels."""

    network: nn.Module
    preprocessing: Preprocessing
    labels: tuple[str, ...]


def is_timm_network(model: str) -> bool:
    """Return whether a name or a folder refers to a timm network other than LeViT."""
    if model.startswith(TIMM_PREFIX):
        return not model.removeprefix(TIMM_PREFIX).startswith("levit")
    file = Path(model) / CONFIG_FILE
    if not file.is_file():
        return False
    config = read_json(file)
    return is_timm(config) and not str(config["architecture"]).startswith("levit")


def create_timm_network(options: ModelOptions, classes: Sequence[str]) -> ClassificationNetwork:
    """Create a timm network to train.

    The head of trained weights is kept if their labels are the classes, in any order and by any of their names; the
    network then keeps these labels. Otherwise the head is new. Weights without labels have those of `default_labels`.

    Args:
        options: `model`, `from_scratch`, `image_size`, `drop_path`.
        classes: classes of the training set.

    Raises:
        ConfigError: `patch_size` is given.
        CheckpointError: timm has no such network, or its weights cannot be downloaded.
    """
    if options.patch_size is not None:
        raise ConfigError(f"cannot be chosen for {options.model}", source="patch_size")
    drop_path = {} if options.drop_path is None else {"drop_path_rate": options.drop_path}
    network = _create(options.model, pretrained=not options.from_scratch, num_classes=len(classes), **drop_path)
    if not options.from_scratch:
        count = int(network.pretrained_cfg["num_classes"])  # type: ignore[index]
        labels = _stored_labels(options.model) or default_labels(count)
        if are_same_classes(classes, labels):
            classes = labels
        elif len(classes) == count:  # create_model has kept the head
            network.reset_classifier(len(classes))  # type: ignore[operator]
    size = None if options.image_size is None else (options.image_size, options.image_size)
    return ClassificationNetwork(network, _preprocessing(network, size), tuple(classes))


def load_timm_network(model: str) -> ClassificationNetwork:
    """Load a trained timm network.

    Raises:
        CheckpointError: timm has no such network, its weights cannot be downloaded or read, or its labels do not fit.
    """
    network = _create(model, pretrained=True)
    count = int(network.num_classes)  # type: ignore[arg-type]
    labels = _stored_labels(model) or default_labels(count)
    if len(labels) != count:
        raise CheckpointError(f"it has {count} classes and {len(labels)} labels", source=model)
    return ClassificationNetwork(network, _preprocessing(network, None), tuple(labels))


def write_timm_config(network: ClassificationNetwork, folder: Path, image_size: Grid, *, is_multi_label: bool) -> None:
    """Write the configuration file of a timm network into the folder of its weights.

    Args:
        network: the network, created by timm, its preprocessing and labels.
        folder: existing folder; a weights file in it is overwritten, because timm's public function writes one, too.
        image_size: height and width of the input in pixels.
        is_multi_label: whether an image may have any number of labels.
    """
    from timm.models import save_for_hf

    contiguous = deepcopy(network.network).to(memory_format=torch.contiguous_format)  # timm cannot write another format
    data_config = {"input_size": (3, *image_size), **timm_transform(network.preprocessing, image_size)}
    labels = {"label_names": list(network.labels)}
    save_for_hf(contiguous, folder, labels, safe_serialization=True, data_config=data_config)
    shutil.copymode(folder / CONFIG_FILE, folder / SAFETENSORS_FILE)  # timm's weights are readable by their owner only
    config = read_json(folder / CONFIG_FILE)
    config["model_args"].pop("num_classes", None)  # also a top-level entry, and transformers passes it a second time
    if is_multi_label:
        config["problem_type"] = MULTI_LABEL  # for transformers
    for name in _PROVENANCE:
        config["pretrained_cfg"].pop(name, None)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _create(model: str, *, pretrained: bool, **kwargs: Any) -> nn.Module:
    import timm

    name = model.removeprefix(TIMM_PREFIX) if model.startswith(TIMM_PREFIX) else f"local-dir:{model}"
    try:
        network: nn.Module = timm.create_model(name, pretrained=pretrained, **kwargs)
    except Exception as error:  # of timm, the hub, the operating system or torch
        raise CheckpointError(f"timm cannot create it ({first_line(error)})", source=model) from error
    return network


def _preprocessing(network: nn.Module, size: Grid | None) -> Preprocessing:
    """Preprocessing by timm's configuration of a network, for images of its own size or of another."""
    from timm.data import resolve_data_config

    settings = resolve_data_config({}, model=network)
    return timm_preprocessing({"pretrained_cfg": settings}, size or tuple(settings["input_size"][1:]))


def _stored_labels(model: str) -> tuple[str, ...] | None:
    """Labels in the configuration file of a folder; None without one."""
    labels = None if model.startswith(TIMM_PREFIX) else timm_labels(read_json(Path(model) / CONFIG_FILE))
    return None if labels is None else tuple(labels)
