"""Threads of the service: every image is computed once, in batches of one model, in whatever order they end."""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from levit.errors import EngineError, ImageError
from levit.runtime.image_results import ImageResult
from levit.serving.deadlines import Deadline
from levit.serving.errors import RequestError
from levit.serving.image_threads import ImageThreads
from levit.serving.image_work import ImageWork, RequestImage
from levit.serving.metrics import Metrics


class Model:
    """Model whose images are their numbers, and whose results are ten times these."""

    def __init__(self, name, batch_size=8):
        self.name, self.batch_size = name, batch_size
        self.batches = []
        self.computation = SimpleNamespace(preprocess=self.preprocess)
        self.gate = threading.Event()
        self.gate.set()

    def preprocess(self, source):
        if source == b"bad":
            raise ImageError("not an image", source="in memory")
        return np.full((2, 2, 3), int(source), np.uint8)

    def compute(self, names, images, *, is_alone):
        assert self.gate.wait(600)
        if any(image[0, 0, 0] == 255 for image in images):
            raise EngineError("failed")
        self.batches.append((len(images), is_alone))
        return [
            ImageResult(name, np.float32([10 * int(image[0, 0, 0])])) for name, image in zip(names, images, strict=True)
        ]


def values(results):
    return [str(result.error) if result.error else float(result.row[0]) for result in results]


def work(model, *contents, deadline=None):
    images = [RequestImage(str(content).encode(), f"{content}.png") for content in contents]
    return ImageWork(model, images, deadline or Deadline(600), values)


@pytest.fixture
def run():
    """Run a coroutine function with threads."""

    def run(test, count=2):
        async def main():
            threads = ImageThreads(count, Metrics())
            try:
                await test(threads)
            finally:
                threads.close()

        asyncio.run(main())

    return run


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_image_of_many_requests_has_its_result(run, count):
    async def test(threads):
        models = [Model("a"), Model("b", batch_size=16)]
        works = [work(models[number % 2], *range(number % 5 + 1)) for number in range(200)]
        for item in works:
            threads.add(item)
        results = await asyncio.gather(*(item.future for item in works))
        assert results == [[10.0 * content for content in range(number % 5 + 1)] for number in range(200)]
        assert all(size <= 16 for model in models for size, _ in model.batches)
        assert sum(size for model in models for size, _ in model.batches) == sum(map(len, results))

    run(test, count)


def test_images_that_wait_are_computed_together_and_one_alone_by_all_cores(run):
    async def test(threads):
        model = Model("a")
        model.gate.clear()
        works = [work(model, number) for number in range(20)]
        for item in works:
            threads.add(item)
        model.gate.set()
        await asyncio.gather(*(item.future for item in works))
        assert max(size for size, _ in model.batches) > 1
        model.batches.clear()
        last = work(model, 7)
        threads.add(last)
        assert await last.future == [70.0]
        assert model.batches == [(1, True)]

    run(test, count=1)


def test_an_image_with_an_error_and_a_request_that_has_ended_do_not_affect_others(run):
    async def test(threads):
        model = Model("a")
        ended = Deadline(600)
        ended.abandon()
        first, second = work(model, 1, "bad", 2), work(model, 3, deadline=ended)
        for item in (first, second):
            threads.add(item)
        assert await first.future == [10.0, "bad.png: not an image", 20.0]
        with pytest.raises(RequestError, match="the request has ended"):
            await second.future
        assert sum(size for size, _ in model.batches) == 2

    run(test)


def test_a_failed_batch_is_an_error_of_its_requests_and_the_threads_go_on(run):
    async def test(threads):
        model = Model("a")
        failing = work(model, 255)
        threads.add(failing)
        with pytest.raises(EngineError, match="failed"):
            await failing.future
        following = work(model, 4)
        threads.add(following)
        assert await following.future == [40.0]

    run(test)


def test_threads_end_after_closing(run):
    async def test(threads):
        item = work(Model("a"), 1)
        threads.add(item)
        await item.future
        threads.close()
        for thread in threads._threads:
            await asyncio.to_thread(thread.join, 600)
            assert not thread.is_alive()

    run(test)
