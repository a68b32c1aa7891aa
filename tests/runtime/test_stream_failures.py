"""Failures at every point of a stream: decoding, submitting, computing, the consumer, logits that are not finite."""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from levit.deployment.build import build_artifact
from levit.errors import EngineError, ImageError
from levit.runtime.classifier import Classifier
from levit.runtime.engine import ENGINES, open_engine
from levit.runtime.openvino_queue import BatchQueue
from tests.conftest import random_checkpoint
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import SMALL, color_artifact, color_classifier, uniform_image

RED = uniform_image(255, 0, 0)
TIMEOUT = 60  # seconds; a stream that hangs fails the test


class InjectingEngine(FakeEngine):
    """Engine for images that raises errors where a test asks for them.

    Args:
        submit_error: error of the second call of `submit`.
        compute_error: error of the future of the second batch.
    """

    def __init__(self, *, submit_error: Exception | None = None, compute_error: Exception | None = None) -> None:
        super().__init__(color_artifact(), lambda batch: batch.mean((2, 3)))
        self._submit_error, self._compute_error = submit_error, compute_error
        self._count = 0

    def run_images(self, images: np.ndarray) -> np.ndarray:
        return self.run(images.transpose(0, 3, 1, 2).astype(np.float32))

    def submit(self, images: np.ndarray, batch_size: int) -> Future:
        self._count += 1
        if self._submit_error is not None and self._count == 2:
            raise self._submit_error
        future: Future = Future()
        if self._compute_error is not None and self._count == 2:
            future.set_exception(self._compute_error)
        else:
            future.set_result(self.run_images(images))
        return future


