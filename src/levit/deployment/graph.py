"""The deployment network, written as ONNX node by node.

No exporter and no tracing: each node and weight has the name of the block that it belongs to, and the graph reads
like the network. `pixel_values` float32 [batch, channels, height, width] -> `logits` float32 [batch, classes].
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from levit.deployment.folding import FoldedWeights
from levit.errors import ExportError
from levit.spec.architecture import Architecture
from levit.spec.blocks import AttentionBlock, MlpBlock, StemLayer, encoder_blocks, stem_layers

OPSET = 17
INPUT, OUTPUT, BATCH = "pixel_values", "logits", "batch"

Storage = Literal["fp32", "fp16"]


def build_graph(
    folded: FoldedWeights,
    architecture: Architecture,
    *,
    storage: Storage = "fp32",
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Write the deployment network as an ONNX model, checked and with inferred shapes.

    Args:
        folded: what `levit.deployment.folding.fold` gives.
        architecture: what the network is; it must have a head.
        storage: "fp16" keeps the matrices in half precision and widens them in the graph, which halves the file;
            the arithmetic stays float32.
        metadata: key-value pairs for the model's metadata.

    Returns:
        The model: opset 17, dynamic batch.

    Raises:
        ExportError: the network has no head.
    """
    if "head.weight" not in folded:
        raise ExportError("the network has no classification head: export a checkpoint of a classifier")
    writer = _Writer(folded, storage)
    x = INPUT
    layers = stem_layers(architecture)
    for layer in layers:
        x = _stem_layer(writer, layer, x)
        x = writer.activation(x, architecture.activation) if layer is not layers[-1] else x
    width, tokens = architecture.hidden_sizes[0], prod(architecture.stem_grids[-1])
    # In this order, engines that keep channels last anyway have nothing to move.
    x = writer.node("Transpose", "stem.grid", [x], perm=[0, 2, 3, 1])
    x = writer.reshape("stem.tokens", x, [0, tokens, width])  # [B, N, C]
    for block in encoder_blocks(architecture):
        if isinstance(block, AttentionBlock):
            x = _attention(writer, block, x, architecture.activation)
        else:
            x = _mlp(writer, block, x, architecture.activation)
    x = writer.node("ReduceMean", "pool", [x], axes=[1], keepdims=0)  # [B, C]
    writer.linear("head", x, output=OUTPUT)
    return _model(writer, architecture, metadata or {})


def _stem_layer(writer: _Writer, layer: StemLayer, x: str) -> str:
    kernel, padding = layer.kernel_size, layer.padding
    inputs = [x, writer.weight(f"{layer.name}.weight"), writer.weight(f"{layer.name}.bias")]
    return writer.node(
        "Conv",
        layer.name,
        inputs,
        kernel_shape=[kernel, kernel],
        strides=[layer.stride, layer.stride],
        pads=[padding] * 4,
    )


def _attention(writer: _Writer, block: AttentionBlock, x: str, activation: str) -> str:
    name, heads = block.name, block.num_heads
    inputs, outputs = prod(block.input_grid), prod(block.output_grid)
    query = writer.linear(f"{name}.query", x if block.is_residual else _subsample(writer, block, x))
    query = writer.heads(f"{name}.query", query, [0, outputs, heads, block.key_dim], perm=[0, 2, 1, 3])
    key = writer.linear(f"{name}.key", x)
    key = writer.heads(f"{name}.key", key, [0, inputs, heads, block.key_dim], perm=[0, 2, 3, 1])
    value = writer.linear(f"{name}.value", x)
    value = writer.heads(f"{name}.value", value, [0, inputs, heads, block.value_dim], perm=[0, 2, 1, 3])
    scores = writer.node("MatMul", f"{name}.scores", [query, key])  # [B, H, queries, keys]
    scores = writer.node("Add", f"{name}.biased_scores", [scores, writer.weight(f"{name}.position_bias")])
    attention = writer.node("Softmax", f"{name}.softmax", [scores], axis=-1)
    context = writer.node("MatMul", f"{name}.context", [attention, value])
    context = writer.heads(f"{name}.context", context, [0, outputs, heads * block.value_dim], perm=[0, 2, 1, 3])
    projected = writer.linear(f"{name}.projection", writer.activation(context, activation))
    return writer.node("Add", f"{name}.residual", [x, projected]) if block.is_residual else projected


