"""Metadata of an ONNX file, read without importing onnx and without reading the weights."""

from __future__ import annotations

import mmap
from pathlib import Path

from levit.checkpoints.protocol_buffers import read_fields
from levit.errors import EngineError
from levit.runtime.model_file import AnyModel, ModelFile

_METADATA, _KEY, _VALUE = 14, 1, 2  # numbers of the fields of ModelProto and StringStringEntryProto


def read_metadata(model: AnyModel) -> dict[str, str]:
    """Read the metadata of an ONNX file.

    Args:
        model: an ONNX file, or its content.

    Returns:
        Key-value pairs, see `levit.spec.artifact.Artifact.from_metadata`.

    Raises:
        EngineError: the file cannot be read or is not an ONNX file.

    Examples:
        >>> from levit.runtime.model_resolution import find_artifact
        >>> read_metadata(find_artifact(None))["levit.precision"]
        '"int8"'
    """
    source = ModelFile.of(model).name
    try:
        content = memoryview(_map(model) if isinstance(model, Path) else ModelFile.of(model).content)
        messages = [value for number, value in read_fields(content) if number == _METADATA]
        return dict(_entry(message) for message in messages if not isinstance(message, int))
    except OSError as error:
        raise EngineError(f"cannot be read ({error.strerror})", source=source) from error
    except (IndexError, ValueError) as error:
        raise EngineError("not an ONNX file", source=source) from error


def _map(file: Path) -> mmap.mmap | bytes:
    with file.open("rb") as stream:
        if not file.stat().st_size:  # which cannot be mapped
            return b""
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _entry(message: memoryview) -> tuple[str, str]:
    texts = {number: bytes(value).decode() for number, value in read_fields(message) if not isinstance(value, int)}
    return texts.get(_KEY, ""), texts.get(_VALUE, "")
