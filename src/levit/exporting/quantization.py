"""Post-training quantization of a deployment network to int8 by NNCF.

The convolutions of the stem and the linear layers of the blocks are quantized, weights symmetrically per output
channel, activations asymmetrically. Three parts remain in floating point: the head, whose quantization accounts for
the whole loss of accuracy; the two matrix products of attention; and the residual stream. The latter two cost no time
in floating point, and their quantization would change a few percent of the predictions (docs/speed.md).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from importlib import import_module
from io import StringIO
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from levit.deployment.graph import INPUT, OUTPUT
from levit.deployment.node_names import BIAS, BIASED_SCORES, CONTEXT, HEAD, MATMUL, RESIDUAL, SCORES, SOFTMAX, WEIGHT
from levit.exporting.artifact_files import artifact_of
from levit.images.transform import normalize
from levit.runtime.telemetry import telemetry_disabled

# Suffixes of nodes that remain in floating point.
_FLOAT_NODES = (SCORES, BIASED_SCORES, SOFTMAX, CONTEXT, RESIDUAL)


def quantizable_layers(model: onnx.ModelProto) -> list[str]:
    """Names of the layers that `quantize` quantizes: all convolutions and linear layers except the head.

    Args:
        model: deployment network with fp32 weights.

    Returns:
        The names in the order of the network.

    Examples:
        >>> import levit
        >>> from levit.deployment.build import build_artifact
        >>> network = build_artifact(levit.read_checkpoint("tests/golden/tiny/transformers"))
        >>> quantizable_layers(network)[3:6]
        ['stem.convolution4', 'stage1.block1.attention.query', 'stage1.block1.attention.key']
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name.removesuffix(MATMUL)
        for node in model.graph.node
        if (node.op_type == "Conv" or (node.op_type == "MatMul" and node.input[1] in constants))
        and node.name != HEAD + MATMUL
    ]


def quantize(model: onnx.ModelProto, images: Sequence[NDArray[np.uint8]]) -> onnx.ModelProto:
    """Quantize a deployment network with fp32 weights.

    Activations are unsigned, the form in which ONNX Runtime computes in integers on x86; OpenVINO converts them itself.
    The level of NNCF's logger, the logger class and standard output are restored afterwards.

    Args:
        model: result of `levit.deployment.graph.build_graph`; it is not modified.
        images: quantization images, uint8 [height, width, 3] each, resized and cropped.

    Returns:
        The network with pairs of QuantizeLinear and DequantizeLinear nodes, and with the metadata of `model`
        but for the precision.

    Raises:
        ImportError: NNCF is not installed.
    """
    nncf = _import_nncf()
    preprocessing = artifact_of(model).preprocessing
    float_nodes = {HEAD + MATMUL, *(node.name for node in model.graph.node if node.name.endswith(_FLOAT_NODES))}
    with _standard_output_unused():
        quantized: onnx.ModelProto = nncf.quantize(
            _copy(model),
            nncf.Dataset(list(images), lambda image: {INPUT: normalize(image[None], preprocessing)}),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=sorted(float_nodes)),
        )
    _make_unsigned(quantized)
    return restore(quantized, model, [])


def restore(quantized: onnx.ModelProto, original: onnx.ModelProto, layers: Collection[str]) -> onnx.ModelProto:
    """Return layers of a quantized network to floating point.

    Args:
        quantized: result of `quantize`; it is not modified.
        original: network from which it was quantized.
        layers: names among `quantizable_layers(original)`.

    Returns:
        New model in which these layers are those of the original.
    """
    restored = _copy(quantized)
    original_nodes = {node.name: node for node in original.graph.node}
    quantized_layers = [layer for layer in quantizable_layers(original) if layer not in layers]
    quantized_nodes = {name for layer in quantized_layers for name in _nodes_of(layer, original_nodes)}
    for node in restored.graph.node:
        if node.name in original_nodes and node.name not in quantized_nodes:
            node.input[:] = original_nodes[node.name].input
    tensors = {tensor.name: tensor for tensor in original.graph.initializer}
    present = {tensor.name: tensor for tensor in restored.graph.initializer}
    for layer in layers:
        for name in (layer + WEIGHT, layer + BIAS):
            if name in present:
                present[name].CopyFrom(tensors[name])
            else:
                restored.graph.initializer.append(tensors[name])
    return _finish(restored, original)


def _import_nncf() -> ModuleType:
    logger_class, logger = logging.getLoggerClass(), logging.getLogger("nncf")
    level = logger.level
    try:
        with telemetry_disabled():
            return import_module("nncf")
    except ImportError as error:
        raise ImportError('int8 needs NNCF: pip install "levit[quantization]"') from error
    finally:
        logging.setLoggerClass(logger_class)  # the import replaces it for all loggers of the process
        logger.setLevel(level)


@contextmanager
def _standard_output_unused() -> Iterator[None]:
    """Send NNCF's progress bars to standard error, on a terminal only, and limit its log to errors."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr if sys.stderr.isatty() else StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _nodes_of(layer: str, nodes: Mapping[str, onnx.NodeProto]) -> Iterator[str]:
    """Yield the nodes of a layer and the reshapes and slices of its input, through which quantized values pass."""
    matmul = layer + MATMUL
    for name in (layer, matmul):
        if name in nodes:
            yield name
    source = nodes[matmul if matmul in nodes else layer].input[0]
    while source in nodes and nodes[source].op_type in ("Reshape", "Slice"):
        yield source
        source = nodes[source].input[0]


def _make_unsigned(model: onnx.ModelProto) -> None:
    """Shift the zero points of signed activations by 128, which changes their type to uint8 and no value."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    activations = {node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    zero_points = {
        node.input[2]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" or (node.op_type == "DequantizeLinear" and node.input[0] in activations)
    }
    for name in sorted(zero_points):
        zero_point: NDArray[Any] = numpy_helper.to_array(tensors[name])
        if zero_point.dtype == np.int8:
            shifted = (zero_point.astype(np.int16) + 128).astype(np.uint8)
            tensors[name].CopyFrom(numpy_helper.from_array(shifted, name))


def _finish(model: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Remove unused nodes and tensors, set the precision in the metadata to int8, and check the model."""
    used, nodes = {OUTPUT}, []
    for node in reversed(model.graph.node):
        if used.intersection(node.output):
            used.update(node.input)
            nodes.append(node)
    graph = onnx.helper.make_graph(
        nodes[::-1],
        original.graph.name,
        list(original.graph.input),
        list(original.graph.output),
        [tensor for tensor in model.graph.initializer if tensor.name in used],
    )
    finished = onnx.helper.make_model(
        graph,
        opset_imports=list(original.opset_import),
        ir_version=original.ir_version,
        producer_name=original.producer_name,
    )
    onnx.helper.set_model_props(finished, replace(artifact_of(original), precision="int8").to_metadata())
    onnx.checker.check_model(finished)
    return finished


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
