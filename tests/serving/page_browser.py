"""A real service with two small models, and a headless browser for its page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.small_model import write_checkpoint
from tests.serving.server_process import ServerProcess

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def running_service(folder: Path, *arguments: str) -> Iterator[str]:
    """Start `levit serve` with the models `fruit` and `other`, and yield its address."""
    for seed, name in enumerate(("fruit", "other")):
        write_checkpoint(folder / name, seed=seed)
    models = [f"{name}={folder / name}" for name in ("fruit", "other")]
    with ServerProcess(*models, "--engine", "onnxruntime", *arguments, cache=folder / "cache") as server:
        yield server.description["url"]


@contextmanager
def launched_browser() -> Iterator[Any]:
    """Start the browser of playwright, without a window."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        # Without a sandbox, because CI runs as root in containers; the pages are our own.
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield browser
        browser.close()


def find_browser() -> str:
    """Executable of the distribution's Chromium; LEVIT_CHROMIUM names another one."""
    names = (os.environ.get("LEVIT_CHROMIUM", ""), *BROWSERS)
    executable = next((path for name in names if name and (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip("needs Chromium: .ci/install_packages installs it")
    return executable
