"""Translation of checkpoint keys between dialects."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count

from levit.checkpoints.dialects import HEADS, BlockPosition, Dialect


def translate_keys(keys: Collection[str], source: Dialect, target: Dialect) -> dict[str, str]:
    """Translate the keys of a file.

    Args:
        keys: keys of all weights of a network.
        source: dialect of the keys.
        target: dialect to translate to.

    Returns:
        Key in the source dialect -> key in the target dialect; keys that are not weights of a LeViT are absent.

    Examples:
        >>> from levit.checkpoints.dialects import FACEBOOK, TIMM
        >>> translate_keys(["patch_embed.0.c.weight"], FACEBOOK, TIMM)
        {'patch_embed.0.c.weight': 'stem.conv1.linear.weight'}
    """
    return {
        key: target.key(position, tensor)
        for position in find_blocks(source, keys)
        for tensor, key in source.keys(position)
        if key in keys
    }


def find_blocks(dialect: Dialect, keys: Collection[str]) -> Iterator[BlockPosition]:
    """Positions of all blocks in a file, in the order of the network."""
    for number in count(1):
        layer = BlockPosition("stem", {"number": number, "even": 2 * (number - 1)})
        if not dialect.has_block(layer, keys):
            break
        yield layer
    stage = global_layer = shift = 0  # shift: number of subsampling blocks before the stage
    while True:
        blocks: list[BlockPosition] = []
        while block := _next_block(
            dialect, keys, blocks, {"stage": stage, "global_layer": global_layer + len(blocks)}, shift
        ):
            blocks.append(block)
        yield from blocks
        global_layer += len(blocks)
        indices = {"stage": stage, "layer": len(blocks), "global_layer": global_layer}
        subsampling = list(_subsampling_blocks(dialect, keys, indices))
        yield from subsampling
        if not subsampling:
            break
        stage, global_layer, shift = stage + 1, global_layer + len(subsampling), len(subsampling)
    yield from (head for head in map(BlockPosition, HEADS) if dialect.has_block(head, keys))


def _next_block(
    dialect: Dialect, keys: Collection[str], blocks: list[BlockPosition], indices: dict[str, int], shift: int
) -> BlockPosition | None:
    """Block after the given ones of a stage: the MLP of the last attention, or another attention."""
    layer, attentions = len(blocks), sum(block.kind == "attention" for block in blocks)
    indices = {**indices, "layer": layer, "shifted_layer": layer + shift}
    candidates = [BlockPosition("attention", {**indices, "block": attentions})]
    if blocks and blocks[-1].kind == "attention":
        candidates.insert(0, BlockPosition("mlp", {**indices, "block": attentions - 1}))
    return next((block for block in candidates if dialect.has_block(block, keys)), None)


def _subsampling_blocks(dialect: Dialect, keys: Collection[str], indices: dict[str, int]) -> Iterator[BlockPosition]:
    """Attention and MLP between a stage and the next."""
    indices = {**indices, "next_stage": indices["stage"] + 1}
    attention = BlockPosition("downsample", indices)
    if dialect.has_block(attention, keys):
        yield attention
        following = {**indices, "layer": indices["layer"] + 1, "global_layer": indices["global_layer"] + 1}
        mlp = BlockPosition("downsample_mlp", following)
        if dialect.has_block(mlp, keys):
            yield mlp
