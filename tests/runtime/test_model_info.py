"""Descriptions of models."""

from dataclasses import replace

import onnx
import pytest

import levit
from levit.errors import CheckpointError
from levit.runtime.model_info import describe
from levit.runtime.model_resolution import find_artifact
from tests.runtime.small_model import LABELS, SMALL, write_checkpoint


def test_the_embedded_model_is_described():
    artifact, num_bytes = describe(None)
    assert artifact.architecture.num_labels == len(artifact.labels)
    assert artifact.precision in ("fp32", "fp16", "int8")
    assert num_bytes == find_artifact(None).stat().st_size


@pytest.mark.parametrize("name", ["fruit", "fruit/model.safetensors"])
def test_a_checkpoint_is_described_with_the_size_of_its_file(tmp_path, name):
    write_checkpoint(tmp_path / "fruit")
    artifact, num_bytes = describe(tmp_path / name)
    assert artifact.architecture == SMALL
    assert artifact.labels == LABELS
    assert artifact.precision == "fp32"
    assert num_bytes == (tmp_path / "fruit" / "model.safetensors").stat().st_size


def test_an_export_has_the_description_of_its_checkpoint(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "fruit")
    report = levit.export(checkpoint, tmp_path / "fruit.onnx", weights="fp16")
    artifact, num_bytes = describe(str(tmp_path / "fruit.onnx"))
    assert artifact == report.artifact
    assert num_bytes == report.num_bytes
    assert replace(artifact, producer="", precision="fp32") == describe(checkpoint)[0]


def test_other_files_are_errors_of_one_line_that_name_them(tmp_path):
    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    identity = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([identity], "other", [info], [info])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"no protocol buffer")
    (tmp_path / "empty.onnx").touch()
    for name, reason in (
        ("other.onnx", "not exported by levit"),
        ("damaged.onnx", "not an ONNX file"),
        ("empty.onnx", "not exported by levit"),
        ("missing.onnx", "no such file"),
        ("missing", "no such file, folder or known model name"),
    ):
        with pytest.raises(CheckpointError) as caught:
            describe(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: {reason}")
        assert "\n" not in str(caught.value)
