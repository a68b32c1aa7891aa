import logging
import sys

import numpy as np
import pytest

from levit.deployment.build import build_artifact
from levit.exporting.quantization import quantizable_layers, quantize, restore
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL

IMAGES = list(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8))


@pytest.fixture(scope="module")
def original():
    return build_artifact(random_checkpoint(SMALL))


def test_all_convolutions_and_linear_layers_except_the_head_are_quantizable(original):
    weights = {
        tensor.name.removesuffix(".weight") for tensor in original.graph.initializer if tensor.name.endswith(".weight")
    }
    assert set(quantizable_layers(original)) == weights - {"head"}


def test_quantization_restores_the_global_state_of_the_process(original, capsys):
    state = (sys.stdout, logging.getLoggerClass())
    quantize(original, IMAGES)
    level = logging.getLogger("nncf").level
    assert (sys.stdout, logging.getLoggerClass()) == state
    assert capsys.readouterr().out == ""
    logging.getLogger("nncf").setLevel(logging.WARNING)
    try:
        quantize(original, IMAGES)
        assert logging.getLogger("nncf").level == logging.WARNING
    finally:
        logging.getLogger("nncf").setLevel(level)


def test_restoring_all_layers_results_in_the_original_network(original):
    quantized = quantize(original, IMAGES)
    restored = restore(quantized, original, quantizable_layers(original))
    operations = [node.op_type for node in restored.graph.node]
    assert operations == [node.op_type for node in original.graph.node]
    assert not any("QuantizeLinear" in operation for operation in operations)
