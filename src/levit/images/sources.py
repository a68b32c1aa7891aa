"""Sources of images: what `levit.Classifier` accepts, and its conversion to what Pillow and numpy read."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Protocol, Union, runtime_checkable

from PIL import Image

from levit.errors import ImageError
from levit.images.arrays import as_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import TypeIs


@runtime_checkable
class BinaryFile(Protocol):
    """Open binary file, such as `io.BytesIO` or `open(path, "rb")`; it is read from its beginning, and not closed."""

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes, or all."""
        ...


@runtime_checkable
class Tensor(Protocol):
    """Tensor of torch, recognized without importing torch."""

    def detach(self) -> Any:
        """Return the tensor without its gradient."""
        ...

    def is_floating_point(self) -> bool:
        """Return whether its values are floating-point numbers."""
        ...


StoredImage = Union[str, PathLike[str], bytes, Image.Image, "NDArray[Any]"]
"""Path, content of an image file, PIL image, or array: uint8, bool, or floating-point in [0, 1]: [height, width], or
with 1 (gray), 3 (RGB) or 4 (RGBA) channels, first or last; or gray uint16. See `levit.images.arrays.as_pixels`."""

ImageSource = StoredImage | bytearray | memoryview | BinaryFile | Tensor
"""A `StoredImage`; the content of an image file as bytearray or memoryview, or as an open binary file; or a tensor of
torch of the same forms as an array."""

_TYPES = (str, PathLike, bytes, bytearray, memoryview, Image.Image, Tensor, BinaryFile)  # and arrays


def is_image_source(source: object) -> TypeIs[ImageSource]:
    """Return whether an object is of a type of `ImageSource`.

    Examples:
        >>> is_image_source("cat.jpg"), is_image_source(["cat.jpg"])
        (True, False)
    """
    return isinstance(source, _TYPES) or is_array(source)


def is_array(source: object) -> TypeIs[NDArray[Any]]:
    """Return whether an object is an array, without importing numpy: before that, there are no arrays."""
    return isinstance(source, getattr(sys.modules.get("numpy"), "ndarray", ()))


def describe_source(source: ImageSource) -> str:
    """Name of an image source in results and errors: its path, or its type with its size.

    Examples:
        >>> import numpy as np
        >>> describe_source("photos/cat.jpg"), describe_source(np.zeros((480, 640, 3), np.uint8))
        ('photos/cat.jpg', '<ndarray 480x640x3>')
        >>> from io import BytesIO
        >>> describe_source(BytesIO(b"abc")), describe_source(memoryview(b"abc"))
        ('<BytesIO>', '<3 bytes>')
    """
    if isinstance(source, str | PathLike):
        return fspath(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{memoryview(source).nbytes} bytes>"
    kind = type(source).__name__
    if isinstance(source, Image.Image):
        return f"<{kind} {source.height}x{source.width}>"
    if is_array(source) or isinstance(source, Tensor):
        return f"<{kind} {'x'.join(map(str, getattr(source, 'shape', ())))}>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else f"<{kind}>"


def as_stored_image(source: ImageSource, name: str) -> StoredImage:
    """Convert a source of any type to a path, bytes, a PIL image or an array.

    Args:
        source: the image; an open file is read to its end.
        name: name of the image for errors.

    Raises:
        ImageError: the source is of another type, a file in text mode, or a tensor that is not an image.

    Examples:
        >>> as_stored_image(bytearray(b"abc"), "image")
        b'abc'
    """
    if isinstance(source, str | bytes | PathLike | Image.Image) or is_array(source):
        return source
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    if isinstance(source, Tensor):
        return _pixels(source, name)
    if isinstance(source, BinaryFile):
        return _content(source, name)
    hint = "for several images give a list, or use `stream`" if isinstance(source, Iterable) else None
    raise ImageError("not a path, bytes, an open file, a PIL image, an array or a tensor", source=name, hint=hint)


def _content(file: BinaryFile, name: str) -> bytes:
    """Content of an open file from its beginning, where it can be rewound, as Pillow reads it."""
    if getattr(file, "seekable", lambda: False)():
        file.seek(0)  # type: ignore[attr-defined]
    content = file.read()
    if not isinstance(content, bytes | bytearray | memoryview):
        raise ImageError("a file in text mode", source=name, hint='open it in binary mode, "rb"')
    return bytes(content)


def _pixels(tensor: Tensor, name: str) -> NDArray[Any]:
    """Pixels of a tensor, with the channels last; a copy, because the tensor may change."""
    import numpy as np

    detached = tensor.detach()
    array = (detached.float() if tensor.is_floating_point() else detached).cpu().numpy()
    return np.array(as_pixels(array, name, kind="a tensor"), order="C")
