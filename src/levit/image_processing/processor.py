"""The image processors: LevitImageProcessor with Pillow, LevitImageProcessorFast with tensors.

Shapes: B images, C channels, H height, W width.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers.image_processing_backends import PilBackend, TorchvisionBackend
from transformers.image_processing_base import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import SizeDict
from transformers.utils import is_torchvision_available

from levit.errors import ConfigError, ImageError
from levit.image_processing.pixel_formats import WHITES, full_scale, wanted_channels
from levit.image_processing.processor_inputs import InputImage, open_images
from levit.image_processing.processor_options import Options, check_complete, plain_options
from levit.images.decoding import MAX_PIXELS, image_errors
from levit.images.transform import resized_size
from levit.spec.architecture import Grid
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD, RESAMPLE_FILTERS

# The filters that torchvision has for tensors.
TENSOR_FILTERS = (0, 1, 2, 3)


class BaseLevitImageProcessor(BaseImageProcessor):
    """What the two image processors have in common: options, inputs, and the form of their results.

    `LevitImageProcessor` documents it.
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
        """Turn images into what the network takes; calling the processor does the same.

        Args:
            images: see `LevitImageProcessor`.
            **options: those of the processor, for this call only, and `return_tensors`, `input_data_format`.

        Returns:
            A dictionary with `pixel_values`: with `return_tensors` a tensor or array [B, C, H, W], without it a list.

        Raises:
            ImageError: an image cannot be used; the message starts with its number in the batch.
            ConfigError: an option is unknown or means nothing, or the results do not fit into one tensor.
        """
        unknown = sorted(set(options) - set(self._valid_kwargs_names))
        if unknown:
            raise ConfigError(f"there is no option {unknown[0]!r}: use {', '.join(self._valid_kwargs_names)}")
        return super().preprocess(images, **plain_options(options))

    def to_dict(self) -> dict[str, Any]:
        """What is written to preprocessor_config.json: the same for both classes, and read by stock transformers."""
        return {**super().to_dict(), "image_processor_type": "LevitImageProcessor"}

    # From here on: steps of transformers' `__init__` and `preprocess`.

    def _standardize_kwargs(self, **options: Any) -> dict[str, Any]:
        return super()._standardize_kwargs(**plain_options(options))

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
        found = open_images(images, options, self._device(options))
        _check_resized_sizes(found, options)
        # Without images the shape of the empty result is that of one black pixel's.
        opened = found or [InputImage(torch.zeros(wanted_channels(options), 1, 1, dtype=torch.uint8), False)]
        results: list[Any] = [None] * len(opened)
        # By type: transformers stacks images of one size, and bytes beside floats would become floats.
        for dtype in {image.pixels.dtype for image in opened}:
            numbers = [number for number, image in enumerate(opened) if image.pixels.dtype == dtype]
            pixels = [self._native(opened[number].pixels) for number in numbers]
            batch = self._preprocess(pixels, do_pad=False, pad_size=None, return_tensors=None, **options)
            for number, result in zip(numbers, batch["pixel_values"], strict=True):
                results[number] = result
        if do_pad:
            results = self.pad(results, pad_size=pad_size)
        results = [_laid_out(result, image, data_format) for result, image in zip(results, opened, strict=True)]
        return BatchFeature({"pixel_values": _stacked(results, return_tensors)[: len(found)]})

    def _device(self, options: Options) -> str | None:
        raise NotImplementedError

    def _native(self, pixels: Tensor) -> Any:
        raise NotImplementedError


