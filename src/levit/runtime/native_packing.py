"""Packing of an exported file into the model file of the native engine.

The format is described in `native/model_file.h`; `native/model.h` describes the order of the weights. Widths are padded
to multiples of 16 with channels of zero weight, and scores are in units of log2, so that the engine needs neither
special cases nor a multiplication for them.
"""

from __future__ import annotations

import struct
from math import log2, prod
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray

from levit.deployment.node_names import HEAD
from levit.runtime.native_format import FORMAT_VERSION, OtherFormError, join_metadata, unsupported_layers
from levit.runtime.native_layers import Layer, LayerReader
from levit.runtime.rewritten_graph import OUTPUT_KEY
from levit.spec.architecture import Architecture, Grid
from levit.spec.artifact import Artifact
from levit.spec.blocks import AttentionBlock, EncoderBlock, MlpBlock, StemLayer
from levit.spec.network import encoder_blocks, stem_layers

_FP32, _INT8, _BF16 = 0, 1, 2  # precisions of layers
_LANES = 16
_ALIGNMENT = 64
_LOG2_E = log2(np.e)
_ACTIVATIONS = {"none": 0, "hardswish": 1, "silu": 2, "gelu": 3, "gelu_tanh": 4}
_HEADER, _LAYER, _CONVOLUTION, _BLOCK = "<8s2IQ10I4f4f", "<4I3Q2f", "<8I", "<10IQ"


def pack(model: onnx.ModelProto, *, bf16: bool = False, attention_16_bit: bool = False) -> bytes:
    """Pack an exported network.

    Args:
        model: content of an exported file, in fp32, fp16 or int8.
        bf16: whether layers that are not quantized are stored and computed in bf16, except the head.
        attention_16_bit: whether attention between layers in int8 or bf16 is computed with numbers of 16 bits.

    Returns:
        Content of a model file, followed by the metadata of the exported file. Its precision in the metadata is that
        of the stored weights.

    Raises:
        CheckpointError: the metadata are missing or invalid.
        OtherFormError: the native engine cannot compute the network.
    """
    metadata = {pair.key: pair.value for pair in model.metadata_props}
    artifact = Artifact.from_metadata(metadata)
    packer = _Packer(LayerReader(model), artifact, bf16, attention_16_bit, is_features=OUTPUT_KEY in metadata)
    return join_metadata(packer.pack(), metadata)


