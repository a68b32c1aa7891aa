"""Weights of LeViT-flax: a file that the port wrote, and its logits with the running statistics of batch norms."""

import numpy as np
import pytest

from levit.checkpoints.flax_files import read_flax, write_flax
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.writing import convert
from levit.deployment.build import build_artifact
from levit.deployment.reference import run_reference
from levit.errors import CheckpointError
from levit.runtime.engine import open_engine
from tests.conftest import GOLDEN, relative

FOLDER = GOLDEN / "frameworks" / "flax"
FILE, EXPECTED = FOLDER / "levit.msgpack", np.load(FOLDER / "expected.npz")


def test_the_reference_gives_the_logits_of_the_port():
    checkpoint = read_checkpoint(FILE)
    assert checkpoint.source.dialect == "flax"
    assert (checkpoint.architecture.padding, checkpoint.architecture.attention_activation) == ((0, 1), "gelu_tanh")
    outputs = run_reference(checkpoint.weights, checkpoint.architecture, EXPECTED["input"])
    assert relative(outputs["classifier"], EXPECTED["logits"]) < 1e-5
    assert relative(outputs["classifier_distill"], EXPECTED["distill_logits"]) < 1e-5


def test_an_engine_gives_the_logits_of_the_port():
    engine = open_engine(build_artifact(read_checkpoint(FILE)).SerializeToString(), precision="fp32")
    mean = (EXPECTED["logits"] + EXPECTED["distill_logits"]) / 2
    assert relative(engine.run(EXPECTED["input"]), mean) < 1e-5


def test_a_written_file_equals_that_of_the_port(tmp_path):
    """Up to the rounding of the attention biases, and the bias before a batch norm, which its mean contains."""
    convert(FILE, tmp_path / "out.msgpack", to="flax")
    written, original = read_flax(tmp_path / "out.msgpack"), read_flax(FILE)
    assert written.keys() == original.keys()
    for key, array in original.items():
        assert (written[key].dtype, written[key].shape) == (array.dtype, array.shape), key
        if "Attention_" in key and ("Conv_3/bias" in key or "BatchNorm_3/mean" in key):
            continue
        np.testing.assert_allclose(written[key], array, rtol=3e-7)
    first, second = read_checkpoint(FILE), read_checkpoint(tmp_path / "out.msgpack")
    for name, array in first.weights.items():
        np.testing.assert_allclose(second.weights[name], array, rtol=3e-7)


def test_its_weights_are_not_those_of_vit_pytorch(tmp_path):
    with pytest.raises(CheckpointError, match="vit-pytorch has another network under the name LeViT: its attention"):
        convert(FILE, tmp_path / "out.pt", to="vit-pytorch")


@pytest.mark.parametrize("key", ["params/Transformer_0/Attention_0/BatchNorm_2/bias", "params/Conv_3/bias"])
def test_a_missing_array_is_an_error_with_its_key_in_the_file(tmp_path, key):
    arrays = read_flax(FILE)
    del arrays[key]
    (tmp_path / "cut.msgpack").write_bytes(write_flax(arrays))
    with pytest.raises(CheckpointError, match=rf"cut\.msgpack: an incomplete LeViT of flax: no {key}$"):
        read_checkpoint(tmp_path / "cut.msgpack")


def test_an_array_of_something_else_is_an_error_with_its_key_in_the_file(tmp_path):
    (tmp_path / "more.msgpack").write_bytes(write_flax(read_flax(FILE) | {"params/Other_0/bias": np.ones(2)}))
    with pytest.raises(CheckpointError, match=r"1 unexpected weights \(params/Other_0/bias\), flax"):
        read_checkpoint(tmp_path / "more.msgpack")
