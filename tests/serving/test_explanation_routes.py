"""POST /explanations/{model}, by a real service."""

import asyncio
import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
import pytest

import levit
from levit.serving import explanation_routes
from levit.serving.application import create_application
from tests.conftest import EXAMPLES
from tests.serving.page_browser import running_service
from tests.serving.requests import request, until

CAT = (EXAMPLES / "cat.jpg").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def address(folder):
    with running_service(folder, "--queue", "200") as url:
        yield url


def post(address: str, path: str, body: bytes, content_type: str = "image/jpeg") -> tuple[int, dict]:
    connection = HTTPConnection(urlsplit(address).netloc, timeout=120)
    connection.request("POST", path, body, {"Content-Type": content_type})
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    return response.status, content


def queue_depth(address: str) -> float:
    connection = HTTPConnection(urlsplit(address).netloc, timeout=120)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    (value,) = (line.split()[1] for line in lines if line.startswith("levit_queue_images "))
    return float(value)


def test_the_map_is_that_of_the_library(address, folder):
    status, values = post(address, "/explanations/fruit?class_name=fig", CAT)
    assert status == 200
    expected = levit.explain(CAT, model=folder / "fruit", class_name="fig", engine="onnxruntime").to_dict()
    assert values["label"]["name"] == "fig"
    assert {name: values[name] for name in ("view", "width", "height")} == {
        name: expected[name] for name in ("view", "width", "height")
    }
    assert np.allclose(values["values"], expected["values"], atol=1e-4)
    assert np.max(values["relative"]) == 1


def test_the_best_class_is_the_default_and_cam_is_a_method(address):
    _, prediction = post(address, "/predictions/fruit", CAT)
    status, values = post(address, "/explanations/fruit?method=cam", CAT)
    assert status == 200
    assert values["label"]["name"] == prediction["labels"][0]["name"]
    assert values["method"] == "cam"


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status", "error"),
    [
        ("none", CAT, "image/jpeg", 404, "no model is called 'none'"),
        ("fruit", b"no image", "image/jpeg", 400, "not an image"),
        ("fruit", b"{}", "application/json", 415, "an explanation is of one image: send the image itself"),
        ("fruit?class_index=99", CAT, "image/jpeg", 422, "class_index is 99, and the model has 5 classes"),
        ("fruit?class_name=kiwi", CAT, "image/jpeg", 422, "unknown class 'kiwi'"),
        ("fruit?class_name=fig&class_index=1", CAT, "image/jpeg", 422, "give class_index or class_name, not both"),
        ("fruit?class_index=-1", CAT, "image/jpeg", 422, "class_index: "),
        ("fruit?method=magic", CAT, "image/jpeg", 422, "method: "),
    ],
)
def test_errors_have_one_line_and_no_traceback(address, path, body, content_type, status, error):
    assert queue_depth(address) == 0
    actual, values = post(address, f"/explanations/{path}", body, content_type)
    assert actual == status
    assert list(values) == ["error"]
    assert error in values["error"]
    assert queue_depth(address) == 0


def test_an_explanation_of_any_method_fits_into_a_queue_of_one_image(tmp_path):
    with running_service(tmp_path, "--queue", "1") as url:
        for method in ("occlusion", "cam"):
            assert post(url, f"/explanations/fruit?method={method}", CAT)[0] == 200


@pytest.mark.parametrize("run", [create_application], ids=["application"], indirect=True)
def test_a_method_that_a_model_does_not_have_is_an_error_of_the_request(run):
    async def test(running):
        response = await request(running.application, "POST", "/explanations/colors?method=cam", CAT)
        assert response.status == 422
        assert response.json["error"].endswith("give the file, or use `method` occlusion")
        assert "retry-after" not in response.headers

    run(test)


@pytest.mark.parametrize("run", [create_application], ids=["application"], indirect=True)
def test_an_explanation_counts_its_forward_passes(run):
    async def test(running):
        running.engine.gate.clear()
        explaining = asyncio.create_task(request(running.application, "POST", "/explanations/colors", CAT))
        await running.engine_started()
        await until(lambda: running.service.admission.images == 197)
        second = await request(running.application, "POST", "/explanations/colors", CAT)
        assert (second.status, second.json["error"]) == (429, "the queue is full: 197 of 200 images")
        running.engine.gate.set()
        assert (await explaining).status == 200
        assert running.service.admission.images == 0

    run(test, capacity=200)


# Each connection in memory has an application of its own.
@pytest.mark.parametrize("run", [create_application], ids=["application"], indirect=True)
def test_the_explainer_of_a_model_is_made_once_and_responses_are_kept_by_no_cache(run, monkeypatch):
    made, make = [], explanation_routes.Explainer
    monkeypatch.setattr(explanation_routes, "Explainer", lambda **options: made.append(options) or make(**options))

    async def test(running):
        for model in ("colors", "default"):
            response = await request(running.application, "POST", f"/explanations/{model}", CAT)
            assert response.status == 200
            assert response.headers["server-timing"].startswith("total;dur=")
            assert response.headers["cache-control"] == "no-store"
        assert len(made) == 1

    run(test, capacity=200)
