"""Requests of the page: the API key, files that cannot be read, and requests that are not needed any more."""

import os
import shutil

import pytest

from tests.conftest import EXAMPLES
from tests.serving.page_browser import TIMEOUT, HeldRequests, drop_files, expect, upload, wait_for_results, wait_until

PHOTO = str(EXAMPLES / "cat.jpg")
KEY = "correct horse"
UNREADABLE = "This file cannot be read. Was it changed or removed, or is it a folder?"


def need_key(page):
    """Let the service need a key."""

    def respond(route):
        given = route.request.headers.get("authorization")
        if given == f"Bearer {KEY}":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": "the API key is wrong" if given else "an API key is needed"})

    for pattern in ("**/models", "**/predictions/**"):
        page.route(pattern, respond)
    page.add_init_script(  # the page has no text until there is a key
        "addEventListener('DOMContentLoaded', () => { document.getElementById('about').textContent = 'opened'; });"
    )


def enter_key(page, key):
    expect(page, "#key").to_be_visible(timeout=TIMEOUT)
    page.fill("#key", key)
    page.keyboard.press("Enter")


def test_a_key_that_is_wrong_is_named_and_asked_for_again(open_page):
    page = open_page(need_key)
    assert page.is_hidden("#key-wrong")
    for _ in range(8):
        enter_key(page, "wrong key")
        expect(page, "#key-wrong").to_be_visible(timeout=TIMEOUT)
        expect(page, "#key").to_have_value("", timeout=TIMEOUT)
    enter_key(page, KEY)
    expect(page, "#model option").to_have_text(["fruit", "other"], timeout=TIMEOUT)
    assert page.is_hidden("#key-dialog")


@pytest.mark.parametrize("cancel", ["Escape", "#close-key"])
def test_the_question_for_a_key_can_be_canceled_once_for_all_images(open_page, cancel):
    page = open_page(need_key)

    def refuse():
        expect(page, "#key").to_be_visible(timeout=TIMEOUT)
        page.fill("#key", "typed, and not sent")
        if cancel == "Escape":
            page.keyboard.press(cancel)
        else:
            page.click(cancel)

    refuse()
    expect(page, "#about").to_have_text("This service needs an API key.", timeout=TIMEOUT)
    page.set_input_files("#files", [PHOTO] * 9)
    refuse()
    wait_for_results(page, 9)
    assert page.locator("#entries .failed").count() == 9
    assert page.inner_text("#note") == "This service needs an API key."
    assert page.is_hidden("#key-dialog")
    assert page.is_hidden("#key-wrong")


def test_the_models_are_listed_as_soon_as_there_is_a_key(open_page):
    page = open_page(need_key)
    expect(page, "#key").to_be_visible(timeout=TIMEOUT)
    page.keyboard.press("Escape")
    page.set_input_files("#files", PHOTO)
    enter_key(page, KEY)
    wait_for_results(page, 1)
    expect(page, "#model option").to_have_text(["fruit", "other"], timeout=TIMEOUT)
    expect(page, "#about").to_contain_text("classes", timeout=TIMEOUT)


def test_a_file_that_has_changed_is_no_failure_of_the_service(open_page, tmp_path):
    file = tmp_path / "photo.jpg"
    shutil.copy(PHOTO, file)
    page = open_page()
    upload(page, str(file))
    file.write_bytes(b"changed")
    os.utime(file, (0, 0))
    page.select_option("#model", "other")  # which classifies it again
    wait_for_results(page, 2)
    assert page.inner_text("#note") == UNREADABLE


def test_a_folder_that_is_dropped_is_no_failure_of_the_service(open_page, tmp_path):
    page = open_page()
    drop_files(page, str(tmp_path), PHOTO)
    wait_for_results(page, 2)
    page.click("#entries .failed")
    assert page.inner_text("#note") == UNREADABLE
    assert page.locator("#entries .failed").count() == 1


def test_images_that_are_cleared_are_not_computed(open_page):
    page = open_page()
    held = HeldRequests(page, "**/predictions/**")
    page.set_input_files("#files", [PHOTO] * 6)
    wait_until(page, lambda: len(held.routes) == 4)
    page.click("#clear")
    wait_until(page, lambda: len(held.aborted) == 4)
    page.unroute("**/predictions/**")
    upload(page, PHOTO)
    assert page.locator("#entries .failed").count() == 0
    assert len(held.routes) == 4