class _Packer:
    """Layers and blocks of one network, in order, with the arrays that they refer to."""

    def __init__(
        self, reader: LayerReader, artifact: Artifact, bf16: bool, attention_16_bit: bool, *, is_features: bool
    ) -> None:
        self.reader, self.artifact, self.bf16, self.attention_16_bit = reader, artifact, bf16, attention_16_bit
        self.is_features, self.labels = is_features, 0
        self.layers: list[tuple[Any, ...]] = []
        self.arrays: list[NDArray[Any]] = []
        self.size = 0  # of the arrays
        self.width = artifact.architecture.num_channels

    def pack(self) -> bytes:
        architecture = self.artifact.architecture
        if layers := unsupported_layers(architecture):
            raise OtherFormError(f"{layers} is not supported")
        grids = [architecture.image_height_width, *architecture.stem_grids]  # inputs and outputs of the convolutions
        convolutions = [self.convolution(layer, grids[index]) for index, layer in enumerate(stem_layers(architecture))]
        blocks = [self.block(block) for block in encoder_blocks(architecture)]
        self.labels = self.head(architecture)
        records = struct.calcsize(_HEADER) + sum(
            len(items) * struct.calcsize(form)
            for items, form in ((self.layers, _LAYER), (convolutions, _CONVOLUTION), (blocks, _BLOCK))
        )
        start = _round_up(records, _ALIGNMENT)
        content = bytearray(start + self.size)
        position = 0
        for form, items in (
            (_HEADER, [self.header(architecture, len(convolutions), len(blocks), len(content))]),
            (_LAYER, [_moved(layer, (4, 5, 6), start) for layer in self.layers]),
            (_CONVOLUTION, convolutions),
            (_BLOCK, [_moved(block, (10,), start) for block in blocks]),
        ):
            for item in items:
                struct.pack_into(form, content, position, *item)
                position += struct.calcsize(form)
        position = start
        for array in self.arrays:
            content[position : position + array.nbytes] = array.tobytes()
            position = _round_up(position + array.nbytes, _ALIGNMENT)
        return bytes(content)

    def header(self, architecture: Architecture, convolutions: int, blocks: int, size: int) -> tuple[Any, ...]:
        scale, shift = np.zeros(4), np.zeros(4)
        if architecture.num_channels == 3:
            scale[:3], shift[:3] = self.artifact.preprocessing.scale_and_shift()
        sizes = architecture.num_channels, *architecture.image_height_width, self.labels
        counts = len(self.layers), convolutions, blocks
        activations = architecture.stem_activation, architecture.attention_activation, architecture.activation
        codes = [_ACTIVATIONS[activation or architecture.activation] for activation in activations]
        begin = b"LEVITNAT", FORMAT_VERSION, self.attention_16_bit, size
        return *begin, *sizes, *counts, *codes, *scale, *shift

    def convolution(self, layer: StemLayer, inputs: Grid) -> tuple[int, ...]:
        content = self.reader.layer(layer.name)
        padding, _ = layer.padding
        shape = layer.output_channels, layer.input_channels, layer.kernel_size, layer.kernel_size
        _check_shape(layer.name, content, shape)
        weight = _pad(content.weight.transpose(2, 3, 1, 0), 2, (1, layer.input_channels), self.width)
        weight = weight.reshape(layer.kernel_size, -1, layer.output_channels)
        channels, self.width = self.width, _round_up(layer.output_channels, _LANES)
        self.add(content, weight, (1, layer.output_channels), bf16=self.bf16)
        return channels, layer.kernel_size, layer.stride, padding, *inputs, *layer.output_grid

    def head(self, architecture: Architecture) -> int:
        """Add the head, and return its number of outputs; that of pooled features is the identity."""
        width = architecture.hidden_sizes[-1]
        if self.is_features:
            self.add(Layer(np.eye(width), np.zeros(width)), _pad(np.eye(width), 0, (1, width))[None], (1, width))
            return width
        self.linear(HEAD, rows=(1, width), columns=(1, architecture.num_labels))
        return architecture.num_labels

    def block(self, block: EncoderBlock) -> tuple[int, ...]:
        return self.mlp(block) if isinstance(block, MlpBlock) else self.attention(block)

    def attention(self, block: AttentionBlock) -> tuple[int, ...]:
        width, keys, values = (
            (1, block.input_width),
            (block.num_heads, block.key_dim),
            (block.num_heads, block.value_dim),
        )
        self.linear(f"{block.name}.query", rows=width, columns=keys, factor=_LOG2_E)
        self.linear(f"{block.name}.key", rows=width, columns=keys)
        self.linear(f"{block.name}.value", rows=width, columns=values)
        self.linear(f"{block.name}.projection", rows=values, columns=(1, block.output_width))
        bias = self.reader.attention_bias(block.name)
        expected = (block.num_heads, prod(block.output_grid), prod(block.input_grid))
        if bias.shape != expected:
            raise OtherFormError(f"the attention bias of {block.name} has the shape {list(bias.shape)}")
        table = _bias_table(bias, block)
        dims = _round_up(block.key_dim, _LANES), _round_up(block.value_dim, _LANES)
        grids = *block.input_grid, *block.output_grid
        return 0, block.num_heads, *dims, *grids, block.stride, block.is_residual, self.place_floats(table * _LOG2_E)

    def mlp(self, block: MlpBlock) -> tuple[int, ...]:
        width, hidden = (1, block.width), (1, block.hidden_width)
        self.linear(f"{block.name}.up", rows=width, columns=hidden)
        self.linear(f"{block.name}.down", rows=hidden, columns=width)
        return 1, 0, 0, 0, *block.grid, *block.grid, 1, 1, 0

    def linear(self, name: str, *, rows: tuple[int, int], columns: tuple[int, int], factor: float = 1.0) -> None:
        """Add a linear layer, whose inputs and outputs are groups of channels that are padded one by one."""
        content = self.reader.layer(name)
        _check_shape(name, content, (prod(rows), prod(columns)))
        self.add(content, _pad(content.weight, 0, rows)[None], columns, factor, bf16=self.bf16 and name != HEAD)

    def add(
        self, layer: Layer, weight: NDArray[Any], columns: tuple[int, int], factor: float = 1.0, *, bf16: bool = False
    ) -> None:
        """Add a layer with the weights [segments, inputs, outputs]; in bf16 if it is not quantized and `bf16`."""
        weight, bias = _pad(weight, 2, columns), _pad(layer.bias * factor, 0, columns)
        sizes = weight.shape[1], weight.shape[0], weight.shape[2]
        if layer.scale is None:
            weight = weight.astype(np.float64) * factor
            panels = _panels(weight, 2).astype(np.float32).astype(ml_dtypes.bfloat16) if bf16 else _panels(weight, 1)
            offset = self.place(panels) if bf16 else self.place_floats(panels)
            self.layers.append((_BF16 if bf16 else _FP32, *sizes, offset, 0, self.place_floats(bias), 0.0, 0.0))
            return
        step, zero = np.float64(np.float32(layer.step)), layer.zero
        scale = _pad(layer.scale * factor * step, 0, columns)
        bias = bias - scale * zero * weight.astype(np.int64).sum((0, 1))
        offsets = self.place(_panels(weight, 4)), self.place_floats(scale), self.place_floats(bias)
        self.layers.append((_INT8, *sizes, *offsets, step, float(zero)))

    def place_floats(self, array: NDArray[Any]) -> int:
        """Add an array in float32, and return its position relative to the first one."""
        return self.place(array.astype(np.float32))

    def place(self, array: NDArray[Any]) -> int:
        """Add an array, and return its position relative to the first one."""
        position = self.size
        self.arrays.append(array)
        self.size = _round_up(position + array.nbytes, _ALIGNMENT)
        return position


