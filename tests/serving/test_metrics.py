"""Metrics of the service, as the documentation describes them."""

import asyncio
import base64
import json

import pytest

from levit.serving.application import create_application
from tests.serving.conftest import png
from tests.serving.requests import metric, request, until

RED, BLUE = png(255, 0, 0), png(0, 0, 255)
JSON = {"Content-Type": "application/json"}
MODEL = '{model="colors"}'


def stage(name: str) -> str:
    return f'levit_stage_seconds_count{{model="colors",stage="{name}"}}'


def images_in_json(*images: bytes) -> bytes:
    return json.dumps({"images": [base64.b64encode(image).decode() for image in images]}).encode()


def test_a_service_is_ready_between_its_loading_and_its_draining(run):
    async def test(running):
        assert metric(running.service, "levit_ready") == 0
        await running.service.load_in_thread()
        assert metric(running.service, "levit_ready") == 1
        running.service.lifecycle.drain()
        assert metric(running.service, "levit_ready") == 0

    run(test, is_loaded=False)


def test_images_are_counted_by_their_result(run):
    async def test(running):
        assert (await request(running.application, "POST", "/predictions/colors", RED)).status == 200
        assert (await request(running.application, "POST", "/predictions/colors", b"no image")).status == 400
        body = images_in_json(RED, b"no image", BLUE, b"")
        assert (await request(running.application, "POST", "/predictions/colors", body, JSON)).status == 200
        assert metric(running.service, 'levit_images_total{model="colors",result="ok"}') == 3
        assert metric(running.service, 'levit_images_total{model="colors",result="error"}') == 3

    run(test)


@pytest.mark.parametrize("run", [create_application], ids=["application"], indirect=True)
def test_explanations_are_counted_and_their_stages_observed(run):
    async def test(running):
        assert (await request(running.application, "POST", "/explanations/colors", RED)).status == 200
        assert (await request(running.application, "POST", "/explanations/colors", b"no image")).status == 400
        assert metric(running.service, 'levit_images_total{model="colors",result="ok"}') == 1
        assert metric(running.service, 'levit_images_total{model="colors",result="error"}') == 1
        stages = {name: metric(running.service, stage(name)) for name in ("read", "queue", "explain")}
        assert stages == {"read": 2, "queue": 2, "explain": 1}

    run(test)


def test_the_duration_of_each_request_of_a_model_is_observed(run):
    async def test(running):
        for path, body in (("colors", RED), ("default", RED), ("colors", b"no image"), ("unknown", RED)):
            await request(running.application, "POST", f"/predictions/{path}", body)
        await request(running.application, "GET", "/healthz")
        await until(lambda: metric(running.service, 'levit_requests_total{model="",status="200"}') == 1)
        assert metric(running.service, f"levit_request_seconds_count{MODEL}") == 3
        assert metric(running.service, f"levit_request_seconds_sum{MODEL}") > 0
        assert metric(running.service, 'levit_request_seconds_count{model=""}') == 0
        assert metric(running.service, 'levit_requests_total{model="colors",status="200"}') == 2
        assert metric(running.service, 'levit_requests_total{model="colors",status="400"}') == 1
        assert metric(running.service, 'levit_requests_total{model="",status="404"}') == 1

    run(test)


@pytest.mark.parametrize(("body", "headers"), [(RED, {}), (images_in_json(RED), JSON)], ids=["an image", "JSON"])
def test_each_stage_of_an_image_is_observed_once(run, body, headers):
    async def test(running):
        for count in (1, 2):
            assert (await request(running.application, "POST", "/predictions/colors", body, headers)).status == 200
            for name in ("read", "queue", "decode", "compute"):
                await until(lambda name=name, count=count: metric(running.service, stage(name)) >= count)
                assert metric(running.service, stage(name)) == count

    run(test)


def test_a_refused_explanation_is_counted_with_its_model(run):
    async def test(running):
        running.service.admission.admit(1)
        assert (await request(running.application, "POST", "/explanations/colors", RED)).status == 429
        assert metric(running.service, 'levit_requests_total{model="colors",status="429"}') == 1

    run(test, capacity=1)


def test_normalized_values_are_observed_as_one_batch(run):
    async def test(running):
        tensor = {"name": "pixel_values", "datatype": "FP32", "shape": [3, 3, 16, 16], "data": [0.5] * 2304}
        body = json.dumps({"inputs": [tensor]}).encode()
        assert (await request(running.application, "POST", "/v2/models/colors/infer", body, JSON)).status == 200
        assert metric(running.service, f"levit_batch_images_sum{MODEL}") == 3
        assert metric(running.service, stage("compute")) == 1

    run(test)


def test_an_image_that_cannot_be_decoded_is_not_computed(run):
    async def test(running):
        assert (await request(running.application, "POST", "/predictions/colors", b"no image")).status == 400
        await until(lambda: metric(running.service, stage("queue")) == 1)
        assert metric(running.service, stage("read")) == 1
        assert metric(running.service, stage("decode")) == metric(running.service, stage("compute")) == 0
        assert metric(running.service, f"levit_batch_images_count{MODEL}") == 0

    run(test)


def test_the_sizes_of_batches_are_those_that_the_engine_computes(run):
    async def test(running):
        running.engine.gate.clear()
        tasks = [asyncio.create_task(request(running.application, "POST", "/predictions/colors", RED))]
        await running.engine_started()
        tasks += [asyncio.create_task(request(running.application, "POST", "/predictions/colors", RED)) for _ in "ab"]
        await until(lambda: running.service.admission.images == 3)
        running.engine.gate.set()
        assert [response.status for response in await asyncio.gather(*tasks)] == [200] * 3
        await until(lambda: metric(running.service, f"levit_batch_images_sum{MODEL}") == 3)
        sizes = [len(batch) for batch in running.engine.batches]
        assert metric(running.service, f"levit_batch_images_count{MODEL}") == len(sizes)
        assert metric(running.service, stage("compute")) == len(sizes)
        for limit in (1, 2, 4):
            expected = sum(size <= limit for size in sizes)
            name = f'levit_batch_images_bucket{{le="{limit:.1f}",model="colors"}}'
            assert metric(running.service, name) == expected

    run(test, threads=1)
