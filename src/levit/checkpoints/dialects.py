"""One key table per dialect: how a library names its weights, read in both directions.

A dialect says where the blocks of a network stand (patterns) and what their parts are called. Walking through a file
by the patterns of one dialect finds its blocks and their places, and with a place the patterns of any other dialect
say what the same block is called there. So one table serves for reading and for writing, and needs no configuration.

The canonical names are those of transformers' `LevitForImageClassificationWithTeacher`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

Kind = Literal["stem", "attention", "mlp", "downsample", "downsample_mlp", "classifier", "classifier_distill"]

HEADS: tuple[Kind, Kind] = ("classifier", "classifier_distill")
BIASES = "attention_biases"
BATCH_NORM_EPSILON = 1e-5  # of every library
OFFSETS = "attention_bias_idxs"  # follows from the grid: never read, written where the library insists on it


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The names of one library.

    Patterns may hold, counted from 0 but for `{number}`: `{stage}` and `{next_stage}`; `{layer}`, the position in the
    stage, and `{shifted}`, the same where the blocks that lead into a stage are its first; `{block}`, counting
    attentions alone; `{running}`, through all stages; for stem layers `{number}` = 1, 2, 3, … and `{even}` = 0, 2, 4, …

    Attributes:
        name: what people call it, and `levit convert --to`.
        patterns: where each kind of block stands.
        parts: canonical name of a part of a block -> name here.
        layers, head_layers: canonical name of the layers of a part, and of a head -> name here; "" for none.
        prefix: what stands before the backbone's names, and is absent where a file holds the backbone alone.
        is_convolutional: whether linear weights have two trailing dimensions of size 1.
        stores_offsets: whether each attention also stores its offset table.
        is_fused: whether batch norms are folded into the layers before them; such files are read and not written.
    """

    name: str
    patterns: Mapping[Kind, str]
    parts: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, str] = field(default_factory=dict)
    head_layers: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    is_convolutional: bool = False
    stores_offsets: bool = False
    is_fused: bool = False

    def name_of(self, place: Place, tensor: Tensor) -> str:
        """The name here of one tensor of a block."""
        is_head = place.kind in HEADS
        layers = self.head_layers if is_head else self.layers
        names = (
            self.patterns[place.kind].format(**place.numbers),
            self.parts.get(tensor.part, tensor.part),
            layers.get(tensor.layer, tensor.layer),
            tensor.name,
        )
        return ("" if is_head else self.prefix) + ".".join(name for name in names if name)

    def tensors(self, place: Place) -> Iterator[tuple[Tensor, str]]:
        """The tensors of a block, each with its name here."""
        for tensor in TENSORS[place.kind]:
            if not (self.is_fused and _is_absorbed(place, tensor)):
                yield tensor, self.name_of(place, tensor)

    def has(self, place: Place, keys: Collection[str]) -> bool:
        """Whether a file with these keys has a block at that place, or at least a part of one."""
        return any(name in keys for _, name in self.tensors(place))


