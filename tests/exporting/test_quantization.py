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


@pytest.fixture(scope="module")
def quantized(original):
    return quantize(original, IMAGES)


def test_all_convolutions_and_linear_layers_except_the_head_are_quantizable(original):
    names = [tensor.name for tensor in original.graph.initializer]
    layers = {name.removesuffix(".weight") for name in names if name.endswith(".weight")}
    assert set(quantizable_layers(original)) == layers - {"head"}


@pytest.mark.slow
def test_quantization_restores_the_global_state_of_the_process(original, quantized, capsys):
    logger, stdout = logging.getLogger("nncf"), sys.stdout
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        quantize(original, IMAGES[:1])
        assert logger.level == logging.WARNING
    finally:
        logger.setLevel(level)
    assert sys.stdout is stdout
    assert capsys.readouterr().out == ""
    assert logging.getLoggerClass() is logging.Logger


@pytest.mark.slow
def test_restoring_all_layers_results_in_the_original_network(original, quantized):
    restored = restore(quantized, original, quantizable_layers(original))
    operations = [node.op_type for node in restored.graph.node]
    assert operations == [node.op_type for node in original.graph.node]
