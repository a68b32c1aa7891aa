"""Which method of an engine computes the images of a list."""

from concurrent.futures import Future

import numpy as np
import pytest

from levit.runtime.classifier import Classifier
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact, uniform_image


class ImagesEngine(FakeEngine):
    """Engine of images, which records the method and the size of each batch."""

    def __init__(self) -> None:
        super().__init__(color_artifact(), lambda batch: pytest.fail("only images are computed"))
        self.calls: list[tuple[str, int]] = []

    def run_images(self, images: np.ndarray) -> np.ndarray:
        self.calls.append(("run_images", len(images)))
        return images.mean((1, 2), np.float32)

    def submit(self, images: np.ndarray, batch_size: int) -> Future:
        self.calls.append(("submit", len(images)))
        computed = Future()
        computed.set_result(images.mean((1, 2), np.float32))
        return computed


class BytesEngine(ImagesEngine):
    """Engine with the methods of the native engine."""

    def run_bytes(self, images: list[bytes]) -> list:
        raise AssertionError("numpy is imported")


@pytest.mark.parametrize(
    ("engine", "count", "first"),
    [
        (BytesEngine, 15, "run_images"),
        (BytesEngine, 16, "run_images"),  # one batch, by all threads
        (BytesEngine, 17, "submit"),
        (ImagesEngine, 15, "run_images"),
        (ImagesEngine, 16, "submit"),
    ],
)
def test_a_list_of_one_batch_is_computed_by_all_threads_of_the_native_engine(engine, count, first):
    opened = engine()
    predictions = Classifier(opened)([uniform_image(255, 0, 0)] * count)
    assert [prediction.top(1)[0].name for prediction in predictions] == ["red"] * count
    assert opened.calls[0] == (first, min(count, 16))
