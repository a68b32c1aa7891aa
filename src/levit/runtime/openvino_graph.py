"""How a model is rewritten for OpenVINO: 8-bit pixels in, a fixed batch, its own form of quantization.

What each gives is in docs/speed.md: a fixed batch lets OpenVINO leave out transpositions, 8-bit pixels let the first
convolution read the images as they lie in memory, and in its own form of quantization OpenVINO chooses between signed
and unsigned values, where a file that ONNX Runtime reads well has unsigned ones only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as operations

from levit.spec.preprocessing import Preprocessing

Node = Any  # openvino's nodes have no types of their own in Python


def is_quantized(model: openvino.Model) -> bool:
    """Whether the model has quantized activations."""
    return any(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def own_quantization(model: openvino.Model) -> None:
    """Make each pair of QuantizeLinear and DequantizeLinear the one operation that OpenVINO has for both."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            for rounded in _users(node):
                for dequantized in _dequantizations(rounded):
                    _replace_pair(node, *dequantized)


def take_pixels(model: openvino.Model, preprocessing: Preprocessing, batch: int) -> openvino.Model:
    """The same network for a fixed number of images as they come from the decoder, normalized inside.

    Args:
        model: with the input float32 [N, 3, height, width], normalized; it is changed.
        preprocessing: how that input is normalized.
        batch: how many images at once.

    Returns:
        A model with the input uint8 [batch, height, width, 3].
    """
    (normalized,) = model.get_parameters()
    height, width = (normalized.get_partial_shape()[axis].get_length() for axis in (2, 3))
    model.reshape([batch, 3, height, width])
    pixels = operations.parameter([batch, height, width, 3], np.uint8, name="pixels")
    # Rows of interleaved channels: as images, with three values in the last axis, this would be ten times slower.
    rows = operations.convert(_reshape(pixels, [batch, height, width * 3]), "f32")
    scale, shift = (np.array(values) for values in preprocessing.scale_and_shift())
    zero = np.tile((-shift / scale).astype(np.float32), width)
    rows = operations.multiply(operations.subtract(rows, zero), np.tile(scale.astype(np.float32), width))
    readers = list(normalized.output(0).get_target_inputs())
    first = readers[0].get_node()
    if len(readers) == 1 and first.get_type_name() == "FakeQuantize":
        bounds = [first.input_value(index) for index in range(1, 5)]
        rows = operations.fake_quantize(rows, *bounds, levels=first.get_attributes()["levels"])
        readers = list(first.output(0).get_target_inputs())
    images = operations.transpose(_reshape(rows, [batch, height, width, 3]), np.array([0, 3, 1, 2]))
    for reader in readers:
        reader.replace_source_output(images.output(0))
    return openvino.Model(model.get_results(), [pixels], model.get_friendly_name())


def _reshape(node: Node, shape: list[int]) -> Node:
    return operations.reshape(node, np.array(shape), False)


def _users(node: Node) -> list[Node]:
    return [reader.get_node() for reader in node.output(0).get_target_inputs()]


def _dequantizations(rounded: Node) -> list[tuple[Node, Node]]:
    """The subtraction and multiplication of each DequantizeLinear that reads a QuantizeLinear's result."""
    found = []
    for widened in _users(rounded):
        for subtraction in _users(widened):
            multiplications = _users(subtraction)
            names = (rounded.get_type_name(), widened.get_type_name(), subtraction.get_type_name())
            if names == ("Convert", "Convert", "Subtract") and len(multiplications) == 1:
                found.append((subtraction, multiplications[0]))
    return found


def _replace_pair(node: Node, subtraction: Node, multiplication: Node) -> None:
    zero, scale = _constant(subtraction.input_value(1)), _constant(multiplication.input_value(1))
    lowest, highest = (_constant(node.input_value(index)) for index in (3, 4))
    if not all(value.size == 1 for value in (zero, scale, lowest, highest)):
        return
    bounds = [(value.reshape(()) - zero.reshape(())) * scale.reshape(()) for value in (lowest, highest)]
    single = operations.fake_quantize(node.input_value(0), *bounds, *bounds, levels=node.get_attributes()["levels"])
    for reader in list(multiplication.output(0).get_target_inputs()):
        reader.replace_source_output(single.output(0))


def _constant(output: Any) -> NDArray[np.float32]:
    """A constant, possibly behind a conversion."""
    node = output.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return np.asarray(node.get_data(), np.float32)
