"""Opening of image files, which are not decoded yet."""

from __future__ import annotations

import io
import os
import stat
import warnings
from os import PathLike

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from levit.errors import ImageError
from levit.fork_safe_lock import ForkSafeLock

# The filter list of warnings is global state, so only one thread at a time may change it.
_WARNING_FILTER = ForkSafeLock()

_HEADER_SIZE = 16  # bytes that identify a format
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))


def open_file(source: str | PathLike[str] | bytes, name: str) -> Image.Image:
    """Open an image file or its content with Pillow, and HEIF files with `pillow-heif` if it is installed.

    JPEG files may have more pixels than Pillow accepts (179 million), because they can be decoded at reduced size.

    Args:
        source: path or content of the file.
        name: name of the image for errors.

    Returns:
        An image that is not decoded; its owner closes it.

    Raises:
        ImageError: the path is not a regular file, or the file is of the HEIF family and `pillow-heif` is missing.
        OSError: the file cannot be opened, or is of another format than those that Pillow reads.
    """
    if not isinstance(source, bytes):
        check_is_regular(source, name)
    with _WARNING_FILTER, warnings.catch_warnings():
        # The limit of pixels is checked by the caller, and damaged metadata have no influence.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        try:
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        except Image.DecompressionBombError:
            if not _header(source).startswith(_JPEG_SIGNATURE):
                raise
            return JpegImageFile(io.BytesIO(source) if isinstance(source, bytes) else source)
        except UnidentifiedImageError:
            if not _is_heif(source):
                raise
            return _open_heif(source, name)


def check_is_regular(path: str | PathLike[str], name: str) -> None:
    """Raise an error unless a path is a regular file: opening a pipe would wait for its other end.

    Raises:
        ImageError: it is a folder, a pipe, a socket or a device.
        OSError: it does not exist, or cannot be reached.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 (a Path for each image is slow)
    if stat.S_ISDIR(mode):
        raise ImageError("a folder, not an image", source=name)
    if not stat.S_ISREG(mode):
        raise ImageError("a pipe, a socket or a device, not a regular file", source=name)


def _header(source: str | PathLike[str] | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEADER_SIZE]
    with open(source, "rb") as stream:  # noqa: PTH123
        return stream.read(_HEADER_SIZE)


def _is_heif(source: str | PathLike[str] | bytes) -> bool:
    header = _header(source)
    return header[4:8] == b"ftyp" and header[8:12] in _HEIF_BRANDS


def _open_heif(source: str | PathLike[str] | bytes, name: str) -> Image.Image:
    # Its class is used directly, because registering it with Pillow would change global state.
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ImageError(
            "HEIC files need the package pillow-heif",
            source=name,
            hint='pip install "levit[heif]", or convert it to JPEG',
        ) from error
    image: Image.Image = HeifImageFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    return image
