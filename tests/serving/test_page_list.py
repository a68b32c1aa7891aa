"""The list of the images of a visit: their order, thumbnails, and what is reported about them."""

from tests.conftest import EXAMPLES
from tests.serving.page_browser import TIMEOUT, HeldRequests, expect, upload, wait_for_results, wait_until

PHOTOS = [str(EXAMPLES / f"{name}.jpg") for name in ("cat", "espresso", "rocket")]


def test_many_images_stay_in_the_list_of_the_visit(open_page):
    page = open_page()
    upload(page, *PHOTOS, *PHOTOS, *PHOTOS, *PHOTOS)
    assert page.locator("#entries li").count() == 12
    page.click("#entries li:last-child button")
    assert page.get_attribute("#entries li:last-child button", "aria-current") == "true"
    assert page.inner_text("#file-name") == "rocket.jpg"
    page.click("#clear")
    assert page.locator("#entries li").count() == 0
    assert page.is_visible(".invitation")


def test_images_are_listed_in_their_order_before_earlier_ones_and_the_end_is_reported(open_page, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    page = open_page()
    upload(page, PHOTOS[2])
    page.set_input_files("#files", [*PHOTOS[:2], str(broken)])
    wait_for_results(page, 4)
    expect(page, "#status").to_contain_text("2 of 3 images are classified. cat.jpg: ", timeout=TIMEOUT)
    labels = [tile.get_attribute("aria-label") for tile in page.locator("#entries button").all()]
    for index, tile in ((0, "cat.jpg"), (1, "espresso.jpg"), (3, "rocket.jpg")):
        assert labels[index].endswith(f"\u00a0%, {tile}")
    assert labels[2] == "no result, broken.jpg"


def test_few_images_are_decoded_at_once_for_their_thumbnails(open_page):
    page = open_page(
        lambda page: page.add_init_script(
            "const decode = createImageBitmap; window.decoded = 0;"
            "window.createImageBitmap = file => { decoded++; return decode(file); };"
        )
    )
    held = HeldRequests(page, "**/predictions/**")
    page.set_input_files("#files", 3 * PHOTOS)
    wait_until(page, lambda: len(held.routes) == 4)
    assert page.evaluate("window.decoded") == 4
    page.route("**/predictions/**", lambda route: route.continue_())  # the later ones
    for route in held.routes:
        route.continue_()
    wait_for_results(page, 9)
    assert page.evaluate("window.decoded") == 9


def test_an_image_that_is_chosen_in_the_list_is_scrolled_into_view_and_described(open_page):
    page = open_page(viewport={"width": 390, "height": 600})
    upload(page, *PHOTOS, *PHOTOS)
    expect(page, "#status").to_contain_text("6 of 6 images are classified. ", timeout=TIMEOUT)
    page.click("#entries li:last-child button")
    expect(page, "#file-name").to_be_in_viewport(timeout=TIMEOUT)
    assert page.inner_text("#file-name") == "rocket.jpg"
    assert page.inner_text("#status").startswith("rocket.jpg: ")
    assert page.inner_text("#headline") in page.inner_text("#status")
