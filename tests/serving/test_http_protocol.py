"""Connections of the server: timers of a connection that stays open after a refusal."""

import asyncio
import gc

import pytest

from tests.serving.conftest import png
from tests.serving.memory_connection import connect

RED = png(255, 0, 0)


def post(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(RED)}\r\n\r\n".encode() + RED


def test_a_refusal_before_the_end_of_the_body_does_not_end_the_next_request(run):
    async def test(running):
        protocol, transport = connect(running.service)
        protocol.timeout_keep_alive = 0.01
        protocol.data_received(post("/predictions/unknown"))
        assert (await transport.response)[0] == 404
        running.engine.gate.clear()
        transport.expect_response()
        protocol.data_received(post("/predictions/colors"))
        await running.engine_started()
        await asyncio.sleep(5 * protocol.timeout_keep_alive)
        assert not transport.is_closed
        running.engine.gate.set()
        assert (await transport.response)[0] == 200
        protocol.connection_lost(None)

    run(test)


def test_an_idle_connection_is_closed_after_a_refusal(run):
    async def test(running):
        protocol, transport = connect(running.service)
        protocol.timeout_keep_alive = 0.01
        protocol.data_received(post("/predictions/unknown"))
        assert (await transport.response)[0] == 404
        assert not transport.is_closed
        while not transport.is_closed:
            await asyncio.sleep(protocol.timeout_keep_alive)
        protocol.connection_lost(None)

    run(test)


def predict(body: bytes, media_type: str, query: str = "") -> bytes:
    head = f"POST /predictions/colors{query} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post("/predictions/unknown"), 404),
        (post("/nothing"), 404),
        (post("/explanations/unknown"), 404),
        (predict(RED, "image/png"), 200),
        (predict(b"damaged", "image/png"), 400),
        (predict(b"x" * 2000, "image/png"), 413),
        (predict(RED, "image/png", "?timeout=1e-9"), 504),
        (predict(b"{", "application/json"), 400),
        (predict(b'{"images": [""]}', "application/json"), 200),
        (predict(b'{"image": ""}', "application/json"), 400),
        (predict(b'{"image": ""}', "application/json", "?top_k=none"), 422),
        (predict(b"damaged", "multipart/form-data; boundary=x"), 400),
    ],
    ids=[
        "unknown model",
        "unknown path",
        "unknown model of an explanation",
        "image",
        "damaged image",
        "long body",
        "timeout",
        "damaged JSON",
        "list with a damaged image",
        "damaged image in JSON",
        "wrong parameter",
        "damaged form",
    ],
)
def test_a_request_that_has_ended_leaves_nothing_to_the_garbage_collector(run, request_bytes, status):
    async def test(running):
        protocol, transport = connect(running.service)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(10):
                transport.expect_response()
                protocol.data_received(request_bytes)
                assert (await transport.response)[0] == status
            gc.collect()
            # `isinstance` would run code of the objects, such as lazy attributes of torch.
            kept = [type(item).__name__ for item in gc.garbage if type(item).__module__.startswith("levit.")]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert kept == []
        protocol.connection_lost(None)

    run(test, max_body=1000)
