"""int8 quantization: layers, agreement of engines, accuracy within the allowed loss, or an error."""

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
import onnx
import pytest

import levit
from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data
from levit.data.subsets import split_quantization_images
from levit.deployment.build import build_artifact
from levit.errors import ExportError
from levit.evaluation.prepared_images import agreement, prepare_images
from levit.evaluation.training_images import hash_contents, write_training_images
from levit.exporting import int8
from levit.exporting.artifact_files import artifact_of
from levit.exporting.export import export
from levit.exporting.int8 import Candidate, check_agreement, evaluate_candidate, make_int8, restore_float_layers
from levit.exporting.quantization import quantize
from levit.runtime.engine import open_engine
from tests.conftest import EXAMPLES, random_checkpoint, relative
from tests.exporting.hues import train, write_pictures
from tests.runtime.small_model import SMALL

NOISE = np.random.default_rng(0).standard_normal((8, 3, 32, 32), np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return train(tmp_path_factory.mktemp("hues"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def test_engines_agree_and_are_close_to_fp32(original, quantized):
    content = quantized.SerializeToString()
    expected = open_engine(original.SerializeToString(), precision="fp32").run(NOISE)
    openvino = open_engine(content, precision="fp32").run(NOISE)
    onnxruntime = open_engine(content, engine="onnxruntime").run(NOISE)
    assert 1e-4 < relative(openvino, expected) < 0.15
    assert relative(openvino, onnxruntime) < 0.05


def test_pixels_and_normalized_values_give_the_same_logits(original, quantized):
    from levit.images.transform import normalize

    engine = open_engine(quantized.SerializeToString(), precision="fp32")
    assert engine.precision == "int8"
    assert engine.reason == "the file is quantized; other layers are computed in fp32, as requested"
    images = np.random.default_rng(2).integers(0, 256, (4, 32, 32, 3), np.uint8)
    outside = engine.run(normalize(images, random_checkpoint(SMALL).preprocessing))
    assert relative(engine.run_images(images), outside) < 0.02  # a value between two levels may be rounded to either
    assert relative(engine.submit(images, 4).result(), outside) < 0.02


def test_metadata_of_an_int8_export_name_the_quantization_data(tmp_path, untrained, pictures):
    run = shutil.copytree(untrained, tmp_path / "run")
    write_training_images(run, hash_contents([b"photo"]))
    report = export(run, tmp_path / "x.onnx", weights="int8", quantization_data=pictures, quantization_images=20)
    artifact = levit.Classifier(tmp_path / "x.onnx").artifact
    assert artifact.training_images.fraction == 1
    quantization = artifact.quantization
    assert quantization == report.artifact.quantization
    assert (quantization.images, quantization.float_layers, quantization.fp32) == (20, (), None)
    assert quantization.is_in_sample  # predictions are compared on the images that set the ranges


@pytest.mark.slow
def test_metadata_of_an_int8_export_have_the_accuracy_before_and_after(tmp_path, checkpoint, pictures):
    report = export(checkpoint, tmp_path / "x.onnx", weights="int8", quantization_data=pictures, evaluation=pictures,
                    quantization_images=40, max_drop=100)  # fmt: skip
    artifact = levit.Classifier(tmp_path / "x.onnx").artifact
    assert artifact == report.artifact
    assert artifact.precision == "int8"
    assert artifact.quantization.fp32.top1 > 0.9
    assert artifact.accuracy.top1 > artifact.quantization.fp32.top1 - 0.05
    assert artifact.quantization.fp32.images == artifact.accuracy.images == 150 - 40
    assert artifact.quantization.agreement > 0.9
    assert artifact.quantization.images == 40
    assert artifact.quantization.float_layers == ()
    assert not artifact.quantization.is_in_sample
    assert 0 < artifact.quantization.max_logit_difference < 10
    assert report.num_bytes < 0.7 * export(checkpoint, tmp_path / "y.onnx").num_bytes


@pytest.mark.slow
def test_layers_are_returned_until_the_accuracy_holds(checkpoint, pictures):
    """One layer of the quantized model is damaged; returning it alone restores the accuracy."""
    original = build_artifact(levit.read_checkpoint(checkpoint))
    artifact = artifact_of(original)
    quantization_set, evaluation_set = split_quantization_images(open_data(pictures), 20)
    with (
        prepare_images(quantization_set, artifact.preprocessing, sha256="") as quantizing,
        prepare_images(evaluation_set, artifact.preprocessing, sha256="", labels=artifact.labels) as images,
    ):
        before = evaluate_candidate(original, images, "fp32")
        damaged = quantize(original, list(quantizing.pixels))
        for tensor in damaged.graph.initializer:
            if tensor.name == "scale_stem.convolution4.weight_1":
                tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) / 1e6, tensor.name))
        after = evaluate_candidate(damaged, images)
        assert before.drop_to(after) > 8
        with pytest.raises(ExportError, match=r"only .* % of the predictions in int8 equal those in fp32"):
            check_agreement(agreement(before.logits, after.logits), 0.0, "hues")
        returned, float_layers = restore_float_layers(damaged, before, images, max_drop=8)
    assert float_layers == ["stem.convolution4"]
    assert before.drop_to(returned) <= 8
    assert open_engine(returned.model.SerializeToString()).precision == "int8"


