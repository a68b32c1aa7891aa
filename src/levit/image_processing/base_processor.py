"""Steps that the image processors share: options, inputs, and the layout of the results."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.image_processing_base import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import SizeDict

from levit.errors import ConfigError, ImageError
from levit.image_processing.pixel_formats import num_expected_channels
from levit.image_processing.processor_inputs import InputImage, open_images
from levit.image_processing.processor_options import Options, check_complete, normalize_options
from levit.images.decoding import MAX_PIXELS, image_errors
from levit.images.transform import resized_size
from levit.spec.architecture import Grid
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD


class BaseLevitImageProcessor(BaseImageProcessor):
    """Base class of the image processors; `LevitImageProcessor` documents its options.

    A subclass also derives from a backend of transformers and defines `_target_device` and `_to_backend`.
    """

    do_resize = True
    size: ClassVar[Any] = {"shortest_edge": 224}
    default_to_square = False
    resample = 3
    do_center_crop = True
    crop_size: ClassVar[Any] = {"height": 224, "width": 224}
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    image_mean = IMAGENET_MEAN
    image_std = IMAGENET_STD
    do_convert_rgb = None
    data_format = "channels_first"
    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def preprocess(self, images: Any, **options: Any) -> BatchFeature:
        """Convert images to the input of the network; calling the processor does the same.

        Args:
            images: see `LevitImageProcessor`.
            **options: options of the processor for this call only, and `return_tensors`, `input_data_format`.

        Returns:
            Dictionary with `pixel_values`: with `return_tensors` a tensor or array [B, C, H, W], otherwise a list of
            [C, H, W].

        Raises:
            ImageError: an image cannot be used; the source begins with its index in the batch.
            ConfigError: an option is unknown or invalid, or the results have different shapes or devices and cannot be
                stacked.
            ImportError: `return_tensors` is "jax", and jax is not installed.
        """
        unknown = sorted(set(options) - set(self._valid_kwargs_names))
        if unknown:
            raise ConfigError(f"unknown option {unknown[0]!r}", hint=f"use {', '.join(self._valid_kwargs_names)}")
        return super().preprocess(images, **normalize_options(options))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of preprocessor_config.json, which is the same for both classes and stock transformers."""
        return {**super().to_dict(), "image_processor_type": "LevitImageProcessor"}

    # Overridden steps of transformers' `__init__` and `preprocess`.

    def _standardize_kwargs(self, **options: Any) -> dict[str, Any]:
        return super()._standardize_kwargs(**normalize_options(options))

    def _validate_preprocess_kwargs(self, **options: Any) -> None:
        check_complete(options)

    def _preprocess_image_like_inputs(
        self,
        images: Any,
        *,
        data_format: str | None,
        return_tensors: str | None,
        do_pad: bool | None = None,
        pad_size: SizeDict | None = None,
        **options: Any,
    ) -> BatchFeature:
        inputs = open_images(images, options, self._target_device(options))
        num_images = len(inputs)
        _check_resized_sizes(inputs, options)
        if not inputs:  # one black pixel determines the shape of the empty result
            inputs = [InputImage(torch.zeros(num_expected_channels(options), 1, 1, dtype=torch.uint8), False)]
        results: list[Any] = [None] * len(inputs)
        # By dtype and device: transformers stacks images of one size, which would convert integers beside floats to
        # floats, and fails for images on several devices.
        kinds = [(image.pixels.dtype, image.pixels.device) for image in inputs]
        for kind in set(kinds):
            indices = [index for index, other in enumerate(kinds) if other == kind]
            pixels = [self._to_backend(inputs[index].pixels) for index in indices]
            batch = self._preprocess(pixels, do_pad=False, pad_size=None, return_tensors=None, **options)
            for index, result in zip(indices, batch["pixel_values"], strict=True):
                results[index] = result
        if do_pad:
            _check_pad_size(results, pad_size)
            results = self.pad(results, pad_size=pad_size, disable_grouping=True)  # they may be of several kinds
        results = [
            _apply_data_format(result, image, data_format) for result, image in zip(results, inputs, strict=True)
        ]
        return BatchFeature({"pixel_values": _stack(results, return_tensors)[:num_images]})

    def _target_device(self, options: Options) -> str | None:
        """Return the device on which images are processed; None for that of each tensor."""
        raise NotImplementedError

    def _to_backend(self, pixels: Tensor) -> Any:
        """Convert [C, H, W] to the array type of the backend."""
        raise NotImplementedError


def resized_height_width(shape: Sequence[int], size: SizeDict) -> Grid:
    """Return height and width of an image [..., H, W] after resizing to the option `size`."""
    if size.shortest_edge:
        return resized_size(shape[-2], shape[-1], int(256 / 224 * size.shortest_edge))
    return size.height, size.width


def _check_resized_sizes(images: Sequence[InputImage], options: Options) -> None:
    for index, image in enumerate(images if options["do_resize"] else ()):
        height, width = resized_height_width(image.pixels.shape, options["size"])
        if height * width > MAX_PIXELS:
            with image_errors(f"image {index}"):
                *_, old_height, old_width = image.pixels.shape
                raise ImageError(
                    f"{old_height}x{old_width} pixels would be resized to {height}x{width}", hint="crop the image"
                )


def _check_pad_size(results: Sequence[Any], pad_size: SizeDict | None) -> None:
    if pad_size is None:
        return
    for index, result in enumerate(results):
        *_, height, width = result.shape
        if height > pad_size.height or width > pad_size.width:
            raise ConfigError(
                f"is {pad_size.height}x{pad_size.width} pixels, but image {index} has {height}x{width} before padding",
                source="pad_size",
                hint="use at least the size of the largest image, or None for exactly that",
            )


def _apply_data_format(result: Any, image: InputImage, data_format: str | None) -> Any:
    """Arrange a result [C, H, W] as `data_format` requires."""
    is_last = image.channels_last if data_format == "none" else data_format == "channels_last"
    if not is_last:
        return result
    return result.permute(1, 2, 0).contiguous() if isinstance(result, Tensor) else result.transpose(1, 2, 0).copy()


def _stack(results: list[Any], return_tensors: str | None) -> Any:
    if return_tensors is None:
        return results
    shapes = sorted({tuple(result.shape) for result in results})
    if len(shapes) > 1:
        raise ConfigError(
            f"results of the shapes {list(shapes[0])} and {list(shapes[1])} cannot be stacked",
            hint="set `do_center_crop` to True, or omit `return_tensors`",
        )
    devices = sorted({str(result.device) for result in results if isinstance(result, Tensor)})
    if len(devices) > 1:
        raise ConfigError(
            f"results on the devices {devices[0]} and {devices[1]} cannot be stacked",
            hint="set `device`, or omit `return_tensors`",
        )
    stacked = torch.stack(results) if isinstance(results[0], Tensor) else np.stack(results)
    if return_tensors == "pt":
        return torch.as_tensor(stacked)
    array = stacked.detach().cpu().numpy() if isinstance(stacked, Tensor) else stacked
    return _to_jax(array) if return_tensors == "jax" else array


def _to_jax(array: NDArray[Any]) -> Any:
    try:
        jax_numpy = import_module("jax.numpy")
    except ImportError as error:
        raise ImportError('`return_tensors="jax"` needs jax: pip install "levit[jax]"') from error
    return jax_numpy.asarray(array)
