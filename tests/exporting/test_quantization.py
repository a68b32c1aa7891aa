import logging
import sys

import numpy as np
import onnx
import pytest

from levit.exporting.quantization import quantizable_layers, quantize, restore
from levit.runtime.engine import open_engine

NOISE = np.random.default_rng(0).standard_normal((8, 3, 32, 32), np.float32)


def precisions(model: onnx.ModelProto) -> dict[str, bool]:
    """For each convolution and matrix product, whether its input is quantized."""
    made_by = {node.output[0]: node for node in model.graph.node}

    def is_quantized(name: str) -> bool:
        while made_by[name].op_type in ("Reshape", "Slice"):
            name = made_by[name].input[0]
        return made_by[name].op_type == "DequantizeLinear"

    return {
        node.name.removesuffix(".matmul"): node.input[0] in made_by and is_quantized(node.input[0])
        for node in model.graph.node
        if node.op_type in ("Conv", "MatMul")
    }


def test_all_layers_but_the_head_and_attention_are_quantized(original, quantized):
    found = precisions(quantized)
    assert {name for name, is_quantized in found.items() if is_quantized} == set(quantizable_layers(original))
    others = {name.rpartition(".")[2] for name, is_quantized in found.items() if not is_quantized}
    assert others == {"scores", "context", "head"}


def test_activations_are_unsigned_and_weights_signed(quantized):
    kinds = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    activations = {kinds[node.input[2]] for node in quantized.graph.node if node.op_type == "QuantizeLinear"}
    dequantized = {node.input[0] for node in quantized.graph.node if node.op_type == "DequantizeLinear"}
    assert activations == {onnx.TensorProto.UINT8}
    assert {kinds[name] for name in dequantized & kinds.keys()} == {onnx.TensorProto.INT8}


@pytest.mark.slow
def test_quantization_restores_the_global_state_of_the_process(original, capsys):
    logger, stdout = logging.getLogger("nncf"), sys.stdout
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        quantize(original, [np.zeros((32, 32, 3), np.uint8)])
        assert logger.level == logging.WARNING
    finally:
        logger.setLevel(level)
    assert sys.stdout is stdout
    assert capsys.readouterr().out == ""
    assert logging.getLoggerClass() is logging.Logger


def test_returning_every_layer_gives_the_original(original, quantized):
    restored = restore(quantized, original, quantizable_layers(original))
    assert [node.op_type for node in restored.graph.node] == [node.op_type for node in original.graph.node]
    expected = open_engine(original.SerializeToString(), precision="fp32").run(NOISE)
    np.testing.assert_array_equal(open_engine(restored.SerializeToString(), precision="fp32").run(NOISE), expected)


def test_returning_one_layer_restores_its_weights_and_its_bias(original, quantized):
    layer = "stage2.block1.mlp.up"
    restored = restore(quantized, original, [layer])
    assert [name for name in quantizable_layers(original) if not precisions(restored)[name]] == [layer]
    tensors = {tensor.name: tensor for tensor in restored.graph.initializer}
    for tensor in original.graph.initializer:
        if tensor.name in (f"{layer}.weight", f"{layer}.bias"):
            assert tensors[tensor.name] == tensor
