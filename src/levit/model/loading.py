"""Loading of checkpoints of any dialect as a network and as its image processor."""

from __future__ import annotations

import warnings
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import torch

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.dialects import HEADS
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.transformers_configuration import MULTI_LABEL, config_from_architecture, preprocessor_config
from levit.errors import ConfigError, LevitWarning
from levit.image_processing.processor import LevitImageProcessor
from levit.model.backbone import LevitModel
from levit.model.config import LevitConfig
from levit.model.image_classification import LevitForImageClassification, LevitForImageClassificationWithTeacher
from levit.model.pretrained import LevitPreTrainedModel
from levit.spec.distillation import DISTILLATION_DEFAULTS

_CLASSES: tuple[type[LevitPreTrainedModel], ...] = (
    LevitModel,
    LevitForImageClassification,
    LevitForImageClassificationWithTeacher,
)


def load_checkpoint(
    path_or_id: str | PathLike[str] | Checkpoint,
    num_labels: int | None = None,
    *,
    drop_path_rate: float | None = None,
    **kwargs: Any,
) -> LevitPreTrainedModel:
    """Load a checkpoint of any dialect as a network in evaluation mode.

    Args:
        path_or_id: file, folder or model ID on the hub, as for `levit.read_checkpoint`; or a checkpoint that was read.
        num_labels: number of classes. If it differs from the checkpoint's, the heads are newly initialized, with a
            warning. 0 leaves the heads out.
        drop_path_rate: probability in [0, 1) of dropping a residual branch in training; default: the checkpoint's.
        **kwargs: `activation`, `image_size`, `revision` and `use_ema` of `levit.read_checkpoint`.

    Returns:
        `LevitForImageClassificationWithTeacher` for a checkpoint with two heads, `LevitForImageClassification` for one
        head, `LevitModel` for none or `num_labels` 0; weights in float32 on the CPU. Its attribute `preprocessing` is
        that of the checkpoint, with which `levit.export` exports it and which `save_pretrained` writes.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ConfigError: num_labels is below 0, or drop_path_rate is invalid.
        TypeError: kwargs are given for a checkpoint that was read already.

    Examples:
        >>> import levit
        >>> model = levit.load_checkpoint("tests/golden/tiny/facebook.pth")
        >>> type(model).__name__, model.config.depths
        ('LevitForImageClassificationWithTeacher', [1, 2, 1])
    """
    if isinstance(path_or_id, Checkpoint) and kwargs:
        raise TypeError(f"{', '.join(kwargs)}: not accepted together with a checkpoint that was read already")
    if num_labels is not None and num_labels < 0:
        raise ConfigError(f"{num_labels} is invalid", source="num_labels", hint="use at least 0")
    checkpoint = path_or_id if isinstance(path_or_id, Checkpoint) else read_checkpoint(path_or_id, **kwargs)
    if drop_path_rate is not None:
        checkpoint = replace(checkpoint, drop_path_rate=drop_path_rate)
    trained_labels = checkpoint.architecture.num_labels if checkpoint.architecture.num_classifiers else 0
    is_new_head = bool(num_labels) and num_labels != trained_labels
    num_heads = 0 if num_labels == 0 else checkpoint.architecture.num_classifiers or int(is_new_head)
    model = _CLASSES[num_heads](_config(checkpoint, num_labels if is_new_head else None))
    tensors = {
        name.removeprefix("levit.") if num_heads == 0 else name: torch.from_numpy(np.array(array))
        for name, array in checkpoint.weights.items()
        if not ((is_new_head or num_heads == 0) and name.startswith(HEADS))
    }
    model.load_state_dict(tensors, strict=not is_new_head)
    model.preprocessing = checkpoint.preprocessing
    if is_new_head:
        warnings.warn(
            f"{checkpoint.source.name}: {num_heads} head{'s' if num_heads > 1 else ''} for {num_labels} classes "
            f"instead of {trained_labels or 'none'}, newly initialized: train before use",
            LevitWarning,
            stacklevel=2,
        )
    return model.eval()


def load_image_processor(path_or_id: str | PathLike[str] | Checkpoint, **kwargs: Any) -> LevitImageProcessor:
    """Create the image processor of a checkpoint of any dialect, with the preprocessing of its library.

    It cannot resize to every eighth size, of timm's 64 pixels with `crop_pct` 0.9 for instance: it resizes to one pixel
    less, with a `LevitWarning`.

    Args:
        path_or_id: file, folder or model ID on the hub, as for `levit.read_checkpoint`; or a checkpoint that was read.
        **kwargs: options of `LevitImageProcessor` that replace those of the checkpoint, and `image_size` and
            `revision` of `levit.read_checkpoint`.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ConfigError: an option is invalid.
        TypeError: image_size or revision is given for a checkpoint that was read already.

    Examples:
        >>> import levit
        >>> levit.load_image_processor("tests/golden/tiny/timm").to_dict()["crop_size"]
        {'height': 112, 'width': 112}
    """
    read_options = {name: kwargs.pop(name) for name in ("image_size", "revision") if name in kwargs}
    if isinstance(path_or_id, Checkpoint) and read_options:
        raise TypeError(f"{', '.join(read_options)}: not accepted together with a checkpoint that was read already")
    checkpoint = path_or_id if isinstance(path_or_id, Checkpoint) else read_checkpoint(path_or_id, **read_options)
    values = preprocessor_config(checkpoint.preprocessing)
    del values["image_processor_type"]
    return LevitImageProcessor(**(values | kwargs))


def _config(checkpoint: Checkpoint, num_labels: int | None) -> LevitConfig:
    values = config_from_architecture(checkpoint.architecture)
    if num_labels is None:
        del values["num_labels"]
        values["id2label"] = dict(enumerate(checkpoint.labels))
        values["label2id"] = {name: number for number, name in enumerate(checkpoint.labels)}
    else:
        values["num_labels"] = num_labels
    return LevitConfig(
        **values,
        drop_path_rate=checkpoint.drop_path_rate,
        initializer_range=checkpoint.initializer_range,
        problem_type=MULTI_LABEL if checkpoint.is_multi_label else checkpoint.problem_type,
        **{name: getattr(checkpoint, name) for name in DISTILLATION_DEFAULTS},
    )
