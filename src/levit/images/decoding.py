"""An image from wherever it is -> RGB, upright."""

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

from levit.errors import ConfigError, ImageError
from levit.spec.architecture import Grid

ImageSource = str | PathLike[str] | bytes | Image.Image | NDArray[Any]

IMAGE_TYPES = (str, PathLike, bytes, Image.Image, np.ndarray)

MAX_PIXELS = 100_000_000

_UPRIGHT = 1
_MOST_REDUCED = 8  # times smaller is the smallest that a JPEG file can be decoded to
_ON_THE_SIDE = (5, 6, 7, 8)  # the orientations that exchange height and width

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)

# Pillow's warning about large images is no news: the limit here is checked anyway. Its filter list is global state,
# so only one thread at a time may change it.
_WARNING_FILTER = threading.Lock()


def describe_source(source: ImageSource) -> str:
    """What to call an image in a result or an error: its path, or what kind of thing it is."""
    if isinstance(source, str | PathLike):
        return fspath(source)
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    kind = type(source).__name__
    if isinstance(source, np.ndarray | Image.Image):
        shape = source.shape if isinstance(source, np.ndarray) else source.size[::-1]
        return f"<{kind} {'x'.join(map(str, shape))}>"
    return f"<{kind}>"


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image to RGB, upright.

    The EXIF orientation is applied; transparency is laid on white; palette, gray, 1-bit and CMYK images are converted;
    16-bit gray is scaled to 8 bits, where Pillow and with it all other implementations clip at 255.

    Args:
        source: a path, the bytes of an image file, a PIL image, or an array: uint8 or uint16 [height, width] (gray), or
            uint8 [height, width, 3] (RGB) or [height, width, 4] (RGBA).
        max_pixels: refuse larger images before they are decoded.

    Returns:
        An RGB image.

    Raises:
        ImageError: the source is no image, is damaged, too large, or a URL; the message starts with its name.

    Examples:
        >>> import numpy as np
        >>> read_image(np.zeros((4, 6), np.uint16)).size
        (6, 4)
    """
    return read_reduced_image(source, None, max_pixels=max_pixels)[0]


def read_reduced_image(
    source: ImageSource, enough: int | None, *, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, Grid]:
    """Decode an image as `read_image` does, but no larger than it is needed.

    A JPEG file can be decoded at a half, a quarter or an eighth of its size in a fraction of the time.

    Args:
        source: what `read_image` takes.
        enough: no side becomes shorter than this by it; None for the whole image.
        max_pixels: refuse larger images before they are decoded.

    Returns:
        An RGB image, and the height and width of the whole: a reduced image may end in part of a pixel.
    """
    name = describe_source(source)
    # The image is closed also after an error, which may live on in a list of results.
    with image_errors(name), _open(source, name) as image:
        _check_size(image, name, max_pixels)
        whole = image.height, image.width
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        is_upright = orientation in (None, _UPRIGHT)
        # A reduced image may end in part of a pixel; turned, it would begin with it.
        is_even = is_upright or not (image.width % _MOST_REDUCED or image.height % _MOST_REDUCED)
        if enough is not None and is_even and image is not source:  # a caller's own image is left as it is
            image.draft(image.mode, (enough, enough))
        if orientation in _ON_THE_SIDE:
            whole = whole[::-1]
        is_ready = is_upright and image is not source  # nothing to turn, and nobody else's
        return _to_rgb(image if is_ready else ImageOps.exif_transpose(image), name), whole


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an opened image to RGB as `read_image` does, but leave it lying as it lies.

    Args:
        image: of any mode but "F".

    Returns:
        An RGB image; the same one where nothing is to be done.

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
    """Turn whatever goes wrong with an image inside into an `ImageError` that starts with its name."""
    try:
        yield
    except ImageError as error:
        if str(error).startswith(f"{name}: "):
            raise
        raise ImageError(f"{name}: {error}") from error
    except (ConfigError, Warning):  # an option is at fault, or the caller wants warnings raised
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        raise ImageError(f"{name}: {_reason(error)}") from error


def snapshot_source(source: ImageSource) -> ImageSource:
    """A source that stays what it is when it is read later, in another thread.

    An array is copied, because its owner may fill it with the next frame. A PIL image that was opened and not loaded
    is loaded, because its file can only be read by one thread at a time; one that cannot be loaded is left, and says
    so when it is read.
    """
    if isinstance(source, np.ndarray):
        return source.copy()
    if isinstance(source, Image.Image):
        with suppress(Exception):
            source.load()
    return source


def _open(source: ImageSource, name: str) -> AbstractContextManager[Image.Image]:
    if isinstance(source, Image.Image):
        return nullcontext(source)  # its owner closes it
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    if isinstance(source, str) and _ADDRESS.match(source):
        raise ImageError(f"{name}: addresses are not fetched: download the image and give the file")
    if not isinstance(source, str | bytes | PathLike):
        raise ImageError(f"{name}: give a path, bytes, a PIL image or an array")
    with _WARNING_FILTER, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _check_size(image: Image.Image, name: str, max_pixels: int | None) -> None:
    pixels = image.width * image.height
    if not pixels:
        raise ImageError(f"{name}: there are no pixels in it")
    if max_pixels is not None and pixels > max_pixels:
        raise ImageError(
            f"{name}: {pixels / 1e6:.0f} megapixels are more than the limit of {max_pixels / 1e6:.0f}: "
            "make it smaller, or raise max_pixels"
        )


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    is_gray = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    is_color = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    if not (is_gray or is_color):
        raise ImageError(
            f"{name}: an array must be uint8 [height, width, 3 or 4] or uint8 or uint16 [height, width], "
            f"not {array.dtype} {list(array.shape)}"
        )
    return Image.fromarray(array)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    image.load()
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 and 32 bits: Pillow would clip them at 255
        values = np.asarray(image).astype(np.float64)
        if image.mode != "I" or values.max() > 255:  # 32 bits are also what 8-bit values are sometimes kept in
            values /= 257
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError(f"{name}: floating-point pixels have no known range: convert it to 8 bits")
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder, not an image"
    if isinstance(error, PermissionError):
        return "not readable: permission denied"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of a format that Pillow cannot read"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than Pillow accepts: make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS too"
    return f"damaged or incomplete ({' '.join(str(error).split()) or type(error).__name__})"
