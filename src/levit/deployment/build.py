"""Conversion of a checkpoint to an artifact: folded weights, an ONNX graph, and metadata."""

from __future__ import annotations

import onnx

from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.folding import fold
from levit.deployment.graph import WeightPrecision, build_graph


def build_artifact(
    checkpoint: Checkpoint, *, weight_precision: WeightPrecision = "fp32", producer: str = ""
) -> onnx.ModelProto:
    """Build the artifact of a checkpoint, in memory.

    Args:
        checkpoint: result of `levit.read_checkpoint`; it must have a head.
        weight_precision: "fp16" stores the matrices in half precision, which halves the file.
        producer: name and version of the program, for the metadata.

    Raises:
        ConfigError: the preprocessing does not give images of the size that the network takes.
        ExportError: the network has no head.
    """
    checkpoint.preprocessing.check_fits(checkpoint.architecture.image_height_width)
    folded = fold(checkpoint.weights, checkpoint.architecture)
    metadata = checkpoint.as_artifact(weight_precision, producer=producer).to_metadata()
    return build_graph(folded, checkpoint.architecture, weight_precision=weight_precision, metadata=metadata)
