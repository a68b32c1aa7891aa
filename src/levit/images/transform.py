"""Preprocessing of RGB images for the network: resize, center crop, rescale and normalize."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image

from levit.errors import ImageError, first_line
from levit.images.decoding import MAX_PIXELS, ImageSource, describe_source, read_reduced_image
from levit.images.resizing import resize_box
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A JPEG file is decoded at reduced size only if the result is at least this many times larger than the size that it is
# resized to. With 2.9, no prediction in fp32 changes. Files for small sizes are small, with details of few pixels.
_MIN_OVERSAMPLING, _MIN_OVERSAMPLING_OF_SMALL = 2.9, 4.5
_SMALL, _TINY = 72, 24  # pixels
_DISCONTINUOUS_FILTERS = (Image.Resampling.NEAREST, Image.Resampling.BOX)  # their weights jump at pixel edges
_TALL_RATIO = 2  # Pillow resizes the columns first if the height is more than this many times the width


def read_and_preprocess(
    source: ImageSource, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS, exact: bool = False
) -> NDArray[np.uint8]:
    """Decode, resize and crop an image to an array: uint8 [height, width, 3]; see `read_network_input`."""
    import numpy as np

    return np.asarray(read_network_input(source, preprocessing, max_pixels=max_pixels, exact=exact)[0])


def read_network_input(
    source: ImageSource, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS, exact: bool = False
) -> tuple[Image.Image, Grid]:
    """Decode, resize and crop an image.

    Args:
        source: as for `levit.images.decoding.read_image`.
        preprocessing: the steps; rescaling and normalization are left to `normalize`.
        max_pixels: largest number of pixels; a larger image is refused before it is decoded.
        exact: True for a result that equals Pillow's bit for bit. Otherwise only the region that the crop keeps is
            resized (mean difference at most 0.05 gray levels), and a JPEG file several times larger than needed is
            decoded at a fraction of its size (mean difference at most 1 gray level).

    Returns:
        An RGB image, of the height and width of the network's input; and height and width of the upright image at full
        size, in pixels.

    Raises:
        ImageError: the image cannot be decoded or resized, or is too large.
    """
    resize = preprocessing.resize
    is_continuous = preprocessing.resample not in _DISCONTINUOUS_FILTERS
    min_side = _min_reduced_side(resize) if isinstance(resize, int) and is_continuous and not exact else None
    image, full_size = read_reduced_image(source, min_side, max_pixels=max_pixels)
    try:
        resized = (
            resize_and_crop(image, preprocessing) if exact else resize_and_crop_fast(image, preprocessing, full_size)
        )
        return resized.copy() if resized is source else resized, full_size  # the caller may change its image
    except Exception as error:  # MemoryError, for instance
        raise ImageError(f"cannot be resized ({first_line(error)})", source=describe_source(source)) from error


def preprocess(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize and crop an RGB image to an array, as `resize_and_crop` does.

    Returns:
        uint8 [height, width, 3].
    """
    import numpy as np

    return np.asarray(resize_and_crop(image, preprocessing))


def resize_and_crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Resize and crop an RGB image, bit for bit as Pillow and `LevitImageProcessorPil` do."""
    if preprocessing.resize is not None:
        image = _resize(image, preprocessing)
    return image if preprocessing.crop is None else _crop_center(image, preprocessing.crop)


def resize_and_crop_fast(
    image: Image.Image, preprocessing: Preprocessing, full_size: Grid | None = None
) -> Image.Image:
    """Resize an RGB image to a shorter side and crop it, computing only the pixels that the crop keeps.

    Where that is not possible (a resize to exact height and width, no crop or one larger than the image, filters that
    are not continuous, tall images), the result is that of `resize_and_crop`. The size of the result and the position
    of the crop are those of the image at full size.

    Args:
        image: RGB; decoded at reduced size only for a resize to a shorter side with a continuous filter.
        preprocessing: the steps; rescaling and normalization are left to `normalize`.
        full_size: height and width in pixels before the reduction; None means those of `image`.

    Returns:
        An RGB image; the mean difference from `resize_and_crop` is at most 0.05 gray levels, or 1 for a photo that was
        decoded at reduced size.
    """
    size = image.height, image.width
    full_size = full_size or size
    reduction = _reduction(size, full_size)
    resize, crop = preprocessing.resize, preprocessing.crop
    resized = resized_size(*full_size, resize) if resize is not None else full_size
    is_tall = full_size[0] > _TALL_RATIO * full_size[1]
    is_discontinuous = preprocessing.resample in _DISCONTINUOUS_FILTERS
    if reduction == 1 and (not isinstance(resize, int) or crop is None or is_discontinuous or is_tall):
        return resize_and_crop(image, preprocessing)
    crop = crop or resized
    kept = min(crop[0], resized[0]), min(crop[1], resized[1])
    if reduction == 1 and kept != crop:
        return resize_and_crop(image, preprocessing)
    scales = [full_size[axis] / resized[axis] / reduction for axis in (0, 1)]
    starts = [(resized[axis] - kept[axis]) // 2 * scales[axis] for axis in (0, 1)]
    ends = [min(starts[axis] + kept[axis] * scales[axis], size[axis]) for axis in (0, 1)]
    box = (starts[1], starts[0], ends[1], ends[0])
    center = resize_box(image, (kept[1], kept[0]), Image.Resampling(preprocessing.resample), box)
    return center if kept == crop else _crop_center(center, crop)


def normalize(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Rescale and normalize images, in the arithmetic of `LevitImageProcessorPil`.

    Args:
        images: uint8 [B, height, width, 3].
        preprocessing: `rescale`, `mean` and `std` are used.

    Returns:
        float32 [B, 3, height, width].
    """
    import numpy as np

    table = _normalization_table(preprocessing)
    normalized = np.empty((len(images), 3, *images.shape[1:3]), np.float32)
    for channel in range(3):
        # Every index is valid; with any other mode than "clip", numpy checks them in a temporary copy of the result.
        np.take(table[channel], images[..., channel], out=normalized[:, channel], mode="clip")
    return normalized


