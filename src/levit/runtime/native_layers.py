"""Layers of an exported file, read from its ONNX graph by the names of its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from levit.deployment.node_names import BIASED_SCORES, MATMUL
from levit.runtime.native_format import OtherFormError

Array = NDArray[np.float64]

_MOVES = ("Reshape", "Slice", "Transpose")  # operations that only move values


@dataclass(frozen=True)
class Layer:
    """Linear layer or convolution.

    Attributes:
        weight: [inputs, outputs], or [outputs, inputs, rows, columns] of a convolution; float64, or in a layer in
            int8 the stored numbers, int8.
        bias: float64 [outputs].
        scale: float64 [outputs], by which numbers in int8 are multiplied; None in a layer in floating point.
        step, zero: quantization of the input: code = round(value / step) + zero, in [0, 255].
    """

    weight: NDArray[Any]
    bias: Array
    scale: Array | None = None
    step: float = 1.0
    zero: int = 0


class LayerReader:
    """Reader of the layers of a graph as `levit.deployment.graph.build_graph` and quantization write it.

    Args:
        model: the ONNX model.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._nodes = {node.name: node for node in model.graph.node}
        self._producers = {node.output[0]: node for node in model.graph.node}
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def layer(self, name: str) -> Layer:
        """Layer by name, such as "stage1.block1.mlp.up" or "stem.convolution1".

        Raises:
            OtherFormError: the graph has another form.
        """
        product = self._nodes.get(name + MATMUL)
        if product is None:
            product = self._node(name)
            if product.op_type != "Conv" or len(product.input) != 3:
                raise _other_form(name)
            bias = self._array(product.input[2], name)
        else:
            bias = self._array(self._node(name).input[1], name)
        weight, scale = self._weight(product, name)
        quantization = self._quantization(product.input[0], name)
        if scale is None:
            if quantization is not None:
                raise _other_form(name)
            return Layer(weight, bias)
        if quantization is None:
            shape = (-1, 1, 1, 1) if weight.ndim == 4 else (1, -1)
            return Layer(weight * scale.reshape(shape), bias)
        return Layer(weight, bias, scale, *quantization)

    def attention_bias(self, name: str) -> Array:
        """Bias of the attention scores, [heads, queries, keys]."""
        return self._array(self._node(name + BIASED_SCORES).input[1], name)

    def _node(self, name: str) -> onnx.NodeProto:
        if name not in self._nodes:
            raise _other_form(name)
        return self._nodes[name]

    def _tensor(self, name: str, layer: str) -> NDArray[Any]:
        if name not in self._tensors:
            raise _other_form(layer)
        array: NDArray[Any] = numpy_helper.to_array(self._tensors[name])
        return array

    def _array(self, name: str, layer: str) -> Array:
        producer = self._producers.get(name)
        if producer is not None and producer.op_type == "Cast":
            name = producer.input[0]
        return self._tensor(name, layer).astype(np.float64)

    def _weight(self, product: onnx.NodeProto, layer: str) -> tuple[NDArray[Any], Array | None]:
        producer = self._producers.get(product.input[1])
        if producer is None or producer.op_type == "Cast":
            return self._array(product.input[1], layer), None
        if producer.op_type != "DequantizeLinear":
            raise _other_form(layer)
        numbers, scale, zero_point = (self._tensor(name, layer) for name in producer.input)
        outputs = numbers.shape[0 if numbers.ndim == 4 else 1]
        if numbers.dtype != np.int8 or zero_point.any() or scale.size not in (1, outputs):
            raise _other_form(layer)
        return numbers, np.broadcast_to(scale.astype(np.float64).reshape(-1), outputs)

    def _quantization(self, name: str, layer: str) -> tuple[float, int] | None:
        producer = self._producers.get(name)
        while producer is not None and producer.op_type in _MOVES:
            producer = self._producers.get(producer.input[0])
        if producer is None or producer.op_type != "DequantizeLinear":
            return None
        scale, zero_point = (self._tensor(part, layer) for part in producer.input[1:])
        if scale.size != 1 or zero_point.dtype not in (np.uint8, np.int8):
            raise _other_form(layer)
        return float(scale.item()), int(zero_point.item()) + (128 if zero_point.dtype == np.int8 else 0)


def _other_form(layer: str) -> OtherFormError:
    return OtherFormError(f"the layer {layer} has another form than in the files of `levit export`")
