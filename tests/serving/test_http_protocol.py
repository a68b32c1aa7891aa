"""Connections of the server: timers of a connection that stays open after a refusal."""

import asyncio
import gc

from levit.serving.direct_predictions import DirectPrediction
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


def test_refused_requests_leave_nothing_to_the_garbage_collector(run):
    async def test(running):
        protocol, transport = connect(running.service)
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                transport.expect_response()
                protocol.data_received(post("/predictions/unknown"))
                assert (await transport.response)[0] == 404
            # `isinstance` would run code of the objects, such as lazy attributes of torch.
            kept = [item for item in gc.get_objects() if type(item) is DirectPrediction]
        finally:
            gc.enable()
        assert len(kept) <= 1  # the last one, to which the connection refers
        protocol.connection_lost(None)

    run(test)
