"""The ONNX Runtime engine: precisions, providers and errors."""

import numpy as np
import pytest

import levit
from levit.errors import EngineError
from levit.runtime.engine import open_engine
from levit.runtime.int8_arithmetic import has_exact_int8
from levit.runtime.onnxruntime_engine import OnnxRuntimeEngine
from levit.runtime.openvino_engine import OpenVinoEngine
from tests.conftest import EXAMPLES, relative


def test_the_metadata_are_those_that_openvino_reads(content):
    assert OnnxRuntimeEngine(content, threads=1).metadata == OpenVinoEngine(content).metadata


def test_a_quantized_model_gives_nearly_the_logits_of_openvino():
    openvino, onnxruntime = (levit.Classifier(engine=name, precision="fp32") for name in ("openvino", "onnxruntime"))
    assert (onnxruntime.engine.name, onnxruntime.engine.precision) == ("onnxruntime", "int8")
    tolerance = 0.05 if has_exact_int8() else 0.2  # rounding in another order, or saturated sums
    photos = [EXAMPLES / "espresso.jpg", EXAMPLES / "rocket.jpg", "no such file", *[EXAMPLES / "cat.jpg"] * 20]
    expected, actual = (list(classify.stream(photos, batch_size=4)) for classify in (openvino, onnxruntime))
    for predictions in (expected, actual):
        assert [number for number, prediction in enumerate(predictions) if prediction.error] == [2]
    for number in (0, 1, *range(3, len(photos))):
        assert relative(expected[number].logits, actual[number].logits) < tolerance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf16"}, "onnxruntime has no bf16: use `precision` auto, or `engine` openvino"),
        ({"precision": "int8"}, "the model: not quantized: export it in int8 with `levit export`"),
        ({"provider": "abacus"}, "onnxruntime has no provider 'abacus' here (it has "),
    ],
)
def test_missing_precisions_and_providers_are_errors(content, options, message):
    with pytest.raises(EngineError) as caught:
        open_engine(content, engine="onnxruntime", **options)
    assert str(caught.value).startswith(message)


def test_other_files_are_errors_of_one_line(tmp_path):
    missing = tmp_path / "missing.onnx"
    for model, message in (
        (b"nonsense", "ONNX Runtime cannot open it"),
        (missing, r"missing\.onnx cannot be read \(No "),
    ):
        with pytest.raises(EngineError, match=message) as caught:
            OnnxRuntimeEngine(model)
        assert "\n" not in str(caught.value)


def test_an_engine_works_after_its_file_is_deleted(content, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    engine = OnnxRuntimeEngine(file)
    file.unlink()
    assert engine.run_images(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 5)
