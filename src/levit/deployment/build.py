"""Conversion of a checkpoint to an artifact: folded weights, an ONNX graph, and metadata."""

from __future__ import annotations

from math import prod

import onnx

from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.folding import fold
from levit.deployment.graph import WeightPrecision, build_graph
from levit.errors import ExportError, errors_name
from levit.spec.architecture import Architecture
from levit.spec.network import attention_blocks, count_parameters

_MAX_BYTES = 2**31 - 2**24  # the limit of a file of ONNX, 2 GiB, less what nodes and metadata take at most


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
        ExportError: the network has no head, or is too large for one file; `source` is the name of the checkpoint.
    """
    with errors_name(checkpoint.source.name):
        checkpoint.preprocessing.check_fits(checkpoint.architecture.image_height_width)
        _check_size(checkpoint.architecture, weight_precision)
        folded = fold(checkpoint.weights, checkpoint.architecture)
        metadata = checkpoint.as_artifact(weight_precision, producer=producer).to_metadata()
        return build_graph(folded, checkpoint.architecture, weight_precision=weight_precision, metadata=metadata)


def _check_size(architecture: Architecture, weight_precision: WeightPrecision) -> None:
    """Check, before anything is made, that the weights and the expanded attention biases fit into one file."""
    blocks = attention_blocks(architecture)
    num_biases = sum(block.num_heads * prod(block.output_grid) * prod(block.input_grid) for block in blocks)
    num_bytes = 4 * num_biases + (2 if weight_precision == "fp16" else 4) * count_parameters(architecture)
    if num_bytes > _MAX_BYTES:
        height, width = architecture.image_height_width
        raise ExportError(
            f"weights and attention biases for images of {height}x{width} would take {num_bytes / 1e9:,.2f} GB, more "
            "than the 2 GB of an ONNX file",
            hint="use smaller images",
        )
