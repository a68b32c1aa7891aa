"""The page at /docs: every route, and nothing of other servers."""

import base64
import html
import json
import random
import re
import shutil
import subprocess
import sys

import pytest

from levit.serving.documentation_page import render_documentation
from tests.serving.requests import request


def test_the_page_has_every_route_and_no_script(run):
    async def test(running):
        schema = (await request(running.application, "GET", "/openapi.json")).json
        response = await request(running.application, "GET", "/docs", headers={"Host": 'x"><script>'})
        page = response.body.decode()
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "<script" not in page
        assert not re.search(r'(?:src|href)="https?:', page)
        for path in schema["paths"]:
            assert f"<code>{path}</code>" in page
        assert (await request(running.application, "GET", "/docs.css")).status == 200

    run(test)


def test_the_description_names_every_status(run):
    async def test(running):
        schema = (await request(running.application, "GET", "/openapi.json")).json
        all_statuses = {"200", "400", "401", "403", "404", "408", "413", "415", "422", "429", "431", "503", "504"}
        expected = {
            ("post", "/predictions/{model}"): all_statuses,
            ("post", "/explanations/{model}"): all_statuses,
            ("post", "/v2/models/{model}/infer"): all_statuses,
            ("get", "/models"): {"200", "401", "431", "503"},
            ("get", "/v2/models/{model}"): {"200", "401", "404", "431", "503"},
            ("get", "/v2/health/live"): {"200", "431"},
            ("get", "/v2/health/ready"): {"200", "431", "503"},
            ("get", "/healthz"): {"200", "431"},
            ("get", "/readyz"): {"200", "431", "503"},
            ("get", "/metrics"): {"200", "401", "431"},
        }
        for (method, path), statuses in expected.items():
            assert set(schema["paths"][path][method]["responses"]) == statuses, path
        error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if status != "200":
                        assert response["content"]["application/json"]["schema"] == error, json.dumps(response)

    run(test)


def test_the_examples_of_json_bodies_are_accepted_as_they_are(run):
    async def test(running):
        schema = (await request(running.application, "GET", "/openapi.json")).json
        headers = {"Content-Type": "application/json"}
        sent = 0
        for path, operations in schema["paths"].items():
            content = operations.get("post", {}).get("requestBody", {}).get("content", {})
            if "application/json" in content:
                body = json.dumps(content["application/json"]["example"]).encode()
                address = path.replace("{model}", "colors")
                response = await request(running.application, "POST", address, body, headers)
                assert response.status == 200, response.body
                assert "error" not in response.body.decode().replace('"error": null', "")
                sent += 1
        assert sent == 2

    run(test)


@pytest.mark.parametrize("api_keys", [(), ("correct horse",)], ids=["without keys", "with keys"])
def test_the_description_has_the_api_keys_and_no_parameter_that_is_none(run, api_keys):
    async def test(running):
        schema = (await request(running.application, "GET", "/openapi.json")).json
        schemes = schema["components"]["securitySchemes"]
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                assert ("401" in operation["responses"]) == ("security" in operation)
                accepted = operation.get("security", [])
                assert ({} in accepted) == (bool(accepted) and not api_keys)
                assert {name for choice in accepted for name in choice} <= set(schemes)
                assert "version" not in [parameter["name"] for parameter in operation.get("parameters", ())], path
        infer = schema["paths"]["/v2/models/{model}/infer"]["post"]
        assert set(infer["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
        assert set(infer["responses"]["200"]["content"]) == {"application/json", "application/octet-stream"}
        assert "Inference-Header-Content-Length" in [parameter["name"] for parameter in infer["parameters"]]

    run(test, api_keys=api_keys)


@pytest.mark.parametrize("api_keys", [(), ("correct horse",)], ids=["without keys", "with keys"])
def test_the_commands_have_a_key_where_one_is_needed(run, api_keys):
    async def test(running):
        lines = commands((await request(running.application, "GET", "/docs")).body.decode())
        assert len(lines) > 10
        for line in lines:
            is_needed = bool(api_keys) and re.search("/health|/readyz", line) is None
            assert (" -H 'Authorization: Bearer KEY' " in line) == is_needed, line

    run(test, api_keys=api_keys)


def test_the_version_of_a_model_is_a_part_of_the_path_only(run):
    async def test(running):
        for path, status in (("/v2/models/colors?version=2", 200), ("/v2/models/colors/versions/2", 404)):
            assert (await request(running.application, "GET", path)).status == status

    run(test)


def commands(page: str) -> list[str]:
    """Commands of a page."""
    blocks = re.findall("<pre>(.*?)</pre>", page, re.DOTALL)
    return [line for block in blocks for line in html.unescape(block).split("\n") if "curl" in line]


def commands_with_base64(run) -> list[str]:
    """Commands of the page that contain a photo in base64."""
    found = []

    async def test(running):
        schema = (await request(running.application, "GET", "/openapi.json")).json
        page = render_documentation(schema, "http://127.0.0.1:8000")
        found.extend(line for line in commands(page) if "base64" in line)

    run(test)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a shell of Unix")
@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_a_command_with_a_photo_in_base64_works_for_a_large_photo(run, shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    photo = random.Random(0).randbytes(200_000)
    (tmp_path / "photo.jpg").write_bytes(photo)
    lines = commands_with_base64(run)
    assert len(lines) == 2
    for line in lines:
        script = f"curl() {{ cat; }}; {line}"
        sent = json.loads(subprocess.run([shell, "-c", script], cwd=tmp_path, capture_output=True, check=True).stdout)
        text = sent["image"] if "image" in sent else sent["inputs"][0]["data"][0]
        assert base64.b64decode(text, validate=True) == photo
