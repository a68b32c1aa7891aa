"""Predictions of one image by the server itself, and by the general route: headers, and models of other kinds."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from levit.serving.direct_predictions import DirectPrediction
from levit.spec.artifact import Rejection
from tests.runtime.small_model import color_artifact
from tests.serving.conftest import png
from tests.serving.memory_connection import connect
from tests.serving.requests import request

RED, GRAY, YELLOW = png(255, 0, 0), png(128, 128, 128), png(255, 255, 0)
PATHS = ("/predictions/colors", "/predictions/colors?timeout=600")  # the second one is of the general route
REJECTION = Rejection(
    temperature=2.0, threshold=0.5, coverage=0.9, precision=0.9, data="colors", sha256="0" * 64, images=9,
    is_in_sample=True,
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_response_has_its_time_and_is_kept_by_no_cache(run, path):
    async def test(running):
        response = await request(running.application, "POST", path, RED)
        assert response.status == 200
        assert re.fullmatch(r"total;dur=\d+\.\d\d", response.headers["server-timing"])
        assert response.headers["cache-control"] == "no-store"

    run(test)


@pytest.mark.parametrize("path", PATHS)
def test_pages_of_allowed_origins_may_read_the_headers_of_the_service(run, path):
    async def test(running):
        headers = {"Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"}
        response = await request(running.application, "POST", path, RED, headers)
        exposed = response.headers["access-control-expose-headers"].split(", ")
        assert set(exposed) == {"Server-Timing", "Retry-After", "Inference-Header-Content-Length"}

    run(test, origins=("https://example.org",))


def test_only_requests_of_pages_leave_the_fast_path_of_a_service_for_other_origins(run):
    async def test(running):
        for origin, is_direct in (b"", True), (b"Origin: https://example.org\r\n", False):
            protocol, transport = connect(running.service)
            protocol.data_received(b"POST /predictions/colors HTTP/1.1\r\nHost: x\r\n" + origin)
            protocol.data_received(b"Content-Length: %d\r\n\r\n%s" % (len(RED), RED))
            assert isinstance(protocol.cycle, DirectPrediction) == is_direct
            status, headers, _ = await transport.response
            assert (status, b"access-control-allow-origin" in dict(headers)) == (200, not is_direct)
            protocol.connection_lost(None)

    run(test, origins=("https://example.org",))


@pytest.mark.parametrize("path", PATHS)
def test_scores_of_a_multi_label_model_are_independent(run, path):
    async def test(running):
        labels = (await request(running.application, "POST", path, YELLOW)).json["labels"]
        assert {label["name"] for label in labels[:2]} == {"red", "green"}
        assert [label["score"] for label in labels] == pytest.approx([1, 1, 0.5], abs=1e-6)
        models = (await request(running.application, "GET", "/models")).json["models"]
        assert models[0]["is_multi_label"]

    run(test, artifact=replace(color_artifact(), is_multi_label=True))


@pytest.mark.parametrize("path", PATHS)
def test_an_image_whose_score_is_below_the_threshold_of_a_model_is_unknown(run, path):
    async def test(running):
        labels = (await request(running.application, "POST", path, GRAY)).json["labels"]
        assert (labels[0]["name"], labels[0]["index"]) == ("unknown", -1)
        assert [label["score"] for label in labels] == pytest.approx([1 / 3] * 4, abs=1e-6)
        assert (await request(running.application, "POST", path, RED)).json["labels"][0]["name"] == "red"
        models = (await request(running.application, "GET", "/models")).json["models"]
        assert models[0]["threshold"] == 0.5

    run(test, artifact=replace(color_artifact(), rejection=REJECTION))
