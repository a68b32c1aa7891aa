"""The values of one image: how deep they are, and what becomes RGB.

Shapes: C channels, H height, W width.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import inf, isfinite

import torch
from torch import Tensor

from levit.errors import ImageError
from levit.image_processing.processor_options import Options

# The smallest and the largest value of an image.
ValueRange = tuple[float, float]

# What white may be: an image is taken to be of the first scale that holds its values.
WHITES = (1, 255, 65535)

# Who gives a rescale_factor below this scales 16-bit values, which then stay as they are.
DEEP_FACTOR = 1 / 1000


def value_ranges(images: Sequence[Tensor]) -> list[ValueRange]:
    """The range of the values of each image, read from its device only where its type does not say it already."""
    is_deep = [pixels.dtype not in (torch.uint8, torch.bool) for pixels in images]
    extremes = [torch.stack(images[number].detach().float().aminmax()) for number, deep in enumerate(is_deep) if deep]
    # One answer for all of them, because a GPU waits for each question.
    answers = torch.stack([one.to(extremes[0].device) for one in extremes]).tolist() if extremes else []
    found = iter(answers)
    return [tuple(next(found)) if deep else (0.0, 255.0) for deep in is_deep]


def convert_depth(pixels: Tensor, value_range: ValueRange, options: Options) -> Tensor:
    """uint8 where the values are of 8 bits or are made so, float32 otherwise.

    True is white, and 16 bits are scaled to 8, unless `do_convert_rgb=False` leaves everything as it is.

    Raises:
        ImageError: some values are not finite, or beyond what `do_rescale` expects.
    """
    low, high = value_range
    if not (isfinite(low) and isfinite(high)):
        raise ImageError("some values are not finite (NaN or infinity)")
    keeps = options["do_convert_rgb"] is False
    if pixels.dtype == torch.bool:
        return pixels.to(torch.uint8) * (1 if keeps else 255)
    expects_deep = options["do_rescale"] and 0 < options["rescale_factor"] < DEEP_FACTOR
    if pixels.dtype == torch.uint16 and not (keeps or expects_deep):
        return ((pixels.to(torch.int32) + 128) // 257).to(torch.uint8)  # rounded: no value lies halfway
    is_bounded = options["do_resize"] and options["do_rescale"] and not expects_deep
    if is_bounded and (low < 0 or high > 255):
        raise ImageError(
            f"its values are {low:g} to {high:g}, where do_rescale expects 0 to 255: scale it, or set do_rescale=False"
        )
    if pixels.is_floating_point():
        if options["do_rescale"] and options["rescale_factor"] != 1 and low >= 0 and 0 < high <= 1:
            warnings.warn("the values are already between 0 and 1: set do_rescale=False", stacklevel=2)
        return pixels.to(torch.float32)
    return pixels.to(torch.uint8 if low >= 0 and high <= 255 else torch.float32)


def convert_channels(pixels: Tensor, value_range: ValueRange, options: Options) -> Tensor:
    """RGB where the number of channels is not that of `image_mean`, or where `do_convert_rgb` says so.

    Args:
        pixels: [C, H, W].
        value_range: of the image before its depth was converted.
        options: plain ones.

    Raises:
        ImageError: nobody knows how these channels become RGB.
    """
    convert, channels = options["do_convert_rgb"], len(pixels)
    if convert is False or (convert is None and channels == wanted_channels(options)):
        return pixels
    if channels in (2, 4):
        pixels = _on_white(pixels, value_range)
    if len(pixels) == 1:
        return pixels.repeat(3, 1, 1)
    if len(pixels) != 3:
        raise ImageError(
            f"it has {channels} channels: give 1 to 4, or an image_mean and image_std with one number for each"
        )
    return pixels


def wanted_channels(options: Options) -> int:
    """How many channels an image has that need not be converted."""
    mean = options["image_mean"]
    return len(mean) if isinstance(mean, tuple) else 3


def full_scale(largest: float) -> float:
    """The value of white in an image, by its largest value."""
    return next((white for white in WHITES if largest <= white), inf)


def _on_white(pixels: Tensor, value_range: ValueRange) -> Tensor:
    """The colors on a white ground; the last channel is their opacity."""
    colors, opacity = pixels[:-1], pixels[-1:]
    if pixels.dtype == torch.uint8:
        colors, opacity = colors.to(torch.int32), opacity.to(torch.int32)
        return ((colors * opacity + 255 * (255 - opacity) + 127) // 255).to(torch.uint8)  # rounded as Pillow does
    white = full_scale(value_range[1])
    if white == inf:
        raise ImageError(f"its values are up to {value_range[1]:g}: nobody knows what is opaque")
    return colors * (opacity / white) + (white - opacity)