def test_layers_are_ranked_by_the_engine_that_evaluates_candidates(original, quantized, monkeypatch):
    engines = set()

    def record(model, *, engine, precision="auto"):
        engines.add(engine)
        return open_engine(model, engine=engine, precision=precision)

    monkeypatch.setattr(int8, "open_engine", record)
    monkeypatch.setattr(int8, "exact_int8_engine", lambda: "onnxruntime")
    artifact = artifact_of(original)
    data = CountedDataset("data", artifact.labels, 0)
    with prepare_images(data, artifact.preprocessing, sha256="") as images:
        restore_float_layers(quantized, evaluate_candidate(original, images), images, max_drop=0)
    assert engines == {"onnxruntime"}


def test_predictions_of_several_labels_are_compared_by_their_f1_score(monkeypatch):
    """A damaged network whose only logit has the other sign, of which the largest logit is the same."""
    architecture = replace(SMALL, num_labels=1)
    original = build_artifact(replace(random_checkpoint(architecture), is_multi_label=True))
    damaged = onnx.ModelProto()
    damaged.CopyFrom(original)
    for tensor in damaged.graph.initializer:
        if tensor.name.startswith("head."):
            tensor.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name))
    monkeypatch.setattr(int8, "quantize", lambda _original, _images: damaged)
    with pytest.raises(ExportError, match=r"only 0\.0 % of the predictions in int8 equal those in fp32"):
        make_int8(original, quantization_data=CountedDataset("data", ("cat",), 0))


class CountedDataset:
    """Noise images with one label each, and counts of their readings and hashings."""

    is_multi_label = is_any_label_correct = False

    def __init__(self, name: str, classes: tuple[str, ...], seed: int) -> None:
        self.name, self.classes = name, classes
        images = np.random.default_rng(seed).integers(0, 256, (8, 32, 32, 3), np.uint8)
        self.items = [LabeledImage(image, (number % 5,), f"{number}") for number, image in enumerate(images)]
        self.num_readings = self.num_hashings = 0

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self):
        self.num_readings += 1
        return iter(self.items)

    def sha256(self) -> str:
        self.num_hashings += 1
        return self.name


def test_images_are_read_and_hashed_once_for_all_candidates(original):
    labels = artifact_of(original).labels
    quantization, evaluation = (CountedDataset(name, labels, len(name)) for name in ("quantization", "evaluation"))
    with suppress(ExportError):  # random weights may give other predictions in int8
        make_int8(original, quantization_data=quantization, evaluation=evaluation)
    assert (quantization.num_readings, quantization.num_hashings) == (1, 1)
    assert (evaluation.num_readings, evaluation.num_hashings) == (1, 1)


@pytest.mark.slow
def test_an_accuracy_that_no_candidate_reaches_leaves_no_file(tmp_path, checkpoint, pictures, monkeypatch):
    monkeypatch.setattr(Candidate, "drop_to", lambda _before, _after: 100)
    message = r"even with every layer in floating point \(allowed: 0\.5\).*: raise `max_drop`, or use `weights` fp16"
    with pytest.raises(ExportError, match=message):
        export(
            checkpoint, tmp_path / "x.onnx", weights="int8", quantization_data=pictures, evaluation=pictures,
            quantization_images=20, max_drop=0.5,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fraction", "max_logit_difference", "message"),
    [
        (0.69, 0.1, r"hues: only 69.0 % of the predictions in int8 equal those in fp32 \(at least 70 % must\)"),
        (1.0, np.inf, "the logits in int8 contain inf or NaN"),
        (np.nan, 0.1, "only nan % of the predictions"),
    ],
)
def test_a_broken_model_is_refused(fraction, max_logit_difference, message):
    with pytest.raises(ExportError, match=message):
        check_agreement(fraction, max_logit_difference, "hues")
    check_agreement(0.7, 0.1, "hues")


@pytest.mark.slow
def test_json_report_is_all_of_standard_output(tmp_path, untrained):
    command = [sys.executable, "-m", "levit", "export", str(untrained), str(tmp_path / "x.onnx"), "--json"]
    options = ["--weights", "int8", "--quantization-data", str(EXAMPLES), "--image-size", "64x48"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["precision"] == "int8"
    assert report["quantization"]["images"] == 4
    assert open_data(EXAMPLES).sha256() == report["quantization"]["sha256"]
    assert levit.Classifier(tmp_path / "x.onnx").artifact.architecture.image_height_width == (64, 48)


@pytest.mark.slow
def test_the_starter_keeps_its_accuracy_in_int8(tmp_path, shared_data):
    images = shared_data / "tiny-imagenet-val.parquet"
    report = export(
        shared_data / "starter",
        tmp_path / "x.onnx",
        weights="int8",
        quantization_data=images,
        evaluation=images,
        max_drop=0.5,
    )
    assert report.artifact.quantization.float_layers == ()
    assert report.artifact.accuracy.images == 9000
    assert report.artifact.quantization.fp32.top1 - report.artifact.accuracy.top1 < 0.003
    assert report.artifact.quantization.agreement > 0.89
