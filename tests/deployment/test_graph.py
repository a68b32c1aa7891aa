import numpy as np
import onnx
import pytest

from levit.checkpoints.reading import read_checkpoint
from levit.deployment.folding import fold
from levit.deployment.graph import build_graph
from levit.errors import ExportError
from levit.runtime.engine import open_engine
from levit.spec.architecture import Architecture
from tests.conftest import GOLDEN, random_weights


@pytest.fixture(scope="module")
def tiny():
    return read_checkpoint(GOLDEN / "tiny" / "transformers")


@pytest.fixture(scope="module")
def model(tiny):
    return build_graph(fold(tiny.weights, tiny.architecture), tiny.architecture, metadata={"note": "größer"})


def test_the_model_has_one_input_and_output_in_float32_dynamic_batch_and_opset_17(model):
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    shapes = {}
    for value in (*model.graph.input, *model.graph.output):
        tensor = value.type.tensor_type
        assert tensor.elem_type == onnx.TensorProto.FLOAT
        shapes[value.name] = [size.dim_param or size.dim_value for size in tensor.shape.dim]
    assert shapes == {"pixel_values": ["batch", 3, 112, 112], "logits": ["batch", 10]}
    assert {pair.key: pair.value for pair in model.metadata_props} == {"note": "größer"}


def test_nodes_have_readable_names_and_inferred_shapes(model):
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert {"stem.convolution1", "stage2.block2.attention.query", "stage1.downsample.mlp.up", "pool"} <= set(names)
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    assert shapes["stage1.downsample.attention.projection"] == ["batch", 16, 48]
    assert shapes["stage1.block1.attention.softmax"] == ["batch", 2, 49, 49]


@pytest.mark.parametrize("weight_precision", ["fp32", "fp16"])
def test_the_model_runs_in_onnx_s_reference_implementation_with_any_batch_size(tiny, weight_precision):
    from onnx.reference import ReferenceEvaluator

    model = build_graph(fold(tiny.weights, tiny.architecture), tiny.architecture, weight_precision=weight_precision)
    images = np.load(GOLDEN / "tiny" / "input.npy")
    expected = np.load(GOLDEN / "tiny" / "expected.npz")["logits_f64"]
    tolerance = {"fp32": 1e-4, "fp16": 2e-2}[weight_precision] * np.abs(expected).max()
    engine = open_engine(model.SerializeToString(), precision="fp32")
    for batch in (images[:1], images):
        (logits,) = ReferenceEvaluator(model).run(None, {"pixel_values": batch})
        np.testing.assert_allclose(logits, expected[: len(batch)], atol=tolerance)
        np.testing.assert_allclose(engine.run(batch), expected[: len(batch)], atol=tolerance)


def test_half_precision_weights_halve_the_file(tiny):
    folded = fold(tiny.weights, tiny.architecture)
    single, half = (
        len(build_graph(folded, tiny.architecture, weight_precision=precision).SerializeToString())
        for precision in ("fp32", "fp16")
    )
    assert half < 0.62 * single  # the bias tables and the nodes are not halved


def test_a_network_without_a_head_is_an_error():
    architecture = Architecture(hidden_sizes=(16,), num_attention_heads=(1,), depths=(1,), key_dim=(8,),
                                mlp_ratio=(2,), attention_ratio=(2,), num_classifiers=0)  # fmt: skip
    with pytest.raises(ExportError, match="no classification head"):
        build_graph(fold(random_weights(architecture), architecture), architecture)
