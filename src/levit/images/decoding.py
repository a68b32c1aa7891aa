"""Decoding of images from files, bytes, arrays and PIL images to upright RGB."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from levit.errors import ConfigError, ImageError, first_line
from levit.spec.architecture import Grid

ImageSource = str | PathLike[str] | bytes | Image.Image | NDArray[Any]
"""Path, content of an image file, PIL image, or array: uint8 or uint16 [height, width] (gray), or uint8
[height, width, 3] (RGB) or [height, width, 4] (RGBA)."""

IMAGE_TYPES = (str, PathLike, bytes, Image.Image, np.ndarray)
"""The types of `ImageSource`, for `isinstance`."""

MAX_PIXELS = 100_000_000
"""Default limit on the number of pixels of an image."""

_UPRIGHT = 1
_ROTATED = (5, 6, 7, 8)  # the EXIF orientations that exchange height and width
_MAX_REDUCTION = 8  # a JPEG file can be decoded at 1/2, 1/4 or 1/8 of its size

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)

# Pillow's warning about large images is redundant, because the limit is checked here. Its filter list is global state,
# so only one thread at a time may change it.
_WARNING_FILTER = threading.Lock()


def describe_source(source: ImageSource) -> str:
    """Name of an image source in results and errors: its path, or its type with its size.

    Examples:
        >>> describe_source("photos/cat.jpg"), describe_source(np.zeros((480, 640, 3), np.uint8))
        ('photos/cat.jpg', '<ndarray 480x640x3>')
    """
    if isinstance(source, str | PathLike):
        return fspath(source)
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    kind = type(source).__name__
    if isinstance(source, np.ndarray | Image.Image):
        shape = source.shape if isinstance(source, np.ndarray) else source.size[::-1]
        return f"<{kind} {'x'.join(map(str, shape))}>"
    return f"<{kind}>"


def snapshot_source(source: ImageSource) -> ImageSource:
    """Protect a source from later changes by its owner, so that another thread can decode it later.

    An array is copied, because its owner may fill it with the next video frame. A PIL image that was opened and not
    loaded is loaded, because only one thread at a time can read its file; if that fails, decoding it raises the error.
    """
    if isinstance(source, np.ndarray):
        return source.copy()
    if isinstance(source, Image.Image):
        with suppress(Exception):
            source.load()
    return source


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image to RGB and apply its EXIF orientation.

    Transparent pixels are blended with white; palette, gray, 1-bit and CMYK images are converted; 16-bit gray is scaled
    to 8 bits, where Pillow, and with it all other implementations, clips at 255. The first frame of an animation
    is decoded.

    Args:
        source: a path, the bytes of an image file, a PIL image, or an array; see `ImageSource`.
        max_pixels: largest number of pixels; a larger image is refused before it is decoded.

    Returns:
        An RGB image.

    Raises:
        ImageError: the source is not an image, is damaged, too large, or a URL; `source` is its name.

    Examples:
        >>> import numpy as np
        >>> read_image(np.zeros((4, 6), np.uint16)).size
        (6, 4)
    """
    return read_reduced_image(source, None, max_pixels=max_pixels)[0]