@dataclass(frozen=True)
class Place:
    """Where a block stands: its kind, and the numbers that patterns may hold."""

    kind: Kind
    numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a block: the part it is in, the layer of that part, its own name; "" for none."""

    part: str
    layer: str
    name: str


def _normalized(part: str, layer: str) -> tuple[Tensor, ...]:
    statistics = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return (Tensor(part, layer, "weight"), *(Tensor(part, "batch_norm", name) for name in statistics))


def _attention(*parts: str) -> tuple[Tensor, ...]:
    return (Tensor("", "", BIASES), *(tensor for part in parts for tensor in _normalized(part, "linear")))


_MLP = (*_normalized("linear_up", "linear"), *_normalized("linear_down", "linear"))
_HEAD = (*_normalized("", "linear")[1:], Tensor("", "linear", "weight"), Tensor("", "linear", "bias"))
TENSORS: dict[Kind, tuple[Tensor, ...]] = {
    "stem": _normalized("", "convolution"),
    "attention": _attention("queries_keys_values", "projection"),
    "mlp": _MLP,
    "downsample": _attention("keys_values", "queries", "projection"),
    "downsample_mlp": _MLP,
    "classifier": _HEAD,
    "classifier_distill": _HEAD,
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
        "attention": "blocks.{running}.m",
        "mlp": "blocks.{running}.m",
        "downsample": "blocks.{running}",
        "downsample_mlp": "blocks.{running}.m",
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
        "attention": "stages.{stage}.{shifted}.block",
        "mlp": "stages.{stage}.{shifted}.block",
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
_FUSED = {"convolution": "", "linear": "", "batch_norm": ""}

WRITABLE = (
    TRANSFORMERS,
    TIMM,
    replace(TIMM, name="timm-conv", is_convolutional=True),
    FACEBOOK,
    replace(FACEBOOK, name="facebook-conv", is_convolutional=True),
    MMPRETRAIN,
)
DIALECTS = (
    *WRITABLE,
    replace(FACEBOOK, name="facebook-fused", layers=_FUSED, head_layers=_FUSED, is_fused=True),
    replace(
        FACEBOOK, name="facebook-conv-fused", layers=_FUSED, head_layers=_FUSED, is_fused=True, is_convolutional=True
    ),
    replace(MMPRETRAIN, name="mmpretrain-fused", layers=_FUSED, head_layers=_FUSED, is_fused=True),
)


def walk(dialect: Dialect, keys: Collection[str]) -> Iterator[Place]:
    """The places of all blocks of a file, in the order of the network."""
    for number in count(1):
        layer = Place("stem", {"number": number, "even": 2 * (number - 1)})
        if not dialect.has(layer, keys):
            break
        yield layer
    stage = running = lead = 0  # lead: how many blocks led into this stage
    while True:
        blocks: list[Place] = []
        while place := _next_block(
            dialect, keys, blocks, {"stage": stage, "running": running + len(blocks), "lead": lead}
        ):
            blocks.append(place)
        yield from blocks
        running += len(blocks)
        leading = list(_next_stage(dialect, keys, {"stage": stage, "layer": len(blocks), "running": running}))
        yield from leading
        if not leading:
            break
        stage, running, lead = stage + 1, running + len(leading), len(leading)
    yield from (Place(head) for head in HEADS if dialect.has(Place(head), keys))


def _next_block(dialect: Dialect, keys: Collection[str], blocks: list[Place], numbers: dict[str, int]) -> Place | None:
    """The block after those of a stage that were found: an attention, or the MLP of the attention before."""
    layer, attentions = len(blocks), sum(place.kind == "attention" for place in blocks)
    numbers = {**numbers, "layer": layer, "shifted": layer + numbers["lead"]}
    candidates = [Place("attention", {**numbers, "block": attentions})]
    if blocks and blocks[-1].kind == "attention":
        candidates.insert(0, Place("mlp", {**numbers, "block": attentions - 1}))
    return next((place for place in candidates if dialect.has(place, keys)), None)


def _next_stage(dialect: Dialect, keys: Collection[str], numbers: dict[str, int]) -> Iterator[Place]:
    """The blocks that lead from a stage to the next."""
    numbers = {**numbers, "next_stage": numbers["stage"] + 1}
    if dialect.has(place := Place("downsample", numbers), keys):
        yield place
        following = {**numbers, "layer": numbers["layer"] + 1, "running": numbers["running"] + 1}
        if dialect.has(place := Place("downsample_mlp", following), keys):
            yield place


def translate(keys: Collection[str], source: Dialect, target: Dialect) -> dict[str, str]:
    """Name in the target's dialect for each key in the source's; keys that are no weight of a LeViT are left out.

    Examples:
        >>> translate(["patch_embed.0.c.weight"], FACEBOOK, TIMM)
        {'patch_embed.0.c.weight': 'stem.conv1.linear.weight'}
    """
    names = {}
    for place in walk(source, keys):
        for tensor, name in source.tensors(place):
            if name in keys:
                names[name] = target.name_of(place, tensor)
    return names


def _is_absorbed(place: Place, tensor: Tensor) -> bool:
    """Whether fusing leaves nothing of a tensor: of a batch norm only the bias remains, as the layer's own."""
    return tensor.layer == "batch_norm" and (place.kind in HEADS or tensor.name != "bias")


def is_linear(canonical: str) -> bool:
    """Whether a canonical name is that of a linear weight in a block, which some dialects keep as a 1x1 convolution."""
    return canonical.endswith(".linear.weight") and canonical.startswith(TRANSFORMERS.prefix)
