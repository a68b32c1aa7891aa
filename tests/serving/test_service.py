"""Admission, deadlines, disconnects and states, in an application whose engine waits for the test."""

import asyncio
import base64
import json
import threading

import pytest

from levit.runtime.cpu_count import usable_cores
from levit.serving.deadlines import Deadline
from tests.serving.conftest import png
from tests.serving.requests import Connection, metric, request, until

RED, BLUE = png(255, 0, 0), png(0, 0, 255)


def test_a_full_queue_refuses_a_request_and_accepts_one_when_it_is_empty_again(run):
    async def test(running):
        running.engine.gate.clear()
        first = asyncio.create_task(request(running.application, "POST", "/predictions/colors", RED))
        await running.engine_started()
        second = asyncio.create_task(request(running.application, "POST", "/predictions/colors", BLUE))
        await until(lambda: running.service.admission.images == 2)
        refused = await request(running.application, "POST", "/predictions/colors", RED)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert refused.json == {"error": "the queue is full: 2 of 2 images"}
        for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
            assert (await request(running.application, "GET", path)).status == 200
        assert metric(running.service, "levit_queue_images") == 2
        running.engine.gate.set()
        assert [response.json["labels"][0]["name"] for response in await asyncio.gather(first, second)] == [
            "red", "blue",
        ]  # fmt: skip
        assert (await request(running.application, "POST", "/predictions/colors", RED)).status == 200
        assert metric(running.service, "levit_queue_images") == 0
        assert metric(running.service, 'levit_requests_total{model="colors",status="429"}') == 1

    run(test, capacity=2)


def test_concurrent_requests_are_computed_in_batches_with_the_results_of_each(run):
    async def test(running):
        running.engine.gate.clear()
        colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)] * 12
        requests = [request(running.application, "POST", "/predictions/default", png(*color)) for color in colors]
        tasks = [asyncio.create_task(item) for item in requests]
        await running.engine_started()
        await until(lambda: running.service.admission.images == len(colors))
        running.engine.gate.set()
        names = [response.json["labels"][0]["name"] for response in await asyncio.gather(*tasks)]
        assert names == ["red", "green", "blue"] * 12
        sizes = [len(batch) for batch in running.engine.batches]
        assert sum(sizes) == len(colors)
        assert max(sizes) <= 16
        assert len(sizes) < len(colors)

    run(test)


def test_a_disconnect_takes_the_images_out_of_the_queue(run):
    async def test(running):
        running.engine.gate.clear()
        first = asyncio.create_task(request(running.application, "POST", "/predictions/colors", RED))
        await running.engine_started()
        connection = Connection([BLUE])
        waiting = request(running.application, "POST", "/predictions/colors", connection=connection)
        second = asyncio.create_task(waiting)
        await until(lambda: running.service.admission.images == 2)
        connection.disconnect()
        await second
        assert running.service.admission.images == 1
        assert metric(running.service, 'levit_requests_total{model="colors",status="499"}') == 1
        running.engine.gate.set()
        assert (await first).status == 200
        assert metric(running.service, "levit_queue_images") == 0
        assert metric(running.service, "levit_requests_in_progress") == 0

    run(test)


def test_a_disconnect_before_the_end_of_the_body_is_no_error_of_the_service(run):
    async def test(running):
        connection = Connection([RED[:20]], is_complete=False)
        connection.disconnect()
        await request(running.application, "POST", "/predictions/colors", connection=connection)
        assert running.service.bodies.held == 0
        assert metric(running.service, "levit_requests_in_progress") == 0
        assert running.engine.batches == []

    run(test)


