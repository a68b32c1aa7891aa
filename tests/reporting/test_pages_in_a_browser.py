"""The report and the gallery in a browser: they fit the screen of a phone, are accessible, and the gallery filters."""

import numpy as np
import pytest
from PIL import Image

from levit.evaluation.evaluator import evaluate
from levit.reporting.evaluation_report import evaluation_report
from levit.reporting.gallery import Gallery
from levit.runtime.prediction import Prediction
from tests.evaluation.color_data import UNUSABLE, ColorDataset
from tests.runtime.small_model import color_classifier
from tests.serving.page_browser import launched_browser

LABELS = ("Old English sheepdog", "a_name_of_one_word_" * 6, "cat")
WIDTHS = (320, 390, 1440)


@pytest.fixture(scope="module")
def browser():
    with launched_browser() as browser:
        yield browser


@pytest.fixture
def gallery(tmp_path):
    """Page of known, unknown and unreadable images, whose labels and names are long."""
    Image.new("RGB", (60, 40), "red").save(tmp_path / f"{'long' * 20}.jpg")
    with Gallery(tmp_path / "gallery.html", "/a/folder/" * 9, "a name of a model " * 4) as gallery:
        for scores in ((0.4, 0.35, 0.25), (0.1, 0.8, 0.1), (0.05, 0.05, 0.9)):
            for threshold in (0.0, 0.95):
                logits = np.log(np.float32(scores))
                gallery.write(Prediction(str(tmp_path / f"{'long' * 20}.jpg"), logits, LABELS, threshold=threshold))
        gallery.finish()
    return tmp_path / "gallery.html"


@pytest.fixture
def report(tmp_path):
    data = ColorDataset(UNUSABLE)
    data.name = "a_name_without_a_space_" * 5
    (tmp_path / "report.html").write_text(evaluation_report(evaluate(color_classifier(), data)), encoding="utf-8")
    return tmp_path / "report.html"


def opened(browser, file, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(file.as_uri())
    return page


@pytest.mark.parametrize("name", ["gallery", "report"])
def test_nothing_is_wider_than_the_screen(browser, name, request):
    for width in WIDTHS:
        page = opened(browser, request.getfixturevalue(name), width)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["gallery", "report"])
def test_a_page_is_accessible(browser, name, scheme, request):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(color_scheme=scheme)
    page.goto(request.getfixturevalue(name).as_uri())
    assert [(item["id"], item["nodes"][0]["html"]) for item in axe.run(page).response["violations"]] == []
    page.close()


def test_a_button_of_the_gallery_shows_the_images_of_its_label(browser, gallery):
    page = opened(browser, gallery, 390)
    page.get_by_role("button", name="unknown").click()
    assert page.locator("figure:visible").count() == 3
    assert page.locator("#shown").inner_text() == "3"
    page.get_by_label("order").select_option("low")
    scores = page.locator("figure:visible").evaluate_all("all => all.map(figure => Number(figure.dataset.score))")
    assert scores == sorted(scores)
    page.close()
