"""Bodies of prediction requests: limits of what is parsed, and bodies that are not read at all."""

import gzip
import json

import pytest

from levit.serving.errors import RequestError
from levit.serving.prediction_requests import parse_body
from tests.serving.conftest import png
from tests.serving.requests import request
from tests.serving.server_process import form

RED = png(255, 0, 0)
JSON_TYPE = "application/json"


def many(count: int, content_type: str) -> tuple[bytes, str]:
    """Body with a number of images."""
    if content_type == JSON_TYPE:
        return json.dumps({"images": [""] * count}).encode(), JSON_TYPE
    body, headers = form([("a", b"")] * count)
    return body, headers["Content-Type"]


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        (JSON_TYPE, "4 images are more than the service takes at once, 3"),
        ("multipart/form-data", "the form has more parts than the service takes images at once, 3"),
    ],
)
def test_as_many_images_as_the_service_takes_are_parsed_and_no_more(content_type, message):
    assert len(parse_body(*many(3, content_type), max_images=3, check=lambda: None).images) == 3
    with pytest.raises(RequestError, match=message) as refusal:
        parse_body(*many(4, content_type), max_images=3, check=lambda: None)
    assert refusal.value.status == 413


@pytest.mark.parametrize("disposition", [b'form-data; name="top_k"', b"form-data"])
def test_a_field_of_a_form_that_is_no_file_is_refused(disposition):
    body, headers = form([("a.jpg", RED)])
    body = b"--BOUNDARY\r\nContent-Disposition: " + disposition + b"\r\n\r\n3\r\n" + body
    with pytest.raises(RequestError, match=r"of the form is no file: send options as \?top_k=3") as refusal:
        parse_body(body, headers["Content-Type"], max_images=3, check=lambda: None)
    assert refusal.value.status == 422
    assert ("'top_k'" in refusal.value.reason) == (b"name" in disposition)


def test_a_form_is_not_parsed_after_the_end_of_its_request():
    checks = []

    def check() -> None:
        checks.append(None)
        if len(checks) == 3:
            raise RequestError(504, "no result within 1 s")

    with pytest.raises(RequestError, match="no result within 1 s"):
        parse_body(*many(1000, "multipart/form-data"), max_images=1000, check=check)
    assert len(checks) == 3


@pytest.mark.parametrize("path", ["predictions/colors", "predictions/colors?timeout=600", "explanations/colors"])
def test_a_compressed_image_is_refused(run, path):
    async def test(running):
        for encoding, status in (("gzip", 415), ("identity", 200)):
            body = gzip.compress(RED) if encoding == "gzip" else RED
            headers = {"Content-Encoding": encoding, "Content-Type": "image/png"}
            response = await request(running.application, "POST", f"/{path}", body, headers)
            assert response.status == status
            assert status == 200 or response.json == {"error": "compressed bodies are not supported"}

    run(test)


@pytest.mark.parametrize("count", [2, 3])
def test_more_images_than_the_queue_has_room_for_are_refused_for_good(run, count):
    async def test(running):
        body, content_type = many(count, JSON_TYPE)
        headers = {"Content-Type": content_type}
        response = await request(running.application, "POST", "/predictions/colors", body, headers)
        error = f"{count} images are more than the service takes at once, 1"
        assert (response.status, response.json) == (413, {"error": error})

    run(test, capacity=1)