def test_a_request_ends_at_its_deadline_and_its_image_is_not_computed(run):
    async def test(running):
        running.engine.gate.clear()
        first = []
        for _ in range(usable_cores()):  # every thread that may compute waits at the gate
            first.append(asyncio.create_task(request(running.application, "POST", "/predictions/colors", RED)))
            await running.engine_started()
        late = await request(running.application, "POST", "/predictions/colors?timeout=0.01", BLUE)
        assert (late.status, late.json) == (504, {"error": "no result within 0.01 s"})
        running.engine.gate.set()
        assert [response.status for response in await asyncio.gather(*first)] == [200] * len(first)
        assert (await request(running.application, "POST", "/predictions/colors", RED)).status == 200
        assert sum(len(batch) for batch in running.engine.batches) == len(first) + 1

    run(test)


def test_a_body_that_does_not_come_in_time_is_refused(run):
    async def test(running):
        connection = Connection([RED[:20]], is_complete=False)
        late = await request(running.application, "POST", "/predictions/colors?timeout=0.01", connection=connection)
        assert late.status == 408
        assert running.service.bodies.held == 0

    run(test)


def test_a_service_that_loads_is_healthy_and_not_ready(run):
    async def test(running):
        assert (await request(running.application, "GET", "/healthz")).status == 200
        for path in ("/readyz", "/models", "/v2/health/ready", "/v2/models/colors", "/v2/models/colors/ready"):
            response = await request(running.application, "GET", path)
            assert (response.status, response.json) == (503, {"error": "the service is loading"})
        refused = await request(running.application, "POST", "/predictions/colors", RED)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")

    run(test, is_loaded=False)


def test_a_service_that_is_stopped_while_it_loads_ends_without_an_error(run):
    async def test(running):
        running.engine.gate.clear()
        loading = asyncio.create_task(running.service.load_in_thread())
        await running.engine_started()
        running.service.lifecycle.end()
        loading.cancel()
        (thread,) = (thread for thread in threading.enumerate() if thread.name == "levit-load")
        running.engine.gate.set()
        await asyncio.to_thread(thread.join)  # an exception in it would be a warning, and so an error
        assert not running.service.lifecycle.is_ready
        assert (await request(running.application, "GET", "/readyz")).json == {"error": "the service is draining"}

    run(test, is_loaded=False)


def test_a_service_that_drains_finishes_what_it_has_accepted_and_accepts_nothing_else(run):
    async def test(running):
        running.engine.gate.clear()
        accepted = asyncio.create_task(request(running.application, "POST", "/predictions/colors", RED))
        await running.engine_started()
        connection = Connection([RED[:20]], is_complete=False)
        incomplete = request(running.application, "POST", "/predictions/colors", connection=connection)
        half_sent = asyncio.create_task(incomplete)
        await until(lambda: running.service.bodies.held == len(RED) + 20)
        running.service.lifecycle.drain()
        assert (await request(running.application, "GET", "/readyz")).status == 503
        assert (await request(running.application, "GET", "/healthz")).status == 200
        assert (await request(running.application, "POST", "/predictions/colors", BLUE)).status == 503
        running.service.lifecycle.end()
        assert (await half_sent).status == 503
        running.engine.gate.set()
        response = await accepted
        assert (response.status, response.json["labels"][0]["name"]) == (200, "red")

    run(test)


def test_more_images_than_the_queue_can_take_are_refused(run):
    async def test(running):
        body = b'{"images": ["", "", ""]}'
        headers = {"Content-Type": "application/json"}
        refused = await request(running.application, "POST", "/predictions/colors", body, headers)
        assert refused.status == 413
        assert running.service.admission.images == 0

    run(test, capacity=1)


def test_a_failure_of_the_engine_is_an_error_without_a_traceback(run, capfd):
    async def test(running):
        running.engine._logits = lambda batch: 1 / 0
        refused = await request(running.application, "POST", "/predictions/colors", RED)
        assert (refused.status, refused.json) == (500, {"error": "the computation failed (ZeroDivisionError)"})
        running.engine._logits = lambda batch: 20 * batch.mean((2, 3))
        assert (await request(running.application, "POST", "/predictions/colors", RED)).status == 200

    run(test)
    assert capfd.readouterr().err == ""


