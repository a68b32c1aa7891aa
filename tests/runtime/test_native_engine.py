"""The native engine: conformance, quantized models, cache, fallback to OpenVINO, and its switch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import levit
from levit.deployment.build import build_artifact
from levit.deployment.reference import run_reference
from levit.errors import ConfigError, EngineError, LevitWarning
from levit.images.transform import normalize, preprocess
from levit.runtime.engine import open_engine
from levit.runtime.model_info import describe, native_engine
from levit.runtime.model_resolution import find_artifact, open_model
from levit.runtime.native_check import evaluate
from levit.runtime.native_engine import NativeEngine
from levit.runtime.native_library import (
    BF16_INSTRUCTIONS,
    INSTRUCTIONS_VARIABLE,
    LIBRARY_VARIABLE,
    SWITCH_VARIABLE,
    chosen_instruction_set,
    instruction_sets,
)
from levit.runtime.native_network import NativeNetwork
from levit.runtime.native_packing import pack
from levit.runtime.native_precision import choose_native_precision
from levit.runtime.opened_model import ModelOptions
from levit.runtime.openvino_engine import OpenVinoEngine
from tests.conftest import EXAMPLES, random_checkpoint, relative
from tests.runtime.engine_checks import CHECKS, IMAGES, NOISE, CheckedEngine
from tests.runtime.native_library import native_module
from tests.runtime.odd_architectures import ODD
from tests.runtime.small_model import SMALL

pytestmark = pytest.mark.usefixtures("native_library")

WITHOUT_BF16 = "because this engine computes bf16 only with AMX and with Arm's i8mm"


@pytest.fixture(scope="module")
def checked(content, native_library) -> CheckedEngine:
    weights = random_checkpoint(SMALL).weights
    return CheckedEngine(
        open_engine(content, engine="native", precision="fp32"),
        lambda batch: run_reference(weights, SMALL, batch)["logits"].astype(np.float32),
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_engine_conforms(checked, check):
    check(checked)


def test_a_closed_engine_finishes_its_batches_and_refuses_others(content):
    with NativeEngine(content) as engine:
        futures = [engine.submit(IMAGES[:2], 2) for _ in range(2)]
    assert [future.result(timeout=60).shape for future in futures] == [(2, 5)] * 2
    calls = (engine.run, NOISE), (engine.run_images, IMAGES), (engine.submit, IMAGES, 5), (engine.run_bytes, [b""])
    for compute, *arguments in calls:
        with pytest.raises(EngineError, match="the engine is closed: open a new one"):
            compute(*arguments)


def test_the_embedded_model_in_int8_gives_nearly_the_logits_of_the_evaluator():
    photos = sorted(EXAMPLES.glob("*.jpg"))
    native = levit.Classifier(engine="native", precision="fp32", preprocessing="exact")
    assert (native.engine.name, native.engine.precision) == ("native", "int8")
    preprocessing, model = native.artifact.preprocessing, onnx.load(find_artifact(None))
    pixels = [preprocess(Image.open(photo).convert("RGB"), preprocessing) for photo in photos]
    expected = evaluate(model, normalize(np.stack(pixels), preprocessing))
    for prediction, row in zip(native.stream(photos), expected, strict=True):
        assert relative(prediction.logits, row) < 0.05  # int8, rounded in another order
        assert prediction.top(1)[0].index in np.argsort(row)[-2:]


def test_a_model_is_packed_and_checked_without_another_engine():
    """OpenVINO starts threads, so that a forked child process could use it no more."""
    program = """
import sys
from levit.runtime.model_resolution import find_artifact
from levit.runtime.native_engine import NativeEngine
NativeEngine(find_artifact(None))
print({"openvino", "onnxruntime"} & set(sys.modules))
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout == "set()\n"


def output_size() -> tuple[int, int]:
    """Height and width of the images of the embedded model."""
    size = describe(None)[0].preprocessing.output_size
    assert size is not None
    return size


