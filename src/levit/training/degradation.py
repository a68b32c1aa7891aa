"""Degradation of crops: fewer pixels, blur and JPEG compression, so that classes are not recognized by them."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageFilter

from levit.images.resizing import Box
from levit.spec.architecture import Grid
from levit.training.option_groups import AugmentationOptions

# Shorter side of a reduced crop, as a fraction of that of the network's input.
_REDUCED_SIDE = (0.3, 0.7)

# Nearest-neighbor resampling makes aliasing, as in Tiny-ImageNet; the others do not, as in most reduced photos.
_FILTERS = (Image.Resampling.NEAREST, Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
_FILTER_WEIGHTS = (1, 2, 2, 2)

_BLUR_RADIUS = (0.3, 0.9)  # standard deviation in pixels
_JPEG_QUALITY = (40, 95)


def degrade_crop(image: Image.Image, box: Box, size: Grid, options: AugmentationOptions) -> tuple[Image.Image, Box]:
    """Reduce, blur and compress a part of an image at random; Python's global generator makes the draws.

    Blur and compression are those of an image that is at most as large as the input, whatever the size of the part.

    Args:
        image: RGB image.
        box: the part.
        size: height and width of the network's input, to which the part is resized afterwards.
        options: the probabilities `downscale`, `blur` and `jpeg`. Without them, nothing is drawn or changed.

    Returns:
        The image and its part; after a degradation, the degraded part alone, and all of it.
    """
    if not (options.downscale or options.blur or options.jpeg):
        return image, box
    crop = image.crop((round(box[0]), round(box[1]), round(box[2]), round(box[3])))
    if _draw(options.downscale):
        (resampling,) = random.choices(_FILTERS, _FILTER_WEIGHTS)  # noqa: S311
        crop = _reduce(crop, random.uniform(*_REDUCED_SIDE) * min(size), resampling)  # noqa: S311
    # A larger crop is reduced to the input afterwards, and would lose almost nothing by blur and compression before it.
    if _draw(options.blur):
        crop = _reduce(crop, min(size)).filter(ImageFilter.GaussianBlur(random.uniform(*_BLUR_RADIUS)))  # noqa: S311
    if _draw(options.jpeg):
        crop = _compress(_reduce(crop, min(size)), random.randint(*_JPEG_QUALITY))  # noqa: S311
    return crop, (0.0, 0.0, float(crop.width), float(crop.height))


def _draw(probability: float) -> bool:
    return random.random() < probability  # noqa: S311


def _reduce(crop: Image.Image, side: float, resampling: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    """Reduce a crop to a shorter side; a smaller crop stays as it is."""
    factor = side / min(crop.size)
    if factor >= 1:
        return crop
    width, height = (max(1, round(length * factor)) for length in crop.size)
    return crop.resize((width, height), resampling)


def _compress(crop: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    crop.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
