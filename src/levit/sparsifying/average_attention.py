"""Average attention of a network over a set of images, computed by OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from levit.checkpoints.checkpoint import Checkpoint
from levit.data.labeled_images import LabeledDataset
from levit.deployment.build import build_artifact
from levit.deployment.graph import INPUT
from levit.deployment.node_names import SOFTMAX
from levit.errors import DataError
from levit.evaluation.prepared_images import preprocess_images
from levit.images.transform import normalize
from levit.runtime.openvino_core import openvino_core
from levit.spec.network import attention_blocks
from levit.spec.preprocessing import Preprocessing

AttentionMaps = dict[str, NDArray[np.float64]]

_BATCH_SIZE = 32


def average_attention(checkpoint: Checkpoint, data: LabeledDataset) -> AttentionMaps:
    """Average the attention probabilities of each layer over images, without augmentation.

    Args:
        checkpoint: a network with a head.
        data: the images; their labels are not used.

    Returns:
        Key of each attention block, in order -> float64 [heads, queries, keys], rows that sum to 1.

    Raises:
        DataError: there is no image.
        ImageError: no image can be read.
        ExportError: the network has no head.
    """
    blocks = attention_blocks(checkpoint.architecture)
    network = _with_average_outputs(build_artifact(checkpoint), [block.name for block in blocks])
    precision = {"INFERENCE_PRECISION_HINT": "f32"}  # bfloat16, the default of some processors, rounds small shares
    core = openvino_core()
    compiled = core.compile_model(core.read_model(network.SerializeToString()), "CPU", precision)
    sums: AttentionMaps = {block.key: np.zeros(block.map_shape) for block in blocks}
    count = 0
    for pixels in _batches(data, checkpoint.preprocessing):
        outputs = compiled({INPUT: normalize(pixels, checkpoint.preprocessing)})
        for index, block in enumerate(blocks):
            sums[block.key] += len(pixels) * outputs[index][0]
        count += len(pixels)
    if not count:
        raise DataError("has no images", source=data.name)
    return {key: total / total.sum(axis=-1, keepdims=True) for key, total in sums.items()}


def _with_average_outputs(network: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """Replace the output of a network by the mean over the batch of the attention of each of its blocks."""
    graph = network.graph
    del graph.output[:]
    for name in names:
        mean = f"{name}.average"
        graph.node.append(helper.make_node("ReduceMean", [name + SOFTMAX], [mean], mean, axes=[0], keepdims=1))
        graph.output.append(helper.make_tensor_value_info(mean, TensorProto.FLOAT, None))
    return network


def _batches(data: LabeledDataset, preprocessing: Preprocessing) -> Iterator[NDArray[np.uint8]]:
    """Batches of resized and cropped images, uint8 [B, height, width, 3], decoded on all cores."""
    images = (image for _, image in preprocess_images(data, preprocessing))
    while batch := list(islice(images, _BATCH_SIZE)):
        yield np.stack(batch)
