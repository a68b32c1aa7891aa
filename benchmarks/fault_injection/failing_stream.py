"""Streams of 24 threads that share a classifier, with failures injected wherever a stream waits.

The engine fails when it is called, when a batch is submitted, or later through the future; images are damaged; the
iterable of images raises; a consumer abandons its stream. Every stream must end, with the predictions of a classifier
without failures or with the injected exception.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import levit
from levit.errors import EngineError
from levit.images.decoding import ImageSource
from levit.runtime.engine import Engine
from levit.runtime.normalizing_engine import as_image_engine

THREADS = 24
_STREAMS = 4  # of a thread
_MAX_IMAGES = 40
_RATE = 0.05  # of each kind of failure
_EXAMPLES = Path(__file__).parent.parent.parent / "examples"
_DAMAGED = b"no image"
_TOLERANCE = 0.02  # of the largest logit, between single images and batches in bf16
_JOIN_SECONDS = 240


class InjectedError(Exception):
    """Failure of the iterable of images."""


class FailingEngine:
    """Image engine that fails at random.

    Args:
        engine: the engine that computes the logits.
        seed: seed of the failures.
    """

    name = "failing"

    def __init__(self, engine: Engine, seed: int) -> None:
        self.precision, self.reason = engine.precision, engine.reason
        self.metadata: Mapping[str, str] = engine.metadata
        self._engine = as_image_engine(engine, levit.Classifier(engine).artifact.preprocessing)
        self._random, self._lock = random.Random(seed), threading.Lock()  # noqa: S311

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of normalized images."""
        return self._engine.run(pixel_values)

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of images, or a failure."""
        self._fail_sometimes()
        return self._engine.run_images(images)

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Future of logits; it fails now, at once, later, or not."""
        self._fail_sometimes()
        draw = self._draw()
        if draw > 3 * _RATE:
            return self._engine.submit(images, batch_size)
        future: Future[NDArray[np.float32]] = Future()
        error = EngineError("injected")
        if draw < _RATE:
            future.set_exception(error)
        elif draw < 2 * _RATE:
            threading.Timer(0.05, future.set_exception, (error,)).start()
        else:
            logits = self._engine.run_images(images)
            threading.Timer(0.05, future.set_result, (logits,)).start()
        return future

    def _fail_sometimes(self) -> None:
        if self._draw() < _RATE:
            raise EngineError("injected")

    def _draw(self) -> float:
        with self._lock:
            return self._random.random()


class FailingStream:
    """Cases of 24 threads with four streams each."""

    seconds = 600.0
    num_bytes = 2**31

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def name_case(self, number: int) -> str:
        """All cases are of one group."""
        return f"{THREADS} threads, {THREADS * _STREAMS} streams"

    def write_case(self, number: int, folder: Path) -> Path:
        """Write the seed of a case."""
        file = folder / "seed.json"
        file.write_text(json.dumps([self._seed, number]), encoding="utf-8")
        return file

    def open_case(self, file: Path) -> None:
        """Run all streams, and check that each ends as it must."""
        seeds = json.loads(file.read_text(encoding="utf-8"))
        classifier = levit.Classifier(FailingEngine(self._classifier.engine, hash(tuple(seeds))))
        problems: list[str] = []
        assert len(self._expected) == len(self._sources)  # computed before the threads need it
        threads = [
            threading.Thread(target=self._run_streams, args=(classifier, random.Random(f"{seeds} {index}"), problems))  # noqa: S311
            for index in range(THREADS)
        ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        for thread in threads:
            thread.join(_JOIN_SECONDS)
        if any(thread.is_alive() for thread in threads):
            raise TimeoutError("a stream does not end")
        if problems:
            raise AssertionError(f"{len(problems)} streams: {problems[0]}")

    @cached_property
    def _classifier(self) -> levit.Classifier:
        return levit.Classifier()

    @cached_property
    def _sources(self) -> list[ImageSource]:
        files = sorted(_EXAMPLES.glob("*.jpg"))
        arrays = [np.asarray(Image.open(file).resize((90, 70))) for file in files]
        return [*files, *arrays, *(Image.fromarray(array) for array in arrays), _DAMAGED]

    @cached_property
    def _expected(self) -> list[NDArray[np.float32] | None]:
        """Logits of each source; None for the damaged one."""
        return [None if source is _DAMAGED else self._classifier(source).logits for source in self._sources]

    def _run_streams(self, classifier: levit.Classifier, generator: random.Random, problems: list[str]) -> None:
        for _ in range(_STREAMS):
            try:
                self._run_stream(classifier, generator)
            except (InjectedError, EngineError) as error:
                if "injected" not in str(error):
                    problems.append(repr(error))
            except BaseException as error:
                problems.append(repr(error))

    def _run_stream(self, classifier: levit.Classifier, generator: random.Random) -> None:
        indices = [generator.randrange(len(self._sources)) for _ in range(generator.randint(1, _MAX_IMAGES))]
        failing = generator.randrange(len(indices)) if generator.random() < _RATE else None
        abandoned = generator.randrange(len(indices)) if generator.random() < _RATE else None
        stream = classifier.stream(self._iterate(indices, failing), batch_size=generator.choice([1, 4, 16]))
        count = 0
        for index, prediction in zip(indices, stream, strict=False):
            expected = self._expected[index]
            if (expected is None) != (prediction.error is not None):
                raise AssertionError(f"the error of an image is {prediction.error!r}")
            if (
                expected is not None
                and np.abs(prediction.logits - expected).max() > _TOLERANCE * np.abs(expected).max()
            ):
                raise AssertionError("other logits than without failures")
            count += 1
            if count - 1 == abandoned:
                return
        if count != len(indices):
            raise AssertionError(f"{count} predictions of {len(indices)} images")

    def _iterate(self, indices: list[int], failing: int | None) -> Iterator[ImageSource]:
        for position, index in enumerate(indices):
            if position == failing:
                raise InjectedError("injected")
            yield self._sources[index]


def create(seed: int) -> FailingStream:
    """Create the subject."""
    return FailingStream(seed)
