"""Bit depth, value range and channels of images, and their conversion to 8-bit RGB.

Shapes: C channels, H height, W width.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import inf, isfinite

import torch
from torch import Tensor

from levit.errors import ImageError, LevitWarning
from levit.image_processing.processor_options import Options

# Minimum and maximum of an image.
ValueRange = tuple[float, float]

# Possible values of white; the full scale of an image is the first that is at least its maximum.
FULL_SCALES = (1, 255, 65535)

# A rescale_factor below this applies to 16-bit values, which are then not scaled to 8 bits.
MAX_16_BIT_RESCALE_FACTOR = 1 / 1000


def value_ranges(images: Sequence[Tensor]) -> list[ValueRange]:
    """Return minimum and maximum of each image; (0, 255) for uint8 and bool, whose values are not read.

    Args:
        images: tensors [C, H, W] of any real dtype, on any device.
    """
    is_8_bit = [pixels.dtype in (torch.uint8, torch.bool) for pixels in images]
    extremes = [
        torch.stack(pixels.detach().float().aminmax())
        for pixels, skip in zip(images, is_8_bit, strict=True)
        if not skip
    ]
    # One transfer for all images, because each transfer synchronizes with the GPU.
    ranges = iter(torch.stack([pair.to(extremes[0].device) for pair in extremes]).tolist() if extremes else [])
    return [(0.0, 255.0) if skip else tuple(next(ranges)) for skip in is_8_bit]


def convert_depth(pixels: Tensor, value_range: ValueRange, options: Options) -> Tensor:
    """Convert an image to uint8 if its values are integers of 8 bits or are scaled to 8 bits, otherwise to float32.

    True becomes 255, and uint16 is scaled to 8 bits, unless `do_convert_rgb=False` keeps all values.

    Args:
        pixels: [C, H, W], of any real dtype.
        value_range: minimum and maximum of the image.
        options: normalized options.

    Returns:
        [C, H, W], uint8 or float32.

    Raises:
        ImageError: values are not finite, or outside the range that `do_rescale` expects.
    """
    low, high = value_range
    if not (isfinite(low) and isfinite(high)):
        raise ImageError("some values are not finite (NaN or infinity)")
    keeps_values = options["do_convert_rgb"] is False
    if pixels.dtype == torch.bool:
        return pixels.to(torch.uint8) * (1 if keeps_values else 255)
    if pixels.dtype == torch.uint16 and not (keeps_values or expects_16_bits(options)):
        return ((pixels.to(torch.int32) + 128) // 257).to(torch.uint8)  # rounded; there are no ties
    is_bounded = options["do_resize"] and options["do_rescale"] and not expects_16_bits(options)
    if is_bounded and (low < 0 or high > 255):
        raise ImageError(
            f"values are from {low:g} to {high:g}, but `do_rescale` expects 0 to 255",
            hint="scale the image, or set `do_rescale` to False",
        )
    if pixels.is_floating_point():
        if options["do_rescale"] and options["rescale_factor"] != 1 and low >= 0 and 0 < high <= 1:
            text = "the values are already between 0 and 1: set do_rescale=False"
            warnings.warn(text, LevitWarning, stacklevel=2)
        return pixels.to(torch.float32)
    return pixels.to(torch.uint8 if low >= 0 and high <= 255 else torch.float32)


def convert_channels(pixels: Tensor, value_range: ValueRange, options: Options) -> Tensor:
    """Convert an image to RGB if its number of channels differs from that of `image_mean` or `do_convert_rgb` is True.

    One channel is gray, two are gray and opacity, four are RGB and opacity.

    Args:
        pixels: [C, H, W], uint8 or float32.
        value_range: minimum and maximum of the image before the conversion of its depth.
        options: normalized options.

    Returns:
        [3, H, W], or the image unchanged.

    Raises:
        ImageError: an image with this number of channels cannot be converted to RGB.
    """
    convert, channels = options["do_convert_rgb"], len(pixels)
    if convert is False or (convert is None and channels == num_expected_channels(options)):
        return pixels
    if channels in (2, 4):
        pixels = _blend_on_white(pixels, value_range)
    if len(pixels) == 1:
        return pixels.repeat(3, 1, 1)
    if len(pixels) != 3:
        raise ImageError(
            f"{channels} channels cannot be converted to RGB",
            hint="use 1 to 4 channels, or `image_mean` and `image_std` with one number per channel",
        )
    return pixels


def expects_16_bits(options: Options) -> bool:
    """Return whether `rescale_factor` is so small that it applies to 16-bit values."""
    return bool(options["do_rescale"] and 0 < options["rescale_factor"] < MAX_16_BIT_RESCALE_FACTOR)


def num_expected_channels(options: Options) -> int:
    """Return the number of channels of images that are not converted to RGB: the length of `image_mean`, or 3."""
    mean = options["image_mean"]
    return len(mean) if isinstance(mean, tuple) else 3


def full_scale(maximum: float) -> float:
    """Return the value of white in an image with this maximum: 1, 255, 65535, or infinity."""
    return next((scale for scale in FULL_SCALES if maximum <= scale), inf)


def _blend_on_white(pixels: Tensor, value_range: ValueRange) -> Tensor:
    """Blend the colors with a white background by the last channel, the opacity."""
    colors, opacity = pixels[:-1], pixels[-1:]
    if pixels.dtype == torch.uint8:
        colors, opacity = colors.to(torch.int32), opacity.to(torch.int32)
        return ((colors * opacity + 255 * (255 - opacity) + 127) // 255).to(torch.uint8)  # rounded as Pillow does
    white = full_scale(value_range[1])
    if white == inf:
        raise ImageError(f"the opacity of values up to {value_range[1]:g} is undefined", hint="use at most 65535")
    return colors * (opacity / white) + (white - opacity)
