"""The options of the image processors: checked, and in the plain form that they are saved in."""

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

LAYOUTS = ("channels_first", "channels_last", "none")


def plain_options(options: Options) -> dict[str, Any]:
    """The same options, each of a plain type (numbers, tuples, dictionaries); None stays what it is.

    Raises:
        ConfigError: an option has a value that means nothing; the message names it.

    Examples:
        >>> plain_options({"image_mean": [0, 0.5, 1], "size": 224})
        {'image_mean': (0.0, 0.5, 1.0), 'size': 224}
    """
    return {
        name: _READERS[name](name, value) if name in _READERS and value is not None else value
        for name, value in options.items()
    }


def check_complete(options: Options) -> None:
    """Raise where a step is asked for without the values that it needs.

    Raises:
        ConfigError: a value is missing, or mean and standard deviation are of different lengths.
    """
    needs = {
        "do_resize": ("size", "resample"),
        "do_center_crop": ("crop_size",),
        "do_rescale": ("rescale_factor",),
        "do_normalize": ("image_mean", "image_std"),
    }
    for step, names in needs.items():
        for name in names:
            if options.get(step) and options.get(name) is None:
                raise ConfigError(f"{name} is None: {step} needs it")
    lengths = {len(options[name]) for name in needs["do_normalize"] if isinstance(options.get(name), tuple)}
    if len(lengths) > 1:
        raise ConfigError("image_mean and image_std have different lengths: give one number for each channel to both")


def _switch(name: str, value: Any) -> bool:
    if isinstance(value, bool | np.bool):
        return bool(value)
    raise ConfigError(f"{name} is {value!r}: give True or False")


def _size(name: str, value: Any) -> int | tuple[int, ...] | dict[str, int]:
    if isinstance(value, Mapping | SizeDict) and set(dict(value)) == {"shortest_edge"}:
        return {"shortest_edge": _pixels(name, value, value["shortest_edge"])}
    if isinstance(value, Mapping | SizeDict) and set(dict(value)) != {"height", "width"}:
        raise ConfigError(f'{name} is {_shown(value)}: write {{"shortest_edge": …}} or {{"height": …, "width": …}}')
    return _height_width(name, value)


def _height_width(name: str, value: Any) -> int | tuple[int, ...] | dict[str, int]:
    if isinstance(value, Mapping | SizeDict) and set(dict(value)) == {"height", "width"}:
        return {side: _pixels(name, value, value[side]) for side in ("height", "width")}
    if isinstance(value, list | tuple) and len(value) == 2:
        return tuple(_pixels(name, value, side) for side in value)
    if isinstance(value, Integral):
        return _pixels(name, value, value)
    raise ConfigError(f'{name} is {_shown(value)}: write {{"height": …, "width": …}}')


def _pixels(name: str, value: Any, side: Any) -> int:
    if isinstance(side, Integral) and not isinstance(side, bool) and int(side) > 0:
        return int(side)
    raise ConfigError(f"{name} is {_shown(value)}: give whole numbers of pixels, at least 1")


def _shown(size: Any) -> Any:
    return dict(size) if isinstance(size, SizeDict) else repr(size)


def _resample(name: str, value: Any) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool) and value in RESAMPLE_FILTERS:
        return int(value)
    raise ConfigError(f"{name} is {value!r}: use one of Pillow's filters, 0 to 5 (3 is bicubic)")


def _factor(name: str, value: Any) -> float:
    if _is_number(value) and value != 0:
        return float(value)
    raise ConfigError(f"{name} is {value!r}: give a number that is not 0, usually 1/255")


def _channels(name: str, value: Any) -> float | tuple[float, ...]:
    if _is_number(value):
        return float(value)
    values = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(values, Sequence) and values and all(map(_is_number, values)):
        return tuple(map(float, values))
    raise ConfigError(f"{name} is {value!r}: give one number for each channel, or one for all")


def _divisors(name: str, value: Any) -> float | tuple[float, ...]:
    values = _channels(name, value)
    if values == 0 or (isinstance(values, tuple) and 0 in values):
        raise ConfigError(f"{name} is {value!r}: no channel may be 0")
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def _layout(name: str, value: Any) -> str:
    value = getattr(value, "value", value)  # of transformers' ChannelDimension
    if value in LAYOUTS:
        return str(value)
    raise ConfigError(f"{name} is {value!r}: use {', '.join(map(repr, LAYOUTS))}")


def _tensors(name: str, value: Any) -> str:
    value = getattr(value, "value", value)  # of transformers' TensorType
    if value in ("pt", "np"):
        return str(value)
    raise ConfigError(f"{name} is {value!r}: use 'pt' (torch), 'np' (numpy), or None for a list")


def _device(name: str, value: Any) -> str:
    try:
        return str(torch.device(value))
    except (RuntimeError, TypeError):
        raise ConfigError(f"{name} is {value!r}: name a device of torch, 'cpu' or 'cuda' for instance") from None


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "do_resize": _switch,
    "size": _size,
    "resample": _resample,
    "do_center_crop": _switch,
    "crop_size": _height_width,
    "do_rescale": _switch,
    "rescale_factor": _factor,
    "do_normalize": _switch,
    "image_mean": _channels,
    "image_std": _divisors,
    "do_convert_rgb": _switch,
    "return_tensors": _tensors,
    "data_format": _layout,
    "input_data_format": _layout,
    "device": _device,
    # Those below belong to every image processor of transformers, as do some that say nothing here.
    "default_to_square": _switch,
    "do_pad": _switch,
    "pad_size": _height_width,
    "disable_grouping": _switch,
}
