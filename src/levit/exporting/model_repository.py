"""Folders of models for other servers: OpenVINO Model Server and Triton Inference Server."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from levit.errors import ExportError
from levit.files import replacing
from levit.runtime.model_info import describe
from levit.spec.artifact import Artifact
from levit.spec.choices import ServerLayout

VERSION = "1"
"""The only version of each model, for the Open Inference Protocol."""

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of models."""

_MAX_BATCH = 16


def write_model_repository(model: Path, folder: Path, layout: ServerLayout) -> None:
    """Write an exported file as the folder that another server loads; the folder is complete or absent.

    Both servers take normalized values, `pixel_values` FP32 [N, channels, height, width], and give `logits` FP32
    [N, classes].

    - "openvino-model-server": `NAME/1/model.onnx`, `NAME/labels.txt`, and `config.json`, whose path is relative to it.
    - "triton": `NAME/1/model.onnx`, `NAME/config.pbtxt`, and `NAME/labels.txt`, from which the server takes the names
      of its classification extension. The platform is ONNX Runtime, with batches that it makes of single requests.

    Args:
        model: an exported `.onnx` file.
        folder: the folder, which must not exist; its name is that of the model.
        layout: the server.

    Raises:
        ExportError: the folder exists, or its name cannot be that of a model.
        CheckpointError: the file is not an exported model.
    """
    check_repository(folder)
    name = folder.name
    artifact, _ = describe(model)
    with replacing(folder) as partial:
        version = partial / name / VERSION
        version.mkdir(parents=True)
        shutil.copyfile(model, version / "model.onnx")
        labels = "".join(f"{' '.join(label.split())}\n" for label in artifact.labels)
        (partial / name / "labels.txt").write_text(labels, encoding="utf-8")
        _WRITERS[layout](partial, name, artifact)


def check_repository(folder: Path) -> None:
    """Check that a folder can be written, before anything is exported.

    Raises:
        ExportError: it exists, or its name cannot be that of a model.
    """
    if folder.exists():
        raise ExportError("exists already", source=folder, hint="give another folder, or delete it")
    if not NAME_PATTERN.fullmatch(folder.name):
        hint = "use letters, digits, '.', '_' and '-'"
        raise ExportError("cannot be the name of a model", source=folder.name, hint=hint)


def _write_openvino(folder: Path, name: str, artifact: Artifact) -> None:
    """`config.json` of the OpenVINO Model Server; the network takes batches of any size."""
    config = {"model_config_list": [{"config": {"name": name, "base_path": name}}]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _write_triton(folder: Path, name: str, artifact: Artifact) -> None:
    """`config.pbtxt` of the Triton Inference Server."""
    height, width = artifact.architecture.image_height_width
    text = f"""\
name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: {_MAX_BATCH}
input [
  {{
    name: "pixel_values"
    data_type: TYPE_FP32
    dims: [ {artifact.architecture.num_channels}, {height}, {width} ]
  }}
]
output [
  {{
    name: "logits"
    data_type: TYPE_FP32
    dims: [ {len(artifact.labels)} ]
    label_filename: "labels.txt"
  }}
]
dynamic_batching {{ }}
"""
    (folder / name / "config.pbtxt").write_text(text, encoding="utf-8")


_WRITERS: dict[ServerLayout, Callable[[Path, str, Artifact], None]] = {
    "openvino-model-server": _write_openvino,
    "triton": _write_triton,
}