class LevitImageProcessor(BaseLevitImageProcessor, PilBackend):
    """Resize, crop, rescale and normalize images with Pillow, bit for bit as transformers' `LevitImageProcessorPil`.

    Called with one image, a batch or nested lists of them: paths, bytes of files, PIL images of any mode, arrays
    and tensors [H, W], [H, W, C], [C, H, W] or batches of these, of 8 or 16 bits, bool or float; and web addresses,
    which are fetched. Images become RGB: gray is repeated, transparency laid on white, 16 bits scaled to 8, True is
    255. Files are turned upright; PIL images stay as they lie. An image with as many channels as `image_mean` has
    values stays as it is.

    Values are 0 to 255. Floats of 0 to 1 need `do_rescale=False`, and a warning says so.

    Args:
        do_resize: whether to resize; by default True.
        size: `{"shortest_edge": s}` or s: the shorter side becomes int(256 / 224 * s) pixels and the longer one
            follows, rounded down; or exactly `{"height": h, "width": w}`. By default `{"shortest_edge": 224}`.
        resample: Pillow's filter, 0 to 5: nearest, Lanczos, bilinear, bicubic (the default), box, Hamming.
        do_center_crop: whether to crop the middle, by default True. A smaller image gets a border of zeros.
        crop_size: `{"height": h, "width": w}`, or one number for both, in pixels; by default 224.
        do_rescale: whether to multiply with `rescale_factor`; by default True.
        rescale_factor: by default 1/255. Below 1/1000 it is meant for 16-bit values, which then stay 16 bits deep.
        do_normalize: whether to subtract `image_mean` and divide by `image_std`; by default True.
        image_mean, image_std: one number per channel, or one for all, in the values after rescaling; by default
            those of ImageNet.
        do_convert_rgb: True also converts images with as many channels as `image_mean`; False converts none, so
            that their values stay as they are.
        return_tensors: "pt" (torch), "np" (numpy), or None: a list with one result per image.
        data_format: of the results: "channels_first" ([C, H, W]), "channels_last" ([H, W, C]); "none" or None is
            that of each image as it was given (files and PIL images are [H, W, C]).
        input_data_format: of arrays and tensors: "channels_first", "channels_last", "none" ([H, W]). Unset, it is
            seen from the shape.
        **options: what all image processors of transformers know: do_pad, pad_size, device and
            disable_grouping (`LevitImageProcessorFast`), default_to_square.

    Returns:
        A dictionary with `pixel_values`: float32, or uint8 without rescaling and normalization.

    Raises:
        ImageError: when called: an image cannot be used; the message starts with its number in the batch.
        ConfigError: an option means nothing, or, when called, is unknown or does not fit the images.

    Examples:
        >>> import numpy as np
        >>> processor = LevitImageProcessor(size={"shortest_edge": 112}, crop_size=112)
        >>> processor(np.zeros((300, 400, 3), np.uint8), return_tensors="np")["pixel_values"].shape
        (1, 3, 112, 112)
    """

    def resize(self, image: NDArray[Any], size: SizeDict, resample: int | None = None, **kwargs: Any) -> NDArray[Any]:
        """Resize one image; `size` is that of the class.

        Args:
            image: [C, H, W], 0 to 255, floats of 0 to 1, or other floats.
            size: as a `SizeDict`.
            resample: Pillow's filter.
            **kwargs: `reducing_gap`, see Pillow.

        Returns:
            [C, height, width] of the same range, clipped to it as Pillow clips 8 bits; floats of 0 to 1 have been
            8 bits in between, as in transformers.
        """
        height, width = _resized(image.shape, size)
        exact = SizeDict(height=height, width=width)
        has_mode = len(image) in (1, 3, 4)  # Pillow has no images of other numbers of channels
        if has_mode and (image.dtype == np.uint8 or _becomes_bytes(image)):
            return super().resize(image, exact, resample, **kwargs)
        if image.dtype == np.uint8:
            return np.concatenate([self.resize(channel, exact, resample) for channel in np.split(image, len(image))])
        return _resized_as_floats(image, (height, width), resample)

    def _device(self, options: Options) -> str | None:
        return "cpu"

    def _native(self, pixels: Tensor) -> Any:
        return pixels.detach().numpy()


LevitImageProcessorPil = LevitImageProcessor


class LevitImageProcessorFast(BaseLevitImageProcessor, TorchvisionBackend):
    """The same with torchvision: images of one size are processed together, on the device of the tensors.

    Bit for bit as transformers' `LevitImageProcessor` for bytes, at most two 8-bit levels from Pillow's results. What
    bicubic resizing of floats takes beyond their range is clipped, as it is of bytes. Bytes never leave their device;
    of floats only the smallest and the largest value do, to be checked.

    Args:
        device: where to process, "cuda" for instance. Unset, tensors stay on their device and everything else is
            processed on the CPU.
        disable_grouping: True processes images of one size one by one.
        **options: those of `LevitImageProcessor`; `resample` only 0 to 3, where Lanczos needs torchvision 0.27 and
            the CPU, and is bicubic elsewhere.

    Returns:
        A dictionary with `pixel_values`: tensors, unless `return_tensors="np"`.

    Raises:
        ImportError: when built without torchvision.
        ImageError, ConfigError: as `LevitImageProcessor`.

    Examples:
        >>> import torch
        >>> processor = LevitImageProcessorFast()
        >>> images = [torch.zeros(3, 300, 400, dtype=torch.uint8), torch.zeros(3, 500, 300, dtype=torch.uint8)]
        >>> processor(images, return_tensors="pt")["pixel_values"].shape
        torch.Size([2, 3, 224, 224])
    """

    def __init__(self, **options: Any) -> None:
        if not is_torchvision_available():
            raise ImportError('LevitImageProcessorFast needs torchvision: pip install "levit[torch]"')
        super().__init__(**options)

    def resize(self, image: Tensor, size: SizeDict, resample: int | None = None, **kwargs: Any) -> Tensor:
        """Resize one image or a stack; `size` is that of the class.

        Args:
            image: [C, H, W] or [B, C, H, W], uint8 or float.
            size: as a `SizeDict`.
            resample: Pillow's filter.
            **kwargs: `antialias`, see torchvision.

        Returns:
            The same with another height and width. Floats of 0 to 1, 255 or 65535 stay in that range.
        """
        height, width = _resized(image.shape, size)
        if (height, width) == (1, 1) and image.ndim == 4:  # where torch 2.15 fails on bytes in the usual order
            image = image.contiguous(memory_format=torch.channels_last)
        if not image.is_floating_point():
            return super().resize(image, SizeDict(height=height, width=width), resample, **kwargs)
        low, high = (extreme((-3, -2, -1), keepdim=True) for extreme in (image.amin, image.amax))
        white = torch.full_like(high, torch.inf)
        for scale in reversed(WHITES):
            white = torch.where(high <= scale, scale, white)
        for step in ((image.shape[-2], width), (height, width)):  # as for bytes, which are clipped after each
            image = super().resize(image, SizeDict(*step), resample, **kwargs)
            image = torch.where(low >= 0, image.clamp(min=0).minimum(white), image)
        return image

    def _validate_preprocess_kwargs(self, **options: Any) -> None:
        super()._validate_preprocess_kwargs(**options)
        if options["do_resize"] and options["resample"] not in TENSOR_FILTERS:
            name = RESAMPLE_FILTERS[options["resample"]]
            raise ConfigError(f"resample is {options['resample']} ({name}): use LevitImageProcessor, or 0 to 3")

    def _device(self, options: Options) -> str | None:
        device: str | None = options.get("device")
        return device

    def _native(self, pixels: Tensor) -> Any:
        return pixels.contiguous()


