"""Opening of image files, which are not decoded yet."""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from os import PathLike
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from levit.errors import ImageError
from levit.fork_safe_lock import ForkSafeLock
from levit.images.pixel_limit import check_file
from levit.spec.image_files import PILLOW_FORMATS

# The filter list of warnings is global state, so only one thread at a time may change it.
_WARNING_FILTER = ForkSafeLock()

# JPEG files are opened without it. Before Pillow 11.3, there is no AVIF.
_FORMATS = [name for name in PILLOW_FORMATS[1:] if name != "AVIF" or find_spec("PIL.AvifImagePlugin")]

_HEADER_SIZE = 16  # bytes that identify a format
_JPEG_SIGNATURE, _ICON_SIGNATURE = b"\xff\xd8\xff", b"\0\0\1\0"
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))


class JpegFile(JpegImageFile):
    """JPEG file that is opened without its resolution, so that damaged metadata cause no warnings."""

    def _read_dpi_from_exif(self) -> None:
        pass


@contextmanager
def opened_file(
    source: str | PathLike[str] | bytes, name: str, max_pixels: int, *, is_reducible: bool = False
) -> Iterator[Image.Image]:
    """Open an image file or its content with Pillow, and HEIF files with `pillow-heif` if it is installed.

    JPEG files may have more pixels than Pillow accepts (179 million), because they can be decoded at reduced size.

    Args:
        source: path or content of the file.
        name: name of the image for errors.
        max_pixels: largest number of pixels.
        is_reducible: True if a JPEG file may be decoded at reduced size, and so have four times as many pixels.

    Yields:
        An image that is not decoded; its file is closed at the end of the block.

    Raises:
        ImageError: the path is not a regular file, the image is too large, or the file is of the HEIF family and
            `pillow-heif` is missing.
        OSError: the file cannot be opened, or is of another format than those of `levit.spec.image_files`.
    """
    with _stream(source, name) as stream:
        header = stream.read(_HEADER_SIZE)
        stream.seek(0)
        if header.startswith(_JPEG_SIGNATURE):  # the most frequent ones, without a lock
            opened = _open_jpeg(stream)
            check_file(opened, name, max_pixels, is_reducible=is_reducible)
        else:
            opened = _open_other(stream, header, name, max_pixels)
        with opened as image:
            yield image


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


def _stream(source: str | PathLike[str] | bytes, name: str) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    check_is_regular(source, name)
    return open(source, "rb")  # noqa: PTH123


def _open_other(stream: BinaryIO, header: bytes, name: str, max_pixels: int) -> Image.Image:
    """Open a file of another format, and check its size."""
    if header.startswith(_ICON_SIGNATURE):
        raise ImageError("a Windows icon, which is not read", source=name, hint="convert it to PNG")
    try:
        return _open_with_pillow(stream, name, max_pixels)
    except UnidentifiedImageError:
        if header[4:8] != b"ftyp" or header[8:12] not in _HEIF_BRANDS:
            raise
    image = _open_heif(stream, name)
    check_file(image, name, max_pixels, is_reducible=False)
    return image


def _open_jpeg(stream: BinaryIO) -> Image.Image:
    try:
        return JpegFile(stream)
    except SyntaxError as error:
        raise UnidentifiedImageError("not a JPEG file") from error


def _open_with_pillow(stream: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    with _WARNING_FILTER, warnings.catch_warnings():
        # The limit of pixels is that of the caller, and damaged metadata have no influence.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        try:
            image = Image.open(stream, formats=_FORMATS)
        except Image.DecompressionBombError as error:
            if Image.MAX_IMAGE_PIXELS is None or max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
                raise
            reason = f"more pixels than the limit of {max_pixels:,}"
            raise ImageError(reason, source=name, hint="make it smaller, or raise `max_pixels`") from error
        check_file(image, name, max_pixels, is_reducible=False)
        return image


def _open_heif(stream: BinaryIO, name: str) -> Image.Image:
    # Its class is used directly, because registering it with Pillow would change global state.
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ImageError(
            "HEIC files need the package pillow-heif",
            source=name,
            hint='pip install "levit[heif]", or convert it to JPEG',
        ) from error
    stream.seek(0)
    image: Image.Image = HeifImageFile(stream)
    return image
