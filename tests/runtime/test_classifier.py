"""Classifying single images, lists and streams."""

import gc
import io
import itertools
import os
import threading
import weakref
from concurrent.futures import Future

import numpy as np
import pytest
from PIL import Image

from levit.errors import ConfigError, EngineError, ImageError
from levit.runtime.classifier import Classifier
from levit.runtime.cpu_count import usable_cores
from tests.conftest import EXAMPLES, GOLDEN
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact, color_classifier, uniform_image

TINY = GOLDEN / "tiny"
PRIMARY = {"red": uniform_image(255, 0, 0), "green": uniform_image(0, 255, 0), "blue": uniform_image(0, 0, 255)}


def best(predictions) -> list[str | None]:
    return [None if prediction.error else prediction.top(1)[0].name for prediction in predictions]


def test_one_image_gives_one_prediction():
    prediction = color_classifier()(PRIMARY["green"])
    assert prediction.source == "<ndarray 20x30x3>"
    assert prediction.error is None
    np.testing.assert_array_equal(prediction.logits, [0, 1, 0])
    assert prediction.top(1)[0].name == "green"


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_gives_predictions_in_its_order(kind):
    images = [PRIMARY[color] for color in ("blue", "red", "blue", "green")]
    predictions = color_classifier()(kind(images))
    assert isinstance(predictions, list)
    assert best(predictions) == ["blue", "red", "blue", "green"]


def test_an_empty_list_gives_no_predictions():
    assert color_classifier()([]) == []


def test_a_single_bad_image_is_an_error():
    with pytest.raises(ImageError, match=r"^missing\.jpg: no such file$"):
        color_classifier()("missing.jpg")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_bad_images_are_reported_in_order_and_good_ones_classified(batch_size, tmp_path):
    (tmp_path / "half.jpg").write_bytes((EXAMPLES / "cat.jpg").read_bytes()[:9000])
    images = ["missing.jpg", PRIMARY["red"], tmp_path / "half.jpg", None, PRIMARY["blue"], b"", PRIMARY["green"]]
    predictions = list(color_classifier().stream(images, batch_size=batch_size))
    assert best(predictions) == [None, "red", None, None, "blue", None, "green"]
    assert [prediction.source for prediction in predictions[:4]] == [
        "missing.jpg",
        "<ndarray 20x30x3>",
        str(tmp_path / "half.jpg"),
        "<NoneType>",
    ]
    failed = predictions[0]
    assert isinstance(failed.error, ImageError)
    assert str(failed.error) == "missing.jpg: no such file"
    assert failed.top(5) == []
    assert failed.logits.size == failed.scores.size == 0


def test_bad_images_do_not_reach_the_engine():
    classifier = color_classifier()
    assert best(classifier.stream([b"", b"", b""], batch_size=2)) == [None] * 3
    assert classifier.engine.batches == []


def test_batches_have_the_batch_size_and_the_last_one_the_remaining_images():
    classifier = color_classifier()
    list(classifier.stream([PRIMARY["red"]] * 10, batch_size=4))
    assert [len(batch) for batch in classifier.engine.batches] == [4, 4, 2]
    assert classifier.engine.batches[0].shape == (4, 3, 16, 16)


def test_the_batch_size_does_not_change_the_logits():
    images = list(np.random.default_rng(0).integers(0, 256, (23, 19, 31, 3), np.uint8))
    one_by_one = [color_classifier()(image).logits for image in images]
    for batch_size in (1, 2, 5, 16, 100):
        predictions = color_classifier().stream(images, batch_size=batch_size)
        np.testing.assert_array_equal([prediction.logits for prediction in predictions], one_by_one)


def test_a_batch_size_of_zero_is_an_error():
    with pytest.raises(ValueError, match="batch_size is 0: give a whole number of at least 1"):
        next(color_classifier().stream([], batch_size=0))


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("levit-decode")]


def assert_decoding_threads_end() -> None:
    for thread in decoding_threads():
        thread.join(timeout=60)
    assert decoding_threads() == []


def test_an_endless_stream_is_read_only_as_far_as_needed():
    taken = 0

    def endless():
        nonlocal taken
        for color in itertools.cycle(PRIMARY.values()):
            taken += 1
            yield color

    stream = color_classifier().stream(endless(), batch_size=4)
    assert taken == 0
    for count, prediction in enumerate(itertools.islice(stream, 50), start=1):
        assert prediction.top(1)[0].name == list(PRIMARY)[(count - 1) % 3]
        assert count <= taken <= count + (2 + usable_cores()) * 4
    stream.close()
    assert taken <= 50 + (2 + usable_cores()) * 4


def test_closing_a_stream_ends_its_threads():
    assert_decoding_threads_end()
    stream = color_classifier(threads=3).stream(itertools.repeat(PRIMARY["red"]), batch_size=8)
    next(stream)
    assert 1 <= len(decoding_threads()) <= 3
    stream.close()
    assert_decoding_threads_end()


