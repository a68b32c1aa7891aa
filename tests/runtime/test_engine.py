import numpy as np
import pytest

from levit.deployment.build import build_artifact
from levit.errors import EngineError
from levit.runtime.engine import ENGINES, Engine, open_engine
from levit.runtime.fake_engine import FakeEngine
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL, colors_card


@pytest.fixture(scope="module")
def content() -> bytes:
    return build_artifact(random_checkpoint(SMALL)).SerializeToString()


@pytest.mark.parametrize("name", ["auto", *ENGINES])
def test_every_engine_of_the_table_opens_a_model_and_is_an_engine(content, name):
    engine = open_engine(content, engine=name)
    assert isinstance(engine, Engine)
    assert engine.name == (name if name != "auto" else "openvino")
    assert engine.run(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, SMALL.num_labels)


def test_the_fake_is_an_engine():
    assert isinstance(FakeEngine(colors_card(), lambda batch: batch), Engine)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "abacus"}, "no engine is called 'abacus': use auto, openvino, onnxruntime, torch"),
        ({"engine": "torch"}, "engine torch opens checkpoints, not ONNX files: use auto, openvino, onnxruntime"),
        ({"threads": 0}, "threads is 0: give a whole number of at least 1"),
        ({"precision": "fp8"}, "precision is 'fp8': use one of auto, fp32, bf16, int8"),
        ({"precision": "int8"}, "the model: not quantized: export it with `levit export --precision int8`"),
        (
            {"provider": "cuda", "engine": "openvino"},
            "provider is an option of onnxruntime, not of openvino: leave it out, or change the engine",
        ),
    ],
    ids=str,
)
def test_wrong_options_are_named_with_the_right_ones(content, options, message):
    with pytest.raises(EngineError) as caught:
        open_engine(content, **options)
    assert str(caught.value) == message


def test_a_missing_engine_says_what_to_install(content, monkeypatch):
    monkeypatch.setitem(
        ENGINES, "other", ("levit.no_such_module", "OtherEngine", "other", 'pip install "levit[other]"')
    )
    with pytest.raises(EngineError, match=r'engine other is not installed \(.*\): pip install "levit\[other\]"'):
        open_engine(content, engine="other")
