"""The page at /, in a headless browser with a real service."""

import json

import pytest

from levit.serving.page_routes import page_files
from tests.conftest import EXAMPLES
from tests.runtime.small_model import LABELS
from tests.serving.page_browser import (
    TIMEOUT,
    HeldRequests,
    PretendedCamera,
    expect,
    give_image,
    names,
    opaque_pixels,
    predicted_labels,
    refuse_models,
    tab_to,
    upload,
    violations,
    wait_for_results,
    wait_until,
)

PHOTOS = [str(EXAMPLES / f"{name}.jpg") for name in ("cat", "espresso", "rocket")]
FIRST, SECOND = "#labels li:nth-child(1) button", "#labels li:nth-child(2) button"


def test_the_page_is_small_and_refers_to_nothing_outside():
    files = page_files()
    assert sum(map(len, files.values())) < 60_000
    for name, content in files.items():
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        for word in ("http://", "https://", "innerHTML"):  # file names and labels may contain anything
            assert word not in text, name
    for word in ("style=", "onclick"):
        assert word not in files["index.html"].decode()


def test_an_image_gets_its_labels_and_scores(open_page, page_address):
    page = open_page()
    assert page.title() == "levit"
    upload(page, PHOTOS[0])
    labels = predicted_labels(page_address, PHOTOS[0])
    assert names(page) == [label["name"] for label in labels]
    scores = [f"{100 * label['score']:.1f}\u00a0%" for label in labels]
    assert page.locator("#labels .score").all_text_contents() == scores
    assert page.inner_text("#headline") == labels[0]["name"]
    assert page.inner_text("#time").endswith("\u00a0ms by the model “fruit”")
    assert page.inner_text("#file-name") == "cat.jpg"
    assert page.inner_text("#status").startswith(f"cat.jpg: {labels[0]['name']}, ")


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
def test_an_image_is_pasted_or_dropped(open_page, kind):
    page = open_page()
    give_image(page, kind)
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
    assert opaque_pixels(page) > 100
    page.fill("#strength", "20")
    assert page.eval_on_selector("#heat", "canvas => canvas.style.opacity") == "0.2"
    page.click("#labels li:nth-child(3) button")  # another class, another map
    page.wait_for_selector("#labels li:nth-child(3) button[aria-pressed=true]")
    page.click("#explain")
    assert page.is_hidden("#heat")


def test_only_the_heat_map_of_the_label_that_was_chosen_last_is_shown(open_page):
    page = open_page()
    upload(page, PHOTOS[0])
    page.click(SECOND)
    expect(page, SECOND).to_have_attribute("aria-pressed", "true", timeout=TIMEOUT)
    page.click(SECOND)
    held = HeldRequests(page, "**/explanations/**")
    held.click(FIRST)
    page.click(SECOND)  # its map is known already
    held.click("#labels li:nth-child(3) button")
    wait_until(page, lambda: held.aborted == held.routes[:1])
    assert page.get_attribute(FIRST, "aria-pressed") == "false"
    assert page.get_attribute(SECOND, "aria-pressed") == "true"
    assert "busy" in page.get_attribute("#explain", "class")  # the third one is still awaited
    held.let_go(1)
    assert page.get_attribute("#labels li:nth-child(3) button", "aria-pressed") == "true"
    assert "busy" not in page.get_attribute("#explain", "class")


@pytest.mark.parametrize(("choose", "cancel"), [(FIRST, FIRST), (FIRST, "#explain"), (SECOND, "#explain")])
def test_a_second_click_cancels_a_heat_map_and_a_third_one_asks_again(open_page, choose, cancel):
    page = open_page()
    upload(page, PHOTOS[0])
    held = HeldRequests(page, "**/explanations/**")
    held.click(choose)
    page.click(cancel)
    assert "busy" not in page.get_attribute("#explain", "class")
    wait_until(page, lambda: held.aborted == held.routes)
    held.click(choose)
    held.let_go(1)
    assert page.is_visible("#heat")
    assert page.get_attribute(choose, "aria-pressed") == "true"


