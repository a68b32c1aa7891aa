"""Inputs of an image processor: conversion of paths, bytes, PIL images, arrays and tensors to tensors.

Shapes: C channels, H height, W width.
"""

from __future__ import annotations

import base64
import warnings
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from levit.errors import ConfigError, ImageError, LevitWarning, first_line
from levit.image_processing.pixel_formats import (
    convert_channels,
    convert_depth,
    expects_16_bits,
    num_expected_channels,
    value_ranges,
)
from levit.image_processing.processor_options import Options
from levit.images.decoding import image_errors, read_image_file, to_rgb

try:
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # httpx or httpx2, which it depends on
except ImportError:  # before huggingface-hub 1.31
    import httpx  # type: ignore[import-not-found, no-redef]

_TIMEOUT = 30  # seconds without data


class InputImage(NamedTuple):
    """Input image of an image processor.

    Attributes:
        pixels: [C, H, W], uint8 or float32, values as in the input.
        channels_last: whether the layout of the input was [H, W, C].
    """

    pixels: Tensor
    channels_last: bool


def open_images(images: Any, options: Options, device: str | None = None) -> list[InputImage]:
    """Convert the inputs of an image processor to tensors that are ready to be resized.

    Images with another number of channels than `image_mean` are converted to RGB: gray is repeated, transparent
    images are blended on white, 16-bit values are scaled to 8 bits. `do_convert_rgb=True` converts all images,
    `do_convert_rgb=False` none.

    Args:
        images: a path, a URL, the bytes of an image file, a PIL image, an array, a tensor, a batch [B, …] of these, or
            nested lists of these.
        options: normalized options of the processor and the call.
        device: torch device of the results; None keeps the device of tensors.

    Returns:
        The images in the order of the nested lists.

    Raises:
        ImageError: an input is not an image or cannot be used; the source begins with "image 3" for the fourth image.
        ConfigError: `image_mean` does not fit the number of channels of an image, or the device cannot be used.
    """
    opened = []
    for index, source in enumerate(_flatten(images, options)):
        with image_errors(f"image {index}"):
            image = _channels_first(_load(source, options), source, options)
        opened.append(image._replace(pixels=_move(image.pixels, device)) if device else image)
    ranges = value_ranges([image.pixels for image in opened])
    for index, (image, value_range) in enumerate(zip(opened, ranges, strict=True)):
        with image_errors(f"image {index}"):
            pixels = convert_depth(image.pixels, value_range, options)
            opened[index] = image._replace(pixels=convert_channels(pixels, value_range, options))
            _check_channels(index, len(opened[index].pixels), options)
    return opened


def _flatten(images: Any, options: Options) -> list[Any]:
    if isinstance(images, list | tuple):
        return [image for nested in images for image in _flatten(nested, options)]
    batch_dimensions = 3 if options["input_data_format"] == "none" else 4
    if isinstance(images, np.ndarray | Tensor) and images.ndim == batch_dimensions and _is_dense(images):
        return list(images)
    return [images]


def _is_dense(pixels: NDArray[Any] | Tensor) -> bool:
    """Return whether the values of an array or a tensor are plain numbers, each of which is stored."""
    if isinstance(pixels, np.ndarray):
        return True
    return pixels.layout == torch.strided and not pixels.is_quantized and not pixels.is_nested


def _move(pixels: Tensor, device: str) -> Tensor:
    try:
        return pixels.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        hint = "use another device, or fewer images"
        raise ConfigError(f"{device} cannot be used ({first_line(error)})", source="device", hint=hint) from error


def _load(source: Any, options: Options) -> Tensor:
    if isinstance(source, str):
        source = _read_text(source, options)
    elif isinstance(source, bytes | PathLike):
        source = _read_file(source, options)
    if isinstance(source, Image.Image):
        source = _pil_to_array(source, options)
    if isinstance(source, np.ndarray):
        return _to_tensor(source)
    if isinstance(source, Tensor):
        return source
    raise ImageError(f"{type(source).__name__} is not a path, bytes, a PIL image, an array or a tensor")


def _read_file(source: str | PathLike[str] | bytes, options: Options, name: str | None = None) -> Image.Image:
    return read_image_file(source, partial(_keeps_mode, options=options), name=name)


