"""What an image processor is called with -> its images as tensors, one by one, or a word on what is wrong with which.

Shapes: C channels, H height, W width.
"""

from __future__ import annotations

import base64
import warnings
from contextlib import suppress
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers.image_utils import load_image

from levit.errors import ConfigError, ImageError
from levit.image_processing.pixel_formats import convert_channels, convert_depth, value_ranges, wanted_channels
from levit.image_processing.processor_options import Options
from levit.images.decoding import image_errors, read_image, to_rgb


class InputImage(NamedTuple):
    """One image of a call.

    Attributes:
        pixels: [C, H, W], uint8 or float32.
        channels_last: whether it was given as [H, W, C].
    """

    pixels: Tensor
    channels_last: bool


def open_images(images: Any, options: Options, device: str | None = None) -> list[InputImage]:
    """The images that a processor is called with, in the form in which they are resized.

    Images whose number of channels is not that of `image_mean` become RGB: gray is repeated, transparency laid on
    white, 16-bit values scaled to 8 bits. `do_convert_rgb=True` converts all of them, `do_convert_rgb=False` none.

    Args:
        images: a path, an address, the bytes of a file, a PIL image, an array, a tensor, a batch [N, …], or nested
            lists of these.
        options: those of the processor and the call, plain.
        device: where to; None leaves tensors on theirs.

    Raises:
        ImageError: one of them is no image or cannot be used; the message starts with "image 3: " for the fourth.
        ConfigError: `image_mean` does not fit the channels of one of them.
    """
    sources = _flatten(images, options)
    opened = []
    for number, source in enumerate(sources):
        with image_errors(f"image {number}"):
            image = _channels_first(_load(source, options), source, options)
            opened.append(image._replace(pixels=image.pixels.to(device)) if device else image)
    ranges = value_ranges([image.pixels for image in opened])
    for number, (image, value_range) in enumerate(zip(opened, ranges, strict=True)):
        with image_errors(f"image {number}"):
            pixels = convert_depth(image.pixels, value_range, options)
            opened[number] = image._replace(pixels=convert_channels(pixels, value_range, options))
            _check_channels(number, len(opened[number].pixels), options)
    return opened


def _flatten(images: Any, options: Options) -> list[Any]:
    if isinstance(images, list | tuple):
        return [one for part in images for one in _flatten(part, options)]
    batch_dimensions = 3 if options["input_data_format"] == "none" else 4
    if isinstance(images, np.ndarray | Tensor) and images.ndim == batch_dimensions:
        return list(images)
    return [images]


def _load(source: Any, options: Options) -> Tensor:
    if isinstance(source, str):
        source = _read_text(source)
    elif isinstance(source, bytes | PathLike):
        source = read_image(source)
    if isinstance(source, Image.Image):
        source = _picture(source, options)
    if isinstance(source, np.ndarray):
        return _tensor(source)
    if isinstance(source, Tensor):
        return source
    raise ImageError(f"give a path, bytes, a PIL image, an array or a tensor, not {type(source).__name__}")


def _read_text(text: str) -> Image.Image:
    """An image from a path, a web address, or the text (base64) of an encoded file."""
    if text.startswith(("http://", "https://")):
        try:
            return load_image(text)
        except Exception as error:
            raise ImageError(f"{text}: cannot be fetched ({error})") from error
    if text.startswith("data:image/"):
        return read_image(_decoded(text.partition(",")[2]))
    try:
        return read_image(text)
    except ImageError as error:
        with suppress(ImageError):
            return read_image(_decoded(text))
        if len(text) > 1000:
            raise ImageError(f"a text of {len(text)} characters is neither a path nor an image") from error
        raise


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise ImageError(f"the text is no image in base64 ({error})") from error


def _picture(image: Image.Image, options: Options) -> NDArray[Any]:
    """The pixels of a PIL image, as RGB unless they are asked for as they are."""
    bands = len(image.getbands())
    is_wanted = bands != 3 and bands == wanted_channels(options) and image.mode not in ("P", "PA")
    keeps = options["do_convert_rgb"] is False or (options["do_convert_rgb"] is None and is_wanted)
    if keeps or image.mode == "F" or image.mode.startswith("I;16"):
        return np.array(image)  # what is left of the conversion is that of arrays
    return np.array(to_rgb(image))


def _tensor(array: NDArray[Any]) -> Tensor:
    if array.dtype.kind not in "buif":
        raise ImageError(f"an array must be of numbers, not {array.dtype}")
    dtype = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # it is refused as infinite later
        return torch.from_numpy(np.require(array, dtype, ["C", "W"]))  # torch warns of arrays that cannot be written


def _channels_first(pixels: Tensor, source: Any, options: Options) -> InputImage:
    if pixels.is_complex():
        raise ImageError("a tensor must be of real numbers")
    is_picture = not isinstance(source, np.ndarray | Tensor)
    if pixels.ndim == 2:
        image = InputImage(pixels[None], channels_last=is_picture)
    elif pixels.ndim == 3:
        is_last = is_picture or _is_channels_last(tuple(pixels.shape), options)
        image = InputImage(pixels.permute(2, 0, 1) if is_last else pixels, channels_last=is_last)
    else:
        raise ImageError(f"the shape {list(pixels.shape)} is not that of an image: give [H, W], [H, W, C] or [C, H, W]")
    if not image.pixels.numel():
        raise ImageError("there are no pixels in it")
    return image


def _is_channels_last(shape: tuple[int, ...], options: Options) -> bool:
    if options["input_data_format"] in ("channels_first", "channels_last"):
        return bool(options["input_data_format"] == "channels_last")
    wanted = wanted_channels(options)
    first, last = (size in (1, 3, 4, wanted) for size in (shape[0], shape[2]))
    if not (first or last):
        raise ImageError(
            f"neither the first nor the last axis of the shape {list(shape)} has 1, 3 or 4 channels: "
            "say input_data_format"
        )
    if first and last:
        last = shape[2] == wanted != shape[0]
        warnings.warn(
            f"an image of shape {list(shape)} is taken for channels {'last' if last else 'first'}: "
            "say input_data_format",
            stacklevel=2,
        )
        return last
    return last


def _check_channels(number: int, channels: int, options: Options) -> None:
    mean = options["image_mean"]
    if options["do_normalize"] and isinstance(mean, tuple) and len(mean) != channels:
        raise ConfigError(
            f"image_mean has the length {len(mean)}, but image {number} has {channels} channels: "
            "give one number for each, or one for all"
        )
