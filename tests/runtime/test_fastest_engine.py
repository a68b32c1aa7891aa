"""The native engine is selected where it was measured to be the fastest."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import levit
from levit.checkpoints.cache import CACHE_VARIABLE
from levit.deployment.build import build_artifact
from levit.errors import LevitWarning
from levit.runtime import fastest_engine
from levit.runtime.engine import open_engine
from levit.runtime.fastest_engine import NATIVE_IS_FASTER, native_is_fastest, open_native_if_fastest
from levit.runtime.model_info import default_execution, describe
from levit.runtime.model_resolution import find_artifact
from levit.runtime.native_library import INSTRUCTIONS_VARIABLE, SWITCH_VARIABLE, instruction_sets
from levit.runtime.native_precision import float_precision
from levit.runtime.opened_model import ModelOptions, OpenedModel
from levit.spec.variants import ALL_VARIANTS
from tests.conftest import random_checkpoint
from tests.marks import needs_permissions
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import SMALL

pytestmark = pytest.mark.usefixtures("native_library")


def test_the_precision_in_floating_point_depends_on_the_instructions():
    assert float_precision("auto", "amx") == float_precision("bf16", "amx") == float_precision("auto", "i8mm") == "bf16"
    assert float_precision("auto", "dotprod") == float_precision("auto", "avx512") == "fp32"
    assert float_precision("fp32", "amx") == "fp32"


@pytest.mark.parametrize("instruction_set", ["amx", "avx512", "avxvnni", "avx2", "portable"])
def test_the_rules_say_which_engine_opens_a_file(instruction_set, monkeypatch, tmp_path):
    if instruction_set not in instruction_sets():
        pytest.skip(f"this processor has no {instruction_set}")
    monkeypatch.setenv(INSTRUCTIONS_VARIABLE, instruction_set)
    artifact = describe(None)[0]
    expected = "native" if (instruction_set, artifact.precision) in NATIVE_IS_FASTER else "openvino"
    assert native_is_fastest(artifact)[0] == (expected == "native")
    assert default_execution(artifact)[0] == expected
    with levit.Classifier() as classify:
        assert classify.engine.name == expected
        assert default_execution(artifact)[:2] == (classify.engine.name, classify.engine.precision)


def test_the_rules_are_limited_to_measured_sizes(monkeypatch):
    if "avx512" not in instruction_sets():
        pytest.skip("this processor has no avx512")
    monkeypatch.setenv(INSTRUCTIONS_VARIABLE, "avx512")
    quantized = replace(describe(None)[0], precision="int8")
    for name, expected in (("levit-128s", True), ("levit-384", True), ("levit-512", False)):
        architecture = ALL_VARIANTS[name].architecture(num_labels=len(quantized.labels))
        assert native_is_fastest(replace(quantized, architecture=architecture))[0] == expected


def test_without_a_cache_folder_the_reason_names_it(native_for_all, tmp_path, monkeypatch):
    file = small_file(tmp_path / "small.onnx")
    monkeypatch.setenv(CACHE_VARIABLE, "")
    engine, _, reason = default_execution(describe(file)[0], file)
    assert (engine, levit.Classifier(file).engine.name) == ("openvino", "openvino")
    assert reason.endswith("the native engine is not used: it needs a cache folder, see LEVIT_CACHE")


def test_a_file_is_not_packed_where_it_cannot_be_kept(native_for_all, tmp_path, monkeypatch):
    file = small_file(tmp_path / "small.onnx")
    native_for_all.parent.mkdir(parents=True)
    native_for_all.touch()  # in the way of the folder
    monkeypatch.setattr("levit.runtime.native_packing.pack", lambda *_, **__: pytest.fail("it was packed"))
    engine, _, reason = default_execution(describe(file)[0], file)
    assert (engine, levit.Classifier(file).engine.name) == ("openvino", "openvino")
    assert reason.endswith("it is not in the cache, which cannot be written, see LEVIT_CACHE")


@needs_permissions
def test_a_packed_file_in_a_cache_that_cannot_be_written_is_used(native_for_all, tmp_path):
    file, other = small_file(tmp_path / "small.onnx"), small_file(tmp_path / "other.onnx", "LogSoftmax")
    assert levit.Classifier(file).engine.name == "native"
    native_for_all.chmod(0o500)
    for path, expected in ((file, "native"), (other, "openvino")):
        assert levit.Classifier(path).engine.name == expected
        assert default_execution(describe(path)[0], path)[0] == expected


def test_networks_with_attention_masks_are_left_to_other_engines(native_for_all, tmp_path):
    checkpoint = random_checkpoint(replace(SMALL, has_attention_masks=True))
    file = tmp_path / "masked.onnx"
    onnx.save(build_artifact(checkpoint), file)
    artifact = describe(file)[0]
    assert native_is_fastest(artifact) == (False, "the native engine does not support attention with masks")
    assert levit.Classifier(file).engine.name == default_execution(artifact, file)[0] == "openvino"
    assert not native_for_all.exists()  # it was not even packed


def test_without_a_cache_or_a_library_another_engine_opens_it(monkeypatch):
    artifact, model = describe(None)[0], find_artifact(None)
    assert open_engine(model, engine="auto").name == "openvino"
    monkeypatch.setenv(SWITCH_VARIABLE, "0")
    assert native_is_fastest(artifact) == (False, "engine native is not installed (disabled by LEVIT_NATIVE=0)")
    assert default_execution(artifact)[0] == "openvino"
    assert "disabled by LEVIT_NATIVE=0" in default_execution(artifact)[2]
    assert levit.Classifier().engine.name == "openvino"


def test_other_files_are_left_to_other_engines(tmp_path):
    assert open_native_if_fastest(b"nonsense", precision="auto", threads=1, cache_dir=tmp_path) is None
    missing = tmp_path / "missing.onnx"
    assert open_native_if_fastest(missing, precision="auto", threads=1, cache_dir=tmp_path) is None


def test_a_model_of_another_engine_is_not_packed(monkeypatch, tmp_path):
    monkeypatch.setenv(INSTRUCTIONS_VARIABLE, "portable")
    assert open_native_if_fastest(find_artifact(None), precision="auto", threads=1, cache_dir=tmp_path) is None
    monkeypatch.delenv(INSTRUCTIONS_VARIABLE)
    monkeypatch.setattr(fastest_engine, "NATIVE_IS_FASTER", {(instruction_sets()[0], "int8"): 1.0})  # of none this size
    assert open_native_if_fastest(find_artifact(None), precision="auto", threads=1, cache_dir=tmp_path) is None
    assert not list(tmp_path.iterdir())


def small_file(file: Path, operation: str = "Softmax") -> Path:
    """Write a small model, with another operation than the softmax in an attention."""
    model = build_artifact(random_checkpoint(SMALL))
    (node,) = [node for node in model.graph.node if node.name == "stage1.block1.attention.softmax"]
    node.op_type = operation
    onnx.save(model, file)
    return file


@pytest.fixture
def native_for_all(monkeypatch, tmp_path) -> Path:
    """Cache folder of a process in which the native engine is the fastest for every size in fp32."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(INSTRUCTIONS_VARIABLE, "portable")
    monkeypatch.setattr(fastest_engine, "NATIVE_IS_FASTER", {("portable", "fp32"): 1e12})
    return tmp_path / "cache" / "compiled" / "native"


