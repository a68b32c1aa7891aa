"""Models in OpenVINO's own format compute the same logits as the ONNX file, and keep its metadata."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

import levit
from levit.deployment.build import build_artifact
from levit.errors import CheckpointError, ConfigError, EngineError, ExportError
from levit.exporting import openvino_files
from levit.exporting.openvino_files import write_openvino
from levit.runtime.model_info import describe
from levit.runtime.model_resolution import find_artifact
from levit.runtime.openvino_core import openvino_core
from tests.conftest import EXAMPLES, random_checkpoint
from tests.runtime.small_model import LABELS, SMALL, write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder of small.onnx and small.xml, exported from the same checkpoint."""
    folder = tmp_path_factory.mktemp("exported")
    checkpoint = write_checkpoint(folder / "checkpoint")
    for name in ("small.onnx", "small.xml"):
        levit.export(checkpoint, folder / name)
    return folder


def test_both_files_are_written_and_counted(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    for name in ("small.xml", "small.bin"):
        (tmp_path / name).write_text("an earlier file")
    report = levit.export(checkpoint, tmp_path / "small.xml", format="openvino", weights="fp16")
    assert {entry.name for entry in tmp_path.iterdir()} == {"checkpoint", "small.xml", "small.bin"}
    assert report.num_bytes == sum((tmp_path / name).stat().st_size for name in ("small.xml", "small.bin"))
    assert report.artifact.precision == "fp16"


def test_logits_labels_and_description_are_those_of_the_onnx_file(folder):
    photos = [EXAMPLES / "cat.jpg", EXAMPLES / "rocket.jpg"]
    with (
        levit.Classifier(folder / "small.onnx", engine="openvino", precision="fp32") as expected,
        levit.Classifier(folder / "small.xml", precision="fp32") as classify,
    ):
        assert (classify.engine.name, classify.labels) == ("openvino", LABELS)
        assert classify.artifact == expected.artifact
        for ours, theirs in zip(classify(photos), expected(photos), strict=True):
            np.testing.assert_array_equal(ours.logits, theirs.logits)
        with pytest.raises(EngineError, match="no pooled features: give the ONNX file"):
            classify.embed(photos)
        assert describe(folder / "small.xml")[0] == expected.artifact


def test_an_int8_model_keeps_its_predictions_and_metadata(tmp_path):
    embedded = find_artifact(None)
    num_bytes = write_openvino(onnx.load(embedded), tmp_path / "int8.xml")
    artifact, described_bytes = describe(tmp_path / "int8.xml")
    assert artifact == describe(None)[0]
    assert described_bytes == num_bytes
    with levit.Classifier(tmp_path / "int8.xml") as classify, levit.Classifier(None, engine="openvino") as expected:
        assert classify.engine.precision == "int8"
        ours, theirs = (model(EXAMPLES / "espresso.jpg") for model in (classify, expected))
        np.testing.assert_array_equal(ours.logits, theirs.logits)


def test_other_engines_and_damaged_files_are_errors_of_one_line(folder, tmp_path):
    with pytest.raises(EngineError, match="in OpenVINO's format, which engine onnxruntime cannot open: use auto or"):
        levit.Classifier(folder / "small.xml", engine="onnxruntime")
    (tmp_path / "text.xml").write_text("hello")
    with pytest.raises(EngineError, match="not OpenVINO's format"):
        levit.Classifier(tmp_path / "text.xml")
    (tmp_path / "alone.xml").write_bytes((folder / "small.xml").read_bytes())
    with pytest.raises(EngineError) as caught:
        levit.Classifier(tmp_path / "alone.xml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint/pytorch_model.bin"])
def test_the_weights_of_the_checkpoint_are_not_overwritten(tmp_path, name):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    weights = checkpoint / "pytorch_model.bin"
    torch.save(safetensors.torch.load_file(checkpoint / "model.safetensors"), weights)
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.xml").touch()
    before = weights.read_bytes()
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: the target is the source: give another target"):
        levit.export(tmp_path / name, checkpoint / "pytorch_model.xml")
    assert weights.read_bytes() == before


def test_a_bin_file_without_a_graph_is_not_overwritten(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    (tmp_path / "small.bin").write_text("weights of torch")
    with pytest.raises(ExportError, match=r"small\.bin is not of a model of OpenVINO, because there is no small\.xml"):
        levit.export(checkpoint, tmp_path / "small.xml")
    assert (tmp_path / "small.bin").read_text() == "weights of torch"


def test_an_error_of_openvino_while_it_writes_is_an_export_error(tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise RuntimeError("Check failed:\nbasic_ios::clear: iostream error\n")

    monkeypatch.setattr(openvino_files.openvino, "save_model", fail)
    with pytest.raises(ExportError, match=r"small\.xml cannot be written \(basic_ios::clear: iostream error\)$"):
        write_openvino(onnx.load(find_artifact(None)), tmp_path / "small.xml")
    assert list(tmp_path.iterdir()) == []


def test_incomplete_weights_do_not_replace_a_file(tmp_path, monkeypatch):
    def cut_short(network, path, **options):
        save_model(network, path, **options)
        weights = Path(path).with_suffix(".bin")
        os.truncate(weights, weights.stat().st_size - 1)

    save_model = openvino_files.openvino.save_model
    monkeypatch.setattr(openvino_files.openvino, "save_model", cut_short)
    with pytest.raises(ExportError, match=r"cannot be written \(Incorrect weights in bin file!\)$"):
        write_openvino(onnx.load(find_artifact(None)), tmp_path / "small.xml")
    assert list(tmp_path.iterdir()) == []


def test_a_written_file_with_other_logits_does_not_replace_a_file(tmp_path, monkeypatch):
    other = build_artifact(random_checkpoint(SMALL, seed=1)).SerializeToString()
    save_model = openvino_files.openvino.save_model

    def save_other(_network, path, **options):
        save_model(openvino_core().read_model(other), path, **options)

    monkeypatch.setattr(openvino_files.openvino, "save_model", save_other)
    with pytest.raises(ExportError, match=r"small\.xml: the written file differs from the model by .* of the largest"):
        write_openvino(build_artifact(random_checkpoint(SMALL)), tmp_path / "small.xml")
    assert list(tmp_path.iterdir()) == []


def test_an_onnx_file_beside_a_checkpoint_of_the_same_name_is_written(tmp_path):
    checkpoint = write_checkpoint(tmp_path)
    weights = checkpoint / "pytorch_model.bin"
    torch.save(safetensors.torch.load_file(checkpoint / "model.safetensors"), weights)
    (checkpoint / "model.safetensors").unlink()
    before = weights.read_bytes()
    assert levit.export(weights, checkpoint / "pytorch_model.onnx").path.is_file()
    assert weights.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("m.bin", {}, "give a file name that ends in .onnx or .xml"),
        ("m.onnx", {"format": "openvino"}, "give a file name that ends in .xml"),
        ("m.onnx", {"format": "coreml"}, "^format is 'coreml': use one of onnx, openvino"),
    ],
)
def test_names_and_formats_that_do_not_fit_are_errors(tmp_path, name, options, message):
    with pytest.raises((ConfigError, ExportError), match=message):
        levit.export("missing", tmp_path / name, **options)
