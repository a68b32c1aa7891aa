"""Deployment network as an ONNX graph, built node by node.

The graph is not exported or traced from torch: the name of each node and weight begins with the name of its block, and
the order of the nodes is that of the network. Input: `pixel_values`, float32 [batch, channels, height, width]. Output:
`logits`, float32 [batch, classes].
"""

from __future__ import annotations

from collections.abc import Mapping
from math import pi, prod
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from levit.deployment.folding import FoldedWeights
from levit.deployment.node_names import (
    BIAS,
    BIASED_SCORES,
    CONTEXT,
    HEAD,
    MATMUL,
    POOL,
    RESIDUAL,
    SCORES,
    SOFTMAX,
    WEIGHT,
)
from levit.errors import ExportError
from levit.spec.architecture import Architecture
from levit.spec.blocks import AttentionBlock, MlpBlock, StemLayer
from levit.spec.network import encoder_blocks, stem_layers

OPSET = 17
INPUT, OUTPUT, BATCH = "pixel_values", "logits", "batch"

WeightPrecision = Literal["fp32", "fp16"]


def build_graph(
    folded: FoldedWeights,
    architecture: Architecture,
    *,
    weight_precision: WeightPrecision = "fp32",
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Build the deployment network as an ONNX model, checked and with inferred shapes.

    Args:
        folded: result of `levit.deployment.folding.fold`.
        architecture: hyperparameters of the network; it must have a head.
        weight_precision: "fp16" stores the matrices in half precision and casts them to float32 in the graph, which
            halves the file; the arithmetic is float32.
        metadata: key-value pairs for the model's metadata.

    Returns:
        Model with opset 17 and a dynamic batch size.

    Raises:
        ExportError: the network has no head.
    """
    if HEAD + WEIGHT not in folded:
        raise ExportError("the network has no classification head", hint="export a checkpoint of a classifier")
    builder = _GraphBuilder(folded, weight_precision)
    x = INPUT
    layers, stem_activation = stem_layers(architecture), architecture.stem_activation or architecture.activation
    for layer in layers:
        x = _stem_layer(builder, layer, x)
        x = builder.activation(x, stem_activation) if layer is not layers[-1] else x
    width, tokens = architecture.hidden_sizes[0], prod(architecture.stem_grids[-1])
    # Transposing before reshaping is free in engines that store channels last.
    x = builder.node("Transpose", "stem.grid", [x], perm=[0, 2, 3, 1])
    x = builder.reshape("stem.tokens", x, [0, tokens, width])  # [B, N, C]
    for block in encoder_blocks(architecture):
        if isinstance(block, AttentionBlock):
            x = _attention(builder, block, x, architecture.attention_activation or architecture.activation)
        else:
            x = _mlp(builder, block, x, architecture.activation)
    x = builder.node("ReduceMean", POOL, [x], axes=[1], keepdims=0)  # [B, C]
    builder.linear(HEAD, x, output=OUTPUT)
    return _model(builder, architecture, metadata or {})


def _stem_layer(builder: _GraphBuilder, layer: StemLayer, x: str) -> str:
    kernel, (before, after) = layer.kernel_size, layer.padding
    inputs = [x, builder.weight(layer.name + WEIGHT), builder.weight(layer.name + BIAS)]
    return builder.node(
        "Conv",
        layer.name,
        inputs,
        kernel_shape=[kernel, kernel],
        strides=[layer.stride, layer.stride],
        pads=[before, before, after, after],
    )


def _attention(builder: _GraphBuilder, block: AttentionBlock, x: str, activation: str) -> str:
    name, heads = block.name, block.num_heads
    inputs, outputs = prod(block.input_grid), prod(block.output_grid)
    query = builder.linear(f"{name}.query", x if block.is_residual else _subsample(builder, block, x))
    query = builder.heads(f"{name}.query", query, [0, outputs, heads, block.key_dim], perm=[0, 2, 1, 3])
    key = builder.linear(f"{name}.key", x)
    key = builder.heads(f"{name}.key", key, [0, inputs, heads, block.key_dim], perm=[0, 2, 3, 1])
    value = builder.linear(f"{name}.value", x)
    value = builder.heads(f"{name}.value", value, [0, inputs, heads, block.value_dim], perm=[0, 2, 1, 3])
    scores = builder.node("MatMul", name + SCORES, [query, key])  # [B, H, queries, keys]
    scores = builder.node("Add", name + BIASED_SCORES, [scores, builder.weight(f"{name}.attention_bias")])
    attention = builder.node("Softmax", name + SOFTMAX, [scores], axis=-1)
    context = builder.node("MatMul", name + CONTEXT, [attention, value])
    context = builder.heads(name + CONTEXT, context, [0, outputs, heads * block.value_dim], perm=[0, 2, 1, 3])
    projected = builder.linear(f"{name}.projection", builder.activation(context, activation))
    return builder.node("Add", name + RESIDUAL, [x, projected]) if block.is_residual else projected


def _subsample(builder: _GraphBuilder, block: AttentionBlock, x: str) -> str:
    """Select every stride-th token in both directions."""
    (rows, columns), stride = block.input_grid, block.stride
    x = builder.reshape(f"{block.name}.grid", x, [0, rows, columns, block.input_width])
    slices = [builder.integers(f"stride{stride}.{part}", values) for part, values in (
        ("starts", [0, 0]), ("ends", [2**31, 2**31]), ("axes", [1, 2]), ("steps", [stride, stride])
    )]  # fmt: skip
    x = builder.node("Slice", f"{block.name}.subsample", [x, *slices])
    return builder.reshape(f"{block.name}.subsampled", x, [0, prod(block.output_grid), block.input_width])


def _mlp(builder: _GraphBuilder, block: MlpBlock, x: str, activation: str) -> str:
    up = builder.activation(builder.linear(f"{block.name}.up", x), activation)
    return builder.node("Add", block.name + RESIDUAL, [x, builder.linear(f"{block.name}.down", up)])


class _GraphBuilder:
    """Nodes and initializers of a graph; each method adds nodes and returns the name of their output."""

    def __init__(self, folded: FoldedWeights, weight_precision: WeightPrecision) -> None:
        self.folded, self.weight_precision = folded, weight_precision
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def node(
        self, operation: str, name: str, inputs: list[str], *, output: str | None = None, **attributes: Any
    ) -> str:
        output = output or name
        self.nodes.append(helper.make_node(operation, inputs, [output], name, **attributes))
        return output

    def linear(self, name: str, x: str, *, output: str | None = None) -> str:
        product = self.node("MatMul", name + MATMUL, [x, self.weight(name + WEIGHT)])
        return self.node("Add", name, [product, self.weight(name + BIAS)], output=output)

    def activation(self, x: str, kind: str) -> str:
        if kind == "hardswish":
            return self.node("HardSwish", f"{x}.hardswish", [x])
        if kind == "silu":
            return self.node("Mul", f"{x}.silu", [x, self.node("Sigmoid", f"{x}.sigmoid", [x])])
        return x if kind == "none" else self._gelu(x, is_exact=kind == "gelu")

    def _gelu(self, x: str, *, is_exact: bool) -> str:
        """GELU as elementary operations, which engines merge; it is an operation of ONNX from opset 20 on."""
        name = f"{x}.gelu"
        if is_exact:
            scaled = self.node("Mul", f"{name}.scaled", [x, self.number("sqrt_half", 0.5**0.5)])
            bounded = self.node("Erf", f"{name}.erf", [scaled])
        else:
            cube = self.node("Pow", f"{name}.cube", [x, self.number("three", 3)])
            cube = self.node("Mul", f"{name}.scaled_cube", [cube, self.number("cube_factor", 0.044715)])
            total = self.node("Add", f"{name}.sum", [x, cube])
            scaled = self.node("Mul", f"{name}.scaled", [total, self.number("sqrt_2_by_pi", (2 / pi) ** 0.5)])
            bounded = self.node("Tanh", f"{name}.tanh", [scaled])
        gate = self.node("Add", f"{name}.gate", [bounded, self.number("one", 1)])
        product = self.node("Mul", f"{name}.product", [x, gate])
        return self.node("Mul", name, [product, self.number("half", 0.5)])

    def reshape(self, name: str, x: str, shape: list[int]) -> str:
        return self.node("Reshape", name, [x, self.integers("shape." + "x".join(map(str, shape)), shape)])

    def heads(self, name: str, x: str, shape: list[int], *, perm: list[int]) -> str:
        """Split the heads ([B, N, H*D] -> [B, H, N, D] or transposed), or merge them."""
        if len(shape) == 3:
            return self.reshape(f"{name}.merged", self.node("Transpose", f"{name}.transposed", [x], perm=perm), shape)
        return self.node("Transpose", f"{name}.heads", [self.reshape(f"{name}.split", x, shape)], perm=perm)

    def weight(self, name: str) -> str:
        """Add a folded array; with fp16 weights a matrix is stored in half precision and cast by a node."""
        array = self.folded[name]
        is_half = self.weight_precision == "fp16" and name.endswith(WEIGHT)
        stored = f"{name}.fp16" if is_half else name
        self._add_initializer(stored, array.astype(np.float16 if is_half else np.float32))
        return self.node("Cast", name, [stored], to=TensorProto.FLOAT) if is_half else name

    def integers(self, name: str, values: list[int]) -> str:
        self._add_initializer(name, np.array(values, np.int64))
        return name

    def number(self, name: str, value: float) -> str:
        self._add_initializer(name, np.array(value, np.float32))
        return name

    def _add_initializer(self, name: str, array: NDArray[Any]) -> None:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)


def _model(builder: _GraphBuilder, architecture: Architecture, metadata: Mapping[str, str]) -> onnx.ModelProto:
    height, width = architecture.image_height_width
    pixels = [BATCH, architecture.num_channels, height, width]
    graph = helper.make_graph(
        builder.nodes,
        "levit",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, pixels)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [BATCH, architecture.num_labels])],
        list(builder.initializers.values()),
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="levit"
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
