"""Class activation maps: their mean is the logit."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

import levit
from levit.errors import EngineError
from levit.explaining.class_activation import open_token_network, token_logits, with_token_logits
from levit.runtime.model_resolution import find_artifact
from levit.runtime.opened_model import ModelOptions
from tests.conftest import EXAMPLES
from tests.runtime.small_model import LABELS, SMALL, write_checkpoint

WIDE = replace(SMALL, image_size=(64, 96))


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_the_mean_over_the_tokens_is_the_logit(tmp_path, engine):
    folder = write_checkpoint(tmp_path / "wide", WIDE)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    options = ModelOptions(folder, engine=engine, precision="fp32")
    opened = options.open()
    (expected,) = opened.image_engine.run_images(pixels[None])
    artifact = opened.artifact
    tokens = token_logits(open_token_network(options, artifact), pixels, artifact.architecture)
    assert tokens.shape == (1, 2, len(LABELS))
    assert np.abs(tokens.mean((0, 1)) - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.abs(tokens[0, 0] - tokens[0, 1]).max() > 1e-5  # random weights, whose tokens are similar


def test_the_embedded_model_has_two_by_two_tokens():
    options = {"engine": "openvino", "precision": "fp32", "threads": 1}
    explanation = levit.explain(EXAMPLES / "espresso.jpg", method="cam", **options)
    prediction = levit.Classifier(**options)(EXAMPLES / "espresso.jpg")
    assert explanation.values.shape == (2, 2)
    logit = prediction.logits[prediction.top(1)[0].index]
    assert explanation.values.mean() == pytest.approx(float(logit), rel=1e-4)
    assert explanation.label.name == "espresso"
    assert explanation.label.score == pytest.approx(prediction.top(1)[0].score, abs=1e-3)


def test_the_graph_is_valid_and_has_one_output():
    network = onnx.load_from_string(with_token_logits(find_artifact(None)))
    onnx.checker.check_model(network)
    (output,) = network.graph.output
    assert output.name == "token_logits"
    assert output.type.tensor_type.shape.dim[1].dim_value == 4 * 293


def test_an_explicit_engine_that_computes_no_other_graph_leaves_the_maps_to_one_that_does(tmp_path):
    folder = write_checkpoint(tmp_path / "small", SMALL)
    image = np.zeros((40, 40, 3), np.uint8)
    with levit.Explainer(folder, engine="torch") as explain:
        assert explain(image, method="cam").values.shape == (1, 1)


def test_a_model_that_has_replaced_the_opened_one_is_not_explained(tmp_path):
    options = ModelOptions(write_checkpoint(tmp_path / "small", SMALL))
    artifact = replace(options.open().artifact, labels=tuple(f"other {label}" for label in LABELS))
    with pytest.raises(EngineError, match="another model has replaced it since it was opened"):
        open_token_network(options, artifact)


def test_a_network_of_another_program_is_refused():
    network = onnx.load_from_string(find_artifact(None).read_bytes())
    for node in network.graph.node:
        node.name = f"other.{node.name}"
    with pytest.raises(EngineError, match="not exported by levit"):
        with_token_logits(network.SerializeToString())
