"""Graphs of another form than in exported files are refused as such, so that OpenVINO computes them."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from levit.deployment.build import build_artifact
from levit.runtime.model_resolution import find_artifact
from levit.runtime.native_format import OtherFormError, split_metadata
from levit.runtime.native_layers import LayerReader
from levit.runtime.native_packing import pack
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL

CONTENT = build_artifact(random_checkpoint(SMALL)).SerializeToString()
UP, CONVOLUTION, SCORES = "stage1.block1.mlp.up", "stem.convolution1", "stage1.block1.attention.biased_scores"


@pytest.fixture
def small() -> onnx.ModelProto:
    return onnx.load_from_string(CONTENT)


@pytest.fixture
def quantized() -> onnx.ModelProto:
    return onnx.load(find_artifact(None))


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    (found,) = [node for node in model.graph.node if node.name == name]
    return found


def producer(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    (found,) = [node for node in model.graph.node if output in node.output]
    return found


def replace(model: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    """Give an initializer another value."""
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def test_a_quantization_without_zero_point_has_the_zero_point_0(quantized):
    sources = [source for name in (f"{UP}.matmul", CONVOLUTION) for source in node(quantized, name).input[:2]]
    linear_input, linear_weight, stem_input, stem_weight = (producer(quantized, source) for source in sources)
    for dequantize in (linear_input, stem_input):  # the zero points of weights are 0
        replace(quantized, dequantize.input[2], np.zeros((), np.uint8))
    expected = pack(quantized)
    for dequantize in (linear_input, stem_weight):
        del dequantize.input[2:]
    for dequantize in (linear_weight, stem_input):
        dequantize.input[2] = ""  # an input that is left out, in ONNX
    assert pack(quantized) == expected


@pytest.mark.parametrize("name", [UP, f"{UP}.matmul", CONVOLUTION, SCORES])
def test_a_layer_without_inputs_has_another_form(small, name):
    for count in (1, 0):
        del node(small, name).input[count:]
        with pytest.raises(OtherFormError, match="has another form than in the files of `levit export`"):
            pack(small)


def test_a_node_without_outputs_is_ignored(small):
    expected = pack(small)
    small.graph.node.add(op_type="Identity", name="nothing")
    assert pack(small) == expected


@pytest.mark.parametrize("shape", [(), (1,), (1, 32), (33,)])
def test_a_bias_of_another_shape_has_another_form(small, shape):
    for name in (UP, CONVOLUTION):
        model = onnx.ModelProto()
        model.CopyFrom(small)
        replace(model, f"{name}.bias", np.zeros(shape, np.float32))
        with pytest.raises(OtherFormError, match=f"the layer {name} has another form"):
            pack(model)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), "has another form"),
        ((2, 3), "has another form"),
        ((2, 3, 3), "has another form"),
        ((2, 4, 3, 3), "have the shape"),
        ((2, 3, 3, 1), "have the shape"),
    ],
)
def test_a_convolution_with_weights_of_another_shape_has_another_form(small, shape, message):
    replace(small, f"{CONVOLUTION}.weight", np.zeros(shape, np.float32))
    with pytest.raises(OtherFormError, match=message):
        pack(small)


@pytest.mark.parametrize("array", [np.array(["text"], object), np.zeros(3, np.complex64)])
def test_a_bias_of_another_type_has_another_form(small, array):
    replace(small, f"{UP}.bias", array)
    with pytest.raises(OtherFormError, match="has another form"):
        pack(small)


@pytest.mark.parametrize("data_type", [0, 99, onnx.TensorProto.DOUBLE])
def test_numbers_that_do_not_fit_their_type_have_another_form(small, data_type):
    (tensor,) = [tensor for tensor in small.graph.initializer if tensor.name == f"{UP}.weight"]
    tensor.data_type = data_type
    with pytest.raises(OtherFormError, match="has another form"):
        pack(small)


def test_a_circular_graph_has_no_quantization(small):
    for name, source in (("first", "second"), ("second", "first")):
        small.graph.node.add(op_type="Reshape", name=name, input=[source], output=[name])
    node(small, f"{UP}.matmul").input[0] = "first"
    assert LayerReader(small).layer(UP).scale is None


@settings(max_examples=200)
@given(st.data())
def test_every_other_graph_is_packed_or_has_another_form(data):
    model = onnx.load_from_string(CONTENT)
    for _ in range(data.draw(st.integers(1, 3))):
        changed = data.draw(st.sampled_from(list(model.graph.node)))
        kind = data.draw(st.sampled_from(["inputs", "outputs", "input", "type", "dims", "data type"]))
        tensor = data.draw(st.sampled_from(list(model.graph.initializer)))
        if kind == "inputs":
            del changed.input[data.draw(st.integers(0, 2)) :]
        elif kind == "outputs":
            del changed.output[:]
        elif kind == "input" and changed.input:
            changed.input[0] = data.draw(st.sampled_from([tensor.name, changed.output[0] if changed.output else ""]))
        elif kind == "type":
            changed.op_type = data.draw(st.sampled_from(["Cast", "DequantizeLinear", "Reshape", "Conv", "MatMul"]))
        elif kind == "dims" and tensor.dims:
            tensor.dims[-1] = data.draw(st.integers(-1, 99))
        elif kind == "data type":
            tensor.data_type = data.draw(st.integers(0, 30))
    try:
        packed = pack(model)
    except OtherFormError:
        return
    size, metadata = split_metadata(memoryview(packed))
    assert 0 < size < len(packed)
    assert metadata == {pair.key: pair.value for pair in model.metadata_props}
