"""An exported network -> the same in int8, calibrated on images: NNCF's post-training quantization.

Quantized are the stem's convolutions and the linear layers of the blocks, weights per output channel, activations
asymmetrically. In floating point stay the head, where all of the accuracy would be lost; the attention's two products
and the residual stream, which cost no time there and would cost a few per cent of the answers (docs/speed.md).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from levit.deployment.graph import INPUT, OUTPUT
from levit.images.transform import normalize
from levit.runtime.telemetry import telemetry_disabled
from levit.spec.artifact import Artifact

_HEAD = "head.matmul"


def quantizable_layers(model: onnx.ModelProto) -> list[str]:
    """The names of the layers that `quantize` quantizes, in order: convolutions and linear layers but for the head.

    Examples:
        >>> import levit
        >>> from levit.deployment.build import build_artifact
        >>> network = build_artifact(levit.read_checkpoint("tests/golden/tiny/transformers"))
        >>> quantizable_layers(network)[3:6]
        ['stem.convolution4', 'stage1.block1.attention.query', 'stage1.block1.attention.key']
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name.removesuffix(".matmul")
        for node in model.graph.node
        if (node.op_type == "Conv" or (node.op_type == "MatMul" and node.input[1] in constants)) and node.name != _HEAD
    ]


def quantize(model: onnx.ModelProto, images: Sequence[NDArray[np.uint8]]) -> onnx.ModelProto:
    """Quantize a network that `levit.deployment.graph` wrote with weights in fp32.

    Activations are unsigned, the form in which ONNX Runtime computes in integers on x86; OpenVINO chooses anew.

    Args:
        model: the network; it is not changed.
        images: uint8 [height, width, 3] each, prepared: like those that the network will see.

    Returns:
        The same network with pairs of QuantizeLinear and DequantizeLinear; its metadata are the network's.

    Raises:
        ImportError: NNCF is not installed.
    """
    try:
        with telemetry_disabled():
            import nncf
    except ImportError as error:
        raise ImportError('int8 needs NNCF: pip install "levit[quantization]"') from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    preprocessing = Artifact.from_metadata({pair.key: pair.value for pair in model.metadata_props}).preprocessing
    kept = {_HEAD, *(node.name for node in model.graph.node if _stays_in_float(node.name))}
    # Its progress bars go to standard output, where the answers are.
    with redirect_stdout(sys.stderr if sys.stderr.isatty() else StringIO()):
        quantized: onnx.ModelProto = nncf.quantize(
            _copy(model),
            nncf.Dataset(list(images), lambda image: {INPUT: normalize(image[None], preprocessing)}),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=sorted(kept)),
        )
    _make_unsigned(quantized)
    return restore(quantized, model, [])


def restore(quantized: onnx.ModelProto, original: onnx.ModelProto, layers: Collection[str]) -> onnx.ModelProto:
    """Return layers to floating point.

    Args:
        quantized: what `quantize` gave; it is not changed.
        original: what it was made from.
        layers: names among `quantizable_layers(original)`.

    Returns:
        A new model in which these layers are as in the original.
    """
    restored = _copy(quantized)
    before = {node.name: node for node in original.graph.node}
    stay = {name for layer in quantizable_layers(original) if layer not in layers for name in _nodes_of(layer, before)}
    for node in restored.graph.node:
        if node.name in before and node.name not in stay:  # nothing else reads what is quantized
            node.input[:] = before[node.name].input
    tensors = {tensor.name: tensor for tensor in original.graph.initializer}
    present = {tensor.name: tensor for tensor in restored.graph.initializer}
    for layer in layers:
        for name in (f"{layer}.weight", f"{layer}.bias"):
            if name in present:
                present[name].CopyFrom(tensors[name])
            else:
                restored.graph.initializer.append(tensors[name])
    return _finish(restored, original)


def _nodes_of(layer: str, nodes: Mapping[str, onnx.NodeProto]) -> Iterator[str]:
    """The nodes of a layer, and those before it that only move its input: quantized values pass through them."""
    for name in (layer, f"{layer}.matmul"):
        if name in nodes:
            yield name
    source = nodes[f"{layer}.matmul" if f"{layer}.matmul" in nodes else layer].input[0]
    while source in nodes and nodes[source].op_type in ("Reshape", "Slice"):
        yield source
        source = nodes[source].input[0]


def _stays_in_float(name: str) -> bool:
    return name.endswith((".scores", ".biased_scores", ".softmax", ".context", ".residual"))


def _make_unsigned(model: onnx.ModelProto) -> None:
    """Shift signed activations by 128: the same values, in the form that ONNX Runtime computes with on x86."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    rounded = {node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    zeros = {
        node.input[2]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" or (node.op_type == "DequantizeLinear" and node.input[0] in rounded)
    }
    for name in sorted(zeros):
        zero: NDArray[Any] = numpy_helper.to_array(tensors[name])
        if zero.dtype == np.int8:
            shifted = (zero.astype(np.int16) + 128).astype(np.uint8)
            tensors[name].CopyFrom(numpy_helper.from_array(shifted, name))


def _finish(model: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Without what leads nowhere, with the original's metadata and shapes, checked."""
    wanted, nodes = {OUTPUT}, []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.append(node)
    graph = onnx.helper.make_graph(
        nodes[::-1],
        original.graph.name,
        list(original.graph.input),
        list(original.graph.output),
        [tensor for tensor in model.graph.initializer if tensor.name in wanted],
    )
    finished = onnx.helper.make_model(
        graph,
        opset_imports=list(original.opset_import),
        ir_version=original.ir_version,
        producer_name=original.producer_name,
    )
    onnx.helper.set_model_props(finished, {pair.key: pair.value for pair in original.metadata_props})
    onnx.checker.check_model(finished)
    return finished


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
