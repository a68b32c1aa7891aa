"""The parts of the service together: models, threads, admission, metrics; what every route uses."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, TypeVar

from levit.errors import errors_name
from levit.runtime.cpu_count import usable_cores
from levit.runtime.image_results import ImageResult
from levit.serving.admission import Admission
from levit.serving.bodies import BodyReader, Receive
from levit.serving.deadlines import Deadline
from levit.serving.errors import DisconnectedError, RequestError
from levit.serving.futures import call_in_thread
from levit.serving.image_threads import ImageThreads
from levit.serving.image_work import ImageWork, RequestImage
from levit.serving.lifecycle import Lifecycle
from levit.serving.metrics import MODEL_KEY, Metrics
from levit.serving.options import ServiceOptions
from levit.serving.security import ApiKeys
from levit.serving.served_model import ModelTable, NamedModel, ServedModel

Value = TypeVar("Value")
Pool = Literal["parse", "infer", "explain"]

_SWITCH_INTERVAL = 0.001  # seconds after which a thread lets the event loop run


class Service:
    """Models of the service with the threads that decode images, admission, metrics and state.

    The event loop reads requests and writes responses; everything else is done by threads.

    Args:
        models: the models.
        options: options of the service.

    Attributes:
        explanation_batches: number of batches of an explanation that are computed at once.
    """

    def __init__(self, models: Sequence[NamedModel], options: ServiceOptions) -> None:
        self.options = options
        self.metrics = Metrics()
        self.lifecycle = Lifecycle(lambda is_ready: self.metrics.ready.set(int(is_ready)))
        self.admission = Admission(options.capacity)
        self.metrics.show_queue(lambda: self.admission.images)
        self.bodies = BodyReader(options.max_body, self.lifecycle)
        self.api_keys = ApiKeys(options.api_keys)
        self.models = ModelTable([model.name for model in models])
        self._requested = models
        threads = options.threads or usable_cores()
        self._images = ImageThreads(threads, self.metrics)
        # Slow work would delay images, and the bodies of other requests, if it was done by the same threads.
        counts: dict[Pool, int] = {"explain": 1, "parse": threads, "infer": threads}
        self._pools = {
            name: ThreadPoolExecutor(count, thread_name_prefix=f"levit-{name}") for name, count in counts.items()
        }
        self.explanation_batches = max(1, threads // 2)  # of one explanation at a time, so that predictions go on

    def load(self) -> None:
        """Open and warm up all models; takes seconds, so that a thread calls it.

        Raises:
            LevitError: as `levit.Classifier`.
        """
        for model in self._requested:
            served = ServedModel(model.name, model.options, max_pixels=self.options.max_pixels)
            with errors_name(model.name):
                served.warm_up()
            self.models.add(served)

    async def load_in_thread(self) -> None:
        """Load the models without blocking the event loop, then accept requests.

        Raises:
            LevitError: as `levit.Classifier`.
        """
        loop = asyncio.get_running_loop()
        loaded: Future[None] = Future()

        def load() -> None:
            loaded.set_running_or_notify_cancel()  # so that it cannot be canceled
            try:
                self.load()
            except BaseException as error:
                loaded.set_exception(error)
            else:
                loaded.set_result(None)

        # A daemon, so that a service that is stopped while it loads does not wait for it.
        threading.Thread(target=load, name="levit-load", daemon=True).start()
        await asyncio.wrap_future(loaded, loop=loop)
        sys.setswitchinterval(_SWITCH_INTERVAL)
        self.lifecycle.finish_loading()

    def accept(self, model: str, scope: MutableMapping[str, Any]) -> ServedModel:
        """Find the model of a request, and check that the request would be accepted now.

        Args:
            model: name of the model.
            scope: scope of the request, which gets the name for the metrics.

        Raises:
            RequestError: the service is not ready (503), there is no such model (404), or the queue is full (429).
        """
        self.lifecycle.check_ready()
        served = self.models.find(model)
        scope[MODEL_KEY] = served.name
        self.admission.check()
        return served

    def deadline(self, timeout: float | None = None) -> Deadline:
        """Deadline of a request that begins now; its own timeout, in seconds, can only shorten that of the service."""
        return Deadline(self.options.timeout if timeout is None else min(timeout, self.options.timeout))

    async def run(self, pool: Pool, function: Callable[[], Value], deadline: Deadline, receive: Receive) -> Value:
        """Call a function in a thread; wait for it until the deadline or a disconnect.

        Args:
            pool: which threads call it: those that parse bodies, that compute normalized values, or that explain.
            function: the function, which may compute for long.
            deadline: deadline of the request.
            receive: function that waits for the next part of the request, which is its disconnect.

        Raises:
            RequestError: the deadline is over, or the client has disconnected; or an error of the function.
        """

        def call() -> Value:
            deadline.check()
            return function()

        future, work = call_in_thread(self._pools[pool], call)
        try:
            return await _result(future, deadline, receive)
        except BaseException:
            deadline.abandon()
            work.cancel()
            raise

    async def compute(
        self,
        model: ServedModel,
        images: Sequence[RequestImage],
        render: Callable[[list[ImageResult]], Value],
        deadline: Deadline,
        receive: Receive,
    ) -> Value:
        """Compute images, which must be admitted, and wait for the rendered results.

        Args:
            model: the model.
            images: the images; a bad one has an error in its result.
            render: function from the results to the content of the response, called by a thread.
            deadline: deadline of the request.
            receive: function that waits for the next part of the request, which is its disconnect.

        Raises:
            RequestError: the deadline is over, or the client has disconnected; or an error of `render`.
            EngineError: the engine failed.
        """
        try:
            return await _result(self.submit(model, images, render, deadline), deadline, receive)
        except BaseException:
            deadline.abandon()
            raise

    def submit(
        self,
        model: ServedModel,
        images: Sequence[RequestImage],
        render: Callable[[list[ImageResult]], Value],
        deadline: Deadline,
    ) -> asyncio.Future[Value]:
        """Start computing images as `compute` does; the future may have its errors."""
        work = ImageWork(model, images, deadline, render)
        self._images.add(work)
        return work.future

    def close(self) -> None:
        """End the threads; work that has not begun is left out."""
        self._images.close()
        for executor in self._pools.values():
            executor.shutdown(wait=False, cancel_futures=True)


async def _result(future: asyncio.Future[Value], deadline: Deadline, receive: Receive) -> Value:
    """Wait for a result, the deadline, or a disconnect, whichever comes first."""
    loop = asyncio.get_running_loop()
    disconnect = loop.create_task(_wait_for_disconnect(receive))
    disconnect.add_done_callback(lambda task: _fail(future, None if task.cancelled() else DisconnectedError()))
    timer = loop.call_later(max(0.0, deadline.remaining), lambda: _fail(future, deadline.expired()))
    try:
        return await future
    finally:
        timer.cancel()
        disconnect.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _fail(future: asyncio.Future[Value], error: RequestError | None) -> None:
    if error is not None and not future.done():
        future.set_exception(error)