def read_reduced_image(
    source: ImageSource, min_side: int | None, *, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, Grid]:
    """Decode an image as `read_image` does, at reduced size where the file format allows it.

    A JPEG file can be decoded at 1/2, 1/4 or 1/8 of its size in a fraction of the time.

    Args:
        source: as for `read_image`.
        min_side: smallest length of a side after the reduction, in pixels; None decodes at full size.
        max_pixels: as for `read_image`.

    Returns:
        An RGB image, and height and width at full size. The last row and column of a reduced image may cover fewer
        pixels than the others, so height and width are not exact multiples of its size.

    Raises:
        ImageError: as for `read_image`.
    """
    name = describe_source(source)
    # The image is closed also after an error, which may be kept in a list of results.
    with image_errors(name), _open(source, name) as image:
        _check_size(image, name, max_pixels)
        full_size = image.height, image.width
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        is_upright = orientation in (None, _UPRIGHT)
        # The last column of a reduced image may be partial; after a rotation that would be its first one.
        is_divisible = not (image.width % _MAX_REDUCTION or image.height % _MAX_REDUCTION)
        is_callers_image = image is source  # it must not change
        if min_side is not None and (is_upright or is_divisible) and not is_callers_image:
            image.draft(image.mode, (min_side, min_side))
        if orientation in _ROTATED:
            full_size = full_size[::-1]
        needs_copy = is_callers_image or not is_upright
        return _to_rgb(ImageOps.exif_transpose(image) if needs_copy else image, name), full_size


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a PIL image to RGB as `read_image` does, but ignore its EXIF orientation.

    Args:
        image: of any mode but "F".

    Returns:
        An RGB image; the same object if it is RGB already.

    Raises:
        ImageError: the image is damaged, empty, or of floating-point pixels.

    Examples:
        >>> from PIL import Image
        >>> to_rgb(Image.new("LA", (2, 1), (0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    name = describe_source(image)
    with image_errors(name):
        _check_size(image, name, max_pixels=None)
        return _to_rgb(image, name)


@contextmanager
def image_errors(name: str) -> Iterator[None]:
    """Convert any error in the block to an `ImageError` whose source is, or begins with, the name of the image."""
    try:
        yield
    except ImageError as error:
        if error.source == name:
            raise
        source = name if error.source is None else f"{name}: {error.source}"
        raise ImageError(error.reason, source=source, hint=error.hint) from error
    except (ConfigError, Warning):  # an option is invalid, or the caller turned warnings into errors
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise errors of almost any type
        reason, hint = _reason_and_hint(error)
        raise ImageError(reason, source=name, hint=hint) from error


def _open(source: ImageSource, name: str) -> AbstractContextManager[Image.Image]:
    if isinstance(source, Image.Image):
        return nullcontext(source)  # its owner closes it
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    if isinstance(source, str) and _URL.match(source):
        raise ImageError("URLs are not fetched", source=name, hint="download the image and give the file")
    if not isinstance(source, str | bytes | PathLike):
        raise ImageError("not a path, bytes, a PIL image or an array", source=name)
    with _WARNING_FILTER, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _check_size(image: Image.Image, name: str, max_pixels: int | None) -> None:
    pixels = image.width * image.height
    if not pixels:
        raise ImageError("the image has no pixels", source=name)
    if max_pixels is not None and pixels > max_pixels:
        raise ImageError(
            f"{pixels / 1e6:.0f} megapixels are more than the limit of {max_pixels / 1e6:.0f}",
            source=name,
            hint="make it smaller, or raise `max_pixels`",
        )


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    is_gray = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    is_color = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    if not (is_gray or is_color):
        expected = "uint8 [height, width, 3 or 4] or uint8 or uint16 [height, width]"
        raise ImageError(f"an array must be {expected}, not {array.dtype} {list(array.shape)}", source=name)
    return Image.fromarray(array)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    image.load()
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 and 32 bits: Pillow would clip them at 255
        values = np.asarray(image).astype(np.float64)
        if image.mode != "I" or values.max() > 255:  # mode I is also used for 8-bit values
            values /= 257
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError("floating-point pixels have no known range", source=name, hint="convert it to 8 bits")
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _reason_and_hint(error: Exception) -> tuple[str, str | None]:
    if isinstance(error, FileNotFoundError):
        return "no such file", None
    if isinstance(error, IsADirectoryError):
        return "a folder, not an image", None
    if isinstance(error, PermissionError):
        return "not readable: permission denied", None
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of a format that Pillow cannot read", None
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than Pillow accepts", "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS too"
    return f"damaged or incomplete ({first_line(error)})", None
