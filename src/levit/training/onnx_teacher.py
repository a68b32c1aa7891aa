"""Labels and preprocessing of an ONNX classifier that is used as a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from levit.checkpoints.json_files import read_json
from levit.checkpoints.timm_configuration import is_timm, timm_labels, timm_preprocessing
from levit.checkpoints.transformers_configuration import (
    CONFIG_FILE,
    PREPROCESSOR_FILE,
    labels_from_config,
    preprocessing_from_config,
)
from levit.errors import CheckpointError
from levit.runtime.onnx_metadata import read_metadata
from levit.spec.architecture import Grid
from levit.spec.artifact import Artifact
from levit.spec.labels import IMAGENET_CLASSES, default_labels
from levit.spec.preprocessing import Preprocessing
from levit.training.teacher_graph import read_onnx

ONNX_SUFFIX = ".onnx"
_LABELS_KEY = "levit.labels"
_HINT = "put the config.json of its library next to it"


class OnnxClassifier(NamedTuple):
    """ONNX classifier with its labels.

    Attributes:
        file: ONNX file with one input [N, 3, height, width] and logits [N, classes].
        preprocessing: mean, standard deviation and size of its pixels.
        labels: its classes.
    """

    file: Path
    preprocessing: Preprocessing
    labels: tuple[str, ...]


def is_onnx(name: str) -> bool:
    """Return whether the name of a teacher is that of an ONNX file."""
    return name.lower().endswith(ONNX_SUFFIX)


def open_onnx_classifier(file: Path, source: str) -> OnnxClassifier:
    """Read the labels and the preprocessing of an ONNX classifier.

    An artifact of this package contains both. Those of another file are in `config.json` and `preprocessor_config.json`
    of timm or transformers in its folder. Without them, a classifier of 1000 classes is taken for one of ImageNet with
    the usual mean and standard deviation.

    Args:
        file: ONNX file.
        source: source of errors.

    Raises:
        CheckpointError: the file is not an image classifier, or it has no labels, or no size.
    """
    if not file.is_file():
        raise CheckpointError("no such file", source=source)
    network = read_onnx(file, source)
    count = int(network.output(0).get_partial_shape()[1].get_length())
    shape = network.get_parameters()[0].get_partial_shape()
    fixed = None if shape[2].is_dynamic or shape[3].is_dynamic else (shape[2].get_length(), shape[3].get_length())
    metadata = read_metadata(file)
    if _LABELS_KEY in metadata:
        artifact = Artifact.from_metadata(metadata)
        preprocessing, labels = artifact.preprocessing, tuple(artifact.labels)
    else:
        preprocessing, labels = _read_configuration(file.parent, fixed, count, source)
    if len(labels) != count:
        reason = f"it has {count} classes, and its configuration {len(labels)} labels"
        raise CheckpointError(reason, source=source, hint=_HINT)
    return OnnxClassifier(file, preprocessing, labels)


def _read_configuration(
    folder: Path, fixed: Grid | None, count: int, source: str
) -> tuple[Preprocessing, tuple[str, ...]]:
    """Preprocessing and labels in the files of timm or transformers, or those of ImageNet."""
    config = read_json(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else {}
    labels = timm_labels(config) if is_timm(config) else labels_from_config(config) if "id2label" in config else None
    if labels is None:
        if count != IMAGENET_CLASSES:
            raise CheckpointError("it has no labels", source=source, hint=_HINT)
        labels = default_labels(count)
    if is_timm(config):
        size = config.get("pretrained_cfg", config).get("input_size", (3, *(fixed or (224, 224))))
        return timm_preprocessing(config, fixed or (size[1], size[2])), tuple(labels)
    if (folder / PREPROCESSOR_FILE).is_file():
        values = read_json(folder / PREPROCESSOR_FILE)
        return preprocessing_from_config(values, fixed or (224, 224)), tuple(labels)
    return Preprocessing.for_image_size(fixed or (224, 224)), tuple(labels)
