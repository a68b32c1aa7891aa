"""The gallery: one page with every image, by label and score."""

import re
import tracemalloc
from html import unescape
from tempfile import TemporaryFile

import numpy as np
import pytest
from PIL import Image

from levit.errors import DataError, ImageError
from levit.reporting import gallery as gallery_module
from levit.reporting.gallery import Gallery, check_page
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


def buttons(page: str) -> list[tuple[str, str, int]]:
    """Value, name and number of images of each button."""
    found = re.findall(r'<button value="([^"]*)" aria-pressed="\w+">([^<]*)<small>(\d+)</small>', page)
    return [(value, unescape(name), int(count)) for value, name, count in found]


def attributes(page: str, name: str) -> list[str]:
    return [unescape(value) for value in re.findall(rf'<figure [^>]*data-{name}="([^"]*)"', page)]


def test_images_are_sorted_by_score_and_keep_their_order(page):
    assert attributes(page, "score") == ["0.950000", "0.900000", "0.750000", "0.600000", "-1.000000"]
    assert attributes(page, "index") == ["1", "3", "0", "2", "4"]


def test_each_label_has_a_button_with_its_number_of_images(page):
    assert buttons(page) == [
        ("", "all", 5), ("0", "cat", 2), ("1", "dog & co", 1), ("-2", "unknown", 1), ("-1", "not readable", 1),
    ]  # fmt: skip
    assert attributes(page, "label") == ["1", "0", "0", "-2", "-1"]


def test_classes_with_the_names_of_other_groups_or_of_one_another_have_their_own_buttons(tmp_path):
    labels = ("unknown", "not readable", "dog", "dog")
    with Gallery(tmp_path / "gallery.html", "photos", "LeViT") as gallery:
        for best, threshold in ((0, 0.0), (0, 0.99), (1, 0.0), (2, 0.0), (3, 0.0)):
            gallery.write(Prediction("a.jpg", 2 * np.eye(4, dtype=np.float32)[best], labels, threshold=threshold))
        gallery.write(Prediction("b.jpg", np.empty(0, np.float32), labels, error=ImageError("damaged", source="b.jpg")))
        gallery.finish()
    page = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert buttons(page)[1:] == [
        ("0", "unknown", 1), ("-2", "unknown (no class)", 1), ("1", "not readable", 1), ("2", "dog", 1),
        ("3", "dog (2)", 1), ("-1", "not readable (no class)", 1),
    ]  # fmt: skip
    assert sorted(attributes(page, "label")) == sorted(["0", "-2", "1", "2", "3", "-1"])
    assert "<b>unknown (no class)</b>" in page


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


@pytest.mark.parametrize(
    ("file", "message"),
    [
        *((file, r"cannot be written as a page: give a name that ends in \.html") for file in ("", "a.jpg", "gallery")),
        ("missing/gallery.html", "its folder does not exist: create the folder"),
    ],
)
def test_a_folder_that_does_not_exist_or_another_suffix_is_an_error(tmp_path, file, message):
    with pytest.raises(DataError, match=message):
        Gallery(tmp_path / file, "photos", "LeViT")


def test_a_page_does_not_replace_an_image(tmp_path):
    for name in ("a.html", "b.htm", "c.HTML"):
        check_page(tmp_path / name, [str(tmp_path / "a.jpg"), "missing.jpg"])
        (tmp_path / name).touch()
        check_page(tmp_path / name, [str(tmp_path / "a.jpg"), "missing.jpg"])
        with pytest.raises(DataError, match="is one of the images: give another name to the page"):
            check_page(tmp_path / name, ["missing.jpg", str(tmp_path / "." / name)])


def test_thumbnails_are_in_a_file_until_the_page_is_written_image_by_image(tmp_path, monkeypatch):
    url = "data:image/jpeg;base64," + 500_000 * "A"
    monkeypatch.setattr(gallery_module, "thumbnail_url", lambda *_, **__: "".join(url))
    tracemalloc.start()
    try:
        with Gallery(tmp_path / "gallery.html", "photos", "LeViT") as gallery:
            for number in range(60):
                gallery.write(prediction(f"{number}.jpg", 0.5, 0.5))
            gallery.finish()
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()
    assert (tmp_path / "gallery.html").read_text(encoding="utf-8").count(url) == 60
    assert [file.name for file in tmp_path.iterdir()] == ["gallery.html"]


def test_a_full_disk_is_an_error_and_leaves_the_earlier_page(tmp_path, monkeypatch):
    class FullDisk:
        def __init__(self, **options) -> None:
            self.stream = TemporaryFile(**options)  # noqa: SIM115 (closed by the gallery)
            self.seek, self.close = self.stream.seek, self.stream.close

        def write(self, content: bytes) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(gallery_module, "TemporaryFile", FullDisk)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "gallery.html").write_text("earlier")
    with Gallery(tmp_path / "gallery.html", "photos", "LeViT") as gallery:
        gallery.write(prediction(tmp_path / "a.png", 0.5, 0.5))
        with pytest.raises(OSError, match="No space left"):
            gallery.finish()
    assert (tmp_path / "gallery.html").read_text() == "earlier"


def test_the_limit_of_pixels_is_that_of_the_classifier(tmp_path):
    Image.new("RGB", (500, 300), "red").save(tmp_path / "a.png")
    for max_pixels, count in ((150_000, 1), (149_999, 0)):
        with Gallery(tmp_path / "gallery.html", "photos", "LeViT", max_pixels=max_pixels) as gallery:
            gallery.write(prediction(tmp_path / "a.png", 0.5, 0.5))
            gallery.finish()
        assert (tmp_path / "gallery.html").read_text(encoding="utf-8").count("<img") == count
