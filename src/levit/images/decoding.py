"""Decoding of images from files, bytes, arrays and PIL images to upright RGB."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os import PathLike

from PIL import Image, UnidentifiedImageError

from levit.errors import ConfigError, ImageError, first_line
from levit.fork_safe_lock import ForkSafeLock
from levit.images.arrays import as_pixels
from levit.images.metadata_removal import without_metadata
from levit.images.opening import opened_file
from levit.images.orientation import (
    UPRIGHT,
    current_orientation,
    exchanges_sides,
    read_orientation,
    turn_upright,
    without_orientation,
)
from levit.images.pixel_limit import MAX_PIXELS as MAX_PIXELS
from levit.images.pixel_limit import check_size
from levit.images.pixel_modes import convert_to_rgb, transparent_color
from levit.images.sources import ImageSource as ImageSource
from levit.images.sources import as_stored_image, is_array
from levit.images.sources import describe_source as describe_source
from levit.spec.architecture import Grid

_MAX_REDUCTION = 8  # a JPEG file can be decoded at 1/2, 1/4 or 1/8 of its size

# A scheme has at least two letters: C:// begins a path of Windows.
_URL = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)

_IMAGE_LOCKS = [ForkSafeLock() for _ in range(64)]
_OBJECT_ALIGNMENT = 16  # bytes


def snapshot_source(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> ImageSource:
    """Protect a source from later changes by its owner, so that another thread can decode it later.

    An array is copied, because its owner may fill it with the next video frame; likewise other memory, and an open
    file is read. A PIL image is decoded, because only one thread at a time can read its file, and its owner may change
    its pixels, unless it has more than `max_pixels`. If that fails, the source is returned, and decoding it again
    raises the error.
    """
    if is_array(source):
        return source.copy()
    if isinstance(source, str | bytes | PathLike):
        return source
    with suppress(Exception):
        if isinstance(source, Image.Image):
            return read_image(source, max_pixels=max_pixels)
        return as_stored_image(source, "")
    return source


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image to RGB and apply its EXIF orientation.

    Transparent pixels are blended with white; palette, gray, 1-bit and CMYK images are converted; 16-bit gray is scaled
    to 8 bits, where Pillow, and with it all other implementations, clips at 255. The first frame of an animation
    is decoded.

    Args:
        source: a path, the content of an image file, an open file, a PIL image, an array or a tensor of torch; see
            `levit.images.sources.ImageSource`.
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
    image = read_reduced_image(source, None, max_pixels=max_pixels)[0]
    return without_orientation(image.copy()) if image is source else image


def read_reduced_image(
    source: ImageSource, min_side: int | None, *, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, Grid]:
    """Decode an image as `read_image` does, at reduced size where the file format allows it.

    A JPEG file can be decoded at 1/2, 1/4 or 1/8 of its size in a fraction of the time.

    Args:
        source: as for `read_image`.
        min_side: smallest length of a side after the reduction, in pixels; None decodes at full size.
        max_pixels: as for `read_image`, but at the reduced size; a file that is reduced may have four times as many
            pixels, unless it is a progressive one, for which the decoder needs memory for all of them.

    Returns:
        An RGB image, and height and width at full size. The image is `source` itself if that is an upright RGB image.
        The last row and column of a reduced image may cover fewer pixels than the others, so height and width are not
        exact multiples of its size.

    Raises:
        ImageError: as for `read_image`.
    """
    name = describe_source(source)
    with image_errors(name):
        source = as_stored_image(source, name)
        if isinstance(source, Image.Image):
            image = _read_pil_image(source, name, max_pixels)
            return image, (image.height, image.width)
        if is_array(source):
            image = Image.fromarray(as_pixels(source, name))
            check_size(image.size, name, max_pixels)
            image = convert_to_rgb(image, name)
            return image, (image.height, image.width)
        return _read_file(source, name, min_side, max_pixels)


def read_image_file(
    source: str | PathLike[str] | bytes, keeps_mode: Callable[[Image.Image], bool], *, name: str | None = None
) -> Image.Image:
    """Decode an image file as `read_image` does, but convert it to RGB only if its mode requires it.

    Args:
        source: path or content of the file.
        keeps_mode: returns whether a decoded image, which is not turned yet, keeps its mode.
        name: name of the image for errors; default: that of `describe_source`.

    Returns:
        An upright image, which is RGB unless it keeps its mode.

    Raises:
        ImageError: as for `read_image`.

    Examples:
        >>> read_image_file("examples/cat.jpg", lambda image: image.mode == "L").mode
        'RGB'
    """
    name = describe_source(source) if name is None else name
    with image_errors(name):
        return _read_file(source, name, None, MAX_PIXELS, keeps_mode)[0]


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
    with image_errors(name), _lock_of(image):
        check_size(image.size, name, None)
        transparency = transparent_color(image)
        image.load()
        return convert_to_rgb(image, name, transparency)


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


def _read_file(
    source: str | PathLike[str] | bytes,
    name: str,
    min_side: int | None,
    max_pixels: int,
    keeps_mode: Callable[[Image.Image], bool] | None = None,
) -> tuple[Image.Image, Grid]:
    """Decode an image file; one that Pillow refuses is tried again without its metadata."""
    if isinstance(source, str) and _URL.match(source):
        raise ImageError("URLs are not downloaded", source=name, hint="download the image and give the file")
    try:
        return _decode_file(source, name, min_side, max_pixels, keeps_mode)
    except (ImageError, Warning):
        raise
    except Exception as error:
        is_of_file_system = getattr(error, "errno", None) is not None
        content = None if is_of_file_system else without_metadata(source)
        if content is None:
            raise
        with suppress(Exception):
            return _decode_file(content, name, min_side, max_pixels, keeps_mode)
        raise


def _decode_file(
    source: str | PathLike[str] | bytes,
    name: str,
    min_side: int | None,
    max_pixels: int,
    keeps_mode: Callable[[Image.Image], bool] | None,
) -> tuple[Image.Image, Grid]:
    # The image is closed also after an error, which may be kept in a list of results.
    with opened_file(source, name, max_pixels, is_reducible=min_side is not None) as image:
        size, orientation = image.size, read_orientation(image)
        transparency = transparent_color(image)
        # The last column of a reduced image may be partial; after a rotation that would be its first one.
        is_divisible = not (image.width % _MAX_REDUCTION or image.height % _MAX_REDUCTION)
        is_jpeg = (
            min_side is not None
            and (orientation == UPRIGHT or is_divisible)
            and image.draft(image.mode, (min_side, min_side)) is not None
        )
        check_size(image.size, name, max_pixels)
        image.load()
        if not is_jpeg:  # Pillow turns TIFF files while it loads them, and metadata of PNG files may follow the pixels
            size, orientation = image.size, read_orientation(image)
        is_kept = keeps_mode is not None and keeps_mode(image)
        upright = turn_upright(image if is_kept else convert_to_rgb(image, name, transparency), orientation)
        width, height = size[::-1] if exchanges_sides(orientation) else size
        return upright, (height, width)


def _read_pil_image(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    """Decode a PIL image, which belongs to the caller and must not change: itself, if it is RGB and upright."""
    with _lock_of(image):
        check_size(image.size, name, max_pixels)
        transparency = transparent_color(image)
        image.load()
        orientation = current_orientation(image)
        upright = turn_upright(convert_to_rgb(image, name, transparency), orientation)
        return upright if upright is image else without_orientation(upright)


def _lock_of(image: Image.Image) -> ForkSafeLock:
    """Lock of a PIL image of the caller, whose file only one thread at a time can read; unequal images may share it."""
    return _IMAGE_LOCKS[id(image) // _OBJECT_ALIGNMENT % len(_IMAGE_LOCKS)]


def _reason_and_hint(error: Exception) -> tuple[str, str | None]:
    if isinstance(error, FileNotFoundError):
        return "no such file", None
    if isinstance(error, IsADirectoryError):
        return "a folder, not an image", None
    if isinstance(error, PermissionError):
        return "not readable: permission denied", None
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a supported format", None
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than Pillow accepts", "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS too"
    return f"damaged or incomplete ({first_line(error)})", None
