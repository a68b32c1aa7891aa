"""The page at /docs: all routes with their parameters, responses and examples, without scripts or other servers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

_METHODS = ("get", "post")

# JSON around a photo in base64, from a pipe, because systems limit the length of an argument.
_AROUND_PHOTO = """{{ printf '{before}'; base64 < photo.jpg | tr -d '\\n'; printf '{after}'; }} | curl --json @-"""

# Commands by route, and what follows the address; further ones than the first show other forms of the body.
_COMMANDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "/predictions/{model}": (
        ("curl --data-binary @photo.jpg", "?top_k=3"),
        ("curl -F files=@one.jpg -F files=@two.jpg", ""),
        (_AROUND_PHOTO.format(before='{"image": "', after='"}'), ""),
    ),
    "/explanations/{model}": (("curl --data-binary @photo.jpg", ""),),
    "/v2/models/{model}/infer": (
        (
            _AROUND_PHOTO.format(
                before='{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["', after='"]}]}'
            ),
            "",
        ),
    ),
}


def documentation_routes(application: FastAPI) -> APIRouter:
    """The route of the page.

    Args:
        application: the application whose routes it describes.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def documentation(request: Request) -> HTMLResponse:
        """The page."""
        return HTMLResponse(render_documentation(application.openapi(), str(request.base_url).rstrip("/")))

    return router


def render_documentation(schema: Mapping[str, Any], url: str) -> str:
    """HTML of the page.

    Args:
        schema: description of the routes, in the form of OpenAPI.
        url: address of the service in the examples.
    """
    sections: dict[str, list[str]] = {}
    for path, operations in schema["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                sections.setdefault(operation["tags"][0], []).append(_operation(method, path, operation, url))
    body = "".join(f"<section><h2>{escape(tag)}</h2>{''.join(items)}</section>" for tag, items in sections.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>levit: API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="icon.svg">'
        '<link rel="stylesheet" href="docs.css"></head><body><header><h1>API of this service</h1>'
        f"<p>levit {escape(schema['info']['version'])}. Errors are always <code>{{&quot;error&quot;: &quot;…&quot;}}"
        '</code>. For programs: <a href="openapi.json">openapi.json</a>. <a href="./">The page</a></p></header>'
        f"<main>{body}</main></body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any], url: str) -> str:
    address = url + path.replace("{model}", "default")
    commands = _COMMANDS.get(path, (("curl", ""),))
    key = "" if {} in operation.get("security", [{}]) else " -H 'Authorization: Bearer KEY'"
    shown = "\n".join(f"{command}{key} {shlex.quote(address + query)}" for command, query in commands)
    return (
        f'<article><h3><span class="{method}">{method.upper()}</span> <code>{escape(path)}</code></h3>'
        f"<p><strong>{escape(operation['summary'])}.</strong> {_paragraphs(operation.get('description', ''))}</p>"
        f"<pre>{escape(shown)}</pre>{_parameters(operation.get('parameters', ()))}{_body(operation)}"
        f"{_responses(operation['responses'])}</article>"
    )


def _paragraphs(text: str) -> str:
    """A description with `code` in backticks."""
    parts = escape(text).replace("\n\n", "</p><p>").split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _parameters(parameters: Iterable[Mapping[str, Any]]) -> str:
    rows = [(item["name"], item["in"], item.get("description", "")) for item in parameters]
    return _table(("parameter", "in", "meaning"), rows)


def _body(operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return ""
    kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in content)
    examples = [_json(entry["example"]) for entry in content.values() if "example" in entry]
    return f"<p>Body: {kinds}</p>" + "".join(examples)


def _responses(responses: Mapping[str, Mapping[str, Any]]) -> str:
    examples = []
    for entry in responses["200"].get("content", {}).values():
        values = [example["value"] for example in entry.get("examples", {}).values()]
        examples += [_json(value) for value in (*values, *([entry["example"]] if "example" in entry else []))]
    rows = [(status, "", response["description"]) for status, response in sorted(responses.items()) if status != "200"]
    table = _table(("status", "", "reason"), rows)
    return "".join(examples) + (f"<details><summary>Errors</summary>{table}</details>" if rows else "")


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"


def _table(head: tuple[str, str, str], rows: Iterable[tuple[str, str, str]]) -> str:
    def cells(kind: str, values: Iterable[str]) -> Iterator[str]:
        return (f"<{kind}>{_paragraphs(value)}</{kind}>" for value, name in zip(values, head, strict=True) if name)

    body = "".join(f"<tr>{''.join(cells('td', row))}</tr>" for row in rows)
    return f"<table><tr>{''.join(cells('th', head))}</tr>{body}</table>" if body else ""