def test_the_other_images_of_a_request_are_not_computed_after_a_failure_of_the_engine(run):
    async def test(running):
        computed = []

        def fail(batch):
            computed.append(len(batch))
            raise ZeroDivisionError

        running.engine._logits = fail
        text = base64.b64encode(RED).decode()
        body = json.dumps({"images": [text] * 200}).encode()
        headers = {"Content-Type": "application/json"}
        refused = await request(running.application, "POST", "/predictions/colors", body, headers)
        after = await request(running.application, "POST", "/predictions/colors", RED)  # in the order of the queue
        assert (refused.status, after.status) == (500, 500)
        assert sum(computed) < 200

    run(test, threads=1)


def test_an_error_of_the_program_itself_is_one_line_in_the_log(run, capfd, monkeypatch):
    async def test(running):
        monkeypatch.setattr(running.service, "accept", lambda model, scope: {}["secret"])
        refused = await request(running.application, "POST", "/predictions/colors", RED)
        assert (refused.status, refused.json) == (500, {"error": "internal error"})

    run(test)
    line = capfd.readouterr().err
    assert line.startswith("levit: POST /predictions/colors: KeyError at test_service.py:")
    assert line.count("\n") == 1


def test_head_has_the_status_and_the_headers_of_get_without_a_body(run):
    async def test(running):
        for path in ("/healthz", "/readyz", "/models", "/v2/health/ready", "/"):
            get = await request(running.application, "GET", path)
            head = await request(running.application, "HEAD", path)
            assert (head.status, head.body, head.headers) == (200, b"", get.headers)
            assert int(head.headers["content-length"]) == len(get.body) > 0
        assert (await request(running.application, "HEAD", "/predictions/colors")).status == 405
        running.service.lifecycle.drain()
        assert (await request(running.application, "HEAD", "/readyz")).status == 503

    run(test)


def test_a_full_queue_refuses_a_request_before_its_body(run):
    async def test(running):
        running.engine.gate.clear()
        first = asyncio.create_task(request(running.application, "POST", "/predictions/colors", RED))
        await running.engine_started()
        head_only = Connection([], is_complete=False)
        refused = await request(running.application, "POST", "/predictions/colors", connection=head_only)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        running.engine.gate.set()
        assert (await first).status == 200

    run(test, capacity=1)


def test_a_request_of_the_fast_route_has_the_response_of_the_general_one(run):
    async def test(running):
        for query, body in (("", RED), ("top_k=2", BLUE), ("top_k=2", b"no image"), ("top_k=999999", RED)):
            fast = await request(running.application, "POST", f"/predictions/colors?{query}", body)
            general = await request(running.application, "POST", f"/predictions/colors?{query}&timeout=600", body)
            assert (fast.status, fast.body) == (general.status, general.body)
            assert sorted(fast.headers) == sorted(general.headers)
        missing = [
            await request(running.application, "POST", f"/predictions/cats{query}", RED) for query in ("", "?timeout=1")
        ]
        assert [(response.status, response.body) for response in missing] == [(404, missing[0].body)] * 2

    run(test)


VALUES = {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": [0.5] * 768}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/predictions/colors", {"image": base64.b64encode(RED).decode()}),
        ("/v2/models/colors/infer", {"inputs": [VALUES]}),
    ],
)
def test_a_request_in_json_does_not_wait_for_explanations(run, path, values):
    async def test(running):
        gate = threading.Event()
        connection = Connection([])
        explaining = asyncio.create_task(running.service.run("explain", gate.wait, Deadline(600), connection.receive))
        await asyncio.sleep(0)
        headers = {"content-type": "application/json"}
        response = await request(running.application, "POST", path, json.dumps(values).encode(), headers)
        assert (response.status, explaining.done()) == (200, False)
        gate.set()
        assert await explaining

    run(test, threads=1)
