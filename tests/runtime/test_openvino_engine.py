import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import openvino
import pytest

from levit.checkpoints.reading import read_checkpoint
from levit.deployment.build import build_artifact
from levit.deployment.reference import run_reference
from levit.errors import EngineError
from levit.images.transform import normalize
from levit.runtime.openvino_engine import OpenVinoEngine
from levit.spec.artifact import Artifact
from tests.conftest import GOLDEN, random_checkpoint, relative
from tests.runtime.small_model import SMALL

TINY = GOLDEN / "tiny"
NOISE = np.random.default_rng(0).standard_normal((6, 3, 32, 32), np.float32)


@pytest.fixture(scope="module")
def content() -> bytes:
    return build_artifact(random_checkpoint(SMALL)).SerializeToString()


def expected(batch: np.ndarray) -> np.ndarray:
    return run_reference(random_checkpoint(SMALL).weights, SMALL, batch)["logits"]


def test_single_precision_equals_the_reference_on_the_golden_network():
    checkpoint = read_checkpoint(TINY / "transformers")
    pixel_values = np.load(TINY / "input.npy")
    engine = OpenVinoEngine(build_artifact(checkpoint).SerializeToString(), precision="fp32")
    logits = engine.run(pixel_values)
    assert logits.dtype == np.float32
    assert relative(logits, run_reference(checkpoint.weights, checkpoint.architecture, pixel_values)["logits"]) < 1e-4


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.1), ("auto", 0.1)])
def test_every_precision_gives_the_reference_within_its_own(content, precision, tolerance):
    engine = OpenVinoEngine(content, precision=precision)
    assert relative(engine.run(NOISE), expected(NOISE)) < tolerance


def test_a_precision_is_what_it_says(content):
    assert OpenVinoEngine(content, precision="fp32").precision == "fp32"
    capable = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert OpenVinoEngine(content).precision == ("bf16" if capable else "fp32")
    rounded = OpenVinoEngine(content, precision="bf16").run(NOISE)
    assert not capable or not np.array_equal(rounded, OpenVinoEngine(content, precision="fp32").run(NOISE))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_change_the_answer(content, threads):
    engine = OpenVinoEngine(content, precision="fp32", threads=threads)
    assert relative(engine.run(NOISE), expected(NOISE)) < 1e-5


def test_the_size_of_the_batch_does_not_change_the_answer(content):
    engine = OpenVinoEngine(content, precision="fp32")
    together = engine.run(NOISE)
    alone = np.concatenate([engine.run(NOISE[index : index + 1]) for index in range(len(NOISE))])
    assert relative(alone, together) < 1e-5


def test_a_model_is_opened_from_a_file_as_from_its_content(content, tmp_path):
    file = tmp_path / "größe.onnx"
    file.write_bytes(content)
    from_file, from_content = (OpenVinoEngine(model, precision="fp32") for model in (file, content))
    assert from_file.metadata == from_content.metadata
    np.testing.assert_array_equal(from_file.run(NOISE), from_content.run(NOISE))


def test_the_compiled_model_is_kept_and_gives_the_same_answer(content, tmp_path):
    first = OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path)
    answer = first.run(NOISE)
    (kept,) = tmp_path.iterdir()
    second = OpenVinoEngine(content, precision="fp32", cache_dir=tmp_path)
    assert second.metadata == first.metadata
    np.testing.assert_array_equal(second.run(NOISE), answer)
    assert list(tmp_path.iterdir()) == [kept]


def test_the_metadata_comes_through_whole(content):
    artifact = Artifact.from_metadata(OpenVinoEngine(content).metadata)
    assert artifact.architecture == SMALL
    assert artifact.labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4")


@pytest.mark.parametrize("shape", [(1, 3, 33, 32), (1, 1, 32, 32), (3, 32, 32)])
def test_a_batch_of_another_shape_is_refused_in_one_line(content, shape):
    with pytest.raises(EngineError) as caught:
        OpenVinoEngine(content).run(np.zeros(shape, np.float32))
    assert str(caught.value).startswith(f"OpenVINO cannot run a batch of shape {list(shape)}: ")
    assert "\n" not in str(caught.value)


def test_an_array_of_another_layout_gives_the_same_answer(content):
    engine = OpenVinoEngine(content, precision="fp32")
    np.testing.assert_array_equal(engine.run(np.asfortranarray(NOISE)), engine.run(NOISE))


