"""All engines pass the same checks."""

import numpy as np
import pytest

from levit.deployment.build import build_artifact
from levit.deployment.reference import run_reference
from levit.errors import EngineError
from levit.runtime.engine import CHECKPOINT_ENGINES, ENGINES, open_engine
from levit.runtime.fake_engine import FakeEngine
from levit.runtime.model_resolution import open_model
from tests.conftest import random_checkpoint
from tests.runtime.engine_checks import CHECKS, CheckedEngine
from tests.runtime.small_model import SMALL


@pytest.fixture(scope="module", params=[*ENGINES, *CHECKPOINT_ENGINES, "fake"])
def checked(request) -> CheckedEngine:
    checkpoint = random_checkpoint(SMALL)

    def expected(batch: np.ndarray) -> np.ndarray:
        if batch.shape[1:] != (3, 32, 32):
            raise EngineError(f"the reference cannot run a batch of shape {list(batch.shape)}: give 3x32x32")
        if not len(batch):
            return np.zeros((0, SMALL.num_labels), np.float32)
        return run_reference(checkpoint.weights, SMALL, batch)["logits"].astype(np.float32)

    if request.param == "fake":
        return CheckedEngine(FakeEngine(checkpoint.as_artifact("fp32"), expected), expected)
    if request.param in CHECKPOINT_ENGINES:
        pytest.importorskip(CHECKPOINT_ENGINES[request.param].package)
        engine = open_model(checkpoint, engine=request.param, precision="fp32", provider="cpu")
    else:
        pytest.importorskip(ENGINES[request.param].package)
        content = build_artifact(checkpoint).SerializeToString()
        engine = open_engine(content, engine=request.param, precision="fp32")
    assert engine.name == request.param
    return CheckedEngine(engine, expected)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_engines_conform(checked, check):
    check(checked)
