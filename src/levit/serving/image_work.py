"""Images of one request: decoded by threads, computed in batches, and returned to the event loop together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Generic, NamedTuple, TypeVar

from levit.errors import ImageError, LevitError
from levit.images.decoding import ImageSource, describe_source
from levit.runtime.image_results import ImageResult
from levit.serving.deadlines import Deadline
from levit.serving.errors import RequestError
from levit.serving.image_batches import NO_ROW, WaitingImage
from levit.serving.served_model import ServedModel

Value = TypeVar("Value")


class RequestImage(NamedTuple):
    """Image of a request.

    Attributes:
        source: content of a file, or pixels.
        name: name in the result; None for a description of the source.
        error: error of an image that could not even be read from the request, otherwise None.
    """

    source: ImageSource
    name: str | None = None
    error: ImageError | None = None

    @property
    def result_name(self) -> str:
        """Name in the result."""
        return describe_source(self.source) if self.name is None else self.name


class ImageWork(Generic[Value]):
    """Images of one request on their way through the threads.

    Args:
        model: the model.
        images: the images, at least one.
        deadline: deadline of the request.
        render: function from the results, in the order of the images, to the value of the request; called by the
            thread that has computed the last image.
        observe: called with the name and the seconds of each stage of each image.
    """

    def __init__(
        self,
        model: ServedModel,
        images: Sequence[RequestImage],
        deadline: Deadline,
        render: Callable[[list[ImageResult]], Value],
        observe: Callable[[str, float], None],
    ) -> None:
        self._model, self._images = model, images
        self._deadline, self._render, self._observe = deadline, render, observe
        self._results: list[ImageResult | None] = [None] * len(images)
        self._missing = len(images)
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Value] = self._loop.create_future()
        self._decoding: list[Future[None]] = []

    def start(self, executor: Executor) -> None:
        """Let the threads begin; `future` gets the value, or the error of the request."""
        start = time.perf_counter()
        self._decoding = [executor.submit(self._decode, index, start) for index in range(len(self._images))]

    def abandon(self, reason: RequestError) -> None:
        """Take the images out of the queue, because the request has ended."""
        self._deadline.abandon(reason)
        for decoding in self._decoding:
            decoding.cancel()

    def _decode(self, index: int, submitted: float) -> None:
        """Decode one image and add it to the next batch, in a thread."""
        image = self._images[index]
        name = image.result_name
        start = time.perf_counter()
        self._observe("queue", start - submitted)
        try:
            self._deadline.check()
            if image.error is not None:
                raise image.error
            pixels = self._model.computation.preprocess(image.source)
        except ImageError as error:
            self._finish(index, ImageResult(name, NO_ROW, _named(error, name)))
        except LevitError as error:
            self._finish(index, error)
        except Exception as error:  # Pillow's warnings as errors, or no memory
            unreadable = ImageError(f"cannot be read ({type(error).__name__})", source=name)
            self._finish(index, ImageResult(name, NO_ROW, unreadable))
        else:
            self._observe("decode", time.perf_counter() - start)
            waiting = WaitingImage(name, pixels, self._deadline, lambda result: self._finish(index, result))
            self._model.batches.add(waiting)

    def _finish(self, index: int, result: ImageResult | LevitError) -> None:
        """Keep the result of an image, in a thread; the last one, or an error of the whole request, ends the work."""
        if isinstance(result, LevitError):
            self._deliver(error=result)
            return
        with self._lock:
            self._results[index] = result
            self._missing -= 1
            is_last = not self._missing
        if is_last:
            try:
                value = self._render([result for result in self._results if result is not None])
            except Exception as error:
                self._deliver(error=error)
            else:
                self._deliver(value)

    def _deliver(self, value: Value | None = None, *, error: Exception | None = None) -> None:
        try:
            self._loop.call_soon_threadsafe(_set, self.future, value, error)
        except RuntimeError:  # the event loop has ended, after a second signal
            return


def _set(future: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if future.done():  # abandoned, or an earlier image had an error
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def _named(error: ImageError, name: str) -> ImageError:
    """The error with the name that the request gave its image, without the frames that keep the image in memory."""
    renamed = ImageError(error.reason, source=name, hint=error.hint)
    renamed.__cause__ = renamed.__context__ = None
    return renamed
