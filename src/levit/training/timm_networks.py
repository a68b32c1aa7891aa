"""Networks of timm that are no LeViT: found by a name or a folder, and left as timm and transformers read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from levit.checkpoints.timm_configuration import is_timm, timm_labels, timm_preprocessing, timm_transform
from levit.checkpoints.transformers_configuration import CONFIG_FILE, MULTI_LABEL
from levit.checkpoints.weight_files import read_json
from levit.errors import CheckpointError, ConfigError
from levit.spec.architecture import Grid
from levit.spec.labels import default_labels
from levit.spec.preprocessing import Preprocessing
from levit.training.options import TrainingOptions

TIMM = "timm/"

# What timm keeps of the weights that a network began with, or might have.
_PROVENANCE = ("tag", "license", "origin_url", "paper_ids", "paper_name")

Opened = tuple[nn.Module, Preprocessing, tuple[str, ...]]


def is_timm_network(model: str) -> bool:
    """Whether a name or folder means a network of timm that is no LeViT."""
    if model.startswith(TIMM):
        return not model.removeprefix(TIMM).startswith("levit")
    file = Path(model) / CONFIG_FILE
    if not file.is_file():
        return False
    config = read_json(file)
    return is_timm(config) and not str(config["architecture"]).startswith("levit")


def create_timm_network(options: TrainingOptions, classes: Sequence[str]) -> Opened:
    """A network that is to learn, its preprocessing, and its classes in their order.

    One that was trained here keeps its head where its labels are those of the data, in whatever order.

    Args:
        options: `model`, `from_scratch`, `image_size`, `drop_path`.
        classes: of the data.

    Raises:
        ConfigError: it is given a patch size.
        CheckpointError: timm has no such network, or its weights cannot be fetched.
    """
    if options.model.patch_size is not None:
        raise ConfigError(f"--patch-size: {options.model.model} has none that can be chosen")
    more = {} if options.model.drop_path is None else {"drop_path_rate": options.model.drop_path}
    network = _create(options.model.model, pretrained=not options.model.from_scratch, num_classes=len(classes), **more)
    own = _own_labels(options.model.model)
    if own is not None and not options.model.from_scratch:
        if sorted(own) == sorted(classes):
            classes = own
        else:  # as many of others, perhaps
            network.reset_classifier(len(classes))  # type: ignore[operator]
    side = options.model.image_size
    return network, _preprocessing(network, None if side is None else (side, side)), tuple(classes)


def load_timm_network(model: str) -> Opened:
    """A network that has learned, its preprocessing, and its labels.

    Raises:
        CheckpointError: timm has no such network, or its weights cannot be fetched.
    """
    network = _create(model, pretrained=True)
    labels = _own_labels(model) or default_labels(int(network.num_classes))  # type: ignore[arg-type]
    return network, _preprocessing(network, None), tuple(labels)


def save_timm_network(
    network: nn.Module,
    folder: Path,
    preprocessing: Preprocessing,
    image_size: Grid,
    classes: Sequence[str],
    *,
    is_multi_label: bool,
) -> None:
    """Its configuration, and its weights as they are at present.

    timm writes both or, in public, nothing: who saves other weights replaces them.

    Args:
        network: made by timm.
        folder: to write into.
        preprocessing: of its images.
        image_size: height and width of its input.
        classes: its labels.
        is_multi_label: whether each of them is decided by itself.
    """
    from timm.models import save_for_hf

    plain = deepcopy(network).to(memory_format=torch.contiguous_format)  # the only one that it writes
    data = {"input_size": (3, *image_size), **timm_transform(preprocessing, image_size)}
    save_for_hf(plain, folder, {"label_names": list(classes)}, safe_serialization=True, data_config=data)
    config = read_json(folder / CONFIG_FILE)
    config["model_args"].pop("num_classes", None)  # it stands above, and transformers gives it, too
    if is_multi_label:
        config["problem_type"] = MULTI_LABEL  # which transformers reads
    for name in _PROVENANCE:
        config["pretrained_cfg"].pop(name, None)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _create(model: str, *, pretrained: bool, **kwargs: Any) -> nn.Module:
    import timm

    name = model.removeprefix(TIMM) if model.startswith(TIMM) else f"local-dir:{model}"
    try:
        network: nn.Module = timm.create_model(name, pretrained=pretrained, **kwargs)
    except Exception as error:  # timm's own errors, the hub's, the system's, torch's
        raise CheckpointError(f"{model}: timm cannot make it ({' '.join(str(error).split())[:200]})") from error
    return network


def _preprocessing(network: nn.Module, size: Grid | None) -> Preprocessing:
    """What timm says of it, for images of its own size or another."""
    from timm.data import resolve_data_config

    settings = resolve_data_config({}, model=network)
    return timm_preprocessing({"pretrained_cfg": settings}, size or tuple(settings["input_size"][1:]))


def _own_labels(model: str) -> tuple[str, ...] | None:
    """Those that stand in a folder."""
    labels = None if model.startswith(TIMM) else timm_labels(read_json(Path(model) / CONFIG_FILE))
    return None if labels is None else tuple(labels)
