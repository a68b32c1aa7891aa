"""Connections of the server: limits of time and size, early responses, and what a request leaves behind."""

import asyncio
import gc

import pytest

from levit.runtime.opened_model import ModelOptions
from levit.serving.http_protocol import HttpProtocol
from levit.serving.options import ServiceOptions
from levit.serving.served_model import NamedModel
from levit.serving.service import Service
from tests.serving.conftest import GatedEngine, png
from tests.serving.memory_connection import connect
from tests.serving.requests import metric, until

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


async def until_closed(protocol, transport):
    await until(lambda: transport.is_closed)
    protocol.connection_lost(None)


def test_a_head_without_an_end_is_refused(run):
    async def test(running):
        protocol, transport = connect(running.service)
        protocol.linger_pause = 0.01
        protocol.data_received(b"GET /healthz HTTP/1.1\r\nX: ")
        for _ in range(65):
            assert not transport.response.done()
            protocol.data_received(b"x" * 1024)
        status, _, body = await transport.response
        assert (status, body) == (431, b'{"error": "the head of the request is larger than 65,536 bytes"}')
        protocol.data_received(b"x" * 1024)  # discarded
        await until_closed(protocol, transport)

    run(test)


def test_large_bodies_and_many_requests_in_one_part_are_no_endless_head(run):
    async def test(running):
        protocol, transport = connect(running.service)
        for _ in range(3):
            transport.expect_response()
            protocol.data_received(predict(b"x" * 100_000, "image/png"))
            assert (await transport.response)[0] == 400
        protocol.connection_lost(None)

    run(test)


def test_fields_without_an_end_after_a_body_are_refused(run):
    async def test(running):
        protocol, transport = connect(running.service)
        running.engine.gate.clear()
        head = b"POST /predictions/colors HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        protocol.data_received(head + b"%x\r\n%s\r\n0\r\nX: " % (len(RED), RED))
        for _ in range(65):
            protocol.data_received(b"x" * 1024)
        assert (await transport.response)[0] == 431
        assert transport.has_eof
        assert metric(running.service, "levit_requests_in_progress") == 0
        protocol.connection_lost(None)

    run(test)


@pytest.mark.parametrize("rest", [b"\0", b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 66_000], ids=["no HTTP", "no end"])
@pytest.mark.parametrize("query", ["", "?timeout=600"], ids=["direct", "application"])
def test_what_comes_after_a_request_does_not_take_the_place_of_its_response(run, query, rest, capfd):
    async def test(running):
        protocol, transport = connect(running.service)
        running.engine.gate.clear()
        protocol.data_received(post(f"/predictions/colors{query}"))
        await running.engine_started()
        for part in (rest, rest):
            protocol.data_received(part)
        assert not transport.is_closed
        running.engine.gate.set()
        status, headers, _ = await transport.response
        assert (status, dict(headers)[b"connection"]) == (200, b"close")
        assert transport.has_eof
        protocol.connection_lost(None)
        await until(lambda: metric(running.service, 'levit_requests_total{model="colors",status="200"}') == 1)

    run(test)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("query", ["", "?timeout=600"], ids=["direct", "application"])
def test_a_damaged_body_in_parts_is_refused(run, query):
    async def test(running):
        protocol, transport = connect(running.service)
        head = f"POST /predictions/colors{query} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        protocol.data_received(head + b"2\r\nxy\r\nno size\r\n")
        assert (await transport.response)[0] == 400
        await until(lambda: metric(running.service, "levit_requests_in_progress") == 0)
        protocol.connection_lost(None)

    run(test)


