"""The OpenVINO engine: precisions, files, cache, and the end of the process."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest

from levit.checkpoints.reading import read_checkpoint
from levit.deployment.build import build_artifact
from levit.deployment.reference import run_reference
from levit.errors import EngineError
from levit.images.transform import normalize
from levit.runtime import openvino_engine
from levit.runtime.openvino_core import openvino_core
from levit.runtime.openvino_engine import OpenVinoEngine
from tests.conftest import GOLDEN, random_checkpoint, relative
from tests.runtime.small_model import SMALL

TINY = GOLDEN / "tiny"
NOISE = np.random.default_rng(0).standard_normal((6, 3, 32, 32), np.float32)
IMAGES = np.random.default_rng(2).integers(0, 256, (5, 32, 32, 3), np.uint8)


def expected(batch: np.ndarray) -> np.ndarray:
    return run_reference(random_checkpoint(SMALL).weights, SMALL, batch)["logits"]


def test_single_precision_equals_the_reference_on_the_golden_network():
    checkpoint = read_checkpoint(TINY / "transformers")
    pixel_values = np.load(TINY / "input.npy")
    engine = OpenVinoEngine(build_artifact(checkpoint).SerializeToString(), precision="fp32")
    reference = run_reference(checkpoint.weights, checkpoint.architecture, pixel_values)["logits"]
    assert relative(engine.run(pixel_values), reference) < 1e-4


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.1), ("auto", 0.1)])
def test_every_precision_equals_the_reference_within_its_rounding(content, precision, tolerance):
    engine = OpenVinoEngine(content, precision=precision)
    assert relative(engine.run(NOISE), expected(NOISE)) < tolerance


def test_the_arithmetic_has_the_stated_precision(content):
    single = OpenVinoEngine(content, precision="fp32")
    assert (single.precision, single.reason) == ("fp32", "fp32, as requested")
    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    default = OpenVinoEngine(content)
    assert default.precision == ("bf16" if has_bf16 else "fp32")
    assert not has_bf16 or default.reason == "bf16, which this processor computes natively"
    rounded = OpenVinoEngine(content, precision="bf16").run(NOISE)
    assert not has_bf16 or not np.array_equal(rounded, single.run(NOISE))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_change_the_logits(content, threads):
    engine = OpenVinoEngine(content, precision="fp32", threads=threads)
    assert relative(engine.run(NOISE), expected(NOISE)) < 1e-5


def test_a_model_opens_from_a_file_as_from_its_content(content, tmp_path):
    file = tmp_path / "größe.onnx"
    file.write_bytes(content)
    from_file, from_content = (OpenVinoEngine(model, precision="fp32") for model in (file, content))
    assert from_file.metadata == from_content.metadata
    np.testing.assert_array_equal(from_file.run(NOISE), from_content.run(NOISE))


def test_the_compiled_model_is_cached_and_gives_the_same_logits(content, tmp_path):
    first = OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path)
    logits = first.run(NOISE)
    assert sorted(file.suffix for file in tmp_path.rglob("*") if file.is_file()) == [".blob", ".json"]
    second = OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path)
    assert second.metadata == first.metadata
    np.testing.assert_array_equal(second.run(NOISE), logits)
    was_cached = [engine._compiled[None].get_property("LOADED_FROM_CACHE") for engine in (first, second)]
    assert was_cached == [False, True]


def change_bits(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for position in range(len(content) // 2, len(content), len(content) // 50):
        content[position] ^= 0x40
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


@pytest.mark.parametrize("damage", [change_bits, truncate, lambda file: file.write_bytes(b"")])
def test_a_damaged_compiled_model_is_replaced(content, tmp_path, damage):
    logits = OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path).run(NOISE)
    (cached,) = tmp_path.rglob("*.blob")
    damage(cached)
    damaged = cached.read_bytes()
    np.testing.assert_array_equal(OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path).run(NOISE), logits)
    assert cached.read_bytes() != damaged


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"other.blob": 1}'])
def test_a_compiled_model_without_a_hash_is_replaced(content, tmp_path, text):
    logits = OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path).run(NOISE)
    (hashes,) = tmp_path.rglob("*.json")
    (cached,) = tmp_path.rglob("*.blob")
    change_bits(cached)
    hashes.unlink() if text is None else hashes.write_text(text)
    np.testing.assert_array_equal(OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path).run(NOISE), logits)
    assert cached.name in hashes.read_text()


def test_the_use_of_a_compiled_model_is_marked_because_the_cache_deletes_its_oldest_files(content, tmp_path):
    OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path).run(NOISE)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    for file in files:
        os.utime(file, (0, 0))
    OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path).run(NOISE)
    assert sorted(file.suffix for file in files if file.stat().st_mtime > 0) == [".blob", ".json"]


def test_networks_are_compiled_without_a_cache_that_cannot_be_written(content, tmp_path):
    (tmp_path / "file").touch()
    engine = OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path / "file")
    assert relative(engine.run(NOISE), expected(NOISE)) < 1e-5


def test_a_damaged_model_is_an_error_of_one_line_that_names_it(content, tmp_path):
    file = tmp_path / "half.onnx"
    file.write_bytes(content[: len(content) // 2])
    for model, name in ((file, str(file)), (content[: len(content) // 2], "the model")):
        with pytest.raises(EngineError) as caught:
            OpenVinoEngine(model)
        assert caught.value.source == name
        assert caught.value.reason.startswith("OpenVINO cannot open it (")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("start", [b"", b"\0" * 100, b"text, not a network"])
def test_another_file_is_an_error_without_output_of_openvino(tmp_path, capfd, start):
    file = tmp_path / "no.onnx"
    file.write_bytes(start)
    with pytest.raises(EngineError, match=r"no\.onnx: not an ONNX file$"):
        OpenVinoEngine(file)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "changes", [{"mean": None, "std": None}, {"rescale": None}, {"rescale": 0.5, "mean": (1, 2, 3)}]
)
def test_every_kind_of_normalization_is_computed(changes):
    checkpoint = random_checkpoint(SMALL)
    checkpoint = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, **changes))
    engine = OpenVinoEngine(build_artifact(checkpoint).SerializeToString(), precision="fp32")
    logits = engine.run(normalize(IMAGES, checkpoint.preprocessing))
    assert relative(engine.run_images(IMAGES), logits) < 1e-4


def test_a_process_ends_without_errors_while_batches_are_computed():
    program = """