@pytest.mark.parametrize("attention_16_bit", [False, True])
def test_every_instruction_set_gives_the_same_logits_in_int8(attention_16_bit):
    path = find_artifact(None)
    assert isinstance(path, Path)
    packed = pack(onnx.load(path), attention_16_bit=attention_16_bit)
    images = np.random.default_rng(0).integers(0, 256, (5, *output_size(), 3), np.uint8)
    logits = {}
    for name in instruction_sets():
        for threads in (1, 3):
            network = NativeNetwork(packed, threads=threads, instruction_set=name)
            logits[name, threads] = np.concatenate([network.run(images), network.run(images[:1])])
            network.close()
    for (name, _), actual in logits.items():
        np.testing.assert_array_equal(actual, logits[name, 1])
        # Sums of int8 are exact; sums of floats are added in another order, which may round a code differently.
        assert relative(actual, logits["portable", 1]) < 0.02


@pytest.mark.parametrize("attention_16_bit", [False, True])
@pytest.mark.parametrize("name", ODD)
def test_networks_of_other_forms_in_int8_give_nearly_the_logits_of_the_evaluator(name, attention_16_bit):
    architecture = ODD[name]
    shape = architecture.num_channels, *architecture.image_height_width
    batch = np.random.default_rng(0).standard_normal((5, *shape), np.float32)
    original = build_artifact(random_checkpoint(architecture))
    model = native_module("sanitize/int8_model.py").quantize_layers(original)
    expected = evaluate(model, batch)
    assert relative(expected, evaluate(original, batch)) > 0.001
    packed = pack(model, attention_16_bit=attention_16_bit)
    for instruction_set in instruction_sets():
        network = NativeNetwork(packed, threads=2, instruction_set=instruction_set)
        assert relative(network.run(batch), expected) < 0.05  # rounded in another order
        network.close()


@pytest.mark.parametrize("value", [1e12, np.inf, -np.inf, np.nan])
def test_values_beyond_the_codes_have_the_last_code_in_every_instruction_set(value):
    packed = pack(onnx.load(find_artifact(None)))
    images = np.random.default_rng(0).standard_normal((1, 3, *output_size()), np.float32)
    images[:, :, ::2] = value
    logits = {}
    for name in instruction_sets():
        network = NativeNetwork(packed, threads=1, instruction_set=name)
        logits[name] = network.run(images)
        network.close()
    for actual in logits.values():
        assert relative(actual, logits["portable"]) < 0.02


def test_bf16_is_computed_where_the_processor_multiplies_it(content):
    engine = NativeEngine(content)
    has_bf16 = chosen_instruction_set() in BF16_INSTRUCTIONS
    assert engine.precision == NativeEngine(content, precision="bf16").precision == ("bf16" if has_bf16 else "fp32")
    assert relative(engine.run(NOISE), NativeEngine(content, precision="fp32").run(NOISE)) < 0.03


def test_the_engine_computes_pooled_features():
    rows = {}
    images = np.random.default_rng(0).integers(0, 256, (2, *output_size(), 3), np.uint8)
    for engine in ("native", "openvino"):
        opened = ModelOptions(None, engine=engine).open()
        assert opened.features.engine.name == engine
        rows[engine] = opened.features.image_engine.run_images(images)
        opened.close()
    assert rows["native"].shape == (2, 384)
    assert relative(rows["native"], rows["openvino"]) < 0.05


@pytest.mark.parametrize(
    ("instruction_set", "precision", "reason"),
    [
        ("i8mm", "bf16", "bf16, which this processor computes natively; instructions: i8mm"),
        ("dotprod", "fp32", f"fp32, {WITHOUT_BF16}; instructions: dotprod"),
        ("avx512", "fp32", f"fp32, {WITHOUT_BF16}; instructions: avx512"),  # also where the processor has AVX512-BF16
    ],
)
def test_bf16_is_computed_with_amx_and_i8mm_only(instruction_set, precision, reason):
    choice = choose_native_precision("auto", quantized=False, instruction_set=instruction_set)
    assert choice == (precision, precision, reason)
    quantized = choose_native_precision("auto", quantized=True, instruction_set=instruction_set)
    assert quantized == ("int8", precision, f"the file is quantized; other layers are computed in {reason}")


def test_precision_applies_to_the_layers_of_a_quantized_model_in_floating_point():
    images = np.random.default_rng(0).integers(0, 256, (2, *output_size(), 3), np.uint8)
    engines = [open_model(ModelOptions(None, "native", precision)) for precision in ("auto", "fp32")]
    assert [engine.precision for engine in engines] == ["int8", "int8"]
    assert "other layers are computed in fp32, as requested" in engines[1].reason
    assert relative(*(engine.run_images(images) for engine in engines)) < 0.05


