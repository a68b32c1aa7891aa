"""What a LeViT is: the fields of a configuration, checked, and the grid of tokens in every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Literal

from levit.errors import ConfigError

ACTIVATIONS = ("hardswish", "silu")

MOST_BLOCKS = 1000  # in a stage: a damaged file must not be unrolled for ever

Grid = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Downsample:
    """The shrinking attention between two stages, and the MLP after it.

    `num_attention_heads` heads of `key_dim` query and key channels and `attention_ratio * key_dim` value
    channels; the queries are every `stride`-th token in both directions. `mlp_ratio` 0 leaves out the MLP.
    """

    key_dim: int
    num_attention_heads: int
    attention_ratio: float = 4
    mlp_ratio: float = 2
    stride: int = 2


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything that decides the shapes and the arithmetic of a LeViT (paper, section 4).

    Fields that hold one value per stage are tuples; their common length is the number of stages. The names and
    defaults are those of transformers' `LevitConfig`, with four additions: `downsamples` (by default what the
    paper does: `hidden_sizes[i] // key_dim[0]` heads of `key_dim[0]`), `activation`, `num_labels` and
    `num_classifiers` (0: features only; 1: one head; 2: a second one that learned from a teacher).

    Raises:
        ConfigError: a field has a value that describes no network; the message names the field.

    Examples:
        >>> architecture = Architecture(hidden_sizes=(128, 256, 384), depths=(2, 3, 4), num_attention_heads=(4, 6, 8))
        >>> architecture.stage_grids
        ((14, 14), (7, 7), (4, 4))
        >>> Architecture(depths=(1, 2))
        Traceback (most recent call last):
        levit.errors.ConfigError: depths has 2 entries, but hidden_sizes has 3: give one value per stage
    """

    image_size: Grid | int = (224, 224)
    num_channels: int = 3
    kernel_size: int = 3
    stride: int = 2
    padding: int = 1
    patch_size: int = 16
    hidden_sizes: tuple[int, ...] = (128, 256, 384)
    num_attention_heads: tuple[int, ...] = (4, 8, 12)
    depths: tuple[int, ...] = (4, 4, 4)
    key_dim: tuple[int, ...] = (16, 16, 16)
    mlp_ratio: tuple[float, ...] = (2, 2, 2)
    attention_ratio: tuple[float, ...] = (2, 2, 2)
    downsamples: tuple[Downsample, ...] | None = None
    activation: str = "hardswish"
    num_labels: int = 1000
    num_classifiers: Literal[0, 1, 2] = 2

    def __post_init__(self) -> None:
        _set(self, "image_size", _pair("image_size", self.image_size))
        for name in ("num_channels", "kernel_size", "stride", "patch_size"):
            _check_integer(name, getattr(self, name), least=1)
        _check_integer("padding", self.padding, least=0)
        _check_integer("num_labels", self.num_labels, least=0)
        stages = len(self.hidden_sizes) if isinstance(self.hidden_sizes, Sequence) else 0
        for name, kind, least in _PER_STAGE:
            _set(self, name, _per_stage(name, getattr(self, name), stages, kind, least))
        self._check_stages()
        if self.downsamples is None:
            _set(self, "downsamples", self._default_downsamples())
        self._check_downsamples()
        self._check_stem()
        if self.activation not in ACTIVATIONS:
            raise ConfigError(f"activation is {self.activation!r}: use one of {', '.join(ACTIVATIONS)}")
        if self.num_classifiers not in (0, 1, 2):
            raise ConfigError(f"num_classifiers is {self.num_classifiers!r}: use 0, 1 or 2")

    def _check_stages(self) -> None:
        for index, (ratio, key_dim) in enumerate(zip(self.attention_ratio, self.key_dim, strict=True)):
            _check_value_channels(f"attention_ratio[{index}]", ratio, key_dim)
        if max(self.depths) > MOST_BLOCKS:
            raise ConfigError(f"depths is {list(self.depths)}: more than {MOST_BLOCKS} blocks in a stage")

    def _default_downsamples(self) -> tuple[Downsample, ...]:
        heads = [width // self.key_dim[0] for width in self.hidden_sizes[:-1]]
        return tuple(Downsample(key_dim=self.key_dim[0], num_attention_heads=max(count, 1)) for count in heads)

    def _check_downsamples(self) -> None:
        downsamples = self.downsamples or ()
        if not isinstance(downsamples, Sequence) or not all(isinstance(one, Downsample) for one in downsamples):
            raise ConfigError(f"downsamples is {downsamples!r}: give a list of Downsample, or None")
        _set(self, "downsamples", tuple(downsamples))
        if len(downsamples) != len(self.hidden_sizes) - 1:
            raise ConfigError(
                f"downsamples has {len(downsamples)} entries for {len(self.hidden_sizes)} stages: "
                "give one between each two stages"
            )
        for index, downsample in enumerate(downsamples):
            for name in ("key_dim", "num_attention_heads", "stride"):
                _check_integer(f"downsamples[{index}].{name}", getattr(downsample, name), least=1)
            name = f"downsamples[{index}].attention_ratio"
            _check_number(name, downsample.attention_ratio, above=0)
            _check_value_channels(name, downsample.attention_ratio, downsample.key_dim)
            _check_number(f"downsamples[{index}].mlp_ratio", downsample.mlp_ratio, least=0)

    def _check_stem(self) -> None:
        if self.stride < 2 or self.stride**self.num_stem_layers != self.patch_size:
            raise ConfigError(
                f"patch_size is {self.patch_size}: it must be a power of stride ({self.stride}), "
                "because the stem shrinks the image by the stride in each of its convolutions"
            )
        if self.stem_widths[0] < 1:
            raise ConfigError(
                f"hidden_sizes[0] is {self.hidden_sizes[0]}: it must be at least "
                f"{2 ** (self.num_stem_layers - 1)}, because the stem doubles its width up to it"
            )
        if min(self.stem_grids[-1]) < 1:
            height, width = self.image_height_width
            raise ConfigError(f"image_size is {height}x{width}: too small for a stem that shrinks by {self.patch_size}")

    @property
    def image_height_width(self) -> Grid:
        """Height and width of the input in pixels."""
        return _pair("image_size", self.image_size)

    @property
    def num_stages(self) -> int:
        """How many stages there are."""
        return len(self.hidden_sizes)

    @property
    def num_stem_layers(self) -> int:
        """How many convolutions the stem has: `stride ** num_stem_layers == patch_size`."""
        count, size = 0, 1
        while size < self.patch_size and self.stride > 1:
            count, size = count + 1, size * self.stride
        return max(count, 1)

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Output channels of each stem convolution: doubling up to `hidden_sizes[0]`."""
        return tuple(self.hidden_sizes[0] >> shift for shift in reversed(range(self.num_stem_layers)))

    @property
    def stem_grids(self) -> tuple[Grid, ...]:
        """Height and width after each stem convolution."""
        grids, (height, width) = [], self.image_height_width
        for _ in range(self.num_stem_layers):
            height, width = (
                (size + 2 * self.padding - self.kernel_size) // self.stride + 1 for size in (height, width)
            )
            grids.append((height, width))
        return tuple(grids)

    @property
    def stage_grids(self) -> tuple[Grid, ...]:
        """Rows and columns of tokens in each stage."""
        grids = [self.stem_grids[-1]]
        for downsample in self.downsamples or ():
            height, width = grids[-1]
            grids.append(((height - 1) // downsample.stride + 1, (width - 1) // downsample.stride + 1))
        return tuple(grids)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values, for `from_dict`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["downsamples"] = [dict(vars(downsample)) for downsample in self.downsamples or ()]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: a field is unknown or has a value that describes no network.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown field {min(unknown)!r} in the architecture: written by a newer levit?")
        downsamples = values.get("downsamples")
        if downsamples is not None:
            downsamples = tuple(Downsample(**downsample) for downsample in downsamples)
        return cls(**{**values, "downsamples": downsamples})


# The fields with one value per stage: name, type of an entry, least value.
_PER_STAGE: tuple[tuple[str, type[int] | type[float], int], ...] = (
    ("hidden_sizes", int, 1),
    ("num_attention_heads", int, 1),
    ("depths", int, 0),
    ("key_dim", int, 1),
    ("mlp_ratio", float, 0),
    ("attention_ratio", float, 0),
)


def _set(instance: object, name: str, value: object) -> None:
    object.__setattr__(instance, name, value)  # the one way to normalize a field of a frozen dataclass


def _check_integer(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} is {value!r}: it must be a whole number of at least {least}")


def _check_number(name: str, value: object, *, least: float | None = None, above: float | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ConfigError(f"{name} is {value!r}: it must be a number")
    if (least is not None and value < least) or (above is not None and value <= above):
        bound = f"at least {least}" if least is not None else f"greater than {above}"
        raise ConfigError(f"{name} is {value!r}: it must be {bound}")


def _pair(name: str, value: Grid | int | Sequence[int]) -> Grid:
    pair = (value, value) if isinstance(value, int) else value
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise ConfigError(f"{name} is {value!r}: give one number, or height and width")
    for size in pair:
        _check_integer(name, size, least=1)
    return pair[0], pair[1]


def _per_stage(name: str, value: object, stages: int, kind: type[int] | type[float], least: int) -> tuple[float, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError(f"{name} is {value!r}: give a list with one value per stage")
    if not stages:
        raise ConfigError("hidden_sizes is empty: a network has at least one stage")
    if len(value) != stages:
        raise ConfigError(f"{name} has {len(value)} entries, but hidden_sizes has {stages}: give one value per stage")
    for index, entry in enumerate(value):
        if kind is int:
            _check_integer(f"{name}[{index}]", entry, least=least)
        elif name == "attention_ratio":
            _check_number(f"{name}[{index}]", entry, above=0)
        else:
            _check_number(f"{name}[{index}]", entry, least=least)
    return tuple(int(entry) if entry == int(entry) else entry for entry in value)  # 2.0 and 2 are the same ratio


def _check_value_channels(name: str, ratio: float, key_dim: int) -> None:
    if int(ratio * key_dim) < 1:
        raise ConfigError(f"{name} is {ratio!r}: with key_dim {key_dim} it leaves no value channel")