@pytest.mark.parametrize("query", ["", "?timeout=600"], ids=["direct", "application"])
@pytest.mark.parametrize("size", [1, 100, 1_000_000], ids="parts of {}".format)
def test_an_offer_of_http_2_does_not_lose_the_body(run, query, size):
    """Java's HttpClient makes this offer with each request."""

    async def test(running):
        protocol, transport = connect(running.service)
        offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\nHost:"
        content = 2 * post(f"/predictions/colors{query}").replace(b"Host:", offer)
        for start in range(0, len(content), size):
            protocol.data_received(content[start : start + size])
        for _ in range(2):
            status, _, body = await transport.response
            assert (status, b'"red"' in body) == (200, True)
            transport.expect_response()
        protocol.connection_lost(None)

    run(test)


@pytest.mark.parametrize("rest", [b"", b"\r\n"], ids=["nothing", "an empty line"])
def test_an_idle_connection_is_closed_after_a_refusal(run, rest):
    async def test(running):
        protocol, transport = connect(running.service)
        protocol.timeout_keep_alive = protocol.head_timeout = 0.01
        protocol.data_received(post("/predictions/unknown"))
        assert (await transport.response)[0] == 404
        assert not transport.is_closed
        protocol.data_received(rest)
        await until_closed(protocol, transport)

    run(test)


@pytest.mark.parametrize("path", ["/predictions/missing", "/v2/models/missing/infer"])
@pytest.mark.parametrize("is_complete", [True, False])
def test_a_client_that_does_not_send_the_rest_of_a_refused_body_is_left(path, is_complete, monkeypatch):
    async def test():
        service = Service([NamedModel("colors", ModelOptions(GatedEngine()))], ServiceOptions())
        service.lifecycle.finish_loading()
        protocol, transport = connect(service)
        protocol.data_received(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n" % path.encode())
        status, _, _ = await transport.response
        assert (status, transport.is_closed) == (404, False)
        protocol.data_received(b"xy" if is_complete else b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert transport.is_closed != is_complete
        protocol.connection_lost(None)

    # The heads are complete at once.
    monkeypatch.setattr(HttpProtocol, "head_timeout", 0)
    asyncio.run(test())


def test_a_client_that_does_not_read_is_disconnected_and_a_slow_one_is_not(run):
    async def test(running):
        protocol, transport = connect(running.service)
        protocol.write_timeout = 0.01
        unsent = [20, 20, 30, 40, 50]  # bytes at each look, the last one first
        transport.get_write_buffer_size = unsent.pop
        protocol.pause_writing()
        await until_closed(protocol, transport)
        assert not unsent

    run(test)


@pytest.mark.parametrize("media_type", ["image/png", "application/json"])
def test_a_refused_client_that_is_still_sending_can_read_the_response(run, media_type):
    async def test(running):
        protocol, transport = connect(running.service)
        protocol.linger_pause = 0.01
        whole = predict(RED, media_type).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"colors", b"unknown")
        protocol.data_received(whole[:-10])
        assert (await transport.response)[0] == 404
        await until(lambda: transport.has_eof)
        assert not transport.is_closed
        protocol.data_received(whole[-10:])
        await until_closed(protocol, transport)

    run(test)


def test_a_connection_is_closed_after_a_response_while_the_service_drains(run):
    async def test(running):
        protocol, transport = connect(running.service)
        running.service.lifecycle.drain()
        for path, status in (("/predictions/colors", 503), ("/nothing", 404)):
            protocol, transport = connect(running.service)
            protocol.data_received(post(path))
            response = await transport.response
            assert (response[0], dict(response[1])[b"connection"]) == (status, b"close")
            await until_closed(protocol, transport)

    run(test)


@pytest.mark.parametrize("query", ["", "?timeout=600"], ids=["direct", "application"])
def test_a_request_from_before_the_drain_is_the_last_one_of_its_connection(run, query):
    async def test(running):
        protocol, transport = connect(running.service)
        running.engine.gate.clear()
        protocol.data_received(post(f"/predictions/colors{query}"))
        await running.engine_started()
        running.service.lifecycle.drain()
        running.engine.gate.set()
        status, headers, _ = await transport.response
        assert (status, dict(headers)[b"connection"]) == (200, b"close")
        await until_closed(protocol, transport)

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
