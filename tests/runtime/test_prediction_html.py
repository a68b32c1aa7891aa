"""A prediction as HTML: thumbnail, labels, bars."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from levit.errors import ImageError
from levit.runtime.prediction import Prediction
from tests.runtime.small_model import color_classifier, uniform_image


class Elements(HTMLParser):
    """Elements of a document, with an error for one that is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def thumbnail(html: str) -> Image.Image:
    (content,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    return Image.open(io.BytesIO(base64.b64decode(content)))


def html_of(*scores: float, source: str = "image", **options) -> str:
    prediction = Prediction(source, np.log(np.float32(scores)), tuple("abcdefgh"[: len(scores)]), **options)
    return prediction._repr_html_()


def test_the_best_five_labels_have_bars_of_their_scores():
    html = html_of(0.02, 0.5, 0.08, 0.1, 0.1, 0.2)
    assert re.findall(r"([\d.]+)&nbsp;%", html) == ["50.0", "20.0", "10.0", "10.0", "8.0"]
    assert re.findall(r"width:([\d.]+)%", html) == ["50.0", "20.0", "10.0", "10.0", "8.0"]
    assert set(Elements(html).tags) == {"div"}


def test_the_thumbnail_is_that_of_the_file(tmp_path):
    Image.new("RGB", (640, 320), "red").save(tmp_path / "red.png")
    image = thumbnail(html_of(1, source=str(tmp_path / "red.png")))
    assert image.size == (160, 80)
    assert image.getpixel((80, 40))[0] > 250


def test_the_thumbnail_of_a_single_image_in_memory_is_the_network_input():
    image = thumbnail(color_classifier()(uniform_image(0, 0, 255))._repr_html_())
    assert image.size == (160, 160)
    assert image.getpixel((80, 80))[2] > 250


def test_images_of_a_list_are_not_kept():
    (prediction,) = color_classifier()([uniform_image(0, 0, 255)])
    assert prediction.pixels is None
    assert "<img" not in prediction._repr_html_()


@pytest.mark.parametrize("source", ["missing.jpg", "", "a\0b", "x" * 5000, "<BytesIO>"])
def test_a_source_that_is_no_file_has_no_thumbnail(source):
    assert "<img" not in html_of(0.5, 0.5, source=source)


def test_an_unknown_image_shows_the_threshold_and_its_best_guesses():
    html = html_of(0.25, 0.75, threshold=0.9)
    assert "<b>unknown</b>" in html
    assert "no score reaches 90.0&nbsp;%" in html
    assert re.findall(r"([\d.]+)&nbsp;%", html) == ["90.0", "75.0", "25.0"]


def test_names_and_errors_are_escaped():
    prediction = Prediction("<i>.jpg", np.float32([0]), ("<script>",))
    assert "&lt;script&gt;" in prediction._repr_html_()
    assert "&lt;i&gt;.jpg" in prediction._repr_html_()
    failed = Prediction("a.jpg", np.empty(0, np.float32), ("a",), error=ImageError("<b>", source="a.jpg"))
    assert "&lt;b&gt;" in failed._repr_html_()
