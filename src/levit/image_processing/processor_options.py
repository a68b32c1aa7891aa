"""Validation of the options of the image processors, and normalization to the types that are saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from transformers.image_utils import SizeDict

from levit.errors import ConfigError
from levit.spec.preprocessing import RESAMPLE_FILTERS

Options = Mapping[str, Any]

DATA_FORMATS = ("channels_first", "channels_last", "none")
TENSOR_TYPES = ("pt", "np", "jax")


def normalize_options(options: Options) -> dict[str, Any]:
    """Validate options and convert them to built-in types (numbers, tuples, dictionaries); None is kept.

    Raises:
        ConfigError: the value of an option is invalid; the source is its name.

    Examples:
        >>> normalize_options({"image_mean": [0, 0.5, 1], "size": 224})
        {'image_mean': (0.0, 0.5, 1.0), 'size': 224}
    """
    return {
        name: _CONVERTERS[name](name, value) if name in _CONVERTERS and value is not None else value
        for name, value in options.items()
    }


def check_complete(options: Options) -> None:
    """Validate that every enabled step has its values.

    Raises:
        ConfigError: a value is None, or `image_mean` and `image_std` have different lengths.
    """
    required = {
        "do_resize": ("size", "resample"),
        "do_center_crop": ("crop_size",),
        "do_rescale": ("rescale_factor",),
        "do_normalize": ("image_mean", "image_std"),
    }
    for step, names in required.items():
        for name in names:
            if options.get(step) and options.get(name) is None:
                raise ConfigError("None is invalid", source=name, hint=f"`{step}` requires a value")
    lengths = {len(options[name]) for name in required["do_normalize"] if isinstance(options.get(name), tuple)}
    if len(lengths) > 1:
        raise ConfigError(
            "`image_mean` and `image_std` have different lengths", hint="use one number per channel in both"
        )


def _invalid(name: str, value: Any, hint: str) -> ConfigError:
    shown = dict(value) if isinstance(value, SizeDict) else value
    return ConfigError(f"{shown!r} is invalid", source=name, hint=hint)


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool | np.bool):
        return bool(value)
    raise _invalid(name, value, "use True or False")


def _size(name: str, value: Any) -> int | tuple[int, ...] | dict[str, int]:
    if isinstance(value, Mapping | SizeDict) and set(dict(value)) == {"shortest_edge"}:
        return {"shortest_edge": _pixels(name, value, value["shortest_edge"])}
    if isinstance(value, Mapping | SizeDict) and set(dict(value)) != {"height", "width"}:
        raise _invalid(name, value, 'use {"shortest_edge": …} or {"height": …, "width": …}')
    return _height_width(name, value)


def _height_width(name: str, value: Any) -> int | tuple[int, ...] | dict[str, int]:
    if isinstance(value, Mapping | SizeDict) and set(dict(value)) == {"height", "width"}:
        return {side: _pixels(name, value, value[side]) for side in ("height", "width")}
    if isinstance(value, list | tuple) and len(value) == 2:
        return tuple(_pixels(name, value, side) for side in value)
    if isinstance(value, Integral):
        return _pixels(name, value, value)
    raise _invalid(name, value, 'use {"height": …, "width": …}')


def _pixels(name: str, value: Any, side: Any) -> int:
    if isinstance(side, Integral) and not isinstance(side, bool) and int(side) > 0:
        return int(side)
    raise _invalid(name, value, "use integers of at least 1, in pixels")


def _resample(name: str, value: Any) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool) and value in RESAMPLE_FILTERS:
        return int(value)
    raise _invalid(name, value, "use the index of a filter of Pillow, 0 to 5 (3 is bicubic)")


def _factor(name: str, value: Any) -> float:
    if _is_number(value) and value != 0:
        return float(value)
    raise _invalid(name, value, "use a number other than 0, usually 1/255")


def _per_channel(name: str, value: Any) -> float | tuple[float, ...]:
    if _is_number(value):
        return float(value)
    values = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(values, Sequence) and values and all(map(_is_number, values)):
        return tuple(map(float, values))
    raise _invalid(name, value, "use one number per channel, or one for all channels")


def _nonzero_per_channel(name: str, value: Any) -> float | tuple[float, ...]:
    values = _per_channel(name, value)
    if values == 0 or (isinstance(values, tuple) and 0 in values):
        raise _invalid(name, value, "use numbers other than 0")
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def _data_format(name: str, value: Any) -> str:
    value = getattr(value, "value", value)  # transformers' ChannelDimension is an enumeration
    if value in DATA_FORMATS:
        return str(value)
    raise _invalid(name, value, f"use {', '.join(map(repr, DATA_FORMATS))}")


def _tensor_type(name: str, value: Any) -> str:
    value = getattr(value, "value", value)  # transformers' TensorType is an enumeration
    if value in TENSOR_TYPES:
        return str(value)
    if value == "tf":
        hint = "use 'np' and `tf.convert_to_tensor`; TensorFlow itself is not supported, as in transformers 5"
        raise _invalid(name, value, hint)
    raise _invalid(name, value, "use 'pt' (torch), 'np' (numpy), 'jax', or None for a list")


def _device(name: str, value: Any) -> str:
    try:
        return str(torch.device(value))
    except (RuntimeError, TypeError):
        raise _invalid(name, value, "use a torch device such as 'cpu' or 'cuda'") from None


_CONVERTERS: dict[str, Callable[[str, Any], Any]] = {
    "do_resize": _flag,
    "size": _size,
    "resample": _resample,
    "do_center_crop": _flag,
    "crop_size": _height_width,
    "do_rescale": _flag,
    "rescale_factor": _factor,
    "do_normalize": _flag,
    "image_mean": _per_channel,
    "image_std": _nonzero_per_channel,
    "do_convert_rgb": _flag,
    "return_tensors": _tensor_type,
    "data_format": _data_format,
    "input_data_format": _data_format,
    "device": _device,
    # Options of all image processors of transformers; those that have no effect here are not validated.
    "default_to_square": _flag,
    "do_pad": _flag,
    "pad_size": _height_width,
    "disable_grouping": _flag,
}