def _check_shape(name: str, layer: Layer, expected: tuple[int, ...]) -> None:
    if layer.weight.shape != expected:
        raise OtherFormError(f"the weights of {name} have the shape {list(layer.weight.shape)}")


def _bias_table(bias: NDArray[Any], block: AttentionBlock) -> NDArray[Any]:
    """Attention bias by the distance of query and key, [heads, rows, columns], which begin with 1 - the grid's width.

    Raises:
        OtherFormError: the bias depends on more than the distance.
    """
    (height, width), stride = block.input_grid, block.stride
    distances = bias[:, 0].reshape(-1, height, width)  # of the query at the upper left
    queries, keys = (
        np.indices(block.output_grid).reshape(2, -1, 1) * stride,
        np.indices((height, width)).reshape(2, 1, -1),
    )
    rows, columns = np.abs(queries - keys)
    if not np.array_equal(distances[:, rows, columns], bias):
        raise OtherFormError(f"the attention bias of {block.name} depends on more than the distance of two tokens")
    table = np.concatenate([distances[:, :, :0:-1], distances], 2)
    padding = _round_up(width - 1 + _round_up(width, _LANES), _LANES) - table.shape[2]
    return np.pad(table, [(0, 0), (0, 0), (0, padding)])


def _panels(weight: NDArray[Any], unit: int) -> NDArray[Any]:
    """[segments, inputs, outputs] -> [outputs / 16, steps, 16, unit].

    Each segment is padded to the unit, the number of values of a step, and panels of int8 and bf16 to 16 steps.
    """
    segments, inputs, outputs = weight.shape
    padded = np.zeros((segments, _round_up(inputs, unit), outputs), weight.dtype)
    padded[:, :inputs] = weight
    flat = padded.reshape(-1, outputs)
    depth = len(flat) if unit == 1 else _round_up(len(flat), 16 * unit)
    flat = np.concatenate([flat, np.zeros((depth - len(flat), outputs), weight.dtype)])
    return np.ascontiguousarray(flat.reshape(depth // unit, unit, outputs // _LANES, _LANES).transpose(2, 0, 3, 1))


def _pad(array: NDArray[Any], axis: int, groups: tuple[int, int], size: int | None = None) -> NDArray[Any]:
    """Pad each of the groups of an axis (their number, and channels of each) with zeros, by default to 16 channels."""
    count, channels = groups
    size = _round_up(channels, _LANES) if size is None else size
    split = array.reshape(*array.shape[:axis], count, channels, *array.shape[axis + 1 :])
    padding = [(0, 0)] * split.ndim
    padding[axis + 1] = (0, size - channels)
    return np.pad(split, padding).reshape(*array.shape[:axis], count * size, *array.shape[axis + 1 :])


def _moved(record: tuple[Any, ...], fields: tuple[int, ...], start: int) -> tuple[Any, ...]:
    """Change positions among the arrays to positions in the file."""
    return tuple(value + start if index in fields else value for index, value in enumerate(record))


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
