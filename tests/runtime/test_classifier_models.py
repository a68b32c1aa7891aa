"""Models that a Classifier opens (exports, checkpoints, engines), and models that are errors."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import levit
from levit.errors import CheckpointError, ConfigError, EngineError
from levit.runtime.classifier import Classifier
from levit.spec.preprocessing import Preprocessing
from tests.conftest import EXAMPLES, GOLDEN, relative
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import LABELS, color_artifact, uniform_image

TINY = GOLDEN / "tiny"
RED = uniform_image(255, 0, 0)


def test_the_embedded_model_classifies_the_example():
    prediction = Classifier()(EXAMPLES / "espresso.jpg")
    assert prediction.source == str(EXAMPLES / "espresso.jpg")
    assert prediction.top(1)[0].name == "espresso"
    assert len(Classifier().labels) == len(prediction.logits)


def test_a_checkpoint_and_its_export_give_the_same_logits(checkpoint, tmp_path):
    levit.export(checkpoint, tmp_path / "fruit.onnx")
    photo = EXAMPLES / "cat.jpg"
    exported, folded, from_file = (
        Classifier(model, precision="fp32")(photo)
        for model in (tmp_path / "fruit.onnx", str(checkpoint), checkpoint / "model.safetensors")
    )
    assert exported.labels == folded.labels == LABELS
    assert relative(folded.logits, exported.logits) < 1e-6
    assert relative(from_file.logits, exported.logits) < 1e-6


def test_a_checkpoint_of_transformers_gives_the_logits_of_transformers():
    classifier = Classifier(TINY / "transformers", precision="fp32")
    with np.load(TINY / "expected.npz") as expected:
        assert relative(classifier.engine.run(np.load(TINY / "input.npy")), expected["logits"]) < 1e-4


def test_an_opened_engine_is_used(checkpoint):
    opened = Classifier(checkpoint)
    again = Classifier(opened.engine)
    assert again.artifact == opened.artifact
    np.testing.assert_array_equal(again(RED).logits, opened(RED).logits)


def test_the_folded_and_the_compiled_model_are_cached(checkpoint):
    first = Classifier(checkpoint)(RED)
    cache = Path(os.environ["LEVIT_CACHE"])

    def files() -> dict[Path, int]:
        return {file: file.stat().st_ino for file in cache.rglob("*") if file.is_file()}

    kept = files()
    assert {file.relative_to(cache).parts[0] for file in kept} == {"folded", "compiled"}
    second = Classifier(checkpoint)(RED)
    assert files() == kept
    assert relative(second.logits, first.logits) < 1e-6


@pytest.mark.parametrize("is_blocked", [False, True])
def test_without_a_cache_a_checkpoint_opens_nevertheless(checkpoint, tmp_path, monkeypatch, is_blocked):
    expected = Classifier(checkpoint, precision="fp32")(RED)
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "file") if is_blocked else "")
    prediction = Classifier(checkpoint, precision="fp32")(RED)
    assert prediction.labels == LABELS
    assert relative(prediction.logits, expected.logits) < 1e-6


@pytest.mark.parametrize("name", ["missing.onnx", "missing.safetensors", "no/such-model", "facebook/levit-128S"])
def test_a_missing_model_is_an_error_that_names_it(name):
    with pytest.raises(CheckpointError, match="no such file") as caught:
        Classifier(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def write_identity(file: Path) -> None:
    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "other", [info], [out])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), file)


def test_an_onnx_file_of_another_program_is_an_error_of_one_line_that_names_it(tmp_path):
    write_identity(tmp_path / "other.onnx")
    with pytest.raises(CheckpointError) as caught:
        Classifier(tmp_path / "other.onnx")
    assert str(caught.value) == (
        f"{tmp_path / 'other.onnx'}: not exported by levit (no levit.* metadata): "
        "export the checkpoint with `levit export`"
    )


def test_an_engine_with_other_metadata_is_an_error():
    engine = FakeEngine(color_artifact(), lambda batch: batch)
    engine.metadata = {"author": "another program"}
    with pytest.raises(CheckpointError, match=r"^not exported by levit"):
        Classifier(engine)


def test_a_damaged_export_is_an_error_that_names_it(checkpoint, tmp_path):
    file = tmp_path / "half.onnx"
    levit.export(checkpoint, file)
    file.write_bytes(file.read_bytes()[:50_000])
    with pytest.raises(EngineError) as caught:
        Classifier(file)
    assert str(caught.value).startswith(f"{file}: OpenVINO cannot open it")
    assert "\n" not in str(caught.value)


def test_a_preprocessing_of_another_size_than_the_network_is_an_error(checkpoint):
    shutil.copy(TINY / "transformers" / "preprocessor_config.json", checkpoint)
    with pytest.raises(ConfigError, match="preprocessing gives 112x112, but the network takes 32x32"):
        Classifier(checkpoint)


@pytest.mark.parametrize(
    ("preprocessing", "size"),
    [
        (Preprocessing(resize=20, crop=None), "the size of each image"),
        (Preprocessing(resize=20, crop=(20, 16)), "20x16"),
    ],
)
def test_an_artifact_whose_preprocessing_does_not_fit_is_an_error(preprocessing, size):
    artifact = replace(color_artifact(), preprocessing=preprocessing)
    message = rf"damaged levit\.\* metadata \(preprocessing gives {size}, but the network takes 16x16"
    with pytest.raises(CheckpointError, match=message):
        Classifier(FakeEngine(artifact, lambda batch: batch))


def test_images_are_prepared_by_the_preprocessing_of_the_model(checkpoint):
    config = {"do_resize": True, "size": {"height": 32, "width": 32}, "crop_size": 32, "do_normalize": False}
    (checkpoint / "preprocessor_config.json").write_text(json.dumps(config))
    artifact = Classifier(checkpoint).artifact
    engine = FakeEngine(artifact, lambda batch: np.zeros((len(batch), len(LABELS)), np.float32))
    Classifier(engine)(RED)
    np.testing.assert_array_equal(
        engine.batches[0][0], np.broadcast_to(np.array([1, 0, 0])[:, None, None], (3, 32, 32))
    )


def test_a_model_of_another_type_is_a_type_error():
    with pytest.raises(TypeError, match="model is a int"):
        Classifier(5)


def test_a_checkpoint_in_memory_is_opened(checkpoint):
    loaded = levit.read_checkpoint(checkpoint)
    photo = np.zeros((70, 80, 3), np.uint8)
    np.testing.assert_array_equal(Classifier(loaded)(photo).logits, Classifier(checkpoint)(photo).logits)


@pytest.mark.parametrize("folder", ["folded", "compiled"])
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_file_in_a_cache_does_not_change_the_logits(checkpoint, folder, damage):
    photo = np.zeros((70, 80, 3), np.uint8)
    expected = Classifier(checkpoint)(photo).logits
    files = [file for file in (Path(os.environ["LEVIT_CACHE"]) / folder).rglob("*") if file.is_file()]
    assert files
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content[:1000] if damage == "truncated" else content)
    np.testing.assert_array_equal(Classifier(checkpoint)(photo).logits, expected)


def test_an_artifact_whose_labels_do_not_fit_is_an_error(checkpoint, tmp_path):
    levit.export(checkpoint, tmp_path / "x.onnx")
    model = onnx.load(tmp_path / "x.onnx")
    values = {pair.key: pair.value for pair in model.metadata_props} | {"levit.labels": '["one"]'}
    onnx.helper.set_model_props(model, values)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(CheckpointError, match=r"damaged levit\.\* metadata \(labels: 1 names for 5 classes\)"):
        Classifier(tmp_path / "x.onnx")
