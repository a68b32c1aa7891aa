import dataclasses
import json
import shutil

import numpy as np
import onnx
import pytest
import torch

import levit
from levit.errors import CheckpointError, ExportError
from levit.exporting import verification
from levit.exporting.export import export, record_accuracy
from levit.spec.architecture import Architecture
from levit.spec.artifact import Accuracy
from tests.conftest import EXAMPLES, GOLDEN, random_checkpoint, random_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of random weights. (The golden one amplifies rounding on purpose, beyond the tolerance.)"""
    config = levit.LevitConfig(
        image_size=64, hidden_sizes=[16, 24, 32], key_dim=[4, 4, 4], depths=[1, 2, 1], num_labels=5
    )
    model = levit.LevitForImageClassificationWithTeacher(config)
    weights = random_weights(config.architecture(num_classifiers=2))
    model.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in weights.items()})
    saved = tmp_path_factory.mktemp("small")
    model.save_pretrained(saved)
    return saved


def test_writes_one_verified_file(tmp_path, folder):
    report = levit.export(folder, tmp_path / "tiny.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.onnx"]
    assert report.num_bytes == (tmp_path / "tiny.onnx").stat().st_size
    assert 0 < report.max_difference < 1e-4
    assert report.artifact.source.sha256 == levit.read_checkpoint(folder).source.sha256
    assert report.artifact.producer == f"levit {levit.__version__}"
    onnx.checker.check_model(tmp_path / "tiny.onnx", full_check=True)


def test_the_file_carries_what_prediction_needs(tmp_path, folder):
    export(folder, tmp_path / "tiny.onnx")
    metadata = {pair.key: json.loads(pair.value) for pair in onnx.load(tmp_path / "tiny.onnx").metadata_props}
    assert metadata["levit.labels"][0] == "LABEL_0"
    assert metadata["levit.preprocessing"]["crop"] == [64, 64]
    assert metadata["levit.precision"] == "fp32"
    exported = levit.Classifier(tmp_path / "tiny.onnx", precision="fp32")(EXAMPLES / "cat.jpg")
    direct = levit.Classifier(folder, precision="fp32")(EXAMPLES / "cat.jpg")
    np.testing.assert_array_equal(exported.logits, direct.logits)


def test_half_precision_storage(tmp_path, folder):
    single, half = (export(folder, tmp_path / f"{name}.onnx", precision=name) for name in ("fp32", "fp16"))
    assert half.num_bytes < 0.8 * single.num_bytes
    assert single.max_difference < half.max_difference < 1e-2
    assert half.artifact.precision == "fp16"


@pytest.mark.parametrize("library", ["levit", "transformers"])
def test_a_network_in_memory(tmp_path, folder, library):
    import importlib

    module = importlib.import_module(library)
    model = module.LevitForImageClassificationWithTeacher.from_pretrained(folder)
    export(model, tmp_path / "memory.onnx")
    export(folder, tmp_path / "file.onnx")
    memory, file = (onnx.load(tmp_path / f"{name}.onnx").graph for name in ("memory", "file"))
    assert memory.SerializeToString() == file.SerializeToString()


def test_a_network_in_memory_keeps_the_preprocessing_it_came_with(tmp_path, folder):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 56}, "image_mean": [0.5, 0.5, 0.5]}')
    model = levit.LevitForImageClassificationWithTeacher.from_pretrained(copy)
    artifact = export(model, tmp_path / "x.onnx").artifact
    assert artifact.preprocessing.resize == 64
    assert artifact.preprocessing.mean == (0.5, 0.5, 0.5)
    assert artifact.source.name == "copy"


@pytest.mark.parametrize("thing", [{"a": 1}, 5])
def test_what_is_no_network_is_one_clear_line(tmp_path, thing):
    with pytest.raises(CheckpointError, match="is no network"):
        export(thing, tmp_path / "x.onnx")


def test_an_accuracy_cannot_be_recorded_in_what_is_no_artifact(tmp_path):
    accuracy = Accuracy(top1=1, top5=2, images=3, data="d", sha256="s", engine="e", precision="p")
    (tmp_path / "x.onnx").write_text("nothing")
    for name in ("x.onnx", "missing.onnx"):
        with pytest.raises(CheckpointError, match="not an ONNX file"):
            record_accuracy(tmp_path / name, accuracy)


def test_other_than_three_channels(tmp_path):
    architecture = Architecture(
        image_size=32, num_channels=4, hidden_sizes=(16,), num_attention_heads=(2,), depths=(1,), key_dim=(4,),
        mlp_ratio=(2,), attention_ratio=(2,), num_labels=3,
    )  # fmt: skip
    assert export(random_checkpoint(architecture), tmp_path / "x.onnx").max_difference < 1e-4


def test_a_network_that_computes_something_else_leaves_nothing_behind(tmp_path, folder, monkeypatch):
    """One weight of the artifact is wrong: the verification is what notices."""
    from levit.exporting import export as module

    build = module.build_artifact

    def wrong(checkpoint, **arguments):
        weights = checkpoint.weights | {"classifier.linear.bias": checkpoint.weights["classifier.linear.bias"] + 0.01}
        return build(dataclasses.replace(checkpoint, weights=weights), **arguments)

    (tmp_path / "old.onnx").write_text("the file before")
    monkeypatch.setattr(module, "build_artifact", wrong)
    with pytest.raises(ExportError, match="differs from the checkpoint by"):
        module.export(folder, tmp_path / "old.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_text() == "the file before"


def test_a_network_that_gives_no_numbers_is_refused(tmp_path, folder, monkeypatch):
    class Broken:
        def run(self, pixel_values):
            return np.full((len(pixel_values), 5), np.nan, np.float32)

    monkeypatch.setattr(verification, "open_engine", lambda *args, **kwargs: Broken())
    with pytest.raises(ExportError, match="nan"):
        export(folder, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "precision", "match"),
    [
        ("model.bin", "fp32", "ends in .onnx"),
        ("no/such/folder/model.onnx", "fp32", "cannot be written"),
        ("file/model.onnx", "fp32", "cannot be written"),
        ("model.onnx", "int3", "precision is 'int3'"),
    ],
)
def test_what_cannot_be_written_is_one_clear_line(tmp_path, folder, path, precision, match):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match=match) as caught:
        export(folder, tmp_path / path, precision=precision)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_place_of_the_file_is_left_alone(tmp_path, folder):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(ExportError, match="cannot be replaced"):
        export(folder, tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_missing_checkpoint_is_an_error_of_reading(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        export("nowhere", tmp_path / "x.onnx")


def test_an_accuracy_is_recorded_and_the_network_left_alone(tmp_path, folder):
    file = tmp_path / "tiny.onnx"
    export(folder, file)
    before = onnx.load(file).graph
    accuracy = Accuracy(
        top1=41.5, top5=68.3, images=10, data="val", sha256="0" * 64, engine="openvino", precision="fp32"
    )
    record_accuracy(file, accuracy)
    assert levit.Classifier(file).artifact.accuracy == accuracy
    assert onnx.load(file).graph == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.onnx"]


def test_a_checkpoint_that_float32_cannot_compute_is_refused(tmp_path):
    """The golden weights amplify rounding on purpose: on noise float32 itself is 1.5e-4 away from the reference."""
    with pytest.raises(ExportError, match="allowed: 1e-04"):
        export(GOLDEN / "tiny" / "transformers", tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
