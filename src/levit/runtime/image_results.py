"""Computation of images: decoding and preprocessing by threads, batches, one row of numbers for each image."""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from PIL.Image import Image

from levit.errors import EngineError, ImageError
from levit.images.decoding import ImageSource, describe_source, snapshot_source
from levit.images.sources import is_image_source
from levit.managed_engine import ProcessGuard, schedule
from levit.runtime.decoded_batch import DecodedBatch, DecodingImage, Pixels, collect
from levit.runtime.engine import ByteEngine, ImageEngine, Row
from levit.spec.field_values import check_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Result = TypeVar("Result")

DEFAULT_BATCH_SIZE = 16

NO_NUMBERS: Row = array("f")
"""Row of an image with an error."""


class ImageResult(NamedTuple):
    """Row of numbers of one image, or its error.

    Attributes:
        name: path of the image, or a description of an image in memory.
        row: float32 [numbers], such as logits or features; empty after an error. An `array.array` after an error, or if
            it was computed before numpy was imported.
        error: error of an image that cannot be computed, otherwise None.
        pixels: network input of an image that is computed alone; otherwise None.
    """

    name: str
    row: Row
    error: ImageError | None = None
    pixels: Pixels | None = None


class ImageComputation:
    """Computation of images by one network.

    Args:
        engine: the network.
        read: function from an image to the network's input.
        width: number of values that the network gives for each image.
        image_size: height and width of the network's input in pixels.
        threads: number of threads that decode images.
        max_pixels: largest number of pixels of an image.
        source: name of the model in errors.
    """

    def __init__(
        self,
        engine: ImageEngine,
        read: Callable[[ImageSource], Image],
        *,
        width: int,
        image_size: tuple[int, int],
        threads: int,
        max_pixels: int,
        source: str,
    ) -> None:
        self._engine, self._read = engine, read
        self._width, self._image_size = width, image_size
        self._threads, self._max_pixels, self._source = threads, max_pixels, source
        self._is_verified = False

    def preprocess(self, image: ImageSource) -> NDArray[np.uint8]:
        """Decode, resize and crop an image: the network's input, uint8 [height, width, 3].

        Raises:
            ImageError: the image cannot be decoded or is refused.
        """
        import numpy as np

        return np.asarray(self._read(image))

    def compute(self, names: list[str], images: list[NDArray[np.uint8]], *, is_full: bool) -> list[ImageResult]:
        """Compute preprocessed images at once.

        Args:
            names: names of the images in the results.
            images: results of `preprocess`, one to DEFAULT_BATCH_SIZE of them.
            is_full: True for the highest throughput, as one of many batches; False for the lowest latency.

        Raises:
            EngineError: as for `one`.
        """
        import numpy as np

        pixels = np.stack(images)
        engine = self._engine
        rows = engine.submit(pixels, DEFAULT_BATCH_SIZE).result() if is_full else engine.run_images(pixels)
        self._check_shape(rows.shape, len(images))
        return list(self._results(names, [None] * len(images), rows))

    def one(self, image: ImageSource) -> ImageResult:
        """Compute one image with the lowest latency.

        Raises:
            ImageError: the image cannot be decoded or is refused, or a number is not finite.
            EngineError: the engine failed or is closed, or the model gives no finite numbers at all.
        """
        pixels = self._read(image)
        (result,) = self._results([describe_source(image)], [None], self._compute_now([pixels]))
        if result.error is not None:
            raise result.error
        return result._replace(pixels=pixels)

    def stream(self, images: Iterable[ImageSource], batch_size: int) -> Generator[ImageResult, None, None]:
        """Compute any number of images, in order and in bounded memory.

        Raises:
            TypeError: `images` is a single image.
            ConfigError: `batch_size` is not a whole number of at least 1.
            EngineError: as for `one`; it ends the stream. An exception of `images` itself ends it after the results of
                the images before it.
        """
        if is_image_source(images):
            raise TypeError("stream takes an iterable of images: call the classifier with a single image")
        return self._stream(iter(images), check_count("batch_size", batch_size))

    def _stream(self, sources: Iterator[ImageSource], batch_size: int) -> Generator[ImageResult, None, None]:
        decoding: deque[DecodingImage] = deque()
        failures: list[Exception] = []  # of the sources, at most one
        computing: deque[tuple[DecodedBatch, Future[NDArray[np.float32]]]] = deque()
        guard = ProcessGuard("this stream")
        is_exiting = sys.is_finalizing  # global names are gone when an unfinished stream is deleted at exit
        ahead = 2 * max(batch_size, self._threads)  # two small batches would leave some of many threads idle
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="levit-decode")
        try:
            while True:
                guard.check()
                for source in _until_failure(islice(sources, ahead - len(decoding)), failures):
                    snapshot = snapshot_source(source, max_pixels=self._max_pixels)
                    image = schedule(pool, self._read_pixels, snapshot)
                    decoding.append(DecodingImage(describe_source(source), image))
                if not decoding:
                    break
                batch = collect([decoding.popleft() for _ in range(min(batch_size, len(decoding)))])
                is_last = not computing and not decoding  # the sources are exhausted, and all threads are idle
                # The native engine computes a batch by all threads, the others images one by one or as `submit` does.
                if is_last and (len(batch.images) < batch_size or isinstance(self._engine, ByteEngine)):
                    yield from self._results(batch.names, batch.errors, self._compute_now(batch.images))
                    continue
                computing.append((batch, self._compute_queued(batch.images, batch_size)))
                while computing and (computing[0][1].done() or len(computing) > self._threads):
                    yield from self._queued_results(*computing.popleft())
            for batch, rows in computing:
                yield from self._queued_results(batch, rows)
            if failures:
                raise failures.pop()  # without a reference from this frame, which its traceback refers to
        finally:
            if not is_exiting():
                pool.shutdown(wait=False, cancel_futures=True)

    def _read_pixels(self, source: ImageSource) -> Pixels:
        """The network's input, in a thread: an array where numpy is imported."""
        return self.preprocess(source) if _has_numpy() else self._read(source)

    def _compute_now(self, images: Sequence[Pixels]) -> Iterable[Row]:
        """Compute a few images with the lowest latency, without importing numpy if the engine can."""
        if not images:
            return ()
        if not _has_numpy() and isinstance(self._engine, ByteEngine):
            light = self._engine.run_bytes([image.tobytes() for image in images])
            self._check_shape((len(light), len(light[0])), len(images))
            return light
        rows = self._engine.run_images(_stack(images))
        self._check_shape(rows.shape, len(images))
        return rows

    def _compute_queued(self, images: Sequence[Pixels], batch_size: int) -> Future[NDArray[np.float32]]:
        """Start computing one batch of a stream with the highest throughput."""
        import numpy as np

        if images:
            return self._engine.submit(_stack(images), batch_size)
        finished: Future[NDArray[np.float32]] = Future()
        finished.set_result(np.empty((0, self._width), np.float32))
        return finished

    def _queued_results(self, batch: DecodedBatch, computing: Future[NDArray[np.float32]]) -> Iterator[ImageResult]:
        rows = computing.result()
        self._check_shape(rows.shape, len(batch.images))
        return self._results(batch.names, batch.errors, rows)

    def _check_shape(self, shape: tuple[int, ...], count: int) -> None:
        if shape != (count, self._width):
            raise EngineError(
                f"the network gives {list(shape)} for {count} images and {self._width} labels",
                source=self._source,
                hint="export the checkpoint again",
            )

    def _results(
        self, names: Sequence[str], errors: Sequence[ImageError | None], computed: Iterable[Row]
    ) -> Iterator[ImageResult]:
        rows = iter(computed)
        for name, error in zip(names, errors, strict=True):
            row = NO_NUMBERS if error else next(rows)
            if not _is_finite(row):
                self._verify_model()
                row, error = NO_NUMBERS, ImageError("the model gives a logit that is not finite", source=name)
            yield ImageResult(name, row, error)

    def _verify_model(self) -> None:
        """Refuse a model whose numbers are not finite for a uniform gray image; called when those of an image are not.

        Verifying each model when it is opened would compile a network that a stream does not need.
        """
        if not self._is_verified:
            import numpy as np

            gray = np.full((1, *self._image_size, 3), 128, np.uint8)
            if not np.isfinite(self._engine.run_images(gray)).all():
                raise EngineError(
                    f"the model gives logits that are not finite, in {self._engine.precision}",
                    source=self._source,
                    hint="its weights are damaged, or too large for the precision",
                )
            self._is_verified = True


def _until_failure(sources: Iterator[ImageSource], failures: list[Exception]) -> Iterator[ImageSource]:
    """The sources up to an exception, which is kept; none after it."""
    if failures:
        return
    try:
        yield from sources
    except Exception as error:
        failures.append(error)


def _has_numpy() -> bool:
    return "numpy" in sys.modules


def _stack(images: Sequence[Pixels]) -> NDArray[np.uint8]:
    """Network inputs as one batch: uint8 [B, height, width, 3]."""
    import numpy as np

    return np.stack([np.asarray(image) for image in images])


def _is_finite(row: Row) -> bool:
    if isinstance(row, array):
        return isfinite(sum(row))  # float64, so that finite numbers cannot add up to an infinite one
    import numpy as np

    return bool(np.isfinite(row).all())


def convert_results(
    results: Generator[ImageResult, None, None], convert: Callable[[ImageResult], Result]
) -> Iterator[Result]:
    """Convert the results of a stream one by one; closing this iterator closes the stream."""
    with closing(results):
        yield from map(convert, results)
