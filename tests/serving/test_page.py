"""The page at /, in a headless browser with a real service."""

import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from levit.serving.page_routes import page_files
from tests.conftest import EXAMPLES
from tests.runtime.small_model import LABELS
from tests.serving.page_browser import find_browser, launched_browser, running_service

PHOTOS = [str(EXAMPLES / f"{name}.jpg") for name in ("cat", "espresso", "rocket")]
TIMEOUT = 240_000  # milliseconds that a busy machine may take; nothing waits for it to pass


def test_the_page_is_small_and_refers_to_nothing_outside():
    files = page_files()
    assert sum(map(len, files.values())) < 60_000
    for name, content in files.items():
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, name
        assert "https://" not in text, name
        assert "innerHTML" not in text, name  # file names and labels may contain anything
    html = files["index.html"].decode()
    assert "style=" not in html
    assert "onclick" not in html


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    find_browser()
    with running_service(tmp_path_factory.mktemp("models")) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with launched_browser() as browser:
        yield browser


@pytest.fixture
def open_page(browser, address):
    """Function that opens the page; at the end, nothing may have failed in it."""
    contexts, problems = [], []

    def open_page(**options):
        context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if "Security Policy" in message.text else None)
        page.on("request", lambda request: problems.append(request.url) if _is_outside(request.url, address) else None)
        page.goto(address)
        page.wait_for_selector("#about:not(:empty)", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def _is_outside(url: str, address: str) -> bool:
    return not url.startswith((f"{address}/", "blob:", "data:"))


def upload(page, *files: str) -> None:
    """Choose files, and wait until each one has a result."""
    page.set_input_files("#files", list(files))
    wait_for_results(page, len(files))


def wait_for_results(page, count: int) -> None:
    # Not by wait_for_function, which needs eval, and the page's security policy forbids it.
    expect(page, "#entries li").to_have_count(count, timeout=TIMEOUT)
    expect(page, "#entries .waiting").to_have_count(0, timeout=TIMEOUT)


def expect(page, selector: str):
    from playwright.sync_api import expect

    return expect(page.locator(selector))


def names(page) -> list[str]:
    return page.locator("#labels .name").all_text_contents()


def test_an_image_gets_its_labels_and_scores(open_page, address):
    page = open_page()
    assert page.title() == "levit"
    upload(page, PHOTOS[0])
    connection = HTTPConnection(urlsplit(address).netloc)
    connection.request(
        "POST", "/predictions/fruit", (EXAMPLES / "cat.jpg").read_bytes(), {"Content-Type": "image/jpeg"}
    )
    labels = json.loads(connection.getresponse().read())["labels"]
    connection.close()
    assert names(page) == [label["name"] for label in labels]
    scores = [f"{100 * label['score']:.1f}\u00a0%" for label in labels]
    assert page.locator("#labels .score").all_text_contents() == scores
    assert page.inner_text("#headline") == labels[0]["name"]
    assert page.inner_text("#time").endswith("\u00a0ms by the model “fruit”")
    assert page.inner_text("#file-name") == "cat.jpg"
    assert page.inner_text("#status").startswith(f"cat.jpg: {labels[0]['name']}, ")


def test_many_images_stay_in_the_list_of_the_visit(open_page):
    page = open_page()
    upload(page, *PHOTOS, *PHOTOS, *PHOTOS, *PHOTOS)
    assert page.locator("#entries li").count() == 12
    page.click("#entries li:last-child button")
    assert page.get_attribute("#entries li:last-child button", "aria-current") == "true"
    assert page.inner_text("#file-name") == "cat.jpg"
    page.click("#clear")
    assert page.locator("#entries li").count() == 0
    assert page.is_visible(".invitation")


def test_a_broken_file_is_a_sentence_and_the_others_have_results(open_page, tmp_path):
    broken = tmp_path / "broken <b>.jpg"
    broken.write_bytes((EXAMPLES / "cat.jpg").read_bytes()[:40])
    page = open_page()
    upload(page, str(broken), PHOTOS[1])
    failed = page.locator("#entries .failed")
    assert failed.count() == 1
    failed.click()
    text = page.inner_text("#note")
    assert text[0].isupper()
    assert text.endswith(".")
    assert page.inner_text("#headline") == "No result"
    assert page.inner_text("#file-name") == "broken <b>.jpg"
    page.wait_for_selector("#no-preview", state="visible")
    page.click("#entries button:not(.failed)")
    assert len(names(page)) == len(LABELS)


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_an_image_is_pasted_or_dropped(open_page, address, kind):
    page = open_page()
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
    wait_for_results(page, 1)
    assert len(names(page)) == len(LABELS)
    assert page.inner_text("#file-name") == "image.png"


def test_the_heat_map_lies_over_the_view_and_fades(open_page):
    page = open_page()
    upload(page, PHOTOS[0])
    page.click("#explain")
    page.wait_for_selector("#heat", state="visible")
    assert page.get_attribute("#explain", "aria-pressed") == "true"
    assert page.get_attribute("#labels li:first-child button", "aria-pressed") == "true"
    image, heat = page.locator("#image").bounding_box(), page.locator("#heat").bounding_box()
    assert heat["height"] == pytest.approx(image["height"] * 32 / 36, rel=0.02)  # the crop of 32 of 36 pixels
    assert heat["x"] + heat["width"] / 2 == pytest.approx(image["x"] + image["width"] / 2, abs=3)
    opaque = page.evaluate(
        """() => {
          const context = document.getElementById('heat').getContext('2d');
          return context.getImageData(0, 0, 320, 320).data.filter((value, i) => i % 4 === 3 && value > 100).length;
        }"""
    )
    assert opaque > 100
    page.fill("#strength", "20")
    assert page.eval_on_selector("#heat", "canvas => canvas.style.opacity") == "0.2"
    page.click("#labels li:nth-child(3) button")  # another class, another map
    page.wait_for_selector("#labels li:nth-child(3) button[aria-pressed=true]")
    page.click("#explain")
    assert page.is_hidden("#heat")


def test_everything_works_with_the_keyboard_alone(open_page):
    page = open_page()

    def tab_to(selector: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        pytest.fail(f"no focus on {selector}")

    tab_to("#choose")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(PHOTOS[:2])
    wait_for_results(page, 2)
    tab_to("#explain")
    page.keyboard.press("Enter")
    page.wait_for_selector("#heat", state="visible")
    tab_to("#strength")
    page.keyboard.press("Home")
    assert page.eval_on_selector("#heat", "canvas => canvas.style.opacity") == "0"
    tab_to("#labels li:nth-child(2) button")
    page.keyboard.press("Space")
    page.wait_for_selector("#labels li:nth-child(2) button[aria-pressed=true]")
    tab_to("#copy")
    page.keyboard.press("Enter")
    tab_to("#entries li:nth-child(2) button")
    page.keyboard.press("Enter")
    assert page.get_attribute("#entries li:nth-child(2) button", "aria-current") == "true"
    assert page.eval_on_selector(":focus", "element => getComputedStyle(element).outlineStyle") != "none"


def test_the_prediction_is_copied_as_json(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    upload(page, PHOTOS[1])
    page.click("#copy")
    expect(page, "#copy").to_have_text("Copied", timeout=TIMEOUT)
    values = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert values["file"] == "espresso.jpg"
    assert [label["name"] for label in values["labels"]] == names(page)
    assert values["error"] is None


def test_another_model_classifies_the_image_again(open_page):
    page = open_page()
    assert page.locator("#model option").all_text_contents() == ["fruit", "other"]
    upload(page, PHOTOS[0])
    before = page.locator("#labels .score").all_text_contents()
    page.select_option("#model", "other")
    wait_for_results(page, 2)
    expect(page, "#time").to_contain_text("by the model “other”", timeout=TIMEOUT)
    assert page.locator("#labels .score").all_text_contents() != before


def test_a_service_with_keys_asks_for_one_and_a_busy_one_is_asked_again(open_page, address):
    page = open_page()
    seen = []

    def respond(route):
        seen.append(route.request.headers.get("authorization"))
        if seen[-1] is None:
            route.fulfill(status=401, json={"error": "an API key is needed"})
        elif len(seen) == 2:
            route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": "the queue is full"})
        else:
            route.continue_()

    page.route("**/predictions/**", respond)
    page.set_input_files("#files", PHOTOS[0])
    page.fill("#key", "correct horse")
    page.keyboard.press("Enter")
    wait_for_results(page, 1)
    assert seen == [None, "Bearer correct horse", "Bearer correct horse"]
    assert len(names(page)) == len(LABELS)


def test_a_service_that_has_ended_is_a_sentence(open_page):
    page = open_page()
    page.route("**/predictions/**", lambda route: route.abort())
    page.set_input_files("#files", PHOTOS[0])
    wait_for_results(page, 1)
    assert page.inner_text("#note") == "The service does not respond. Is levit serve still running?"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_is_accessible_and_fits(open_page, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce")
    assert violations(axe, page) == []
    upload(page, *PHOTOS)
    page.click("#explain")
    page.wait_for_selector("#heat", state="visible")
    assert violations(axe, page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.eval_on_selector_all("button:not([hidden])", "list => list.map(b => b.offsetHeight).filter(Boolean)")
    assert min(heights) >= 36


def violations(axe, page) -> list[str]:
    """Violations that axe-core finds, with the elements."""
    return [
        f"{rule['id']}: {[node['html'] for node in rule['nodes']]}" for rule in axe.run(page).response["violations"]
    ]
