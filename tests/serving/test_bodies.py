"""Bodies of requests: limits of their size, and of the memory for all of them."""

import asyncio
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.serving.bodies import Body, BodyReader
from levit.serving.deadlines import Deadline
from levit.serving.errors import RequestError
from levit.serving.lifecycle import Lifecycle
from tests.serving.conftest import png
from tests.serving.requests import Connection, request, until

RED = png(255, 0, 0)


@pytest.mark.parametrize("parts", [[b"x" * 1001], [b"x" * 600, b"x" * 600]], ids=["at once", "in parts"])
def test_a_body_above_the_limit_is_refused_while_it_is_read(run, parts):
    async def test(running):
        connection = Connection(parts, is_complete=False)
        refused = await request(running.application, "POST", "/predictions/colors", connection=connection)
        assert (refused.status, refused.json["error"]) == (413, "the body is larger than the limit of 0.001 MB")
        assert running.service.bodies.held == 0

    run(test, max_body=1000)


def test_a_body_whose_length_is_above_the_limit_is_refused_before_it_is_read(run):
    async def test(running):
        connection = Connection([], is_complete=False)
        headers = {"Content-Length": "1001"}
        path = "/predictions/colors"
        assert (await request(running.application, "POST", path, headers=headers, connection=connection)).status == 413

    run(test, max_body=1000)


def test_the_service_may_end_in_the_moment_of_the_deadline_of_a_body():
    async def test():
        lifecycle, loop, reported = Lifecycle(), asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: reported.append(context))

        async def receive():
            loop.call_soon(lifecycle.end)  # behind the end of the time for the body, in the same iteration
            await asyncio.sleep(600)

        with pytest.raises(RequestError) as refused:
            async with BodyReader(1000, lifecycle).read(receive, None, Deadline(0.0)):
                pass
        assert (refused.value.status, reported) == (503, [])

    asyncio.run(test())


def test_bodies_that_need_too_much_memory_together_are_refused(run):
    async def test(running):
        path, size = "/predictions/colors", 1000
        connections = [Connection([bytes(size)], is_complete=False) for _ in range(32)]
        held = [
            asyncio.create_task(request(running.application, "POST", path, connection=connection))
            for connection in connections
        ]
        await until(lambda: running.service.bodies.held == 32 * size)
        assert not any(task.done() for task in held)
        refused = await request(running.application, "POST", path, b"x")
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert refused.json == {"error": "too many requests are being received"}
        assert running.service.bodies.held == 32 * size
        for connection in connections:
            connection.disconnect()
        await asyncio.gather(*held)
        assert running.service.bodies.held == 0
        assert (await request(running.application, "POST", path, RED)).status == 200

    run(test, max_body=1000)


def body_of(parts) -> Body:
    body = Body(BodyReader(10_000_000, Lifecycle()))
    for part in parts:
        body.add(part)
    return body


@given(st.lists(st.one_of(st.binary(max_size=9), st.integers(4_000, 5_000).map(lambda size: b"x" * size))))
def test_a_body_is_its_parts_in_their_order(parts):
    content = body_of(parts).content()
    assert isinstance(content, bytes)
    assert content == b"".join(parts)


def test_one_large_part_is_not_copied():
    part = bytes(5_000)
    assert body_of([part, b""]).content() is part


def test_small_parts_take_hardly_more_memory_than_their_bytes():
    parts = (number.to_bytes(2, "big") for number in range(50_000))
    tracemalloc.start()
    try:
        body = body_of(parts)
        assert tracemalloc.get_traced_memory()[0] < 200_000
        assert len(body.content()) == 100_000
    finally:
        tracemalloc.stop()
