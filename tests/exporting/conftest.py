"""Fixtures of the exports' tests."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from levit.deployment.build import build_artifact
from levit.exporting.quantization import quantize
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL, write_checkpoint


@pytest.fixture(scope="session")
def untrained(tmp_path_factory) -> Path:
    """Folder of a checkpoint of random weights, for tests that do not depend on accuracy."""
    return write_checkpoint(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="session")
def original() -> onnx.ModelProto:
    """A network with random weights in fp32; no test changes it."""
    return build_artifact(random_checkpoint(SMALL))


@pytest.fixture(scope="session")
def quantized(original) -> onnx.ModelProto:
    """The same network in int8; no test changes it."""
    return quantize(original, list(np.random.default_rng(1).integers(0, 256, (16, 32, 32, 3), np.uint8)))
