"""Artifact files: atomic writing, and updates of their metadata."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from levit.errors import CheckpointError, EngineError, ExportError, errors_name, first_line
from levit.files import check_regular_file, write_bytes
from levit.runtime.engine import OPENVINO_SUFFIX
from levit.runtime.external_data import check_external_data
from levit.spec.artifact import PREFIX, Accuracy, Artifact, Rejection, TrainingImages


def artifact_of(model: onnx.ModelProto) -> Artifact:
    """Read the metadata of a model in memory."""
    return Artifact.from_metadata({pair.key: pair.value for pair in model.metadata_props})


def record_in_memory(model: onnx.ModelProto, **changes: Accuracy | Rejection | TrainingImages) -> Artifact:
    """Change fields of the metadata of a model in memory, and return the new metadata."""
    artifact = replace(artifact_of(model), **changes)  # type: ignore[arg-type]
    others = {pair.key: pair.value for pair in model.metadata_props if not pair.key.startswith(PREFIX)}
    onnx.helper.set_model_props(model, others | artifact.to_metadata())
    return artifact


def write_model(model: onnx.ModelProto, path: Path) -> int:
    """Write a model to a file, which is replaced when the new content is complete.

    Returns:
        Size of the file in bytes.

    Raises:
        ExportError: the file cannot be written.
    """
    try:
        write_bytes(path, model.SerializeToString())
    except OSError as error:
        raise ExportError(f"cannot be written ({error.strerror})", source=path) from error
    return path.stat().st_size


def check_updatable(file: Path) -> None:
    """Check, before anything is measured for it, that the metadata of a file can be updated: that it is an ONNX file.

    Raises:
        CheckpointError: it is not.
    """
    if file.suffix.lower() == OPENVINO_SUFFIX and file.is_file():
        reason = "is in OpenVINO's format, whose metadata cannot be updated"
        raise CheckpointError(reason, source=file, hint="give the .onnx file")
    if not (file.suffix.lower() == ".onnx" and file.is_file()):
        raise CheckpointError("is not an exported file", source=file, hint="export the checkpoint first")


def record_accuracy(path: str | PathLike[str], accuracy: Accuracy) -> Artifact:
    """Write a measured accuracy into the metadata of an artifact file.

    Args:
        path: exported file; its network is not changed.
        accuracy: the accuracy, which replaces an earlier one.

    Returns:
        The new metadata.

    Raises:
        CheckpointError: the file was not exported by levit.
        ExportError: the file cannot be written.
    """
    return _update_metadata(Path(path), accuracy=accuracy)


def record_rejection(path: str | PathLike[str], rejection: Rejection) -> Artifact:
    """Write calibrated temperature and rejection threshold into the metadata of an artifact file.

    Args:
        path: exported file; its network is not changed.
        rejection: temperature and threshold, which replace earlier ones.

    Returns:
        The new metadata.

    Raises:
        CheckpointError: the file was not exported by levit.
        ExportError: the file cannot be written.
    """
    return _update_metadata(Path(path), rejection=rejection)


def _update_metadata(path: Path, **changes: Accuracy | Rejection) -> Artifact:
    check_regular_file(path, CheckpointError)
    try:
        check_external_data(path)
        model = onnx.load(path)
    except EngineError as error:
        raise CheckpointError(error.reason, source=path, hint=error.hint) from error
    except (OSError, DecodeError) as error:
        raise CheckpointError(f"not an ONNX file ({first_line(error)})", source=path) from error
    with errors_name(path):
        artifact = record_in_memory(model, **changes)
    write_model(model, path)
    return artifact