def _read_text(text: str, options: Options) -> Image.Image:
    """Read an image from a path, a URL, or a base64-encoded image file."""
    if text.startswith(("http://", "https://")):
        return _read_file(_download(text), options, name=text)
    if text.startswith("data:image/"):
        return _read_file(_decode_base64(text.partition(",")[2]), options)
    try:
        return _read_file(text, options)
    except ImageError as error:
        with suppress(ImageError):
            return _read_file(_decode_base64(text), options)
        if len(text) > 1000:
            raise ImageError(f"a string of {len(text)} characters is neither a path nor an image") from error
        raise


def _download(url: str) -> bytes:
    try:
        response = httpx.get(url, timeout=_TIMEOUT, follow_redirects=True)
        response.raise_for_status()
        return response.content
    except Exception as error:  # InvalidURL, for instance, is not an HTTPError
        raise ImageError(f"cannot be downloaded ({first_line(error)})", source=url) from error


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise ImageError(f"not an image in base64 ({first_line(error)})") from error


def _pil_to_array(image: Image.Image, options: Options) -> NDArray[Any]:
    """Return the pixels of a PIL image, converted to RGB if the options require it."""
    return np.array(image if _keeps_mode(image, options) else to_rgb(image))


def _keeps_mode(image: Image.Image, options: Options) -> bool:
    """Return whether a PIL image is not converted to RGB; its pixels are converted as an array, if necessary."""
    bands = len(image.getbands())
    is_expected = bands != 3 and bands == num_expected_channels(options) and image.mode not in ("P", "PA")
    keeps_mode = options["do_convert_rgb"] is False or (options["do_convert_rgb"] is None and is_expected)
    keeps_depth = image.mode.startswith("I") and expects_16_bits(options)
    return keeps_mode or keeps_depth or image.mode == "F"


def _to_tensor(array: NDArray[Any]) -> Tensor:
    if array.dtype.kind not in "buif":
        raise ImageError(f"an array of {array.dtype} has no real numbers")
    dtype = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # infinite values are refused later
        return torch.from_numpy(np.require(array, dtype, ["C", "W"]))  # torch warns about read-only arrays


def _channels_first(pixels: Tensor, source: Any, options: Options) -> InputImage:
    if not _is_dense(pixels):
        raise ImageError("a sparse, quantized or nested tensor", hint="give a dense tensor")
    if pixels.is_complex():
        raise ImageError(f"a tensor of {pixels.dtype} has no real numbers")
    is_decoded = not isinstance(source, np.ndarray | Tensor)
    if pixels.ndim == 2:
        image = InputImage(pixels[None], channels_last=is_decoded)
    elif pixels.ndim == 3:
        is_last = is_decoded or _is_channels_last(tuple(pixels.shape), options)
        image = InputImage(pixels.permute(2, 0, 1) if is_last else pixels, channels_last=is_last)
    else:
        raise ImageError(
            f"the shape {list(pixels.shape)} is not that of an image", hint="use [H, W], [H, W, C] or [C, H, W]"
        )
    if not image.pixels.numel():
        raise ImageError("the image has no pixels")
    return image


def _is_channels_last(shape: tuple[int, ...], options: Options) -> bool:
    if options["input_data_format"] in ("channels_first", "channels_last"):
        return bool(options["input_data_format"] == "channels_last")
    expected = num_expected_channels(options)
    first, last = (size in (1, 3, 4, expected) for size in (shape[0], shape[2]))
    if not (first or last):
        raise ImageError(
            f"neither the first nor the last axis of the shape {list(shape)} has 1, 3 or 4 channels",
            hint="set `input_data_format`",
        )
    if first and last:
        last = shape[2] == expected != shape[0]
        warnings.warn(
            f"an image of shape {list(shape)} is interpreted as channels {'last' if last else 'first'}: "
            "set input_data_format",
            LevitWarning,
            stacklevel=2,
        )
    return last


def _check_channels(index: int, channels: int, options: Options) -> None:
    mean = options["image_mean"]
    if options["do_normalize"] and isinstance(mean, tuple) and len(mean) != channels:
        raise ConfigError(
            f"has length {len(mean)}, but image {index} has {channels} channels",
            source="image_mean",
            hint="use one number per channel, or one for all channels",
        )