def test_the_error_of_a_heat_map_is_shown_with_its_image_until_one_succeeds(open_page):
    page = open_page()
    upload(page, *PHOTOS[:2])
    held = HeldRequests(page, "**/explanations/**")
    held.click(FIRST)
    page.click("#entries li:last-child button")  # the other image
    wait_until(page, lambda: held.aborted == held.routes)
    assert page.is_hidden("#note")
    held.click(FIRST)
    held.let_go(1, status=500, json={"error": "no map"})
    assert page.inner_text("#note") == "No map."
    held.click(FIRST)
    held.let_go(2)
    assert page.is_visible("#heat")
    assert page.is_hidden("#note")


def test_clicks_while_the_browser_asks_for_the_camera_open_one_stream(open_page):
    page = open_page()
    camera = PretendedCamera(page)
    page.dblclick("#photograph")
    camera.allow()
    page.wait_for_selector("#camera", state="visible")
    assert camera.states() == ["live"]
    camera.close_dialog()
    assert camera.states() == ["ended"]
    page.click("#photograph")
    camera.allow()
    assert camera.states() == ["ended", "live"]


def test_a_photo_can_be_taken_as_soon_as_the_camera_shows_a_picture(open_page):
    page = open_page()
    camera = PretendedCamera(page)
    for count in (1, 2):
        page.click("#photograph")
        camera.allow()
        page.wait_for_selector("#camera", state="visible")
        assert page.is_disabled("#shoot")
        camera.show_picture()
        page.click("#shoot")  # which waits until it is enabled
        wait_for_results(page, count)
    assert page.inner_text("#file-name") == "photo.jpg"
    assert len(names(page)) == len(LABELS)


def test_the_page_asks_for_the_models_until_they_are_loaded(open_page):
    requests = []
    page = open_page(lambda page: refuse_models(page, requests, attempts=20))
    assert page.inner_text("#about") == "The model is loading."
    wait_until(page, lambda: len(requests) == 21)
    requests[-1].continue_()
    expect(page, "#about").to_contain_text("classes", timeout=TIMEOUT)
    assert page.locator("#model option").all_text_contents() == ["fruit", "other"]


def test_everything_works_with_the_keyboard_alone(open_page):
    page = open_page()
    tab_to(page, "#choose")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(PHOTOS[:2])
    wait_for_results(page, 2)
    tab_to(page, "#explain")
    page.keyboard.press("Enter")
    page.wait_for_selector("#heat", state="visible")
    tab_to(page, "#strength")
    page.keyboard.press("Home")
    assert page.eval_on_selector("#heat", "canvas => canvas.style.opacity") == "0"
    tab_to(page, "#labels li:nth-child(2) button")
    page.keyboard.press("Space")
    page.wait_for_selector("#labels li:nth-child(2) button[aria-pressed=true]")
    tab_to(page, "#copy")
    page.keyboard.press("Enter")
    tab_to(page, "#entries li:nth-child(2) button")
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


def test_a_service_with_keys_asks_for_one_and_a_busy_one_is_asked_again(open_page):
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


def test_a_prediction_without_a_certain_label_is_unknown(open_page):
    unknown = {"name": "unknown", "index": -1, "score": 0.2}
    labels = [unknown, {"name": "fig", "index": 2, "score": 0.2}, {"name": "lime", "index": 1, "score": 0.1}]
    page = open_page()
    page.route("**/predictions/**", lambda route: route.fulfill(json={"file": "", "labels": labels, "error": None}))
    upload(page, PHOTOS[0])
    assert page.inner_text("#headline") == "unknown"
    assert page.inner_text("#eyebrow") == "No class is certain enough"
    assert page.inner_text("#note") == "The best score is 20.0\u00a0%."
    assert names(page) == ["fig", "lime"]
    assert violations(page) == []


def test_a_service_that_has_ended_is_a_sentence(open_page):
    page = open_page()
    page.route("**/predictions/**", lambda route: route.abort())
    page.set_input_files("#files", PHOTOS[0])
    wait_for_results(page, 1)
    assert page.inner_text("#note") == "The service does not respond. Is levit serve still running?"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_is_accessible_and_fits(open_page, width, scheme):
    page = open_page(viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce")
    assert violations(page) == []
    upload(page, *PHOTOS)
    page.click("#explain")
    page.wait_for_selector("#heat", state="visible")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.eval_on_selector_all("button:not([hidden])", "list => list.map(b => b.offsetHeight).filter(Boolean)")
    assert min(heights) >= 36
