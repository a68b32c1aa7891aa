"""The torch engine computes the logits of the exported file, and states unsupported options in one line."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

import levit
from levit.deployment.build import build_artifact
from levit.errors import ConfigError, EngineError
from levit.model.torch_engine import TorchEngine
from levit.runtime.engine import ImageEngine
from levit.runtime.openvino_engine import OpenVinoEngine
from levit.spec.architecture import Architecture
from tests.conftest import EXAMPLES, random_checkpoint, relative
from tests.runtime.small_model import SMALL

PIXELS = np.random.default_rng(0).standard_normal((3, 3, 32, 32), np.float32)
IMAGES = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module", params=["hardswish", "silu"])
def checkpoint(request):
    return random_checkpoint(dataclasses.replace(SMALL, activation=request.param))


def test_logits_equal_those_of_openvino(checkpoint):
    engine = TorchEngine(checkpoint, precision="fp32", provider="cpu")
    other = OpenVinoEngine(build_artifact(checkpoint).SerializeToString(), precision="fp32")
    assert isinstance(engine, ImageEngine)
    assert (engine.name, engine.precision) == ("torch", "fp32")
    assert relative(engine.run(PIXELS), other.run(PIXELS)) < 1e-5
    assert relative(engine.run_images(IMAGES), other.run_images(IMAGES)) < 1e-5
    assert relative(engine.submit(IMAGES, 8).result(), other.submit(IMAGES, 8).result()) < 1e-5


def test_bf16_logits_are_close_to_fp32(checkpoint):
    exact = TorchEngine(checkpoint, precision="fp32", provider="cpu").run_images(IMAGES)
    rounded = TorchEngine(checkpoint, precision="bf16", provider="cpu").run_images(IMAGES)
    assert rounded.dtype == np.float32
    assert 0 < relative(rounded, exact) < 0.1


@pytest.mark.slow
def test_a_compiled_network_computes_the_same_logits():
    """Compiled for the batch sizes 1 and 4; two stages contain every kind of block."""
    two_stages = Architecture(
        image_size=32, hidden_sizes=(16, 24), depths=(1, 1), num_attention_heads=(1, 2), key_dim=(8, 8),
        mlp_ratio=(2, 2), attention_ratio=(2, 2), num_labels=5,
    )  # fmt: skip
    checkpoint = random_checkpoint(two_stages)
    engine = TorchEngine(checkpoint, precision="fp32", provider="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the compiler about the machine
        compiled = TorchEngine(checkpoint, precision="fp32", provider="cpu", compiled=True)
        assert relative(compiled.run_images(IMAGES[:2]), engine.run_images(IMAGES[:2])) < 1e-5
        for count in (4, 1):  # the second batch is padded
            logits = compiled.submit(IMAGES[:count], 4).result()
            assert relative(logits, engine.run_images(IMAGES[:count])) < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_graphs_compute_the_same_logits():
    checkpoint = random_checkpoint(SMALL)
    engine = TorchEngine(checkpoint, precision="fp32", provider="cpu")
    graphed = TorchEngine(checkpoint, precision="fp32", provider="cuda")
    for count in (4, 4, 1):
        logits = graphed.submit(IMAGES[:count], 4).result()
        assert relative(logits, engine.run_images(IMAGES[:count])) < 1e-3


def test_a_classifier_uses_the_torch_engine(checkpoint):
    classify = levit.Classifier(checkpoint, engine="torch", precision="fp32", provider="cpu")
    openvino = levit.Classifier(checkpoint, precision="fp32")
    assert (classify.engine.name, classify.labels) == ("torch", checkpoint.labels)
    photos = [EXAMPLES / "espresso.jpg", "no such file", *[EXAMPLES / "cat.jpg"] * 5]
    actual, expected = (list(classifier.stream(photos, batch_size=2)) for classifier in (classify, openvino))
    for predictions in (actual, expected):
        assert [number for number, prediction in enumerate(predictions) if prediction.error] == [1]
    for number in (0, *range(2, len(photos))):
        assert relative(actual[number].logits, expected[number].logits) < 1e-5
    assert relative(classify(photos[0]).logits, openvino(photos[0]).logits) < 1e-5


def test_unsupported_options_raise_an_engine_error(checkpoint, tmp_path):
    for options, message in (
        ({"precision": "int8"}, "the torch engine does not support int8: export it in int8 with `levit export`"),
        ({"provider": "abacus"}, "torch has no device type 'abacus'"),
        ({"provider": "cuda:99"}, "torch device 'cuda:99' is not available"),
    ):
        with pytest.raises(EngineError, match=message):
            levit.Classifier(checkpoint, engine="torch", **options)
    for options, message in (
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"threads": 0}, "threads is 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            levit.Classifier(checkpoint, engine="torch", **options)
    with pytest.raises(EngineError, match="the embedded model is an exported file"):
        levit.Classifier(engine="torch")
    with pytest.raises(EngineError, match=r"x\.onnx is an exported file"):
        levit.Classifier("x.onnx", engine="torch")
    with pytest.raises(EngineError, match="torch cannot run a batch of shape"):
        TorchEngine(checkpoint, provider="cpu").run_images(np.zeros((1, 40, 40, 3), np.uint8))


def test_a_network_without_a_head_is_refused():
    headless = random_checkpoint(dataclasses.replace(SMALL, num_labels=0, num_classifiers=0))
    with pytest.raises(ConfigError, match="the network has no head"):
        TorchEngine(headless, provider="cpu")