def _subsample(writer: _Writer, block: AttentionBlock, x: str) -> str:
    """Every stride-th token in both directions."""
    (rows, columns), stride = block.input_grid, block.stride
    x = writer.reshape(f"{block.name}.grid", x, [0, rows, columns, block.input_width])
    slices = [writer.integers(f"stride{stride}.{part}", values) for part, values in (
        ("starts", [0, 0]), ("ends", [2**31, 2**31]), ("axes", [1, 2]), ("steps", [stride, stride])
    )]  # fmt: skip
    x = writer.node("Slice", f"{block.name}.subsample", [x, *slices])
    return writer.reshape(f"{block.name}.subsampled", x, [0, prod(block.output_grid), block.input_width])


def _mlp(writer: _Writer, block: MlpBlock, x: str, activation: str) -> str:
    up = writer.activation(writer.linear(f"{block.name}.up", x), activation)
    return writer.node("Add", f"{block.name}.residual", [x, writer.linear(f"{block.name}.down", up)])


class _Writer:
    """The growing graph; every method adds nodes and returns the name of their output."""

    def __init__(self, folded: FoldedWeights, storage: Storage) -> None:
        self.folded, self.storage = folded, storage
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def node(
        self, operation: str, name: str, inputs: list[str], *, output: str | None = None, **attributes: Any
    ) -> str:
        output = output or name
        self.nodes.append(helper.make_node(operation, inputs, [output], name, **attributes))
        return output

    def linear(self, name: str, x: str, *, output: str | None = None) -> str:
        product = self.node("MatMul", f"{name}.matmul", [x, self.weight(f"{name}.weight")])
        return self.node("Add", name, [product, self.weight(f"{name}.bias")], output=output)

    def activation(self, x: str, kind: str) -> str:
        if kind == "silu":
            return self.node("Mul", f"{x}.silu", [x, self.node("Sigmoid", f"{x}.sigmoid", [x])])
        return self.node("HardSwish", f"{x}.hardswish", [x])

    def reshape(self, name: str, x: str, shape: list[int]) -> str:
        return self.node("Reshape", name, [x, self.integers("shape." + "x".join(map(str, shape)), shape)])

    def heads(self, name: str, x: str, shape: list[int], *, perm: list[int]) -> str:
        """Take the heads apart ([B, N, H*D] -> [B, H, N, D] or transposed) or put them together again."""
        if len(shape) == 3:
            return self.reshape(f"{name}.merged", self.node("Transpose", f"{name}.transposed", [x], perm=perm), shape)
        return self.node("Transpose", f"{name}.heads", [self.reshape(f"{name}.split", x, shape)], perm=perm)

    def weight(self, name: str) -> str:
        """A folded array; in fp16 storage a matrix is kept in half precision and widened by a node of its own."""
        array = self.folded[name]
        halve = self.storage == "fp16" and name.endswith(".weight")
        stored = f"{name}.fp16" if halve else name
        self._keep(stored, array.astype(np.float16 if halve else np.float32))
        return self.node("Cast", name, [stored], to=TensorProto.FLOAT) if halve else name

    def integers(self, name: str, values: list[int]) -> str:
        self._keep(name, np.array(values, np.int64))
        return name

    def _keep(self, name: str, array: NDArray[Any]) -> None:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)


def _model(writer: _Writer, architecture: Architecture, metadata: Mapping[str, str]) -> onnx.ModelProto:
    height, width = architecture.image_height_width
    pixels = [BATCH, architecture.num_channels, height, width]
    graph = helper.make_graph(
        writer.nodes,
        "levit",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, pixels)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [BATCH, architecture.num_labels])],
        list(writer.initializers.values()),
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="levit"
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
