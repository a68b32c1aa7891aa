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
        self._producers = {output: node for node in model.graph.node for output in node.output[:1]}
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
            bias = self._array(_input(self._node(name), 1, name), name)
        weight, scale = self._weight(product, name)
        if weight.ndim != (4 if product.op_type == "Conv" else 2) or bias.shape != (_outputs(weight),):
            raise _other_form(name)
        quantization = self._quantization(_input(product, 0, name), name)
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
        return self._array(_input(self._node(name + BIASED_SCORES), 1, name), name)

    def _node(self, name: str) -> onnx.NodeProto:
        if name not in self._nodes:
            raise _other_form(name)
        return self._nodes[name]

    def _tensor(self, name: str, layer: str) -> NDArray[Any]:
        if name not in self._tensors:
            raise _other_form(layer)
        try:
            array: NDArray[Any] = numpy_helper.to_array(self._tensors[name])
        except (LookupError, TypeError, ValueError) as error:  # of another type or length
            raise _other_form(layer) from error
        if array.dtype.kind in "cO":  # complex numbers and strings
            raise _other_form(layer)
        return array

    def _array(self, name: str, layer: str) -> Array:
        producer = self._producers.get(name)
        if producer is not None and producer.op_type == "Cast":
            name = _input(producer, 0, layer)
        return self._tensor(name, layer).astype(np.float64)

    def _weight(self, product: onnx.NodeProto, layer: str) -> tuple[NDArray[Any], Array | None]:
        name = _input(product, 1, layer)
        producer = self._producers.get(name)
        if producer is None or producer.op_type == "Cast":
            return self._array(name, layer), None
        if producer.op_type != "DequantizeLinear":
            raise _other_form(layer)
        numbers = self._tensor(_input(producer, 0, layer), layer)
        scale, zero_point = self._scale_and_zero_point(producer, layer)
        if numbers.dtype != np.int8 or numbers.ndim not in (2, 4) or zero_point.any():
            raise _other_form(layer)
        outputs = _outputs(numbers)
        if scale.size not in (1, outputs):
            raise _other_form(layer)
        return numbers, np.broadcast_to(scale.astype(np.float64).reshape(-1), outputs)

    def _quantization(self, name: str, layer: str) -> tuple[float, int] | None:
        producer = self._producers.get(name)
        for _ in self._producers:  # a damaged graph may be circular
            if producer is None or producer.op_type not in _MOVES:
                break
            producer = self._producers.get(_input(producer, 0, layer))
        if producer is None or producer.op_type != "DequantizeLinear":
            return None
        scale, zero_point = self._scale_and_zero_point(producer, layer)
        if scale.size != 1 or zero_point.size != 1 or zero_point.dtype not in (np.uint8, np.int8):
            raise _other_form(layer)
        return float(scale.item()), int(zero_point.item()) + (128 if zero_point.dtype == np.int8 else 0)

    def _scale_and_zero_point(self, node: onnx.NodeProto, layer: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Of a DequantizeLinear, whose zero point is 0 if it has none."""
        scale, zero_point = self._tensor(_input(node, 1, layer), layer), np.zeros(1, np.uint8)
        if len(node.input) > 2 and node.input[2]:
            zero_point = self._tensor(node.input[2], layer)
        return scale, zero_point


def _input(node: onnx.NodeProto, index: int, layer: str) -> str:
    if index >= len(node.input):
        raise _other_form(layer)
    name: str = node.input[index]
    return name


def _outputs(weight: NDArray[Any]) -> int:
    """Number of outputs of a convolution's or a linear layer's weights."""
    outputs: int = weight.shape[0 if weight.ndim == 4 else 1]
    return outputs


def _other_form(layer: str) -> OtherFormError:
    return OtherFormError(f"the layer {layer} has another form than in the files of `levit export`")