class Photo(os.PathLike):
    """Photo that knows whether it was read, and that waits for a gate, if it has one, before it is read."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self._gate = gate
        self.is_read = threading.Event()

    def __fspath__(self) -> str:
        if threading.current_thread() in decoding_threads():
            self.is_read.set()
            assert self._gate is None or self._gate.wait(600)
        return str(EXAMPLES / "cat.jpg")


class ImmediateEngine(FakeEngine):
    """Engine of images that computes a batch of a stream before the next one is decoded."""

    def run_images(self, images: np.ndarray) -> np.ndarray:
        return images.mean((1, 2), np.float32)

    def submit(self, images: np.ndarray, batch_size: int) -> Future:
        computed = Future()
        computed.set_result(self.run_images(images))
        return computed


def test_closing_a_stream_leaves_the_queued_images_unread():
    engine = ImmediateEngine(color_artifact(), lambda batch: pytest.fail("only images are computed"))
    gate = threading.Event()
    photos = [Photo() for _ in range(8)] + [Photo(gate) for _ in range(40)]
    remaining = iter(photos)
    stream = Classifier(engine, threads=1).stream(remaining, batch_size=8)
    next(stream)
    assert photos[8].is_read.wait(600)
    stream.close()
    gate.set()
    assert_decoding_threads_end()
    assert [photo.is_read.is_set() for photo in photos] == [True] * 9 + [False] * 39
    assert len(list(remaining)) == 32  # two batches were taken


class MeetingPhoto(os.PathLike):
    """Photo that is read after as many others are being read, each by a thread of its own, as meet at the barrier."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier: threading.Barrier | None = barrier

    def __fspath__(self) -> str:
        if self._barrier is not None and threading.current_thread() in decoding_threads():
            barrier, self._barrier = self._barrier, None
            barrier.wait(60)
        return str(EXAMPLES / "cat.jpg")


def test_all_threads_decode_also_where_they_are_more_than_the_images_of_two_batches():
    engine = ImmediateEngine(color_artifact(), lambda batch: pytest.fail("only images are computed"))
    barrier = threading.Barrier(8)
    stream = Classifier(engine, threads=8).stream([MeetingPhoto(barrier) for _ in range(16)], batch_size=2)
    assert [prediction.error for prediction in stream] == [None] * 16


def test_an_exception_of_the_images_is_raised_and_ends_the_threads():
    def failing():
        yield PRIMARY["red"]
        raise RuntimeError("camera disconnected")

    with pytest.raises(RuntimeError, match="camera disconnected"):
        list(color_classifier().stream(failing()))
    assert_decoding_threads_end()


def test_an_error_of_the_engine_is_raised():
    def failing(batch: np.ndarray) -> np.ndarray:
        raise EngineError("out of memory")

    with pytest.raises(EngineError, match="out of memory"):
        Classifier(FakeEngine(color_artifact(), failing))([PRIMARY["red"]])


def test_the_largest_number_of_pixels_is_an_option():
    classifier = color_classifier(max_pixels=599)
    with pytest.raises(ImageError, match="make it smaller, or raise `max_pixels`"):
        classifier(PRIMARY["red"])
    assert color_classifier(max_pixels=600)(PRIMARY["red"]).error is None


@pytest.fixture
def shared_jpeg(tmp_path):
    file = tmp_path / "large.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def test_one_opened_image_may_be_used_many_times(checkpoint, shared_jpeg):
    """It is decoded when it is first needed, and its file can be read by one thread at a time."""
    classify = Classifier(checkpoint, threads=4, precision="fp32", preprocessing="exact")
    expected = classify(shared_jpeg).logits
    with Image.open(shared_jpeg) as image:
        for prediction in classify([image] * 12):
            assert prediction.error is None
            np.testing.assert_allclose(prediction.logits, expected, rtol=1e-5, atol=1e-5)  # batches of other sizes


def test_an_opened_photo_may_be_changed_while_it_is_queued():
    image = Image.fromarray(PRIMARY["green"])

    def frames():
        for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255)):
            image.paste(color, (0, 0, *image.size))
            yield image

    assert best(color_classifier().stream(frames())) == ["red", "green", "blue"]


def test_a_damaged_opened_photo_given_twice_is_an_error_both_times():
    with Image.open(io.BytesIO((EXAMPLES / "cat.jpg").read_bytes()[:9000])) as image:
        predictions = list(color_classifier().stream([image, PRIMARY["red"], image]))
    assert best(predictions) == [None, "red", None]
    assert all("damaged or incomplete" in str(predictions[index].error) for index in (0, 2))


def test_an_array_may_be_reused_while_it_is_queued(checkpoint):
    classify = Classifier(checkpoint, precision="fp32")
    frame = np.empty((80, 90, 3), np.uint8)

    def frames():
        for value in range(40):
            frame[:] = value * 6
            yield frame

    logits_of_frames = [prediction.logits for prediction in classify.stream(frames(), batch_size=8)]
    for value, logits in enumerate(logits_of_frames):
        expected = classify(np.full_like(frame, value * 6)).logits
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_prediction_with_an_error_does_not_keep_its_image(checkpoint):
    references = []

    def sources():
        for _ in range(3):
            source = Image.new("F", (9, 9))  # refused: floating-point pixels have no known range
            references.append(weakref.ref(source))
            yield source

    predictions = list(Classifier(checkpoint).stream(sources()))
    gc.collect()
    assert all(prediction.error for prediction in predictions)
    assert [reference() for reference in references] == [None] * 3


def test_a_stream_of_one_image_is_a_type_error(checkpoint):
    classify = Classifier(checkpoint)
    with pytest.raises(TypeError, match="stream takes an iterable of images"):
        classify.stream("photo.jpg")
    for size in (0, 1.5):
        with pytest.raises(ConfigError, match=f"batch_size is {size}: give a whole number of at least 1"):
            classify.stream([], batch_size=size)
