"""Whatever the configuration: folded arrays, graph and torch network all equal the reference."""

import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from levit.checkpoints.configuration import config_from_architecture
from levit.deployment.folding import fold
from levit.deployment.graph import build_graph
from levit.deployment.reference import evaluate
from levit.model.classifier import LevitForImageClassification, LevitForImageClassificationWithTeacher
from levit.model.config import LevitConfig
from levit.runtime.engine import open_engine
from levit.spec.architecture import Architecture
from tests.architectures import architectures
from tests.conftest import random_weights, relative
from tests.deployment.folded_network import FoldedNetwork

THOROUGH = int(os.environ.get("LEVIT_EXAMPLES", "60"))


def torch_network(architecture: Architecture, weights: dict[str, np.ndarray]):
    heads = {1: LevitForImageClassification, 2: LevitForImageClassificationWithTeacher}
    model = heads[architecture.num_classifiers](LevitConfig(**config_from_architecture(architecture)))
    model.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in weights.items()})
    return model.eval()


@pytest.mark.slow
@given(architecture=architectures())
@settings(max_examples=THOROUGH, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_form_equals_the_reference(architecture):
    weights = random_weights(architecture)
    shape = (2, architecture.num_channels, *architecture.image_height_width)
    images = np.random.default_rng(1).standard_normal(shape, np.float32)
    expected = evaluate(weights, architecture, images)["logits"]

    folded = fold(weights, architecture)
    assert relative(FoldedNetwork(folded, architecture)(images), expected) < 1e-12
    model = build_graph(folded, architecture)
    assert relative(open_engine(model.SerializeToString(), precision="fp32").run(images), expected) < 1e-4
    network = torch_network(architecture, weights)
    with torch.no_grad():
        assert relative(network(torch.from_numpy(images)).logits.numpy(), expected) < 1e-4
        double = network.double()(torch.from_numpy(images).double())
    assert relative(double.logits.numpy(), expected) < 1e-9
