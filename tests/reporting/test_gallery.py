"""The gallery: one page with every image, by label and score."""

import re
from html import unescape

import numpy as np
import pytest
from PIL import Image

from levit.errors import DataError, ImageError
from levit.reporting.gallery import Gallery
from levit.runtime.prediction import Prediction

LABELS = ("cat", "dog & co")


def prediction(source, *scores: float, threshold: float = 0.0) -> Prediction:
    return Prediction(str(source), np.log(np.float32(scores)), LABELS, threshold=threshold)


@pytest.fixture
def page(tmp_path) -> str:
    """Page of four images and one that cannot be read."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b#.jpg", "c.jpg"):
        Image.new("RGB", (500, 300), "red").save(tmp_path / "photos" / name)
    with Gallery(tmp_path / "gallery.html", "My <photos>", "LeViT") as gallery:
        gallery.write(prediction(tmp_path / "photos" / "a.jpg", 0.75, 0.25))
        gallery.write(prediction(tmp_path / "photos" / "b#.jpg", 0.05, 0.95))
        gallery.write(prediction(tmp_path / "photos" / "c.jpg", 0.6, 0.4, threshold=0.7))
        gallery.write(prediction(tmp_path / "deleted.jpg", 0.9, 0.1))
        error = ImageError("damaged <file>", source="d.jpg")
        gallery.write(Prediction("d.jpg", np.empty(0, np.float32), LABELS, error=error))
        assert not (tmp_path / "gallery.html").exists()
        gallery.finish()
    assert gallery.describe() == f"{tmp_path / 'gallery.html'}: 5 images"
    return (tmp_path / "gallery.html").read_text(encoding="utf-8")


def attributes(page: str, name: str) -> list[str]:
    return [unescape(value) for value in re.findall(rf'<figure [^>]*data-{name}="([^"]*)"', page)]


def test_images_are_sorted_by_score_and_keep_their_order(page):
    assert attributes(page, "score") == ["0.950000", "0.900000", "0.750000", "0.600000", "-1.000000"]
    assert attributes(page, "index") == ["1", "3", "0", "2", "4"]


def test_each_label_has_a_button_with_its_number_of_images(page):
    buttons = re.findall(r'<button value="([^"]*)" aria-pressed="\w+">[^<]*<small>(\d+)</small>', page)
    assert [(unescape(name), int(count)) for name, count in buttons] == [
        ("", 5), ("cat", 2), ("dog & co", 1), ("unknown", 1), ("not readable", 1),
    ]  # fmt: skip
    assert attributes(page, "label") == ["dog & co", "cat", "cat", "unknown", "not readable"]


def test_an_image_links_to_its_file_relative_to_the_page(page):
    assert re.findall(r'<a href="([^"]*)"', page)[:3] == ["photos/b%23.jpg", "deleted.jpg", "photos/a.jpg"]


def test_names_are_escaped_and_unknown_has_its_guess(page):
    assert "<h1>My &lt;photos&gt;</h1>" in page
    assert "damaged &lt;file&gt;" in page
    assert "<b>unknown</b>" in page
    assert "cat?" in page


def test_the_page_needs_no_other_file(page):
    assert len(re.findall(r'<img [^>]*src="data:image/jpeg;base64,', page)) == page.count("<img") == 3
    assert "http" not in page.replace("https://", "http")
    assert page.count("no picture") == 2


def test_names_that_are_no_text_are_written(tmp_path):
    with Gallery(tmp_path / "gallery.html", "photos", "LeViT") as gallery:
        gallery.write(prediction("caf\udce9.jpg", 0.5, 0.5))
        gallery.finish()
    page = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert "caf%E9.jpg" in page
    assert "caf\\udce9.jpg" in page


def test_an_interrupted_run_leaves_the_earlier_page(tmp_path):
    (tmp_path / "gallery.html").write_text("earlier")

    def interrupted() -> None:
        with Gallery(tmp_path / "gallery.html", "photos", "LeViT") as gallery:
            gallery.write(prediction("a.jpg", 0.5, 0.5))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "gallery.html").read_text() == "earlier"


@pytest.mark.parametrize("file", ["", "missing/gallery.html"])
def test_a_folder_that_does_not_exist_is_an_error(tmp_path, file):
    with pytest.raises(DataError, match=r"cannot be written"):
        Gallery(tmp_path / file, "photos", "LeViT")


def test_the_limit_of_pixels_is_that_of_the_classifier(tmp_path):
    Image.new("RGB", (500, 300), "red").save(tmp_path / "a.png")
    for max_pixels, count in ((150_000, 1), (149_999, 0)):
        with Gallery(tmp_path / "gallery.html", "photos", "LeViT", max_pixels=max_pixels) as gallery:
            gallery.write(prediction(tmp_path / "a.png", 0.5, 0.5))
            gallery.finish()
        assert (tmp_path / "gallery.html").read_text(encoding="utf-8").count("<img") == count
