"""Opening an engine by name, and the errors of wrong options."""

import numpy as np
import pytest

from levit.errors import ConfigError, EngineError
from levit.runtime.engine import ENGINES, EngineEntry, open_engine


@pytest.mark.parametrize("name", ["auto", *ENGINES])
def test_an_engine_is_opened_by_name(content, name):
    assert open_engine(content, engine=name).name == (name if name != "auto" else "openvino")


def test_a_provider_selects_onnxruntime(content):
    assert open_engine(content, provider="CPUExecutionProvider").name == "onnxruntime"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "abacus"}, "engine is 'abacus': use auto, openvino, onnxruntime, native, torch"),
        (
            {"engine": "torch"},
            "engine torch opens checkpoints, not ONNX files: use auto, openvino, onnxruntime, native",
        ),
        ({"threads": 0}, "threads is 0: give a whole number of at least 1"),
        ({"threads": 1.5}, "threads is 1.5: give a whole number of at least 1"),
        ({"precision": "fp8"}, "precision is 'fp8': use one of auto, fp32, bf16, int8"),
        (
            {"provider": "cuda", "engine": "openvino"},
            "provider is an option of onnxruntime, not of openvino: leave it out, or change the engine",
        ),
    ],
    ids=str,
)
def test_wrong_options_are_errors_that_name_the_valid_ones(content, options, message):
    with pytest.raises(ConfigError) as caught:
        open_engine(content, **options)
    assert str(caught.value) == message


def test_a_precision_that_the_model_lacks_is_an_error_of_the_engine(content):
    with pytest.raises(EngineError) as caught:
        open_engine(content, precision="int8")
    assert str(caught.value) == "the model: not quantized: export it in int8 with `levit export`"


def test_the_number_of_threads_may_be_an_integer_of_numpy(content):
    assert open_engine(content, threads=np.int64(1)).run(np.zeros((1, 3, 32, 32), np.float32)).shape[0] == 1


def test_the_error_of_a_missing_engine_names_the_command_that_installs_it():
    entry = EngineEntry("levit.no_such_module", "OtherEngine", "other", 'pip install "levit[other]"')
    with pytest.raises(EngineError, match=r'engine other is not installed \(.*\): pip install "levit\[other\]"'):
        entry.load("other")
