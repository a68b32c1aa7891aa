"""An RGB image -> what the network takes: resized, cropped, normalized."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levit.errors import ImageError
from levit.images.decoding import MAX_PIXELS, ImageSource, describe_source, read_reduced_image
from levit.images.resizing import resize_box
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing

_ENOUGH = 2.9  # a reduced image is still so many times as large as what it is resized to: no answer in fp32 changes
_SHARP = (Image.Resampling.NEAREST, Image.Resampling.BOX)  # filters that jump where a pixel begins
_TALL = 2  # of an image higher than so many times its width, Pillow resizes the columns first


def read_and_preprocess(
    source: ImageSource, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS, exact: bool = False
) -> NDArray[np.uint8]:
    """Read, resize and crop in one, so that whatever goes wrong is an `ImageError`.

    Args:
        source: what `levit.images.decoding.read_image` takes.
        preprocessing: what to do.
        max_pixels: refuse larger images before they are decoded.
        exact: bit for bit as Pillow; otherwise only what the crop keeps is resized (in the mean at most 0.05 gray
            levels away), and a JPEG file several times as large as needed is decoded at a fraction of its size (at
            most 1 gray level).

    Returns:
        uint8 [height, width, 3].

    Raises:
        ImageError: the image cannot be decoded, resized or is refused.
    """
    resize = preprocessing.resize
    is_smooth = preprocessing.resample not in _SHARP
    enough = int(_ENOUGH * resize) if isinstance(resize, int) and is_smooth and not exact else None
    image, whole = read_reduced_image(source, enough, max_pixels=max_pixels)
    try:
        return preprocess(image, preprocessing) if exact else preprocess_fast(image, preprocessing, whole)
    except Exception as error:  # no memory, for instance
        raise ImageError(f"{describe_source(source)}: cannot be resized ({error or type(error).__name__})") from error


def preprocess(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize and crop an RGB image, bit for bit as Pillow and `LevitImageProcessorPil` do.

    Returns:
        uint8 [height, width, 3].
    """
    if preprocessing.resize is not None:
        image = _resize(image, preprocessing)
    if preprocessing.crop is not None:
        height, width = preprocessing.crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image)


def preprocess_fast(image: Image.Image, preprocessing: Preprocessing, whole: Grid | None = None) -> NDArray[np.uint8]:
    """Resize to a shorter side and crop an RGB image, computing only what the crop keeps; else as `preprocess`.

    Args:
        image: RGB, possibly of reduced size.
        preprocessing: what to do.
        whole: height and width before the reduction.

    Returns:
        uint8 [height, width, 3]; of an image that is not reduced at most 0.05 gray levels in the mean away from
        `preprocess`.
    """
    whole = whole or (image.height, image.width)
    resize, crop = preprocessing.resize, preprocessing.crop
    resized = resized_size(*whole, resize) if resize is not None else whole
    is_tall = whole[0] > _TALL * whole[1]
    if not isinstance(resize, int) or crop is None or preprocessing.resample in _SHARP or is_tall:
        return preprocess(image, preprocessing)
    if crop[0] > resized[0] or crop[1] > resized[1]:
        return preprocess(image, preprocessing)
    sizes = image.height, image.width
    reduction = max(1, round(max(whole) / max(sizes)))
    scales = [whole[axis] / resized[axis] / reduction for axis in (0, 1)]
    starts = [(resized[axis] - crop[axis]) // 2 * scales[axis] for axis in (0, 1)]
    ends = [min(starts[axis] + crop[axis] * scales[axis], sizes[axis]) for axis in (0, 1)]
    box = (starts[1], starts[0], ends[1], ends[0])
    return np.asarray(resize_box(image, (crop[1], crop[0]), Image.Resampling(preprocessing.resample), box))


def normalize(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Rescale and normalize, in the arithmetic of `LevitImageProcessorPil`.

    Args:
        images: [B, height, width, 3].
        preprocessing: what to do.

    Returns:
        float32 [B, 3, height, width].
    """
    table = _normalization_table(preprocessing)
    normalized = np.empty((len(images), 3, *images.shape[1:3]), np.float32)
    for channel in range(3):
        # Every index is in the table; numpy fills the result by way of a copy where it is to find that out itself.
        np.take(table[channel], images[..., channel], out=normalized[:, channel], mode="clip")
    return normalized


@lru_cache(maxsize=8)
def _normalization_table(preprocessing: Preprocessing) -> NDArray[np.float32]:
    """The result for each of the 256 values in each channel: [3, 256]."""
    values = np.tile(np.arange(256, dtype=np.float64), (3, 1))
    table = (values * preprocessing.rescale if preprocessing.rescale is not None else values).astype(np.float32)
    if preprocessing.mean is not None and preprocessing.std is not None:
        mean, std = (np.array(one, np.float32)[:, None] for one in (preprocessing.mean, preprocessing.std))
        table = (table - mean) / std
    return table


def _resize(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    resample = Image.Resampling(preprocessing.resample)
    height, width = resized_size(image.height, image.width, preprocessing.resize or min(image.size))
    if height * width > MAX_PIXELS and preprocessing.crop is not None:
        return _resize_center(image, (width, height), preprocessing.crop[::-1], resample)
    return image.resize((width, height), resample)


def resized_size(height: int, width: int, resize: int | Grid) -> Grid:
    """Height and width of an image once it is resized to a shorter side, or to an exact height and width.

    Examples:
        >>> resized_size(480, 640, 256)
        (256, 341)
    """
    if isinstance(resize, tuple):
        return resize
    long = int(resize * max(height, width) / min(height, width))  # rounded down
    return (long, resize) if width <= height else (resize, long)


def _resize_center(
    image: Image.Image, size: tuple[int, int], crop: tuple[int, int], resample: Image.Resampling
) -> Image.Image:
    """Only the part of a resized image that the crop keeps: a line a million pixels long must not fill the memory."""
    kept = [min(crop[axis], size[axis]) for axis in (0, 1)]
    starts = [(size[axis] - kept[axis]) // 2 for axis in (0, 1)]
    scale = [image.size[axis] / size[axis] for axis in (0, 1)]
    left, top = (starts[axis] * scale[axis] for axis in (0, 1))
    right, bottom = ((starts[axis] + kept[axis]) * scale[axis] for axis in (0, 1))
    box = (left, top, min(right, image.width), min(bottom, image.height))
    return image.resize((kept[0], kept[1]), resample, box=box)
