"""Dialects: the key names of each library's checkpoints, as one table per library.

The table of a dialect has a pattern for the prefix of each kind of block, and the names of the parts of a block. Keys
are translated by finding the blocks of a file with the patterns of one dialect and formatting the patterns of another
with their positions (`levit.checkpoints.key_translation`), so the same tables serve for reading and for writing, and no
configuration is needed.

The canonical names are those of transformers' `LevitForImageClassificationWithTeacher`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["stem", "attention", "mlp", "downsample", "downsample_mlp", "classifier", "classifier_distill"]

HEADS: tuple[Kind, Kind] = ("classifier", "classifier_distill")
BIASES = "attention_biases"
MASK = "attention_mask"  # only in networks with sparse attention
OFFSETS = "attention_bias_idxs"  # follows from the grid: ignored in reading, written if the library requires it
BATCH_COUNT = "num_batches_tracked"
BATCH_NORM_EPSILON = 1e-5  # in all libraries


@dataclass(frozen=True)
class BlockPosition:
    """Position of a block in the network.

    Attributes:
        kind: kind of the block.
        indices: values of the fields of patterns; see `Dialect`.
    """

    kind: Kind
    indices: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a block, by canonical names.

    Attributes:
        part: part of the block, such as "projection"; "" if the block has only one.
        layer: layer of the part, such as "batch_norm"; "" if the tensor is directly in the block.
        name: name of the tensor in the layer, such as "weight".
    """

    part: str
    layer: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Key names of one library.

    Fields of patterns, counted from 0 except for `number`: `stage` and `next_stage`; `layer`, the index of a block in
    its stage; `shifted_layer`, the same if the subsampling blocks before a stage count as its first blocks; `block`,
    the index of an attention and of its MLP in their stage; `global_layer`, the index of a block in the encoder; for
    stem convolutions `number` = 1, 2, 3, … and `even` = 0, 2, 4, …

    Attributes:
        name: name for people and for `levit.convert`.
        patterns: kind of block -> pattern of its prefix.
        parts: canonical name of a part of a block -> name in the dialect.
        layers: canonical name of a layer of a part -> name in the dialect; "" if the dialect has no such level.
        stem_layers: the same for the layers of the stem, where they differ from `layers`.
        head_layers: the same for the layers of a head.
        batch_norm_tensors: canonical name of a tensor of a batch norm -> name in the dialect, where they differ.
        prefix: prefix of all keys but those of the heads; absent in files that contain only the backbone.
        is_convolutional: whether linear layers are 1x1 convolutions, whose weights have two more dimensions of size 1.
        stores_offsets: whether each attention also stores its offset table.
        is_fused: whether batch norms are merged into the layers before them; such files can only be read.
        stores_biases: whether layers of the stem and of MLPs can have biases in place of batch norms.
        counts_batches: whether batch norms store the number of batches that they have seen (`num_batches_tracked`).
        suffixes: of the files that the library writes, the usual one first. Every dialect can also be stored as
            safetensors.
    """

    name: str
    patterns: Mapping[Kind, str]
    parts: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, str] = field(default_factory=dict)
    stem_layers: Mapping[str, str] = field(default_factory=dict)
    head_layers: Mapping[str, str] = field(default_factory=dict)
    batch_norm_tensors: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    is_convolutional: bool = False
    stores_offsets: bool = False
    is_fused: bool = False
    stores_biases: bool = False
    counts_batches: bool = True
    suffixes: tuple[str, ...] = (".pth", ".pt")

    def key(self, position: BlockPosition, tensor: Tensor) -> str:
        """Key of one tensor of a block."""
        is_head = position.kind in HEADS
        layers = self.head_layers if is_head else self.layers
        if position.kind == "stem":
            layers = {**layers, **self.stem_layers}
        is_batch_norm = tensor.layer == "batch_norm"
        names = (
            self.patterns[position.kind].format(**position.indices),
            self.parts.get(tensor.part, tensor.part),
            layers.get(tensor.layer, tensor.layer),
            self.batch_norm_tensors.get(tensor.name, tensor.name) if is_batch_norm else tensor.name,
        )
        return ("" if is_head else self.prefix) + ".".join(name for name in names if name)

    def keys(self, position: BlockPosition) -> Iterator[tuple[Tensor, str]]:
        """Tensors of a block that the dialect stores, each with its key."""
        biases = BIASES_WITHOUT_NORM.get(position.kind, ()) if self.stores_biases else ()
        for tensor in (*TENSORS[position.kind], *biases):
            if not (self.is_fused and _is_merged(position, tensor)) and self.stores(tensor.name):
                yield tensor, self.key(position, tensor)

    def stores(self, name: str) -> bool:
        """Return whether the dialect has tensors with the last part of a canonical name."""
        return self.counts_batches or not name.endswith(BATCH_COUNT)

    def has_block(self, position: BlockPosition, keys: Collection[str]) -> bool:
        """Return whether any tensor of a block is among the keys of a file."""
        return any(key in keys for _, key in self.keys(position))


def _is_merged(position: BlockPosition, tensor: Tensor) -> bool:
    """Return whether a fused file lacks a tensor; it stores the bias of a batch norm as that of the preceding layer."""
    return tensor.layer == "batch_norm" and (position.kind in HEADS or tensor.name != "bias")


def is_optional(position: BlockPosition, tensor: Tensor) -> bool:
    """Return whether a complete block can lack a tensor: a count, a mask, or a bias in place of a batch norm."""
    return tensor.name in (MASK, BATCH_COUNT) or tensor in BIASES_WITHOUT_NORM.get(position.kind, ())


def is_linear(canonical: str) -> bool:
    """Return whether a canonical name is that of a linear weight in a block, a 1x1 convolution in some dialects."""
    return canonical.endswith(".linear.weight") and canonical.startswith(TRANSFORMERS.prefix)


def _layer_and_batch_norm(part: str, layer: str) -> tuple[Tensor, ...]:
    statistics = ("weight", "bias", "running_mean", "running_var", BATCH_COUNT)
    return (Tensor(part, layer, "weight"), *(Tensor(part, "batch_norm", name) for name in statistics))


def _attention(*parts: str) -> tuple[Tensor, ...]:
    return (
        Tensor("", "", BIASES),
        Tensor("", "", MASK),
        *(tensor for part in parts for tensor in _layer_and_batch_norm(part, "linear")),
    )


_MLP = (*_layer_and_batch_norm("linear_up", "linear"), *_layer_and_batch_norm("linear_down", "linear"))
_HEAD = (*_layer_and_batch_norm("", "linear")[1:], Tensor("", "linear", "weight"), Tensor("", "linear", "bias"))
TENSORS: dict[Kind, tuple[Tensor, ...]] = {
    "stem": _layer_and_batch_norm("", "convolution"),
    "attention": _attention("queries_keys_values", "projection"),
    "mlp": _MLP,
    "downsample": _attention("keys_values", "queries", "projection"),
    "downsample_mlp": _MLP,
    "classifier": _HEAD,
    "classifier_distill": _HEAD,
}

_MLP_BIASES = (Tensor("linear_up", "linear", "bias"), Tensor("linear_down", "linear", "bias"))
BIASES_WITHOUT_NORM: dict[Kind, tuple[Tensor, ...]] = {
    "stem": (Tensor("", "convolution", "bias"),),
    "mlp": _MLP_BIASES,
    "downsample_mlp": _MLP_BIASES,
}

TRANSFORMERS = Dialect(
    name="transformers",
    patterns={
        "stem": "patch_embeddings.embedding_layer_{number}",
        "attention": "encoder.stages.{stage}.layers.{layer}.module",
        "mlp": "encoder.stages.{stage}.layers.{layer}.module",
        "downsample": "encoder.stages.{stage}.layers.{layer}",
        "downsample_mlp": "encoder.stages.{stage}.layers.{layer}.module",
        "classifier": "classifier",
        "classifier_distill": "classifier_distill",
    },
    prefix="levit.",
    stores_biases=True,
)
TIMM = Dialect(
    name="timm",
    patterns={
        "stem": "stem.conv{number}",
        "attention": "stages.{stage}.blocks.{block}.attn",
        "mlp": "stages.{stage}.blocks.{block}.mlp",
        "downsample": "stages.{next_stage}.downsample.attn_downsample",
        "downsample_mlp": "stages.{next_stage}.downsample.mlp",
        "classifier": "head",
        "classifier_distill": "head_dist",
    },
    parts={
        "queries_keys_values": "qkv",
        "keys_values": "kv",
        "queries": "q.ln",
        "projection": "proj.ln",
        "linear_up": "ln1",
        "linear_down": "ln2",
    },
    layers={"convolution": "linear", "linear": "linear", "batch_norm": "bn"},
    head_layers={"linear": "linear", "batch_norm": "bn"},
)
FACEBOOK = Dialect(
    name="facebook",
    patterns={
        "stem": "patch_embed.{even}",
        "attention": "blocks.{global_layer}.m",
        "mlp": "blocks.{global_layer}.m",
        "downsample": "blocks.{global_layer}",
        "downsample_mlp": "blocks.{global_layer}.m",
        "classifier": "head",
        "classifier_distill": "head_dist",
    },
    parts={
        "queries_keys_values": "qkv",
        "keys_values": "kv",
        "queries": "q.1",
        "projection": "proj.1",
        "linear_up": "0",
        "linear_down": "2",
    },
    layers={"convolution": "c", "linear": "c", "batch_norm": "bn"},
    head_layers={"linear": "l", "batch_norm": "bn"},
    stores_offsets=True,
)
MMPRETRAIN = Dialect(
    name="mmpretrain",
    patterns={
        "stem": "patch_embed.patch_embed.{even}",
        "attention": "stages.{stage}.{shifted_layer}.block",
        "mlp": "stages.{stage}.{shifted_layer}.block",
        "downsample": "stages.{next_stage}.0",
        "downsample_mlp": "stages.{next_stage}.1.block",
        "classifier": "head.head",
        "classifier_distill": "head.head_dist",
    },
    parts=dict(FACEBOOK.parts) | {"linear_up": "linear1", "linear_down": "linear2"},
    layers={"convolution": "conv", "linear": "linear", "batch_norm": "bn"},
    head_layers={"linear": "linear", "batch_norm": "bn"},
    prefix="backbone.",
    stores_offsets=True,
)
MINDSPORE = replace(
    FACEBOOK,
    name="mindspore",
    patterns={**FACEBOOK.patterns, "stem": "patch_embed.cb{number}"},
    layers={"linear": "linear", "batch_norm": "bn1d"},
    stem_layers={"convolution": "conv", "batch_norm": "bn"},
    head_layers={"linear": "linear", "batch_norm": "bn1d"},
    batch_norm_tensors={
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    },
    counts_batches=False,
    suffixes=(".ckpt",),
)
# Another network, whose weights are translated by `vit_pytorch_weights` and `flax_weights`.
VIT_PYTORCH = Dialect(name="vit-pytorch", patterns={}, suffixes=(".pt", ".pth"))
FLAX = Dialect(name="flax", patterns={}, suffixes=(".msgpack",))
_FUSED = {"convolution": "", "linear": "", "batch_norm": ""}

WRITABLE = (
    TRANSFORMERS,
    TIMM,
    replace(TIMM, name="timm-conv", is_convolutional=True),
    FACEBOOK,
    replace(FACEBOOK, name="facebook-conv", is_convolutional=True),
    MMPRETRAIN,
    MINDSPORE,
    # The convolutions of the stem have the names of facebook's there.
    replace(MINDSPORE, name="mindspore-plain", patterns=FACEBOOK.patterns),
)
DIALECTS = (
    *WRITABLE,
    replace(FACEBOOK, name="facebook-fused", layers=_FUSED, head_layers=_FUSED, is_fused=True),
    replace(
        FACEBOOK, name="facebook-conv-fused", layers=_FUSED, head_layers=_FUSED, is_fused=True, is_convolutional=True
    ),
    replace(TIMM, name="timm-fused", layers=_FUSED, head_layers=_FUSED, is_fused=True),
    replace(TIMM, name="timm-conv-fused", layers=_FUSED, head_layers=_FUSED, is_fused=True, is_convolutional=True),
    replace(MMPRETRAIN, name="mmpretrain-fused", layers=_FUSED, head_layers=_FUSED, is_fused=True),
)
