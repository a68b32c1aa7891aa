"""The same answers from ONNX Runtime, and one line where there are none."""

import numpy as np
import pytest

import levit
from levit.deployment.build import build_artifact
from levit.errors import EngineError
from levit.runtime.engine import ImageEngine, open_engine
from levit.runtime.onnxruntime_engine import OnnxRuntimeEngine
from levit.runtime.openvino_engine import OpenVinoEngine
from tests.conftest import random_checkpoint, relative
from tests.runtime.small_model import SMALL

NOISE = np.random.default_rng(0).standard_normal((3, 3, 32, 32), np.float32)


@pytest.fixture(scope="module")
def content() -> bytes:
    return build_artifact(random_checkpoint(SMALL)).SerializeToString()


def test_it_answers_as_openvino_does(content):
    engine = OnnxRuntimeEngine(content, threads=1)
    assert (engine.name, engine.precision) == ("onnxruntime", "fp32")
    assert relative(engine.run(NOISE), OpenVinoEngine(content, precision="fp32").run(NOISE)) < 1e-5
    assert engine.metadata == OpenVinoEngine(content).metadata


def test_it_normalizes_images_itself(content):
    engine, other = OnnxRuntimeEngine(content), OpenVinoEngine(content, precision="fp32")
    images = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), np.uint8)
    assert isinstance(engine, ImageEngine)
    assert relative(engine.run_images(images), other.run_images(images)) < 1e-5
    assert relative(engine.submit(images, 8).result(), other.run_images(images)) < 1e-5
    with pytest.raises(EngineError, match="ONNX Runtime cannot run a batch of shape"):
        engine.submit(images[:, :, :31], 8).result()


def test_a_classifier_stands_on_it(tmp_path):
    quick, other = levit.Classifier(precision="fp32"), levit.Classifier(engine="onnxruntime")
    assert other.engine.name == "onnxruntime"
    photos = ["examples/espresso.jpg", "examples/rocket.jpg", "no such file", *["examples/cat.jpg"] * 20]
    for one, another in zip(quick.stream(photos, batch_size=4), other.stream(photos, batch_size=4), strict=True):
        assert (one.error is None) == (another.error is None)
        if one.error is None:
            assert relative(one.logits, another.logits) < 0.05  # int8, rounded in another order


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf16"}, "onnxruntime has no bf16"),
        ({"precision": "int8"}, "the model: not quantized"),
        ({"provider": "abacus"}, "onnxruntime has no provider 'abacus' here"),
    ],
)
def test_what_it_cannot_do_it_says(content, options, message):
    with pytest.raises(EngineError, match=message):
        open_engine(content, engine="onnxruntime", **options)


def test_a_provider_chooses_the_engine(content):
    assert open_engine(content, provider="CPUExecutionProvider").name == "onnxruntime"


def test_what_is_no_model_is_refused_in_one_line(tmp_path):
    for model in (b"nonsense", tmp_path / "missing.onnx"):
        with pytest.raises(EngineError) as caught:
            OnnxRuntimeEngine(model)
        assert "\n" not in str(caught.value)


def test_a_wrong_shape_is_refused_in_one_line(content):
    with pytest.raises(EngineError) as caught:
        OnnxRuntimeEngine(content).run(np.zeros((1, 3, 33, 32), np.float32))
    assert str(caught.value).startswith("ONNX Runtime cannot run a batch of shape [1, 3, 33, 32]: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_changes_after_it_was_opened_changes_nothing(content, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    engine = OnnxRuntimeEngine(file)
    file.unlink()
    assert engine.run_images(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 5)
    assert engine.run_images(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 5)
