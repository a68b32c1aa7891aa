"""Fixtures of the service's tests: an application with an engine that waits, and real servers."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from levit.runtime.opened_model import ModelOptions
from levit.serving.application import create_application
from levit.serving.options import ServiceOptions
from levit.serving.served_model import NamedModel
from levit.serving.service import Service
from levit.spec.artifact import Artifact
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact, write_checkpoint
from tests.serving.memory_connection import connections
from tests.serving.page_browser import find_browser, launched_browser, opened_pages, running_service
from tests.serving.server_process import ServerProcess


def png(red: int, green: int, blue: int) -> bytes:
    """Content of an image of one color."""
    stream = BytesIO()
    Image.new("RGB", (20, 30), (red, green, blue)).save(stream, "PNG")
    return stream.getvalue()


class GatedEngine(FakeEngine):
    """Engine of colors that computes only while its gate is open; `started` counts the batches that have begun."""

    def __init__(self, artifact: Artifact | None = None) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        super().__init__(artifact or color_artifact(), self._wait)

    def _wait(self, batch: np.ndarray) -> np.ndarray:
        self.started.release()
        assert self.gate.wait(600)
        return 20 * batch.mean((2, 3))


@dataclass
class Running:
    """Service in this process, with its application and its engine."""

    service: Service
    application: Any
    engine: GatedEngine

    async def engine_started(self) -> None:
        """Wait until the engine has begun to compute another batch."""
        assert await asyncio.to_thread(self.engine.started.acquire, timeout=600)


Run = Callable[..., None]


@pytest.fixture(params=[create_application, connections], ids=["application", "connection"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a coroutine function with a service in this process; the gate is open unless the test closes it.

    Requests go to the application, as of any ASGI server, or through a connection of the service's own server.
    """

    def run(
        test: Callable[[Running], Awaitable[None]],
        *,
        is_loaded: bool = True,
        artifact: Artifact | None = None,
        **options: Any,
    ) -> None:
        asyncio.run(_run(test, request.param, GatedEngine(artifact), options, is_loaded=is_loaded))

    interval = sys.getswitchinterval()
    yield run
    sys.setswitchinterval(interval)  # a service that has loaded its models shortens it


async def _run(
    test: Callable[[Running], Awaitable[None]],
    open_application: Callable[[Service], Any],
    engine: GatedEngine,
    options: dict[str, Any],
    *,
    is_loaded: bool,
) -> None:
    engine.gate.set()
    service = Service([NamedModel("colors", ModelOptions(engine))], ServiceOptions(**options))
    running = Running(service, open_application(service), engine)
    if is_loaded:
        await service.load_in_thread()
        while engine.started.acquire(blocking=False):
            pass
        engine.batches.clear()
    try:
        await test(running)
    finally:
        engine.gate.set()
        service.close()


@pytest.fixture(scope="session")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small checkpoint, which compiles fast."""
    return write_checkpoint(tmp_path_factory.mktemp("models") / "fruit")


@pytest.fixture(scope="module")
def server(fruit: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Real server with two models."""
    cache = tmp_path_factory.mktemp("cache")
    with ServerProcess(f"fruit={fruit}", f"again={fruit}", "--drain", "0", cache=cache) as process:
        yield process


@pytest.fixture(scope="module")
def page_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real server for a browser, with the models `fruit` and `other`."""
    find_browser()
    with running_service(tmp_path_factory.mktemp("models")) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Browser without a window."""
    with launched_browser() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Any, page_address: str) -> Iterator[Callable[..., Any]]:
    """Function that opens the page; at the end, nothing may have failed in it."""
    with opened_pages(browser, page_address) as open_page:
        yield open_page
