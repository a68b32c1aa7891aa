"""A few images are computed without numpy, where the engine can, with the same results."""

import os
import subprocess
import sys
from array import array
from concurrent.futures import Future

import numpy as np
import pytest

from levit.errors import EngineError
from levit.runtime import image_results
from levit.runtime.classifier import Classifier
from tests.conftest import EXAMPLES
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact, uniform_image

RED = uniform_image(255, 0, 0)


@pytest.mark.usefixtures("native_library")
def test_one_photo_is_predicted_without_importing_numpy(tmp_path):
    program = """
import sys
import levit
if len(sys.argv) > 2:
    import numpy
classify = levit.Classifier(engine="native")
prediction = classify(sys.argv[1])
print(prediction.to_dict(), next(classify.stream([sys.argv[1]])).to_dict(), prediction)
print("numpy" in sys.modules, prediction.logits.argmax() == prediction.top(1)[0].index)
"""
    environment = os.environ | {"LEVIT_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", program, str(EXAMPLES / "cat.jpg")]

    def output(*arguments: str) -> list[str]:
        process = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=True)
        return process.stdout.splitlines()

    output()  # fills the cache
    assert output() == [*output("numpy")[:-1], "False True"]
    assert output("numpy")[-1] == "True True"


class ColorEngine(FakeEngine):
    """Engine that also computes images without arrays; `change` changes the logits."""

    def __init__(self, change=lambda rows: rows) -> None:
        super().__init__(color_artifact(), lambda batch: batch.mean((2, 3)))
        self._change = change

    def run_images(self, images: np.ndarray) -> np.ndarray:
        return self.run(images.transpose(0, 3, 1, 2).astype(np.float32))

    def run_bytes(self, images: list[bytes]) -> list[array]:
        assert all(isinstance(image, bytes) for image in images)
        pixels = np.array([np.frombuffer(image, np.uint8).reshape(16, 16, 3) for image in images])
        return self._change([array("f", row) for row in self.run_images(pixels)])

    def submit(self, images: np.ndarray, batch_size: int) -> Future:
        raise AssertionError("a few images are not queued")


@pytest.fixture
def _without_numpy(monkeypatch):
    monkeypatch.setattr(image_results, "_has_numpy", lambda: False)


@pytest.mark.usefixtures("_without_numpy")
def test_a_few_images_are_computed_without_arrays():
    classifier = Classifier(ColorEngine())
    colors = [RED, uniform_image(0, 255, 0), uniform_image(0, 0, 255)]
    expected = [ColorEngine().run_images(color[None]) for color in colors]
    for predictions in (map(classifier, colors), classifier.stream(colors), classifier.stream([b"?", *colors])):
        rows = [vars(prediction)["logits"] for prediction in predictions if prediction.error is None]
        assert [type(row) for row in rows] == [array] * 3
        np.testing.assert_array_equal(np.array(rows), np.concatenate(expected))


@pytest.mark.usefixtures("_without_numpy")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_without_arrays_that_are_not_finite_are_an_error_of_the_image(value):
    classifier = Classifier(ColorEngine(lambda rows: [array("f", [0, value, 1]), *rows[1:]]))
    first, second = classifier.stream([RED, RED])
    assert "not finite" in str(first.error)
    assert first.top() == []
    assert second.error is None


@pytest.mark.usefixtures("_without_numpy")
def test_rows_without_arrays_of_another_width_are_an_error():
    with pytest.raises(EngineError, match=r"the network gives \[1, 2\] for 1 images and 3 labels"):
        Classifier(ColorEngine(lambda rows: [row[:2] for row in rows]))(RED)