@lru_cache(maxsize=8)
def _normalization_table(preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Normalized value of each of the 256 pixel values in each channel: float32 [3, 256]."""
    import numpy as np

    values = np.tile(np.arange(256, dtype=np.float64), (3, 1))
    table = (values * preprocessing.rescale if preprocessing.rescale is not None else values).astype(np.float32)
    if preprocessing.mean is not None and preprocessing.std is not None:
        mean, std = (np.array(channels, np.float32)[:, None] for channels in (preprocessing.mean, preprocessing.std))
        table = (table - mean) / std
    return table


def resized_size(height: int, width: int, resize: int | Grid) -> Grid:
    """Height and width of an image after resizing.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        resize: length of the shorter side (the longer side keeps the aspect ratio, rounded down), or exact height and
            width.

    Examples:
        >>> resized_size(480, 640, 256)
        (256, 341)
    """
    if isinstance(resize, tuple):
        return resize
    longer = int(resize * max(height, width) / min(height, width))  # rounded down
    return (longer, resize) if width <= height else (resize, longer)


def _min_reduced_side(resize: int) -> int | None:
    """Smallest side, in pixels, at which an image is decoded that is then resized to `resize`; None for full size."""
    if resize < _TINY:
        return None
    return int((_MIN_OVERSAMPLING_OF_SMALL if resize < _SMALL else _MIN_OVERSAMPLING) * resize)


def _crop_center(image: Image.Image, crop: Grid) -> Image.Image:
    """Crop the center to height and width; a smaller image is padded with zeros."""
    height, width = crop
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _reduction(size: Grid, full_size: Grid) -> int:
    """Factor by which an image was reduced when it was decoded: 1, 2, 4 or 8, with sides rounded up."""
    factors = (1, 2, 4, 8)
    return next(factor for factor in factors if size == (-(-full_size[0] // factor), -(-full_size[1] // factor)))


def _resize(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    resample = Image.Resampling(preprocessing.resample)
    height, width = resized_size(image.height, image.width, preprocessing.resize or min(image.size))
    if height * width > MAX_PIXELS and preprocessing.crop is not None:
        return _resize_center(image, (width, height), preprocessing.crop[::-1], resample)
    return image.resize((width, height), resample)


def _resize_center(
    image: Image.Image, size: tuple[int, int], crop: tuple[int, int], resample: Image.Resampling
) -> Image.Image:
    """Resize only the center that the crop keeps, to bound the memory for an image of, say, 1 x 1,000,000 pixels."""
    kept = [min(crop[axis], size[axis]) for axis in (0, 1)]
    starts = [(size[axis] - kept[axis]) // 2 for axis in (0, 1)]
    scale = [image.size[axis] / size[axis] for axis in (0, 1)]
    left, top = (starts[axis] * scale[axis] for axis in (0, 1))
    right, bottom = ((starts[axis] + kept[axis]) * scale[axis] for axis in (0, 1))
    box = (left, top, min(right, image.width), min(bottom, image.height))
    return image.resize((kept[0], kept[1]), resample, box=box)
