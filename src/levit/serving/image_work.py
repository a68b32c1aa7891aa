"""Images of one request: decoded and finished by threads, and returned to the event loop together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from levit.errors import ImageError, LevitError, without_frames
from levit.images.decoding import ImageSource, describe_source
from levit.runtime.image_results import NO_NUMBERS, ImageResult
from levit.serving.deadlines import Deadline
from levit.serving.futures import complete_future
from levit.serving.served_model import ServedModel

Value = TypeVar("Value")

Delivery = Callable[[], None]
"""Function that gives a request its value or its error, for the thread of the event loop."""


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
        deadline: deadline of the request, which threads look at before they decode or compute.
        render: function from the results, in the order of the images, to the value of the request; called by the
            thread that finishes the last image.

    Attributes:
        model, images: the arguments.
        future: the value, or the error of the request.
    """

    def __init__(
        self,
        model: ServedModel,
        images: Sequence[RequestImage],
        deadline: Deadline,
        render: Callable[[list[ImageResult]], Value],
    ) -> None:
        self.model, self.images = model, images
        self._deadline, self._render = deadline, render
        self._results: list[ImageResult | None] = [None] * len(images)
        self._missing = len(images)
        self._lock = threading.Lock()
        self.future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()

    def refusal(self) -> LevitError | None:
        """The error of a request that has ended, so that its images need not be computed; otherwise None."""
        try:
            self._deadline.check()
        except LevitError as error:
            return without_frames(error)
        return None

    def decode(self, index: int) -> NDArray[np.uint8] | ImageResult | LevitError:
        """Decode one image, in a thread.

        Returns:
            The network's input, uint8 [height, width, 3]; the result of an image with an error; or the error of the
            whole request.
        """
        image = self.images[index]
        try:
            self._deadline.check()
            if image.error is not None:
                raise image.error
            return self.model.computation.preprocess(image.source)
        except ImageError as error:
            return ImageResult(image.result_name, NO_NUMBERS, _named(error, image.result_name))
        except LevitError as error:
            return without_frames(error)
        except Exception as error:  # Pillow's warnings as errors, or no memory
            unreadable = ImageError(f"cannot be read ({type(error).__name__})", source=image.result_name)
            return ImageResult(image.result_name, NO_NUMBERS, unreadable)

    def finish(self, index: int, result: ImageResult | LevitError) -> Delivery | None:
        """Keep the result of an image, in a thread.

        Returns:
            The delivery of the request after its last image, or after an error of the whole request; otherwise None.
        """
        if isinstance(result, LevitError):
            return partial(complete_future, self.future, None, result)
        with self._lock:
            self._results[index] = result
            self._missing -= 1
            is_last = not self._missing
        if not is_last:
            return None
        try:
            value = self._render([result for result in self._results if result is not None])
        except LevitError as error:
            return partial(complete_future, self.future, None, without_frames(error))
        except Exception as error:  # of the program itself: its log needs the frames
            return partial(complete_future, self.future, None, error)
        return partial(complete_future, self.future, value, None)


AnyWork = ImageWork[Any]


def _named(error: ImageError, name: str) -> ImageError:
    """The error with the name that the request gave its image, without the frames of the other one."""
    return ImageError(error.reason, source=name, hint=error.hint)
