"""Architecture of a LeViT: validated hyperparameters, and the token grids that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from levit.errors import ConfigError
from levit.spec.architecture_fields import ACTIVATIONS as ACTIVATIONS
from levit.spec.architecture_fields import (
    FLAGS,
    STAGE_FIELDS,
    check_activation,
    check_stages,
    check_stem_channels,
    check_value_channels,
    height_width,
    pair,
)
from levit.spec.architecture_fields import Grid as Grid
from levit.spec.field_values import (
    check_integer,
    check_mapping,
    check_not_negative,
    check_positive,
    is_integer,
    make_plain,
    shown,
)


@dataclass(frozen=True, kw_only=True)
class Downsample:
    """Subsampling attention between two stages, and the MLP after it.

    The queries are every `stride`-th token in both directions; keys and values are all tokens of the earlier stage.
    The projection maps to the width of the later stage, which is also the width of the MLP.

    Attributes:
        key_dim: channels of a query and of a key in each head, at least 1.
        num_attention_heads: number of heads, at least 1.
        attention_ratio: channels of a value in each head, as a multiple of `key_dim`, above 0; rounded down.
        mlp_ratio: hidden width of the MLP, as a multiple of its width, at least 0; rounded down. 0 omits the MLP.
        stride: factor by which rows and columns of tokens shrink, at least 1.
    """

    key_dim: int
    num_attention_heads: int
    attention_ratio: float = 4
    mlp_ratio: float = 2
    stride: int = 2

    def __post_init__(self) -> None:
        make_plain(self)

    def check(self, name: str) -> None:
        """Check all fields; `name` is the source of errors."""
        for field in ("key_dim", "num_attention_heads", "stride"):
            check_integer(f"{name}.{field}", getattr(self, field), minimum=1)
        check_positive(f"{name}.attention_ratio", self.attention_ratio)
        check_value_channels(f"{name}.attention_ratio", self.attention_ratio, self.key_dim)
        check_not_negative(f"{name}.mlp_ratio", self.mlp_ratio)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Hyperparameters that determine the shapes and the arithmetic of a LeViT (paper, section 4).

    Fields with one value per stage are tuples of equal length, the number of stages, at most 100. Names and defaults
    are those of transformers' `LevitConfig`, with additions: `downsamples`, `activation`, `has_attention_masks`,
    `num_labels`, `num_classifiers`; and the fields in which the network of vit-pytorch differs from that of the paper:
    two numbers as `padding`, `stem_channels`, `stem_activation`, `attention_activation` and the three `…_batch_norm`.

    Attributes:
        image_size: height and width of the input in pixels, each at least 1; one number means a square.
        num_channels: channels of the input, at least 1; 3 for RGB.
        kernel_size: side of the square kernels of the stem convolutions, at least 1.
        stride: stride of each stem convolution, at least 2.
        padding: zeros added to each side of the input of each stem convolution, at least 0; or two numbers, those
            before and those after the rows and the columns.
        patch_size: factor by which the stem shrinks the image; `stride` to the power of the number of stem
            convolutions.
        hidden_sizes: channels of a token in each stage. The first is the output width of the stem, which doubles its
            channels up to it, so it must be at least 2 to the power of one less than the number of stem convolutions,
            unless `stem_channels` are given.
        num_attention_heads: heads of the attention blocks of each stage, at least 1.
        depths: number of attention blocks in each stage, together at most 1000; each is followed by an MLP block.
        key_dim: channels of a query and of a key in each head of each stage, at least 1.
        mlp_ratio: hidden width of the MLPs of each stage, as a multiple of `hidden_sizes`, at least 0; rounded down.
            0 omits the MLPs.
        attention_ratio: channels of a value in each head of each stage, as a multiple of `key_dim`, above 0; rounded
            down.
        downsamples: subsampling attention after each stage except the last. None selects that of the paper:
            `hidden_sizes[i] // key_dim[0]` heads of `key_dim[0]` channels, with the defaults of `Downsample`.
        activation: "hardswish", "silu", "gelu", "gelu_tanh" (its approximation) or "none"; applied after each stem
            convolution except the last and after the first layer of each MLP, and before the projection of each
            attention.
        stem_activation: the same for the stem; None: `activation`.
        attention_activation: the same for the attention; None: `activation`.
        stem_channels: output channels of each stem convolution, the last of which are `hidden_sizes[0]`; None: half of
            those of the next convolution.
        stem_batch_norm: whether a batch norm follows each stem convolution, which then has no bias.
        mlp_batch_norm: whether a batch norm follows each linear layer of the MLPs, which then has no bias.
        head_batch_norm: whether a batch norm precedes the linear layer of each head.
        has_attention_masks: whether each attention has a mask among its weights, which removes keys of single queries
            (sparse attention).
        num_labels: number of classes, at least 0; 0 means no classification head.
        num_classifiers: number of classification heads. 0: features only; 1: one head; 2: a second head, trained by
            distillation, and logits that are the mean of both.

    Raises:
        ConfigError: a value is invalid, or the values contradict each other; `source` is the field.

    Examples:
        >>> architecture = Architecture(hidden_sizes=(128, 256, 384), depths=(2, 3, 4), num_attention_heads=(4, 6, 8))
        >>> architecture.stage_grids
        ((14, 14), (7, 7), (4, 4))
        >>> Architecture(depths=(1, 2))
        Traceback (most recent call last):
        levit.errors.ConfigError: depths: 2 entries, but hidden_sizes has 3: give one value per stage
    """

    image_size: Grid | int = (224, 224)
    num_channels: int = 3
    kernel_size: int = 3
    stride: int = 2
    padding: int | tuple[int, int] = 1
    patch_size: int = 16
    hidden_sizes: tuple[int, ...] = (128, 256, 384)
    num_attention_heads: tuple[int, ...] = (4, 8, 12)
    depths: tuple[int, ...] = (4, 4, 4)
    key_dim: tuple[int, ...] = (16, 16, 16)
    mlp_ratio: tuple[float, ...] = (2, 2, 2)
    attention_ratio: tuple[float, ...] = (2, 2, 2)
    downsamples: tuple[Downsample, ...] | None = None
    activation: str = "hardswish"
    stem_activation: str | None = None
    attention_activation: str | None = None
    stem_channels: tuple[int, ...] | None = None
    stem_batch_norm: bool = True
    mlp_batch_norm: bool = True
    head_batch_norm: bool = True
    has_attention_masks: bool = False
    num_labels: int = 1000
    num_classifiers: Literal[0, 1, 2] = 2

    def __post_init__(self) -> None:
        make_plain(self)
        _set(self, "image_size", height_width("image_size", self.image_size))
        for name in ("num_channels", "kernel_size", "stride", "patch_size"):
            check_integer(name, getattr(self, name), minimum=1)
        check_integer("num_labels", self.num_labels, minimum=0)
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{shown(getattr(self, name))} is not true or false", source=name)
        for name, values in check_stages({name: getattr(self, name) for name in STAGE_FIELDS}).items():
            _set(self, name, values)
        if self.downsamples is None:
            _set(self, "downsamples", self._default_downsamples())
        self._check_downsamples()
        self._check_stem()
        for name in ("activation", "stem_activation", "attention_activation"):
            check_activation(name, getattr(self, name), is_optional=name != "activation")
        if not is_integer(self.num_classifiers) or self.num_classifiers not in (0, 1, 2):
            raise ConfigError(f"{shown(self.num_classifiers)} is not 0, 1 or 2", source="num_classifiers")

    def _default_downsamples(self) -> tuple[Downsample, ...]:
        heads = [width // self.key_dim[0] for width in self.hidden_sizes[:-1]]
        return tuple(Downsample(key_dim=self.key_dim[0], num_attention_heads=max(count, 1)) for count in heads)

    def _check_downsamples(self) -> None:
        downsamples = self.downsamples or ()
        if not isinstance(downsamples, Sequence) or not all(isinstance(item, Downsample) for item in downsamples):
            raise ConfigError(f"{shown(downsamples)} is not a list of Downsample", source="downsamples")
        _set(self, "downsamples", tuple(downsamples))
        if len(downsamples) != len(self.hidden_sizes) - 1:
            raise ConfigError(
                f"{len(downsamples)} entries for {len(self.hidden_sizes)} stages",
                source="downsamples",
                hint="give one for each pair of consecutive stages",
            )
        for index, downsample in enumerate(downsamples):
            downsample.check(f"downsamples[{index}]")

    def _check_stem(self) -> None:
        before, after = pair("padding", self.padding, "the zeros before and after", minimum=0)
        _set(self, "padding", before if before == after else (before, after))
        if self.stride < 2 or self.stride**self.num_stem_layers != self.patch_size:
            raise ConfigError(
                f"{self.patch_size} is not a power of stride ({self.stride})",
                source="patch_size",
                hint="each convolution of the stem shrinks the image by the stride",
            )
        if self.stem_channels is not None:
            channels = check_stem_channels(self.stem_channels, self.num_stem_layers, self.hidden_sizes[0])
            _set(self, "stem_channels", None)
            _set(self, "stem_channels", None if channels == self.stem_widths else channels)
        if self.stem_widths[0] < 1:
            raise ConfigError(
                f"{self.hidden_sizes[0]} is less than {2 ** (self.num_stem_layers - 1)}",
                source="hidden_sizes[0]",
                hint="the stem doubles its channels in each convolution up to this width",
            )
        if min(self.stem_grids[-1]) < 1:
            size = "{}x{}".format(*self.image_height_width)
            raise ConfigError(f"{size} is too small for a stem that shrinks by {self.patch_size}", source="image_size")

    @property
    def has_layers_of_paper(self) -> bool:
        """Whether stem, batch norms and biases are as in the paper, and there is one activation."""
        activations = {self.stem_activation, self.attention_activation} - {None, self.activation}
        batch_norms = self.stem_batch_norm and self.mlp_batch_norm and self.head_batch_norm
        return isinstance(self.padding, int) and self.stem_channels is None and not activations and batch_norms

    @property
    def image_height_width(self) -> Grid:
        """Height and width of the input in pixels."""
        return height_width("image_size", self.image_size)

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return len(self.hidden_sizes)

    @property
    def num_stem_layers(self) -> int:
        """Number of stem convolutions: `stride ** num_stem_layers == patch_size`."""
        count, size = 0, 1
        while size < self.patch_size and self.stride > 1:
            count, size = count + 1, size * self.stride
        return max(count, 1)

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Output channels of each stem convolution: `stem_channels`, or doubling up to `hidden_sizes[0]`."""
        if self.stem_channels is not None:
            return self.stem_channels
        return tuple(self.hidden_sizes[0] >> shift for shift in reversed(range(self.num_stem_layers)))

    @property
    def stem_padding(self) -> tuple[int, int]:
        """Zeros before and after the rows, and the columns, of the input of each stem convolution."""
        return (self.padding, self.padding) if isinstance(self.padding, int) else self.padding

    @property
    def stem_grids(self) -> tuple[Grid, ...]:
        """Height and width of the output of each stem convolution."""
        grids, (height, width) = [], self.image_height_width
        for _ in range(self.num_stem_layers):
            height, width = (
                (size + sum(self.stem_padding) - self.kernel_size) // self.stride + 1 for size in (height, width)
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
        """Fields as plain JSON values, for `from_dict`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["downsamples"] = [dict(vars(downsample)) for downsample in self.downsamples or ()]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a field is unknown or invalid.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ConfigError("unknown field of an architecture", source=min(unknown), hint="written by a newer levit?")
        downsamples = values.get("downsamples")
        if downsamples is not None:
            if isinstance(downsamples, str) or not isinstance(downsamples, Sequence):
                raise ConfigError(f"{shown(downsamples)} is not a list", source="downsamples")
            downsamples = tuple(_downsample(f"downsamples[{index}]", item) for index, item in enumerate(downsamples))
        return cls(**{**values, "downsamples": downsamples})


def _downsample(name: str, values: object) -> Downsample:
    """Inverse of the conversion of a `Downsample` by `to_dict`."""
    try:
        return Downsample(**check_mapping(name, values))
    except TypeError:
        raise ConfigError(f"{shown(values)} has other fields than a Downsample", source=name) from None


def _set(instance: object, name: str, value: object) -> None:
    object.__setattr__(instance, name, value)  # a frozen dataclass has no other way to normalize a field
