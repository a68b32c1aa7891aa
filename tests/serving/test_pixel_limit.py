"""The largest number of pixels of an image, for every kind of request."""

import json

import pytest

from levit.serving.application import create_application
from tests.serving.conftest import png
from tests.serving.requests import request

RED = png(255, 0, 0)
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 20, 30, 3], "data": [0] * 1800}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predictions/colors", RED),
        ("/explanations/colors", RED),
        ("/v2/models/colors/infer", json.dumps({"inputs": [PIXELS]}).encode()),
    ],
)
@pytest.mark.parametrize("run", [create_application], ids=["application"], indirect=True)
def test_an_image_with_more_pixels_than_the_limit_is_an_error_of_the_request(run, path, body):
    async def test(running):
        response = await request(running.application, "POST", path, body)
        assert response.status == 400
        assert "599" in response.json["error"]
        assert running.engine.batches == []

    run(test, max_pixels=599)
