"""A real service with two small models, and a headless browser that opens its page and uses it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.runtime.small_model import write_checkpoint
from tests.serving.server_process import ServerProcess

TIMEOUT = 240_000  # milliseconds that a busy machine may take; nothing waits for it to pass

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


@contextmanager
def opened_pages(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Yield a function that opens the page, which is first given to `prepare`; at the end, nothing may have failed."""
    contexts, problems = [], []

    def open_page(prepare: Callable[[Any], None] = lambda page: None, **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if "Security Policy" in message.text else None)
        page.on("request", lambda request: problems.append(request.url) if _is_outside(request.url, address) else None)
        prepare(page)
        page.goto(address)
        page.wait_for_selector("#about:not(:empty)", state="attached")
        return page

    try:
        yield open_page
    finally:
        for context in contexts:
            context.close()
    assert problems == []


def _is_outside(url: str, address: str) -> bool:
    return not url.startswith((f"{address}/", "blob:", "data:"))


def expect(page: Any, selector: str) -> Any:
    """Assertions of playwright, which wait until they hold."""
    from playwright.sync_api import expect

    return expect(page.locator(selector))


def wait_until(page: Any, condition: Callable[[], bool]) -> None:
    """Let the page work until a condition of the test holds."""
    for _ in range(TIMEOUT // 10):
        if condition():
            return
        page.wait_for_timeout(10)
    pytest.fail("the condition does not hold")


def upload(page: Any, *files: str) -> None:
    """Choose files, and wait until each one has a result."""
    page.set_input_files("#files", list(files))
    wait_for_results(page, len(files))


def wait_for_results(page: Any, count: int) -> None:
    """Wait until the page lists this number of images, each with a result."""
    # Not by wait_for_function, which needs eval, and the page's security policy forbids it.
    expect(page, "#entries li").to_have_count(count, timeout=TIMEOUT)
    expect(page, "#entries .waiting").to_have_count(0, timeout=TIMEOUT)


def predicted_labels(address: str, file: str) -> list[dict[str, Any]]:
    """Labels that the service gives for a JPEG file without the page."""
    connection = HTTPConnection(urlsplit(address).netloc)
    connection.request("POST", "/predictions/fruit", Path(file).read_bytes(), {"Content-Type": "image/jpeg"})
    labels = json.loads(connection.getresponse().read())["labels"]
    connection.close()
    return labels


def names(page: Any) -> list[str]:
    """Names of the labels that are shown."""
    return page.locator("#labels .name").all_text_contents()


def give_image(page: Any, kind: str) -> None:
    """Paste or drop image.png: kind is "paste" or "drop"."""
    page.evaluate(
        """async kind => {
          const canvas = Object.assign(document.createElement('canvas'), {width: 60, height: 40});
          canvas.getContext('2d').fillRect(5, 5, 20, 20);
          const blob = await new Promise(resolve => canvas.toBlob(resolve));
          const transfer = new DataTransfer();
          transfer.items.add(new File([blob], 'image.png', {type: 'image/png'}));
          const options = {bubbles: true, cancelable: true};
          document.body.dispatchEvent(kind === 'paste'
            ? new ClipboardEvent('paste', {...options, clipboardData: transfer})
            : new DragEvent('drop', {...options, dataTransfer: transfer}));
        }""",
        kind,
    )


def drop_files(page: Any, *paths: str) -> None:
    """Drop files or folders of the disk, as from another window."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": list(paths), "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 300, "data": data})


def tab_to(page: Any, selector: str) -> None:
    """Press the tab key until an element has the focus."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"no focus on {selector}")


def opaque_pixels(page: Any) -> int:
    """Number of pixels of the heat map that cover the image."""
    return page.evaluate(
        """() => {
          const context = document.getElementById('heat').getContext('2d');
          return context.getImageData(0, 0, 320, 320).data.filter((value, i) => i % 4 === 3 && value > 100).length;
        }"""
    )


def refuse_models(page: Any, requests: list[Any], attempts: int) -> None:
    """Refuse the first requests for the models, as while they are loading; the test responds to the next ones."""

    def respond(route: Any) -> None:
        requests.append(route)
        if len(requests) <= attempts:
            route.fulfill(status=503, headers={"Retry-After": "1"}, json={"error": "the service is loading"})

    page.add_init_script("const wait = setTimeout; window.setTimeout = action => wait(action, 0);")
    page.route("**/models", respond)


def violations(page: Any) -> list[str]:
    """Violations that axe-core finds, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    return [
        f"{rule['id']}: {[node['html'] for node in rule['nodes']]}" for rule in axe.run(page).response["violations"]
    ]


class HeldRequests:
    """Requests of a page, which get their responses in the order and at the time that the test chooses.

    Args:
        page: the page.
        pattern: pattern of their addresses.

    Attributes:
        routes: the requests so far.
        aborted: those that the page has aborted, in this order.
    """

    def __init__(self, page: Any, pattern: str) -> None:
        self.routes: list[Any] = []
        self.aborted: list[Any] = []
        page.on("requestfailed", self._note_abort)
        self._page = page
        self._responses = 0
        page.route(pattern, lambda route: self.routes.append(route))
        # Counts the responses that the page has read; the timer ends after the code that waited for one.
        page.evaluate(
            """() => {
              const read = Response.prototype.json;
              document.body.dataset.responses = 0;
              Response.prototype.json = async function () {
                const value = await read.call(this);
                setTimeout(() => document.body.dataset.responses++);
                return value;
              };
            }"""
        )

    def click(self, selector: str) -> None:
        """Click an element, and wait until the page has sent one more request."""
        count = len(self.routes)
        self._page.click(selector)
        wait_until(self._page, lambda: len(self.routes) > count)

    def _note_abort(self, request: Any) -> None:
        self.aborted += [route for route in self.routes if route.request == request]

    def let_go(self, index: int, **response: Any) -> None:
        """Give a request its response, by default that of the service, and wait until the page has shown it."""
        if response:
            self.routes[index].fulfill(**response)
        else:
            self.routes[index].continue_()
        self._responses += 1
        self._page.wait_for_selector(f"body[data-responses='{self._responses}']")


class PretendedCamera:
    """Camera of a page, for which the browser asks the user until the test allows it.

    Args:
        page: the page.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        page.evaluate(
            """() => {
              [window.canvases, window.streams, window.prompts] = [[], [], []];
              navigator.mediaDevices.getUserMedia = () => new Promise(resolve => prompts.push(() => {
                canvases.push(document.createElement('canvas'));
                streams.push(canvases.at(-1).captureStream());
                resolve(streams.at(-1));
              }));
            }"""
        )

    def allow(self) -> None:
        """Allow all that the page has asked for."""
        self._page.evaluate("() => prompts.splice(0).forEach(allow => allow())")

    def show_picture(self) -> None:
        """Show the first picture of the last stream."""
        self._page.evaluate("() => canvases.at(-1).getContext('2d').fillRect(0, 0, 100, 100)")

    def states(self) -> list[str]:
        """State of each stream that was opened: "live" or "ended"."""
        return self._page.evaluate("() => streams.map(stream => stream.getTracks()[0].readyState)")

    def close_dialog(self) -> None:
        """Close the dialog, and wait until the page knows it."""
        self._page.evaluate(
            """async () => {
              const dialog = document.getElementById('camera');
              const closed = new Promise(resolve => dialog.addEventListener('close', resolve));
              document.getElementById('close-camera').click();
              await closed;
            }"""
        )
