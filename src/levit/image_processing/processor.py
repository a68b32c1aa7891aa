"""Image processors: `LevitImageProcessor` uses Pillow, `LevitImageProcessorFast` torchvision.

Shapes: B images, C channels, H height, W width.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers.image_processing_backends import PilBackend, TorchvisionBackend
from transformers.image_utils import SizeDict
from transformers.utils import is_torchvision_available

from levit.errors import ConfigError
from levit.image_processing.base_processor import BaseLevitImageProcessor, resized_height_width
from levit.image_processing.pixel_formats import FULL_SCALES, full_scale
from levit.image_processing.processor_options import Options
from levit.spec.architecture import Grid
from levit.spec.preprocessing import RESAMPLE_FILTERS

# Values of `resample` that torchvision supports for tensors.
TENSOR_FILTERS = (0, 1, 2, 3)


class LevitImageProcessor(BaseLevitImageProcessor, PilBackend):
    """Image processor with Pillow, bit-identical to transformers' `LevitImageProcessorPil`.

    It resizes, crops, rescales and normalizes. It is called with one image, a batch, or nested lists of images: paths,
    bytes of image files, PIL images of any mode, URLs (which are downloaded), and arrays or tensors [H, W], [H, W, C],
    [C, H, W] or batches of these, with 8 or 16 bits, bool or floating point. Images are converted to RGB: gray is
    repeated, transparent images are blended on white, 16-bit values are scaled to 8 bits, True is 255. The EXIF
    orientation is applied to files, but not to PIL images. Images with as many channels as `image_mean` has values
    are not converted. Pillow weights the first three channels of uint8 images with four channels by the fourth when it
    resizes them.

    Values are expected in [0, 255]. Floats in [0, 1] require `do_rescale=False`; without it a warning is raised.

    Args:
        do_resize: resize images; default True.
        size: `{"shortest_edge": s}` or s resizes the shorter side to int(256 / 224 * s) pixels and the longer side
            proportionally, rounded down; `{"height": h, "width": w}` resizes to exactly this size. Default:
            `{"shortest_edge": 224}`.
        resample: index of Pillow's filter, 0 to 5: nearest, Lanczos, bilinear, bicubic (default), box, Hamming.
        do_center_crop: crop the center; default True. Smaller images are padded with zeros.
        crop_size: `{"height": h, "width": w}`, or one number for both, in pixels; default 224.
        do_rescale: multiply values by `rescale_factor`; default True.
        rescale_factor: default 1/255. A factor below 1/1000 applies to 16-bit values, which are then not scaled to 8
            bits.
        do_normalize: subtract `image_mean` and divide by `image_std`; default True.
        image_mean, image_std: one number per channel, or one for all channels, for rescaled values; default: those of
            ImageNet.
        do_convert_rgb: None converts images with another number of channels than `image_mean` (default), True
            converts all images, False converts none and keeps their values.
        return_tensors: "pt" (torch), "np" (numpy), "jax" (if jax is installed), or None for a list with one result
            per image.
        data_format: layout of the results: "channels_first" ([C, H, W]; default, also for None), "channels_last"
            ([H, W, C]), or "none" for that of each input image (files and PIL images are [H, W, C]).
        input_data_format: layout of arrays and tensors: "channels_first", "channels_last" or "none" ([H, W]); default:
            inferred from the shape.
        **options: further options of all image processors of transformers: do_pad, pad_size, default_to_square, and
            for `LevitImageProcessorFast` device and disable_grouping.

    Returns:
        Dictionary with `pixel_values`: float32, or uint8 without rescaling and normalization.

    Raises:
        ImageError: in a call: an image cannot be used; the source begins with its index in the batch.
        ConfigError: an option is invalid, or, in a call, unknown or incompatible with the images.

    Examples:
        >>> import numpy as np
        >>> processor = LevitImageProcessor(size={"shortest_edge": 112}, crop_size=112)
        >>> processor(np.zeros((300, 400, 3), np.uint8), return_tensors="np")["pixel_values"].shape
        (1, 3, 112, 112)
    """

    def resize(self, image: NDArray[Any], size: SizeDict, resample: int | None = None, **kwargs: Any) -> NDArray[Any]:
        """Resize one image.

        Args:
            image: [C, H, W]: uint8, or floating point of any range.
            size: the option `size` of the class, as a `SizeDict`.
            resample: index of Pillow's filter, 0 to 5.
            **kwargs: `reducing_gap`, see Pillow.

        Returns:
            [C, height, width], clipped to the range of the image as Pillow clips 8 bits. Floats in [0, 1] are
            quantized to 8 bits, as in transformers.
        """
        height, width = resized_height_width(image.shape, size)
        exact = SizeDict(height=height, width=width)
        has_mode = len(image) in (1, 3, 4)  # Pillow has no modes for other numbers of channels
        if has_mode and (image.dtype == np.uint8 or _is_quantized_to_8_bits(image)):
            return super().resize(image, exact, resample, **kwargs)
        if image.dtype == np.uint8:
            return np.concatenate([self.resize(channel, exact, resample) for channel in np.split(image, len(image))])
        return _resize_floats(image, (height, width), resample)

    def _target_device(self, options: Options) -> str | None:
        return "cpu"

    def _to_backend(self, pixels: Tensor) -> Any:
        return pixels.detach().numpy()


LevitImageProcessorPil = LevitImageProcessor


class LevitImageProcessorFast(BaseLevitImageProcessor, TorchvisionBackend):
    """Image processor with torchvision, which processes images on the device of their tensors.

    Images of equal size are processed one by one on the CPU, and as one batch on other devices.

    For uint8 it is bit-identical to transformers' `LevitImageProcessor`, and at most two 8-bit levels from Pillow's
    results. Overshoot of bicubic resizing is clipped to the range of the image for floats, too. uint8 images are
    processed on their device without a transfer; of floating-point images only the minimum and maximum are copied to
    the CPU, for validation.

    Args:
        device: torch device on which images are processed, such as "cuda". Default: the device of each tensor, and
            the CPU for all other inputs; results on several devices cannot be stacked.
        disable_grouping: True processes images of equal size one by one, False as one batch on every device.
        **options: options of `LevitImageProcessor`. `resample` is limited to 0 to 3; Lanczos (1) requires torchvision
            0.27 and the CPU, and is replaced by bicubic elsewhere.

    Returns:
        Dictionary with `pixel_values`: tensors, unless `return_tensors` is "np" or "jax".

    Raises:
        ImportError: torchvision is not installed.
        ImageError, ConfigError: as for `LevitImageProcessor`.

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
        """Resize one image or a batch of images.

        Args:
            image: [C, H, W] or [B, C, H, W], uint8 or floating point.
            size: the option `size` of the class, as a `SizeDict`.
            resample: index of Pillow's filter, 0 to 3.
            **kwargs: `antialias`, see torchvision.

        Returns:
            [C, height, width] or [B, C, height, width], of the same dtype. Floats in [0, 1], [0, 255] or [0, 65535]
            are clipped to that range.
        """
        height, width = resized_height_width(image.shape, size)
        if (height, width) == (1, 1) and image.ndim == 4:  # torch 2.15 fails here for contiguous uint8 tensors
            image = image.contiguous(memory_format=torch.channels_last)
        if not image.is_floating_point():
            return super().resize(image, SizeDict(height=height, width=width), resample, **kwargs)
        low, high = (extreme((-3, -2, -1), keepdim=True) for extreme in (image.amin, image.amax))
        maximum = torch.full_like(high, torch.inf)
        for scale in reversed(FULL_SCALES):
            maximum = torch.where(high <= scale, scale, maximum)
        for step in ((image.shape[-2], width), (height, width)):  # uint8 is clipped after each direction, too
            image = super().resize(image, SizeDict(*step), resample, **kwargs)
            image = torch.where(low >= 0, image.clamp(min=0).minimum(maximum), image)
        return image

    def _validate_preprocess_kwargs(self, **options: Any) -> None:
        super()._validate_preprocess_kwargs(**options)
        if options["do_resize"] and options["resample"] not in TENSOR_FILTERS:
            name = RESAMPLE_FILTERS[options["resample"]]
            raise ConfigError(
                f"{options['resample']} ({name}) is not supported for tensors",
                source="resample",
                hint="use LevitImageProcessor, or 0 to 3",
            )

    def _target_device(self, options: Options) -> str | None:
        device: str | None = options.get("device")
        return device

    def _to_backend(self, pixels: Tensor) -> Any:
        return pixels.contiguous()


class LevitFeatureExtractor(LevitImageProcessor):
    """Deprecated name of `LevitImageProcessor`.

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


def _is_quantized_to_8_bits(image: NDArray[Any]) -> bool:
    """Return whether transformers converts these floats to 8 bits: values in [0, 1], or integers in [0, 255]."""
    low, high = image.min(), image.max()
    return bool(low >= 0 and (high <= 1 or (high <= 255 and np.allclose(image, image.astype(int)))))


def _resize_floats(image: NDArray[Any], size: Grid, resample: int | None) -> NDArray[np.float32]:
    """Resize [C, H, W] by channel in floating point, clipped to its range after each direction, as uint8 is."""
    filter_ = Image.Resampling.BILINEAR if resample is None else Image.Resampling(resample)
    minimum, maximum = (0, full_scale(image.max())) if image.min() >= 0 else (-np.inf, np.inf)
    image = image.astype(np.float32)
    for width_height in ((size[1], image.shape[1]), size[::-1]):
        channels = [np.asarray(Image.fromarray(channel).resize(width_height, filter_)) for channel in image]
        image = np.stack(channels).clip(minimum, maximum)
    return image
