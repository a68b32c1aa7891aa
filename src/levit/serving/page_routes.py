"""Routes of the page at /: its HTML, style and modules, which are files of the package."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import APIRouter, Request, Response

_PAGE = "index.html"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page_routes() -> APIRouter:
    """The routes of the page and its files; browsers ask each time whether a file has changed."""
    router = APIRouter(include_in_schema=False)
    for name, content in page_files().items():
        router.add_api_route("/" if name == _PAGE else f"/{name}", _responder(name, content))
    return router


def page_files() -> dict[str, bytes]:
    """Content of the files of the page by name."""
    folder = files("levit.serving") / "page"
    return {
        file.name: file.read_bytes()
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.is_file() and _suffix(file.name) in _MEDIA_TYPES
    }


def _responder(name: str, content: bytes) -> Callable[[Request], Awaitable[Response]]:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"Cache-Control": "no-cache", "ETag": tag}

    async def respond(request: Request) -> Response:
        known = request.headers.get("if-none-match", "").split(",")
        if tag in (item.strip().removeprefix("W/") for item in known):  # a proxy that compresses makes a weak one of it
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=_MEDIA_TYPES[_suffix(name)], headers=headers)

    return respond


def _suffix(name: str) -> str:
    return f".{name.rpartition('.')[2]}"
