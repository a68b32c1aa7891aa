"""The image processors fetch URLs, and convert the images as they convert files: with a real server of this machine."""

import threading
from functools import partial

import numpy as np
import pytest
from PIL import Image

from levit import ImageError, LevitImageProcessor, LevitImageProcessorFast
from levit.image_processing import processor_inputs
from levit.images import decoding
from tests.conftest import EXAMPLES, GOLDEN
from tests.file_server import RedirectingHandler, running_server
from tests.image_processing.pixel_values import values

OURS = [LevitImageProcessor, LevitImageProcessorFast]
IMAGES = [GOLDEN / "preprocess" / "images" / f"edge_{name}" for name in ("exif6.jpg", "gray16.png", "la.png")]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Folder of a file server, and its address; `/redirect/<URL>` refers to a URL, and `/silent` sends nothing."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    is_over = threading.Event()

    class Handler(RedirectingHandler):
        def do_GET(self):  # noqa: N802  # the name is the base class's
            if self.path == "/silent":
                is_over.wait(timeout=60)
            else:
                super().do_GET()

    with running_server(partial(Handler, directory=tmp_path)) as address:
        yield tmp_path, address
        is_over.set()


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("file", IMAGES, ids=lambda file: file.name)
def test_an_image_has_the_same_values_by_url_as_by_path(cls, server, file):
    folder, address = server
    (folder / file.name).write_bytes(file.read_bytes())
    np.testing.assert_array_equal(values(cls, f"{address}/{file.name}"), values(cls, file))


@pytest.mark.parametrize("cls", OURS)
def test_a_transparent_image_of_a_url_is_blended_on_white(cls, server):
    folder, address = server
    Image.new("RGBA", (60, 40), (200, 0, 0, 0)).save(folder / "hidden.png")
    actual = values(cls, f"{address}/hidden.png", do_normalize=False)
    np.testing.assert_array_equal(actual, np.ones_like(actual))


@pytest.mark.parametrize("cls", OURS)
def test_the_options_apply_to_the_image_of_a_url(cls, server):
    folder, address = server
    gray = np.random.default_rng(0).integers(0, 65536, (40, 60), np.uint16)
    Image.fromarray(gray).save(folder / "gray.png")
    options = {"rescale_factor": 1 / 65535, "image_mean": [0.5], "image_std": [0.5]}
    np.testing.assert_array_equal(values(cls, f"{address}/gray.png", **options), values(cls, gray, **options))


def test_a_redirection_is_followed(server):
    folder, address = server
    (folder / "cat.jpg").write_bytes((EXAMPLES / "cat.jpg").read_bytes())
    actual = values(LevitImageProcessor, f"{address}/redirect/{address}/cat.jpg")
    np.testing.assert_array_equal(actual, values(LevitImageProcessor, EXAMPLES / "cat.jpg"))


def test_a_redirection_to_a_local_file_is_refused(server):
    _, address = server
    with pytest.raises(ImageError, match=r"^image 0: http://.* cannot be downloaded \("):
        LevitImageProcessor()(f"{address}/redirect/file://{EXAMPLES / 'cat.jpg'}")


def test_a_missing_page_is_an_error_with_its_status(server):
    _, address = server
    with pytest.raises(ImageError, match=rf"^image 0: {address}/no\.png cannot be downloaded \(.*404") as caught:
        LevitImageProcessor()(f"{address}/no.png")
    assert "\n" not in str(caught.value)


def test_an_image_on_an_error_page_is_refused(server, monkeypatch):
    _, address = server
    content = (EXAMPLES / "cat.jpg").read_bytes().decode("latin-1")
    monkeypatch.setattr(RedirectingHandler, "error_message_format", content.replace("%", "%%"))
    with pytest.raises(ImageError, match=r"cannot be downloaded \(.*404"):
        LevitImageProcessor()(f"{address}/no.jpg")


def test_content_that_is_not_an_image_is_an_error_that_names_the_url(server):
    folder, address = server
    (folder / "page.html").write_text("<h1>Cats</h1>")
    (folder / "half.jpg").write_bytes((EXAMPLES / "cat.jpg").read_bytes()[:5000])
    for name, reason in (("page.html", "not an image of a supported format"), ("half.jpg", "damaged or incomplete")):
        with pytest.raises(ImageError, match=f"^image 0: {address}/{name}: {reason}"):
            LevitImageProcessor()(f"{address}/{name}")


def test_the_limit_of_pixels_applies_to_the_image_of_a_url(server, monkeypatch):
    folder, address = server
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2_000_000)
    Image.new("1", (2000, 1500)).save(folder / "large.png")
    with pytest.raises(ImageError, match=r"/large\.png: 3,000,000 pixels are more than the limit of 2,000,000"):
        LevitImageProcessor()(f"{address}/large.png")


def test_a_server_that_sends_nothing_is_given_up(server, monkeypatch):
    _, address = server
    monkeypatch.setattr(processor_inputs, "_TIMEOUT", 0.1)
    with pytest.raises(ImageError, match=r"/silent cannot be downloaded \(.*timed out"):
        LevitImageProcessor()(f"{address}/silent")