def test_a_file_with_wrong_logits_is_left_to_another_engine_with_a_warning(native_for_all, tmp_path):
    file = small_file(tmp_path / "wrong.onnx", "LogSoftmax")
    assert default_execution(describe(file)[0], file)[0] == "native"  # it was not tried yet
    for _ in range(2):
        with pytest.warns(LevitWarning, match=r"wrong\.onnx: the native engine is not used: its logits of a random"):
            assert levit.Classifier(file).engine.name == "openvino"
    assert [kept.suffix for kept in native_for_all.iterdir()] == [".json"]
    engine, _, reason = default_execution(describe(file)[0], file)
    assert (engine, "the native engine is not used: its logits of a random image" in reason) == ("openvino", True)
    assert default_execution(describe(file)[0])[0] == "native"  # of a checkpoint it is not known


def test_a_file_with_weights_in_other_files_is_left_to_another_engine(native_for_all, tmp_path):
    file = small_file(tmp_path / "small.onnx")
    assert levit.Classifier(file).engine.name == default_execution(describe(file)[0], file)[0] == "native"
    onnx.save_model(onnx.load(file), tmp_path / "large.onnx", save_as_external_data=True, location="weights")
    large = tmp_path / "large.onnx"
    assert levit.Classifier(large).engine.name == "openvino"
    engine, _, reason = default_execution(describe(large)[0], large)
    assert (engine, "the weights are in other files" in reason) == ("openvino", True)
    assert levit.Classifier(large, engine="native").engine.name == "native"
    assert len(list(native_for_all.iterdir())) == 1  # that of the other file


def test_a_model_in_the_format_of_openvino_is_computed_by_openvino(native_for_all, tmp_path):
    artifact = describe(small_file(tmp_path / "small.onnx"))[0]
    engine, _, reason = default_execution(artifact, tmp_path / "small.xml")
    assert (engine, "the file is in OpenVINO's format" in reason) == ("openvino", True)


def test_features_for_an_engine_without_them_are_computed_by_the_fastest(native_for_all, tmp_path):
    file = small_file(tmp_path / "small.onnx")
    engine, artifact = FakeEngine(describe(file)[0], lambda batch: batch), describe(file)[0]
    opened = OpenedModel(ModelOptions(file, engine="torch"), engine, artifact, owns_engine=True)
    with closing(opened):
        assert opened.features.engine.name == "native"


def test_both_engines_predict_the_same_class(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    first = levit.Classifier()(image).top(1)[0].name
    monkeypatch.setenv(SWITCH_VARIABLE, "0")
    assert levit.Classifier()(image).top(1)[0].name == first