def in_time(function, *args):
    """Result of a function; an error if it takes too long."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result(timeout=TIMEOUT)


def no_stream_thread_is_left() -> bool:
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("levit-decode")]
    for thread in threads:
        thread.join(timeout=TIMEOUT)
    return not any(thread.is_alive() for thread in threads)


class FailingPath(os.PathLike):
    """Path whose decoding raises an error that is no error of the image."""

    def __fspath__(self) -> str:
        if threading.current_thread().name.startswith("levit-decode"):
            raise MemoryError("no memory for the pixels")
        return "photo.jpg"


def test_an_unexpected_error_of_decoding_ends_the_stream():
    images = [RED] * 5 + [FailingPath()] + [RED] * 5
    with pytest.raises(MemoryError, match="no memory for the pixels"):
        in_time(list, color_classifier().stream(images, batch_size=2))
    assert no_stream_thread_is_left()


@pytest.mark.parametrize("count", [0, 1, 3, 4, 20])
def test_an_exception_of_the_images_ends_the_stream_after_the_predictions_before_it(count):
    def images():
        yield from [RED] * count
        raise OSError("the camera is gone")

    predictions = []

    def consume() -> None:
        predictions.extend(color_classifier().stream(images(), batch_size=2))

    with pytest.raises(OSError, match="the camera is gone"):
        in_time(consume)
    assert [prediction.error for prediction in predictions] == [None] * count
    assert no_stream_thread_is_left()


def test_an_error_of_submitting_ends_the_stream():
    classifier = Classifier(InjectingEngine(submit_error=EngineError("the queue is full")))
    with pytest.raises(EngineError, match="the queue is full"):
        in_time(list, classifier.stream([RED] * 20, batch_size=2))
    assert no_stream_thread_is_left()


def test_an_error_of_computing_ends_the_stream_after_the_batches_before_it():
    classifier = Classifier(InjectingEngine(compute_error=EngineError("out of memory")))
    stream, predictions = classifier.stream([RED] * 20, batch_size=2), []

    def consume() -> None:
        predictions.extend(stream)

    with pytest.raises(EngineError, match="out of memory"):
        in_time(consume)
    assert len(predictions) == 2
    assert no_stream_thread_is_left()


def test_an_error_of_the_consumer_ends_the_threads():
    def consume() -> None:
        for _ in color_classifier().stream([RED] * 20, batch_size=2):
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        in_time(consume)
    assert no_stream_thread_is_left()


class FakeRequest:
    """Infer request of OpenVINO that fails at a method; its logits are the first pixel of each image."""

    def __init__(self, failing: str) -> None:
        self.failing = failing

    def start_async(self, inputs, *, share_inputs) -> None:
        self._fail("start_async")
        self._images = inputs[0]

    def wait(self) -> None:
        self._fail("wait")

    def get_output_tensor(self, index):
        self._fail("get_output_tensor")
        self.data = self._images[:, 0, 0, :].astype(np.float32)
        return self

    def _fail(self, method: str) -> None:
        if self.failing == method:
            raise RuntimeError(f"Exception from src/cpp:\nCheck failed in {method}")


@pytest.mark.parametrize("method", ["start_async", "wait", "get_output_tensor"])
def test_a_request_that_fails_fails_its_future_and_serves_the_next_batch(method):
    request = FakeRequest(method)
    queue = BatchQueue([request], (2, 4, 4, 3))
    images = np.full((2, 4, 4, 3), 7, np.uint8)
    for _ in range(5):  # a request that did not return to the queue would block the second batch
        with pytest.raises(EngineError, match=rf"batch of shape \[2, 4, 4, 3\]: Check failed in {method}$"):
            in_time(queue.submit, images).result(timeout=TIMEOUT)
    request.failing = ""
    np.testing.assert_array_equal(in_time(queue.submit, images[:1]).result(timeout=TIMEOUT), [[7, 7, 7]])
    queue.close()


def test_every_future_of_many_threads_gets_logits_or_an_error():
    requests = [FakeRequest("wait"), FakeRequest(""), FakeRequest("start_async")]
    queue = BatchQueue(requests, (1, 4, 4, 3))
    images = np.zeros((1, 4, 4, 3), np.uint8)
    with ThreadPoolExecutor(24) as pool:
        futures = list(pool.map(lambda _: queue.submit(images), range(600), timeout=TIMEOUT))
    errors = [future.exception(timeout=TIMEOUT) for future in futures]
    assert len(errors) == 600
    assert {type(error) for error in errors} == {EngineError, type(None)}
    queue.close()


def nan_for_dark_images(batch: np.ndarray) -> np.ndarray:
    means = batch.mean((2, 3))
    return np.where(means.max(axis=1, keepdims=True) < 0.1, np.nan, means)


def test_a_logit_that_is_not_finite_is_an_error_of_its_image():
    classifier = Classifier(FakeEngine(color_artifact(), nan_for_dark_images))
    dark = uniform_image(0, 0, 0)
    for batch_size in (1, 2, 16):
        good, bad, missing, last = classifier.stream([RED, dark, "missing.jpg", RED], batch_size=batch_size)
        assert [good.error, last.error] == [None, None]
        assert str(bad.error) == "<ndarray 20x30x3>: the model gives a logit that is not finite"
        assert "no such file" in str(missing.error)
        assert bad.logits.size == 0
        assert bad.top(5) == []
    with pytest.raises(ImageError, match="the model gives a logit that is not finite"):
        classifier(dark)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_model_without_finite_logits_is_refused(value):
    def logits(batch: np.ndarray) -> np.ndarray:
        return np.full((len(batch), 3), value, np.float32)

    classifier = Classifier(FakeEngine(color_artifact(), logits))
    for predict in (lambda: classifier(RED), lambda: list(classifier.stream([RED] * 3))):
        with pytest.raises(
            EngineError, match=r"^colors: the model gives logits that are not finite, in fp32: its weights"
        ):
            predict()


@pytest.mark.parametrize("engine", [*ENGINES])
def test_a_file_without_finite_logits_is_refused_by_every_engine(engine):
    pytest.importorskip(ENGINES[engine].package)
    checkpoint = random_checkpoint(SMALL)
    weights = {
        name: np.full_like(array, 1e30) if array.ndim == 2 else array for name, array in checkpoint.weights.items()
    }
    checkpoint.weights.update(weights)
    content = build_artifact(checkpoint).SerializeToString()
    classifier = Classifier(open_engine(content, engine=engine, precision="fp32"))
    with pytest.raises(EngineError, match="the model gives logits that are not finite"):
        list(classifier.stream([RED] * 20, batch_size=4))
