"""Folded arrays, graph and torch network equal the reference for random architectures."""

import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from levit.checkpoints.transformers_configuration import config_from_architecture
from levit.deployment.folding import fold
from levit.deployment.graph import build_graph
from levit.deployment.reference import run_reference
from levit.model.config import LevitConfig
from levit.model.image_classification import LevitForImageClassification, LevitForImageClassificationWithTeacher
from levit.runtime.engine import open_engine
from levit.spec.architecture import Architecture
from tests.architectures import architectures
from tests.conftest import random_weights
from tests.deployment.folded_network import FoldedNetwork

EXAMPLES = int(os.environ.get("LEVIT_EXAMPLES", "60"))


def logit_scale(weights: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> float:
    """Magnitude of the largest logit without cancellation: the terms of a random head with one class often cancel."""
    if "classifier.batch_norm.weight" not in weights:
        return float((np.abs(outputs["pooler_output"]) @ np.abs(weights["classifier.linear.weight"].T)).max())
    norm = {
        name: weights[f"classifier.batch_norm.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
    }
    features = (outputs["pooler_output"] - norm["running_mean"]) / np.sqrt(norm["running_var"]) * norm["weight"]
    return float((np.abs(features + norm["bias"]) @ np.abs(weights["classifier.linear.weight"].T)).max())


def torch_network(architecture: Architecture, weights: dict[str, np.ndarray]):
    heads = {1: LevitForImageClassification, 2: LevitForImageClassificationWithTeacher}
    model = heads[architecture.num_classifiers](LevitConfig(**config_from_architecture(architecture)))
    model.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in weights.items()})
    return model.eval()


@pytest.mark.slow
@given(architecture=architectures(is_general=True))
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
def test_every_form_equals_the_reference(architecture):
    weights = random_weights(architecture)
    shape = (2, architecture.num_channels, *architecture.image_height_width)
    images = np.random.default_rng(1).standard_normal(shape, np.float32)
    outputs = run_reference(weights, architecture, images)
    expected, scale = outputs["logits"], logit_scale(weights, outputs)

    def error(logits: np.ndarray) -> float:
        return float(np.abs(logits - expected).max() / scale)

    folded = fold(weights, architecture)
    assert error(FoldedNetwork(folded, architecture)(images)) < 1e-12
    model = build_graph(folded, architecture)
    assert error(open_engine(model.SerializeToString(), precision="fp32").run(images)) < 1e-4
    network = torch_network(architecture, weights)
    with torch.no_grad():
        assert error(network(torch.from_numpy(images)).logits.numpy()) < 1e-4
        double = network.double()(torch.from_numpy(images).double())
    assert error(double.logits.numpy()) < 1e-9
