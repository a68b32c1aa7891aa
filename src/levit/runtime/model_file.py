"""ONNX model that is opened: a file, or the content of one."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from levit.errors import EngineError


class ModelFile:
    """ONNX model as a file or as the content of one, which is read once, however many steps of the opening need it.

    Args:
        model: the file, or its content.

    Attributes:
        path: the file; None for a content.
        name: name of the model in errors.

    Examples:
        >>> model = ModelFile(b"")
        >>> model.name, model.content, model.folder
        ('the model', b'', None)
    """

    def __init__(self, model: Path | bytes) -> None:
        self._model = model
        self.path = model if isinstance(model, Path) else None
        self.name = "the model" if self.path is None else str(self.path)

    @classmethod
    def of(cls, model: ModelFile | Path | bytes) -> ModelFile:
        """The model itself, or that of a file or a content."""
        return model if isinstance(model, ModelFile) else cls(model)

    @property
    def folder(self) -> Path | None:
        """Folder of the file, in which its weights may be; None for a content."""
        return None if self.path is None else self.path.absolute().parent

    @cached_property
    def content(self) -> bytes:
        """Content of the model.

        Raises:
            EngineError: the file cannot be read.
        """
        try:
            return self._model.read_bytes() if isinstance(self._model, Path) else self._model
        except OSError as error:
            raise EngineError(f"cannot be read ({error.strerror})", source=self.name) from error


AnyModel = ModelFile | Path | bytes
"""Model as an engine opens it: a file, its content, or either of them that is read already."""
