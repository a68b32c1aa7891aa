"""The page at /docs: every route, and nothing of other servers."""

import json
import re

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
        statuses = set(schema["paths"]["/predictions/{model}"]["post"]["responses"])
        assert {"200", "400", "401", "404", "408", "413", "415", "422", "429", "503", "504"} <= statuses
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