def test_the_metadata_are_those_that_openvino_reads(content):
    assert NativeEngine(content, threads=1).metadata == OpenVinoEngine(content).metadata


def test_packed_models_are_cached_and_a_damaged_one_is_replaced(content, tmp_path):
    expected = NativeEngine(content, cache_dir=tmp_path).run(NOISE)
    (cached,) = (tmp_path / "native").iterdir()
    NativeEngine(content, cache_dir=tmp_path)
    assert [file.name for file in (tmp_path / "native").iterdir()] == [cached.name]
    damaged = bytearray(cached.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    cached.write_bytes(damaged)
    np.testing.assert_array_equal(NativeEngine(content, cache_dir=tmp_path).run(NOISE), expected)
    assert cached.read_bytes() != damaged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "the model: not quantized: export it in int8 with `levit export`"),
        ({"provider": "cpu"}, "provider is an option of onnxruntime, not of native"),
    ],
)
def test_missing_precisions_and_providers_are_errors(content, options, message):
    with pytest.raises((ConfigError, EngineError)) as caught:
        open_engine(content, engine="native", **options)
    assert str(caught.value).startswith(message)


def test_a_missing_precision_is_an_error_before_anything_is_packed(content, monkeypatch):
    monkeypatch.setattr("levit.runtime.native_engine.open_packed", lambda *_: pytest.fail("it was packed"))
    with pytest.raises(EngineError, match="not quantized"):
        NativeEngine(content, precision="int8")


def test_other_files_are_errors_of_one_line(tmp_path):
    for model in (b"nonsense", tmp_path / "missing.onnx"):
        with pytest.raises(EngineError, match=r"not an ONNX file|cannot be read") as caught:
            NativeEngine(model)
        assert "\n" not in str(caught.value)


def test_a_network_of_another_form_is_computed_by_openvino(content):
    model = onnx.load_from_string(content)
    (node,) = [node for node in model.graph.node if node.name == "stage1.block1.mlp.up"]
    node.name = "renamed"
    with pytest.warns(LevitWarning, match="OpenVINO is used instead"):
        engine = open_engine(model.SerializeToString(), engine="native")
    assert engine.name == "openvino"
    assert engine.reason.startswith("the native engine cannot compute this model: the layer stage1.block1.mlp.up has")


def test_a_network_with_other_arithmetic_is_found_by_its_logits(content):
    model = onnx.load_from_string(content)
    (node,) = [node for node in model.graph.node if node.name == "stage1.block1.attention.softmax"]
    node.op_type = "LogSoftmax"
    with pytest.warns(LevitWarning, match="OpenVINO is used instead"):
        engine = open_engine(model.SerializeToString(), engine="native")
    assert engine.name == "openvino"
    assert "its logits of a random image differ from those of onnx" in engine.reason


def test_the_environment_disables_the_engine_or_names_its_library(content, monkeypatch, tmp_path):
    monkeypatch.setenv(SWITCH_VARIABLE, "0")
    with pytest.raises(EngineError, match=r"engine native is not installed \(disabled by LEVIT_NATIVE=0\)"):
        open_engine(content, engine="native")
    monkeypatch.delenv(SWITCH_VARIABLE)
    monkeypatch.setenv(LIBRARY_VARIABLE, str(tmp_path / "missing.so"))
    with pytest.raises(EngineError, match=r"LEVIT_NATIVE_LIBRARY names .*missing\.so, which is not a file"):
        open_engine(content, engine="native")
    (tmp_path / "other.so").write_bytes(b"not a library")
    monkeypatch.setenv(LIBRARY_VARIABLE, str(tmp_path / "other.so"))
    with pytest.raises(EngineError, match="cannot be loaded"):
        open_engine(content, engine="native")


def test_the_instruction_set_is_described_and_can_be_chosen(content, monkeypatch):
    assert native_engine().startswith(instruction_sets()[0])
    monkeypatch.setenv(INSTRUCTIONS_VARIABLE, "portable")
    assert NativeEngine(content).reason.endswith("instructions: portable")
    monkeypatch.setenv(SWITCH_VARIABLE, "0")
    assert native_engine() == "engine native is not installed (disabled by LEVIT_NATIVE=0)"


def test_the_command_line_predicts_with_the_engine():
    command = [sys.executable, "-m", "levit", "predict", "--engine", "native", str(EXAMPLES / "espresso.jpg")]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "espresso" in process.stdout
