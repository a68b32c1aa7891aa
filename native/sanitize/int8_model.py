"""Quantization of a small network without NNCF, which takes a gigabyte to install."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from levit.deployment.node_names import MATMUL
from levit.exporting.quantization import quantizable_layers


def quantize_layers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Quantize the layers that `levit export` quantizes, in the same form, with one step for all activations.

    Args:
        model: deployment network with fp32 weights; it is not modified.

    Returns:
        The network in int8, with unchanged metadata. Activations beyond ±6 are clipped.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    layers = {name for layer in quantizable_layers(model) for name in (layer, layer + MATMUL)}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    step = _add_constants(graph, "activations", np.array(12 / 255, np.float32), np.array(128, np.uint8))
    nodes = []
    for node in graph.node:
        if node.name in layers and node.op_type in ("Conv", "MatMul"):
            source, weight = node.input[:2]
            array = numpy_helper.to_array(weights[weight])
            axis = 0 if array.ndim == 4 else 1
            scale = np.abs(array).max(tuple(other for other in range(array.ndim) if other != axis), keepdims=True) / 127
            weights[weight].CopyFrom(numpy_helper.from_array(np.round(array / scale).astype(np.int8), weight))
            scales = _add_constants(graph, node.name, scale.ravel(), np.zeros(scale.size, np.int8))
            codes, node.input[0], node.input[1] = (f"{node.name}_{name}" for name in ("codes", "inputs", "weights"))
            nodes += [
                helper.make_node("DequantizeLinear", [weight, *scales], [node.input[1]], axis=axis),
                helper.make_node("QuantizeLinear", [source, *step], [codes]),
                helper.make_node("DequantizeLinear", [codes, *step], [node.input[0]]),
            ]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return quantized


def _add_constants(graph: onnx.GraphProto, name: str, scale: NDArray[Any], zero: NDArray[Any]) -> list[str]:
    """Add the scale and the zero point of a quantization, and return their names."""
    constants = {f"{name}_scale": scale, f"{name}_zero": zero}
    graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in constants.items())
    return list(constants)