import numpy, levit
classify = levit.Classifier()
for _ in range(8):
    size = classify.artifact.preprocessing.output_size
    classify.engine.submit(numpy.zeros((16, *size, 3), numpy.uint8), 16)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "batch",
    [np.zeros((3, 32, 32, 3), np.uint8), np.zeros((2, 32, 32, 3), np.float32)],
    ids=["more images than the batch size", "another dtype"],
)
def test_a_batch_that_does_not_fit_the_queue_is_an_error(content, batch):
    engine = OpenVinoEngine(content)
    with pytest.raises(EngineError, match=r"it takes .*, 32, 32, 3\] of uint8, and this is "):
        engine.submit(batch, 2)
    assert engine.submit(IMAGES[:2], 2).result(timeout=30).shape == (2, 5)


def test_a_cache_that_openvino_cannot_write_is_no_error(content, tmp_path, monkeypatch):
    class Core:
        """Core for which another process deletes each file that it writes to its cache."""

        def __getattr__(self, name: str):
            return getattr(openvino_core(), name)

        def compile_model(self, network, device, settings):
            if "CACHE_DIR" in settings:
                raise RuntimeError("filesystem error: cannot set permissions: No such file or directory")
            return openvino_core().compile_model(network, device, settings)

    monkeypatch.setattr("levit.runtime.openvino_engine.openvino_core", Core)
    assert OpenVinoEngine(content, cache_dir=tmp_path).run_images(IMAGES).shape == (len(IMAGES), 5)


def test_a_batch_that_is_computed_cannot_be_canceled(content):
    engine = OpenVinoEngine(content)
    futures = [engine.submit(np.zeros((2, 32, 32, 3), np.uint8), 2) for _ in range(4)]
    assert not any(future.cancel() for future in futures)
    assert [future.result(timeout=30).shape for future in futures] == [(2, 5)] * 4


class NoCompiler:
    """Core of OpenVINO that cannot compile a network."""

    def __getattr__(self, name: str) -> object:
        return getattr(openvino_core(), name)

    def compile_model(self, *_: object) -> None:
        raise RuntimeError("Exception from src/core.cpp:1:\nCheck 'false' failed\nno implementation of Gather\n")


def test_a_network_that_openvino_cannot_compile_is_an_error_of_one_line(content, monkeypatch):
    monkeypatch.setattr(openvino_engine, "openvino_core", NoCompiler)
    with pytest.raises(EngineError, match=r"OpenVINO cannot compile it \(no implementation of Gather\)$") as caught:
        OpenVinoEngine(content, precision="fp32").run(NOISE)
    assert "\n" not in str(caught.value)
