"""Conformance checks that every engine passes; `test_engine_conformance.py` runs them.

Each check takes a `CheckedEngine`: an engine in fp32 with the network of `small_model.SMALL`, and its expected logits.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from levit.errors import EngineError, ImageError
from levit.images.transform import normalize
from levit.runtime.classifier import Classifier
from levit.runtime.engine import Engine, ImageEngine
from levit.runtime.normalizing_engine import as_image_engine
from levit.spec.artifact import Artifact
from tests.conftest import EXAMPLES, relative
from tests.runtime.small_model import SMALL

NOISE = np.random.default_rng(0).standard_normal((6, 3, 32, 32), np.float32)
IMAGES = np.random.default_rng(2).integers(0, 256, (5, 32, 32, 3), np.uint8)
TOLERANCE = 1e-5  # of the largest logit


@dataclass(frozen=True)
class CheckedEngine:
    """Engine under test.

    Attributes:
        engine: the engine, in fp32.
        expected: function from normalized images, float32 [B, 3, 32, 32], to the expected logits [B, 5].
    """

    engine: Engine
    expected: Callable[[np.ndarray], np.ndarray]

    @property
    def image_engine(self) -> ImageEngine:
        return as_image_engine(self.engine, self.artifact.preprocessing)

    @property
    def artifact(self) -> Artifact:
        return Artifact.from_metadata(self.engine.metadata)


def check_attributes(checked: CheckedEngine) -> None:
    engine = checked.engine
    assert isinstance(engine, Engine)
    assert isinstance(checked.image_engine, ImageEngine)
    assert engine.name
    assert engine.precision == "fp32"
    assert engine.reason
    assert "\n" not in engine.reason
    assert checked.artifact.architecture == SMALL
    assert checked.artifact.labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4")


def check_logits(checked: CheckedEngine) -> None:
    logits = checked.engine.run(NOISE)
    assert (logits.dtype, logits.shape) == (np.float32, (6, 5))
    assert relative(logits, checked.expected(NOISE)) < TOLERANCE


def check_logits_do_not_depend_on_the_batch(checked: CheckedEngine) -> None:
    singles = np.concatenate([checked.engine.run(NOISE[index : index + 1]) for index in range(len(NOISE))])
    assert relative(singles, checked.engine.run(NOISE)) < TOLERANCE


def check_logits_do_not_depend_on_the_memory_layout(checked: CheckedEngine) -> None:
    np.testing.assert_array_equal(checked.engine.run(np.asfortranarray(NOISE)), checked.engine.run(NOISE))


def check_arrays_may_be_read_only(checked: CheckedEngine) -> None:
    noise, images = NOISE[:2].copy(), IMAGES[:2].copy()
    noise.flags.writeable = images.flags.writeable = False
    assert np.array_equal(checked.engine.run(noise), checked.engine.run(NOISE[:2]))
    assert np.array_equal(checked.image_engine.run_images(images), checked.image_engine.run_images(IMAGES[:2]))


def check_logits_are_not_overwritten_by_the_next_run(checked: CheckedEngine) -> None:
    first = checked.engine.run(NOISE)
    copy = first.copy()
    checked.engine.run(-NOISE)
    np.testing.assert_array_equal(first, copy)


def check_threads_may_share_the_engine(checked: CheckedEngine) -> None:
    batches = np.random.default_rng(1).standard_normal((30, 2, 3, 32, 32), np.float32)
    serial = [checked.engine.run(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        concurrent = list(pool.map(checked.engine.run, batches))
    assert relative(np.stack(concurrent), np.stack(serial)) < TOLERANCE


def check_images_are_normalized(checked: CheckedEngine) -> None:
    engine = checked.image_engine
    expected = checked.engine.run(normalize(IMAGES, checked.artifact.preprocessing))
    assert relative(engine.run_images(IMAGES), expected) < TOLERANCE
    batches = [engine.submit(IMAGES[start : start + 2], 2) for start in (0, 2, 4)]  # the last batch is smaller
    assert relative(np.concatenate([batch.result(timeout=60) for batch in batches]), expected) < TOLERANCE


def check_submitted_batches_keep_their_order(checked: CheckedEngine) -> None:
    engine = checked.image_engine
    images = np.random.default_rng(3).integers(0, 256, (45, 32, 32, 3), np.uint8)
    with ThreadPoolExecutor(6) as pool:
        futures = list(pool.map(lambda start: engine.submit(images[start : start + 3], 3), range(0, 45, 3)))
    together = np.concatenate([future.result(timeout=60) for future in futures])
    assert relative(together, engine.run_images(images)) < TOLERANCE


def check_no_images_give_no_logits(checked: CheckedEngine) -> None:
    engine, empty = checked.image_engine, np.zeros((0, 32, 32, 3), np.uint8)
    assert engine.run_images(empty).shape == engine.submit(empty, 2).result(timeout=60).shape == (0, 5)


def check_a_batch_of_another_shape_is_an_error(checked: CheckedEngine) -> None:
    for shape in [(1, 3, 33, 32), (1, 1, 32, 32), (3, 32, 32)]:
        with pytest.raises(EngineError) as caught:
            checked.engine.run(np.zeros(shape, np.float32))
        assert f"cannot run a batch of shape {list(shape)}" in str(caught.value)
        assert "\n" not in str(caught.value)


def check_values_of_another_dtype_are_an_error(checked: CheckedEngine) -> None:
    for dtype in (np.float64, np.float16, np.uint8):
        with pytest.raises(EngineError, match=r"cannot run a batch of shape \[1, 3, 32, 32\]: .* and this is "):
            checked.engine.run(np.zeros((1, 3, 32, 32), dtype))


def check_images_of_another_shape_or_dtype_are_an_error(checked: CheckedEngine) -> None:
    engine = checked.image_engine
    shapes = [(1, 33, 32, 3), (1, 32, 36, 3), (32, 32, 3), (1, 32, 32), (1, 32, 32, 4), (1, 3, 32, 32)]
    wrong = [np.zeros(shape, np.uint8) for shape in shapes]
    wrong += [np.zeros((1, 32, 32, 3), dtype) for dtype in (np.float32, np.int64)]
    for images in wrong:
        for compute in (engine.run_images, lambda images: engine.submit(images, 1).result(timeout=60)):
            with pytest.raises(EngineError) as caught:
                compute(images)
            assert f"cannot run a batch of shape {list(images.shape)}: " in str(caught.value)
            assert "\n" not in str(caught.value)


def check_an_engine_works_after_an_error(checked: CheckedEngine) -> None:
    engine = checked.image_engine
    expected = engine.run_images(IMAGES[:2])
    for _ in range(8):
        with pytest.raises(EngineError):
            engine.submit(np.zeros((2, 33, 32, 3), np.uint8), 2).result(timeout=60)
        assert relative(engine.submit(IMAGES[:2], 2).result(timeout=60), expected) < TOLERANCE


def check_a_classifier_uses_the_engine(checked: CheckedEngine) -> None:
    classify = Classifier(checked.engine)
    sources = [EXAMPLES / "espresso.jpg", "no such file", *[EXAMPLES / "cat.jpg"] * 7]
    first, missing, *cats = classify.stream(sources, batch_size=2)
    assert isinstance(missing.error, ImageError)
    assert all(prediction.error is None for prediction in (first, *cats))
    assert relative(first.logits, classify(sources[0]).logits) < TOLERANCE
    for cat in cats:
        assert relative(cat.logits, classify(sources[2]).logits) < TOLERANCE


CHECKS = [check for name, check in globals().items() if name.startswith("check_")]
