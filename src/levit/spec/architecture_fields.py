"""Checks of the fields of an architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

from levit.errors import ConfigError
from levit.spec.choices import Activation
from levit.spec.field_values import check_integer, check_not_negative, check_positive, shown

ACTIVATIONS = (*get_args(Activation), "none")

MAX_STAGES = 100  # limits the network that a damaged file can describe
MAX_BLOCKS = 1000  # the same, of all stages together

Grid = tuple[int, int]


def check_activation(name: str, value: object, *, is_optional: bool) -> None:
    """Check that a value is one of `ACTIVATIONS`, or None if it is optional."""
    if not (value is None and is_optional) and (not isinstance(value, str) or value not in ACTIVATIONS):
        raise ConfigError(f"unknown value {shown(value)}", source=name, hint=f"use one of {', '.join(ACTIVATIONS)}")


def check_stem_channels(values: object, num_layers: int, last: int) -> tuple[int, ...]:
    """Check the output channels of the stem convolutions, the last of which are the width of the first stage."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ConfigError(f"{shown(values)} is not a list", source="stem_channels")
    for index, channels in enumerate(values):
        check_integer(f"stem_channels[{index}]", channels, minimum=1)
    if len(values) != num_layers or values[-1] != last:
        raise ConfigError(
            f"{shown(list(values))} are not {num_layers} numbers that end with {last}",
            source="stem_channels",
            hint="give one for each convolution; the last is hidden_sizes[0]",
        )
    return tuple(values)


def check_value_channels(name: str, ratio: float, key_dim: int) -> None:
    """Check that a head has at least one value channel."""
    if int(ratio * key_dim) < 1:
        raise ConfigError(f"{ratio!r} with key_dim {key_dim} gives no value channel", source=name)


def height_width(name: str, value: Grid | int | Sequence[int]) -> Grid:
    """Height and width, of two numbers or one for both."""
    return pair(name, value, "height and width", minimum=1)


def pair(name: str, value: Grid | int | Sequence[int], meaning: str, *, minimum: int) -> Grid:
    """Two numbers, or one for both, each of which is at least the minimum."""
    values = (value, value) if isinstance(value, int) else value
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != 2:
        raise ConfigError(f"{shown(value)} is neither one number nor {meaning}", source=name)
    for size in values:
        check_integer(name, size, minimum=minimum)
    return values[0], values[1]


def check_stages(fields: Mapping[str, object]) -> dict[str, tuple[Any, ...]]:
    """Check the fields of `STAGE_FIELDS`, and convert them to tuples of equal length."""
    widths = fields["hidden_sizes"]
    num_stages = len(widths) if isinstance(widths, Sequence) else 0
    if num_stages > MAX_STAGES and not isinstance(widths, str):
        raise ConfigError(
            f"{num_stages:,} entries, but a network has at most {MAX_STAGES} stages", source="hidden_sizes"
        )
    checked: dict[str, tuple[Any, ...]] = {}
    for name, check in STAGE_FIELDS.items():
        values = _per_stage(name, fields[name], num_stages)
        for index, value in enumerate(values):
            check(f"{name}[{index}]", value)
        checked[name] = tuple(int(value) if value == int(value) else value for value in values)  # 2.0 is 2
    for index, (ratio, key_dim) in enumerate(zip(checked["attention_ratio"], checked["key_dim"], strict=True)):
        check_value_channels(f"attention_ratio[{index}]", ratio, key_dim)
    if sum(checked["depths"]) > MAX_BLOCKS:
        raise ConfigError(f"more than {MAX_BLOCKS} blocks ({shown(list(checked['depths']))})", source="depths")
    return checked


def _per_stage(name: str, values: object, num_stages: int) -> Sequence[Any]:
    """Values of a field with one value per stage, whose number is checked."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ConfigError(f"{shown(values)} is not a list with one value per stage", source=name)
    if not num_stages:
        raise ConfigError("empty, but a network has at least one stage", source="hidden_sizes")
    if len(values) != num_stages:
        raise ConfigError(
            f"{len(values)} entries, but hidden_sizes has {num_stages}", source=name, hint="give one value per stage"
        )
    return values


FLAGS = ("has_attention_masks", "stem_batch_norm", "mlp_batch_norm", "head_batch_norm")

# The fields with one value per stage, and the check of a value.
STAGE_FIELDS: Mapping[str, Callable[..., object]] = {
    "hidden_sizes": partial(check_integer, minimum=1),
    "num_attention_heads": partial(check_integer, minimum=1),
    "depths": partial(check_integer, minimum=0),
    "key_dim": partial(check_integer, minimum=1),
    "mlp_ratio": check_not_negative,
    "attention_ratio": check_positive,
}