class LevitFeatureExtractor(LevitImageProcessor):
    """The former name of `LevitImageProcessor`; building one warns.

    Examples:
        >>> import warnings
        >>> with warnings.catch_warnings(action="ignore"):
        ...     extractor = LevitFeatureExtractor()
        >>> isinstance(extractor, LevitImageProcessor)
        True
    """

    def __init__(self, **options: Any) -> None:
        warnings.warn("LevitFeatureExtractor is deprecated: use LevitImageProcessor", FutureWarning, stacklevel=2)
        super().__init__(**options)


def _resized(shape: Sequence[int], size: SizeDict) -> Grid:
    """Height and width after resizing an image of this shape [..., H, W]."""
    if size.shortest_edge:
        return resized_size(shape[-2], shape[-1], int(256 / 224 * size.shortest_edge))
    return size.height, size.width


def _check_resized_sizes(images: Sequence[InputImage], options: Options) -> None:
    for number, image in enumerate(images if options["do_resize"] else ()):
        height, width = _resized(image.pixels.shape, options["size"])
        if height * width > MAX_PIXELS:
            with image_errors(f"image {number}"):
                *_, old_height, old_width = image.pixels.shape
                raise ImageError(f"{old_height}x{old_width} pixels would become {height}x{width}: crop it first")


def _becomes_bytes(image: NDArray[Any]) -> bool:
    """Whether transformers resizes these floats with Pillow: as 8 bits, which it takes 0 to 1 for, or whole numbers."""
    low, high = image.min(), image.max()
    return bool(low >= 0 and (high <= 1 or (high <= 255 and np.allclose(image, image.astype(int)))))


def _resized_as_floats(image: NDArray[Any], size: Grid, resample: int | None) -> NDArray[np.float32]:
    filter_ = Image.Resampling.BILINEAR if resample is None else Image.Resampling(resample)
    low, white = (0, full_scale(image.max())) if image.min() >= 0 else (-np.inf, np.inf)
    image = image.astype(np.float32)
    for step in ((size[1], image.shape[1]), size[::-1]):  # width and height, clipped after each as bytes are
        channels = [np.asarray(Image.fromarray(channel).resize(step, filter_)) for channel in image]
        image = np.stack(channels).clip(low, white)
    return image


def _laid_out(result: Any, image: InputImage, data_format: str | None) -> Any:
    """A result [C, H, W] in the form that is asked for."""
    is_last = image.channels_last if data_format in (None, "none") else data_format == "channels_last"
    if not is_last:
        return result
    return result.permute(1, 2, 0).contiguous() if isinstance(result, Tensor) else result.transpose(1, 2, 0).copy()


def _stacked(results: list[Any], return_tensors: str | None) -> Any:
    if return_tensors is None:
        return results
    shapes = sorted({tuple(result.shape) for result in results})
    if len(shapes) > 1:
        raise ConfigError(
            f"one tensor cannot hold results of the shapes {list(shapes[0])} and {list(shapes[1])}: "
            "set do_center_crop=True, or leave out return_tensors"
        )
    stacked = torch.stack(results) if isinstance(results[0], Tensor) else np.stack(results)
    if return_tensors == "pt":
        return torch.as_tensor(stacked)
    return stacked.detach().cpu().numpy() if isinstance(stacked, Tensor) else stacked
