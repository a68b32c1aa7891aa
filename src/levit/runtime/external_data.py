"""Weights of ONNX files in other files: whether there are any, and refusal of those outside the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

from levit.errors import EngineError, as_sentence, first_line, printable
from levit.files import check_regular_file
from levit.runtime.model_file import AnyModel, ModelFile

if TYPE_CHECKING:
    from google.protobuf.message import Message

_KEY = "location"  # of the name of a file with weights
_HINT = "save the model with its weights in one file, or in files of its own folder"


def check_external_data(model: AnyModel) -> None:
    """Check that all weights of an ONNX model are in its file, or in regular files in its folder or below it.

    An ONNX file may name any file of the machine as the place of a weight, and engines read it. Links in the folder of
    the model are followed.

    Args:
        model: an ONNX file, or its content, which has no folder.

    Raises:
        EngineError: a name is absolute or leads out of the folder, or is not that of a regular file; or the file cannot
            be read.
    """
    file = ModelFile.of(model)
    folder, source = file.folder, file.name
    for location in _locations(file):
        name = printable(location)
        if folder is None:
            raise EngineError(f"its weights are in another file ({name})", source=source, hint=_HINT)
        if _leads_outside(location):
            raise EngineError(f"its weights are outside its folder ({name})", source=source, hint=_HINT)
        try:
            check_regular_file(folder / location, EngineError)
        except EngineError as error:
            reason = as_sentence(f"its file of weights {name}", error.reason)
            raise EngineError(reason, source=source, hint=_HINT) from error


def has_external_data(model: AnyModel) -> bool:
    """Whether weights of an ONNX model are in other files than its own.

    Args:
        model: an ONNX file, or its content.

    Raises:
        EngineError: the file cannot be read or is not an ONNX file.
    """
    return next(_locations(ModelFile.of(model)), None) is not None


def _locations(file: ModelFile) -> Iterator[str]:
    """Distinct names of the files that contain weights."""
    if _KEY.encode() not in file.content:  # without parsing, which would import onnx
        return
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(file.content)
    except DecodeError as error:
        raise EngineError(f"not an ONNX file ({first_line(error)})", source=file.name) from error
    tensors = (message for message in _messages(model) if isinstance(message, onnx.TensorProto))
    yield from dict.fromkeys(entry.value for tensor in tensors for entry in tensor.external_data if entry.key == _KEY)


def _messages(message: Message) -> Iterator[Message]:
    """A message and all messages in it: weights may be in graphs inside of nodes, too."""
    pending = [message]
    while pending:
        current = pending.pop()
        yield current
        for field, value in current.ListFields():
            if field.message_type is not None:
                pending.extend([value] if hasattr(value, "ListFields") else value)


def _leads_outside(location: str) -> bool:
    path = PureWindowsPath(location)  # with the separators and roots of all systems
    return not location or bool(path.drive or path.root) or ".." in path.parts
