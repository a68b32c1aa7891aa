"""Trained image classification networks of transformers other than LeViT, opened without running code of others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pickle import UnpicklingError
from typing import Any

import torch

from levit.errors import CheckpointError, first_line
from levit.spec.preprocessing import Preprocessing
from levit.training.timm_networks import ClassificationNetwork

# Options of image processors that change pixels in a way that size, mean and standard deviation do not describe.
_UNSUPPORTED_OPTIONS = ("do_flip_channel_order", "include_top", "rescale_offset")


def load_transformers_network(name: str, source: str) -> ClassificationNetwork:
    """Load a trained network with the preprocessing of its image processor, and with its labels.

    Code that a folder or a repository contains (`auto_map` in its configuration) is never run.

    Args:
        name: path of a folder, or model ID on the hub.
        source: source of errors.

    Raises:
        CheckpointError: weights, configuration or image processor cannot be read, do not fit each other, or need such
            code.
    """
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    try:
        with _errors_logged_only():
            network, report = AutoModelForImageClassification.from_pretrained(
                name, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True,
                trust_remote_code=False,
            )  # fmt: skip
            processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except UnpicklingError as error:  # its message recommends to run the code
        hint = "use a teacher with a safetensors file"
        raise CheckpointError("its weight file is damaged or contains code", source=source, hint=hint) from error
    except Exception as error:  # of transformers, the hub, safetensors, torch or the operating system
        advice = "code of a teacher is never run" if _names_code(name) else None
        raise CheckpointError(f"cannot be opened ({first_line(error)})", source=source, hint=advice) from error
    if missing := sorted({*report["missing_keys"], *(str(item[0]) for item in report["mismatched_keys"])}):
        reason = f"its file lacks {len(missing)} weights or has other shapes, such as {missing[0]!r}"
        raise CheckpointError(reason, source=source, hint="give a trained classifier")
    return ClassificationNetwork(network, _read_processor(processor, source), _read_labels(network.config, source))


@contextmanager
def _errors_logged_only() -> Iterator[None]:
    """Keep transformers from logging the names of all weights in a file, which may contain control characters."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _names_code(name: str) -> bool:
    """Return whether a configuration file names code of its own."""
    from transformers import ImageProcessingMixin, PretrainedConfig

    for read in (PretrainedConfig.get_config_dict, ImageProcessingMixin.get_image_processor_dict):
        with suppress(Exception):  # the file is absent or damaged
            if "auto_map" in read(name)[0]:
                return True
    return False


def _read_labels(config: Any, source: str) -> tuple[str, ...]:
    """Labels of a configuration, in the order of the logits."""
    names = config.id2label
    labels = tuple(names.get(index) for index in range(len(names)))
    if not all(isinstance(label, str) for label in labels):
        reason = f"`id2label` in its configuration does not name each of the classes from 0 to {len(labels) - 1}"
        raise CheckpointError(reason, source=source, hint="correct it, or use another teacher")
    return labels


def _read_processor(processor: Any, source: str) -> Preprocessing:
    """Normalization and size of an image processor of transformers."""
    kind = type(processor).__name__
    if option := next((option for option in _UNSUPPORTED_OPTIONS if getattr(processor, option, False)), None):
        raise CheckpointError(f"its {kind} has {option}", source=source, hint="use another teacher")
    try:
        crops = getattr(processor, "do_center_crop", True)
        size = (crops and getattr(processor, "crop_size", None)) or processor.size
        side = size.get("shortest_edge")
        grid = (side, side) if side else (size["height"], size["width"])
        mean, std = (
            (tuple(processor.image_mean), tuple(processor.image_std)) if processor.do_normalize else (None, None)
        )
        rescale = processor.rescale_factor if processor.do_rescale else None
        return Preprocessing(resize=grid, crop=grid, rescale=rescale, mean=mean, std=std)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"its {kind} lacks a valid size, mean or standard deviation ({first_line(error)})"
        raise CheckpointError(reason, source=source, hint="use another teacher") from error
