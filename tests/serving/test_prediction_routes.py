"""POST /predictions/{model} of a real server: scores of `levit.Classifier`, forms, JSON, errors."""

import base64
import json
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import levit
from tests.conftest import EXAMPLES, GOLDEN
from tests.serving.server_process import form

PHOTOS = [*sorted(EXAMPLES.glob("*.jpg")), *sorted((GOLDEN / "preprocess" / "images").iterdir())]
CAT = (EXAMPLES / "cat.jpg").read_bytes()
NOT_AN_IMAGE = "not an image of a supported format"


@pytest.fixture(scope="module")
def classify(fruit):
    with levit.Classifier(fruit) as classifier:
        yield classifier


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_an_image_has_bit_for_bit_the_scores_of_a_classifier(server, classify, photo):
    response = server.request("POST", "/predictions/fruit", photo.read_bytes())
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert response.json == json.loads(json.dumps(classify(photo.read_bytes()).to_dict()))


def test_many_images_have_the_scores_of_a_classifier_and_a_bad_one_has_its_own_error(server, classify):
    files = [(photo.name, photo.read_bytes()) for photo in PHOTOS] * 2
    files[3] = ("notes é.txt", b"no image")
    response = server.request("POST", "/predictions/again?top_k=2", *form(files))
    assert response.status == 200
    for (name, content), prediction in zip(files, response.json["predictions"], strict=True):
        assert prediction["file"] == name
        if content == b"no image":
            assert prediction == {"file": name, "labels": [], "error": f"{name}: {NOT_AN_IMAGE}"}
        else:
            assert prediction["labels"] == classify(content).to_dict(2)["labels"]


def test_json_has_one_image_or_several_in_base64(server, classify):
    expected = classify(CAT).to_dict(1)["labels"]
    text = base64.b64encode(CAT).decode()
    one = server.post("/predictions/fruit", {"image": f"data:image/jpeg;base64,{text}", "top_k": 1})
    assert one.json == {"file": "image", "labels": expected, "error": None}
    several = server.post("/predictions/fruit", {"images": [text, "***", ""], "top_k": 1})
    assert several.json["predictions"][0]["labels"] == expected
    assert [prediction["error"] for prediction in several.json["predictions"]] == [
        None, "images[1]: not base64", f"images[2]: {NOT_AN_IMAGE}",
    ]  # fmt: skip


def test_default_is_the_first_model(server):
    assert server.request("POST", "/predictions/default", CAT).status == 200
    models = server.request("GET", "/models").json["models"]
    assert [model["name"] for model in models] == ["fruit", "again"]
    assert models[0]["labels"] == ["apple", "pear", "plum", "fig", "café"]
    assert models[0]["image_size"] == [32, 32]


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "error"),
    [
        ("fruit", b"no image", "", 400, f"<8 bytes>: {NOT_AN_IMAGE}"),
        ("fruit", b"", "image/png", 400, f"<0 bytes>: {NOT_AN_IMAGE}"),
        ("cats", CAT, "", 404, "no model is called 'cats': there are fruit, again"),
        ("fruit", CAT, "text/html", 415, "the type 'text/html' is not supported: "),
        ("fruit", b"{", "application/json", 400, "the body is not JSON"),
        ("fruit", b"[" * 100_000, "application/json", 400, "the body is not JSON"),
        ("fruit", b"[]", "application/json", 422, "the body must be a JSON object"),
        ("fruit", b"{}", "application/json", 422, "give image or images, not both"),
        ("fruit", b'{"url": "http://x"}', "application/json", 422, "unknown field 'url': give image, images or top_k"),
        ("fruit", b'{"images": []}', "application/json", 422, "images must be a list with at least one image"),
        ("fruit", b'{"image": 7}', "application/json", 422, "image must be a string in base64"),
        ("fruit", b'{"image": "", "top_k": 0}', "application/json", 422, "top_k is 0: give a whole number"),
        ("fruit", b'{"image": "***"}', "application/json", 400, "image: not base64"),
        ("fruit", b"", "multipart/form-data", 400, "the form has no boundary"),
        ("fruit", b"", "multipart/form-data; boundary=x", 400, "the form is incomplete"),
        ("fruit", b"--x--\r\n", "multipart/form-data; boundary=x", 422, "the form has no file: send each image"),
        ("fruit", b"--y\r\n", "multipart/form-data; boundary=x", 400, "the form is damaged"),
        ("fruit?top_k=0", CAT, "", 422, "top_k: input should be greater than or equal to 1"),
        ("fruit?top_k=many", CAT, "", 422, "top_k: input should be a valid integer"),
        ("fruit?timeout=0", CAT, "", 422, "timeout: input should be greater than 0"),
        ("fruit?timeout=nan", CAT, "", 422, "timeout: input should be"),
    ],
)  # fmt: skip
def test_a_wrong_request_has_a_status_and_one_line(server, path, body, kind, status, error):
    response = server.request("POST", f"/predictions/{path}", body, {"Content-Type": kind} if kind else {})
    assert response.status == status
    assert list(response.json) == ["error"]
    assert response.json["error"].startswith(error)
    assert "\n" not in response.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/x", 404, "not found: /x"),
        ("GET", "/predictions/fruit", 405, "method GET not allowed"),
    ],
)
def test_other_paths_and_methods_have_errors_as_json(server, method, path, status, error):
    response = server.request(method, path)
    assert (response.status, response.json) == (status, {"error": error})


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(server):
    stream = BytesIO()
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(stream, "PNG")
    header = bytearray(stream.getvalue())
    header[16:24] = (12_000).to_bytes(4, "big") * 2  # width and height
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    response = server.request("POST", "/predictions/fruit", bytes(header))
    assert response.status == 400
    assert "144,000,000 pixels are more than the limit of 100,000,000" in response.json["error"]