def test_many_threads_get_the_answers_that_one_gets(content):
    engine = OpenVinoEngine(content, precision="fp32")
    batches = np.random.default_rng(1).standard_normal((60, 2, 3, 32, 32), np.float32)
    serial = [engine.run(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        concurrent = list(pool.map(engine.run, batches))
    assert relative(np.stack(concurrent), np.stack(serial)) < 1e-5


def test_an_answer_stays_what_it_is_when_the_next_one_is_computed(content):
    engine = OpenVinoEngine(content, precision="fp32")
    first = engine.run(NOISE)
    copy = first.copy()
    engine.run(-NOISE)
    np.testing.assert_array_equal(first, copy)


def test_a_damaged_model_is_refused_by_its_name_in_one_line(content, tmp_path):
    file = tmp_path / "half.onnx"
    file.write_bytes(content[: len(content) // 2])
    for model, name in ((file, str(file)), (content[: len(content) // 2], "the model")):
        with pytest.raises(EngineError) as caught:
            OpenVinoEngine(model)
        assert str(caught.value).startswith(f"{name}: OpenVINO cannot open it (")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("start", [b"", b"\0" * 100, b"text, not a network"])
def test_what_is_no_onnx_file_is_refused_before_openvino_complains(tmp_path, capfd, start):
    file = tmp_path / "no.onnx"
    file.write_bytes(start)
    with pytest.raises(EngineError, match=r"no\.onnx: not an ONNX file$"):
        OpenVinoEngine(file)
    assert capfd.readouterr() == ("", "")


IMAGES = np.random.default_rng(2).integers(0, 256, (5, 32, 32, 3), np.uint8)


def test_images_are_normalized_inside_as_they_are_outside(content):
    engine = OpenVinoEngine(content, precision="fp32")
    preprocessing = Artifact.from_metadata(engine.metadata).preprocessing
    outside = engine.run(normalize(IMAGES, preprocessing))
    assert relative(engine.run_images(IMAGES), outside) < 1e-5
    batches = [engine.submit(IMAGES[start : start + 2], 2) for start in (0, 2, 4)]
    assert relative(np.concatenate([batch.result() for batch in batches]), outside) < 1e-5


@pytest.mark.parametrize(
    "changes", [{"mean": None, "std": None}, {"rescale": None}, {"rescale": 0.5, "mean": (1, 2, 3)}]
)
def test_every_kind_of_normalization_is_computed(changes):
    checkpoint = random_checkpoint(SMALL)
    checkpoint = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, **changes))
    engine = OpenVinoEngine(build_artifact(checkpoint).SerializeToString(), precision="fp32")
    outside = engine.run(normalize(IMAGES, checkpoint.preprocessing))
    assert relative(engine.run_images(IMAGES), outside) < 1e-4


def test_many_batches_at_once_are_not_confused(content):
    engine = OpenVinoEngine(content, precision="fp32")
    images = np.random.default_rng(3).integers(0, 256, (90, 32, 32, 3), np.uint8)
    alone = engine.run_images(images)
    with ThreadPoolExecutor(6) as pool:
        futures = list(pool.map(lambda start: engine.submit(images[start : start + 3], 3), range(0, 90, 3)))
    together = np.concatenate([future.result() for future in futures])
    assert relative(together, alone) < 1e-5


def test_it_says_what_it_chose_and_why(content):
    capable = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert OpenVinoEngine(content, precision="fp32").reason == ("fp32, as asked for")
    if capable:
        assert OpenVinoEngine(content).reason == "bf16, which this processor computes natively"


@pytest.mark.parametrize("shape", [(1, 33, 32, 3), (1, 32, 32, 4)])
def test_images_of_another_shape_are_refused_in_one_line(content, shape):
    engine = OpenVinoEngine(content)
    for compute in (engine.run_images, lambda images: engine.submit(images, 1).result()):
        with pytest.raises(EngineError) as caught:
            compute(np.zeros(shape, np.uint8))
        assert str(caught.value).startswith(f"OpenVINO cannot run a batch of shape {list(shape)}: ")


def test_a_process_ends_well_while_batches_are_computed():
    program = """
import numpy, levit
engine = levit.Classifier().engine
for _ in range(8):
    engine.submit(numpy.zeros((16, 64, 64, 3), numpy.uint8), 16)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_batch_that_is_refused_costs_nothing(content):
    engine = OpenVinoEngine(content)
    good, answers = np.zeros((2, 32, 32, 3), np.uint8), []
    for wrong in [np.zeros((3, 32, 32, 3), np.uint8), np.zeros((2, 32, 32, 3), np.float32)] * 4:
        with pytest.raises(EngineError, match="OpenVINO cannot run a batch of shape"):
            engine.submit(wrong, 2)
        answers.append(engine.submit(good, 2).result(timeout=30))
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


def test_a_batch_that_is_computed_cannot_be_taken_back(content):
    engine = OpenVinoEngine(content)
    futures = [engine.submit(np.zeros((2, 32, 32, 3), np.uint8), 2) for _ in range(4)]
    assert not any(future.cancel() for future in futures)
    assert [future.result(timeout=30).shape for future in futures] == [(2, 5)] * 4


def test_no_images_give_no_logits(content):
    engine = OpenVinoEngine(content)
    nothing = np.zeros((0, 32, 32, 3), np.uint8)
    assert engine.run_images(nothing).shape == engine.submit(nothing, 2).result(timeout=30).shape == (0, 5)
