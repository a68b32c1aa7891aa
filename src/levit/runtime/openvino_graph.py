"""Graph rewrites for OpenVINO: normalization of uint8 images inside the network, a fixed batch size, FakeQuantize.

docs/speed.md gives the gains. A fixed batch size lets OpenVINO omit transpositions. With uint8 inputs the first
convolution reads the images in their memory layout. With FakeQuantize OpenVINO chooses between signed and unsigned
values; the ONNX files contain unsigned ones only, which are the fastest in ONNX Runtime.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.runtime.openvino_core import openvino
from levit.spec.preprocessing import Preprocessing

operations = openvino.opset13

Node = Any  # OpenVINO's Python package has no types for nodes


def is_quantized(model: openvino.Model) -> bool:
    """Return whether a model has quantized activations."""
    return any(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def fuse_quantization(model: openvino.Model) -> None:
    """Replace each pair of QuantizeLinear and DequantizeLinear by one FakeQuantize operation, in place."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            for rounded in _users(node):
                for subtraction, multiplication in _dequantizations(rounded):
                    _fuse_pair(node, subtraction, multiplication)


def prepend_normalization(model: openvino.Model, preprocessing: Preprocessing, batch_size: int) -> openvino.Model:
    """Fix the batch size of a network and normalize uint8 images inside it.

    Args:
        model: a network with the input float32 [N, 3, height, width]; it is modified.
        preprocessing: rescaling, mean and standard deviation of the normalization.
        batch_size: number of images of a batch.

    Returns:
        A network with the input uint8 [batch_size, height, width, 3].
    """
    (normalized,) = model.get_parameters()
    height, width = (normalized.get_partial_shape()[axis].get_length() for axis in (2, 3))
    model.reshape([batch_size, 3, height, width])
    pixels = operations.parameter([batch_size, height, width, 3], np.uint8, name="pixels")
    # Rows of interleaved channels: with a last axis of only three values this would be ten times slower.
    rows = operations.convert(_reshape(pixels, [batch_size, height, width * 3]), "f32")
    scale, shift = (np.array(values) for values in preprocessing.scale_and_shift())
    zero_point = np.tile((-shift / scale).astype(np.float32), width)
    rows = operations.multiply(operations.subtract(rows, zero_point), np.tile(scale.astype(np.float32), width))
    readers = list(normalized.output(0).get_target_inputs())
    first = readers[0].get_node()
    if len(readers) == 1 and first.get_type_name() == "FakeQuantize":
        bounds = [first.input_value(index) for index in range(1, 5)]
        rows = operations.fake_quantize(rows, *bounds, levels=first.get_attributes()["levels"])
        readers = list(first.output(0).get_target_inputs())
    images = operations.transpose(_reshape(rows, [batch_size, height, width, 3]), np.array([0, 3, 1, 2]))
    for reader in readers:
        reader.replace_source_output(images.output(0))
    return openvino.Model(model.get_results(), [pixels], model.get_friendly_name())


def _reshape(node: Node, shape: list[int]) -> Node:
    return operations.reshape(node, np.array(shape), False)


def _users(node: Node) -> list[Node]:
    return [reader.get_node() for reader in node.output(0).get_target_inputs()]


def _dequantizations(rounded: Node) -> list[tuple[Node, Node]]:
    """Subtraction and multiplication of each DequantizeLinear that reads the result of a QuantizeLinear."""
    pairs = []
    for widened in _users(rounded):
        for subtraction in _users(widened):
            multiplications = _users(subtraction)
            types = (rounded.get_type_name(), widened.get_type_name(), subtraction.get_type_name())
            if types == ("Convert", "Convert", "Subtract") and len(multiplications) == 1:
                pairs.append((subtraction, multiplications[0]))
    return pairs


def _fuse_pair(quantization: Node, subtraction: Node, multiplication: Node) -> None:
    zero_point, scale = _constant(subtraction.input_value(1)), _constant(multiplication.input_value(1))
    lowest, highest = (_constant(quantization.input_value(index)) for index in (3, 4))
    if not all(value.size == 1 for value in (zero_point, scale, lowest, highest)):
        return
    bounds = [(value.reshape(()) - zero_point.reshape(())) * scale.reshape(()) for value in (lowest, highest)]
    levels = quantization.get_attributes()["levels"]
    fused = operations.fake_quantize(quantization.input_value(0), *bounds, *bounds, levels=levels)
    for reader in list(multiplication.output(0).get_target_inputs()):
        reader.replace_source_output(fused.output(0))


def _constant(output: Any) -> NDArray[np.float32]:
    """Value of a constant, which may be behind a Convert operation."""
    node = output.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return np.asarray(node.get_data(), np.float32)
