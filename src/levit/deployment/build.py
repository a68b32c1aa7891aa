"""Checkpoint -> artifact: folded, written as a graph, with everything it carries in its metadata."""

from __future__ import annotations

import onnx

from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.folding import fold
from levit.deployment.graph import Storage, build_graph


def build_artifact(checkpoint: Checkpoint, *, storage: Storage = "fp32", producer: str = "") -> onnx.ModelProto:
    """The one-file artifact of a checkpoint, in memory.

    Args:
        checkpoint: what `levit.read_checkpoint` gives; it must have a head.
        storage: "fp16" keeps the matrices in half precision, which halves the file.
        producer: name and version of the program, for the metadata.

    Raises:
        ConfigError: the preprocessing does not give what the network takes.
        ExportError: the network has no head.
    """
    checkpoint.preprocessing.check_fits(checkpoint.architecture.image_height_width)
    folded = fold(checkpoint.weights, checkpoint.architecture)
    metadata = checkpoint.as_artifact(storage, producer=producer).to_metadata()
    return build_graph(folded, checkpoint.architecture, storage=storage, metadata=metadata)
