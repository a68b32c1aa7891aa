import importlib
import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

import levit
from levit.errors import CheckpointError, ExportError, LevitWarning
from levit.evaluation.training_images import hash_contents, write_training_images
from levit.exporting import verification
from levit.exporting.export import export
from levit.spec.architecture import Architecture
from tests.conftest import EXAMPLES, random_checkpoint, random_weights
from tests.data.datasets_on_disk import write_images
from tests.runtime.small_model import LABELS, SMALL, write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoint of random weights; the golden one amplifies rounding on purpose, beyond the tolerance."""
    config = levit.LevitConfig(
        image_size=64, hidden_sizes=[16, 24, 32], key_dim=[4, 4, 4], depths=[1, 2, 1], num_labels=5
    )
    model = levit.LevitForImageClassificationWithTeacher(config)
    weights = random_weights(config.architecture(num_classifiers=2))
    model.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in weights.items()})
    saved = tmp_path_factory.mktemp("small")
    model.save_pretrained(saved)
    levit.load_image_processor(saved).save_pretrained(saved)
    return saved


def test_the_export_writes_one_verified_file(tmp_path, folder):
    report = levit.export(folder, tmp_path / "tiny.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.onnx"]
    assert report.num_bytes == (tmp_path / "tiny.onnx").stat().st_size
    assert 0 < report.max_difference < 1e-4
    assert report.artifact.source.sha256 == levit.read_checkpoint(folder).source.sha256
    assert report.artifact.producer == f"levit {levit.__version__}"
    onnx.checker.check_model(tmp_path / "tiny.onnx", full_check=True)


def test_the_metadata_contains_labels_and_preprocessing(tmp_path, folder):
    export(folder, tmp_path / "tiny.onnx")
    metadata = {pair.key: json.loads(pair.value) for pair in onnx.load(tmp_path / "tiny.onnx").metadata_props}
    assert metadata["levit.labels"][0] == "LABEL_0"
    assert metadata["levit.preprocessing"]["crop"] == [64, 64]
    assert metadata["levit.precision"] == "fp32"
    exported = levit.Classifier(tmp_path / "tiny.onnx", precision="fp32")(EXAMPLES / "cat.jpg")
    expected = levit.Classifier(folder, precision="fp32")(EXAMPLES / "cat.jpg")
    np.testing.assert_array_equal(exported.logits, expected.logits)


def test_an_exported_run_knows_its_training_images_wherever_the_file_is(tmp_path):
    run = write_checkpoint(tmp_path / "run")
    for number, label in enumerate(LABELS):
        write_images(tmp_path / "photos" / label, f"{number:0{number + 1}}.png")
    write_training_images(run, hash_contents([tmp_path / "photos" / LABELS[0] / "0.png"]))
    exported = export(run, tmp_path / "fruit.onnx").path
    message = r"fruit\.onnx was trained on 1 of these 5 images: its accuracy on them says little"
    with pytest.warns(LevitWarning, match=message):
        levit.evaluate(exported, tmp_path / "photos")
    with pytest.warns(LevitWarning, match=message):
        levit.calibrate(exported, tmp_path / "photos")
    artifact = levit.Classifier(exported).artifact
    assert artifact.rejection is not None
    assert artifact.training_images.fraction == 1  # a change of the metadata keeps the record


def test_fp16_weights_make_a_smaller_file(tmp_path, folder):
    single, half = (export(folder, tmp_path / f"{name}.onnx", weights=name) for name in ("fp32", "fp16"))
    assert half.num_bytes < 0.8 * single.num_bytes
    assert single.max_difference < half.max_difference < 1e-2
    assert half.artifact.precision == "fp16"


@pytest.mark.parametrize("library", ["levit", "transformers"])
def test_a_network_in_memory_is_exported_like_its_file(tmp_path, folder, library):
    module = importlib.import_module(library)
    model = module.LevitForImageClassificationWithTeacher.from_pretrained(folder)
    export(model, tmp_path / "memory.onnx")
    export(folder, tmp_path / "file.onnx")
    memory, file = (onnx.load(tmp_path / f"{name}.onnx").graph for name in ("memory", "file"))
    assert memory.SerializeToString() == file.SerializeToString()


def test_a_network_in_memory_is_exported_with_the_preprocessing_of_its_file(tmp_path, folder):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 56}, "image_mean": [0.5, 0.5, 0.5]}')
    model = levit.LevitForImageClassificationWithTeacher.from_pretrained(copy)
    artifact = export(model, tmp_path / "x.onnx").artifact
    assert artifact.preprocessing.resize == 64
    assert artifact.preprocessing.mean == (0.5, 0.5, 0.5)
    assert artifact.source.name == "copy"


@pytest.mark.parametrize("value", [{"a": 1}, 5])
def test_an_object_that_is_not_a_network_raises_an_error(tmp_path, value):
    with pytest.raises(CheckpointError, match="is not a network"):
        export(value, tmp_path / "x.onnx")


def test_a_network_with_four_channels_is_exported(tmp_path):
    architecture = Architecture(
        image_size=32, num_channels=4, hidden_sizes=(16,), num_attention_heads=(2,), depths=(1,), key_dim=(4,),
        mlp_ratio=(2,), attention_ratio=(2,), num_labels=3,
    )  # fmt: skip
    assert export(random_checkpoint(architecture), tmp_path / "x.onnx").max_difference < 1e-4


@pytest.mark.parametrize("path", ["no/such/folder/model.onnx", "file/model.onnx"])
def test_an_invalid_target_raises_one_line(tmp_path, folder, path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot be written") as caught:
        export(folder, tmp_path / path)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_not_replaced(tmp_path, folder):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(ExportError, match="cannot be written"):
        export(folder, tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_missing_checkpoint_raises_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: no such file"):
        export("nowhere", tmp_path / "x.onnx")


def test_weights_that_are_too_large_for_their_type_are_an_error_without_a_warning(tmp_path):
    checkpoint = random_checkpoint(SMALL)
    weights = checkpoint.weights | {"classifier.linear.weight": np.full((5, 32), 1e6, np.float32)}
    with pytest.raises(ExportError, match=r"a logit that is not finite, so nothing was written: the weights are .*too"):
        export(replace(checkpoint, weights=weights), tmp_path / "x.onnx", weights="fp16")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_if_the_verification_fails(tmp_path, folder, monkeypatch):
    monkeypatch.setitem(verification.TOLERANCE, "fp32", 0)
    (tmp_path / "old.onnx").write_text("previous content")
    for name in ("old.onnx", "new.onnx"):
        with pytest.raises(ExportError, match=r"differs from the checkpoint by .*allowed: 0e\+00"):
            export(folder, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_text() == "previous content"
