"""Only regular files of known formats are opened, and HEIC files with pillow-heif or with an error that names it."""

import os
import sys
import threading
import warnings
from pathlib import Path

import pytest
from PIL import Image

from levit.errors import ImageError
from levit.images.decoding import read_image
from levit.spec.image_files import IMAGE_SUFFIXES, PILLOW_FORMATS
from tests.conftest import EXAMPLES
from tests.images.image_files import encoded
from tests.marks import needs_links

HEIC_HEADER = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"
HEIC_MESSAGE = 'HEIC files need the package pillow-heif: pip install "levit[heif]", or convert it to JPEG'


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "photo.jpg")
    assert str(caught.value) == f"{tmp_path / 'photo.jpg'}: a pipe, a socket or a device, not a regular file"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no device files")
def test_a_device_is_refused_at_once(tmp_path):
    (tmp_path / "photo.jpg").symlink_to("/dev/zero")
    with pytest.raises(ImageError, match=r"not a regular file$"):
        read_image(tmp_path / "photo.jpg")


def test_a_folder_named_like_an_image_is_refused(tmp_path):
    (tmp_path / "photo.jpg").mkdir()
    with pytest.raises(ImageError, match=r"photo\.jpg: a folder, not an image$"):
        read_image(tmp_path / "photo.jpg")


@needs_links
def test_a_broken_link_is_a_missing_file(tmp_path):
    (tmp_path / "photo.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(ImageError, match=r"photo\.jpg: no such file$"):
        read_image(tmp_path / "photo.jpg")


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_a_heic_file_is_refused_by_a_line_that_names_the_package(tmp_path, monkeypatch, brand):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    content = HEIC_HEADER.replace(b"ftypheic", b"ftyp" + brand)
    (tmp_path / "IMG_0001.HEIC").write_bytes(content)
    for source, name in ((content, f"<{len(content)} bytes>"), (tmp_path / "IMG_0001.HEIC", None)):
        with pytest.raises(ImageError) as caught:
            read_image(source)
        assert str(caught.value) == f"{name or source}: {HEIC_MESSAGE}"


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_heic_file_is_read_where_the_package_is_installed(tmp_path, orientation):
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(EXAMPLES / "cat.jpg") as photo:
        expected = photo.convert("RGB").resize((96, 64))
    stored = expected.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else expected
    heif.from_pillow(stored).save(tmp_path / "cat.heic", exif=exif.tobytes())
    for source in (tmp_path / "cat.heic", (tmp_path / "cat.heic").read_bytes()):
        image = read_image(source)
        assert (image.mode, image.size) == ("RGB", (96, 64))
        assert abs(sum(image.resize((1, 1)).getpixel((0, 0))) - sum(expected.resize((1, 1)).getpixel((0, 0)))) < 20


def test_files_are_opened_by_several_threads_at_once():
    sizes: list[tuple[int, int]] = []
    photos = sorted(EXAMPLES.glob("*.jpg")) * 4
    threads = [threading.Thread(target=lambda photo=photo: sizes.append(read_image(photo).size)) for photo in photos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sizes) == sorted(read_image(photo).size for photo in photos)


def test_the_formats_of_pillow_are_those_of_the_suffixes():
    formats = {kind for suffix, kind in Image.registered_extensions().items() if suffix in IMAGE_SUFFIXES}
    assert formats - {"MPO"} <= set(PILLOW_FORMATS)
    assert set(PILLOW_FORMATS) <= formats | {"AVIF", "DIB"}


@pytest.mark.parametrize("kind", ["EPS", "ICNS", "PCX", "SGI", "DDS"])
def test_other_formats_of_pillow_are_refused_whatever_their_names(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was run"))
    content = encoded(Image.new("RGB", (64, 64)), kind)
    (tmp_path / "photo.jpg").write_bytes(content)
    for source in (tmp_path / "photo.jpg", content):
        with pytest.raises(ImageError, match=r"not an image of a supported format$"):
            read_image(source)


def test_damaged_metadata_of_a_jpeg_file_cause_no_warning(tmp_path):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x1a\0\x05\0\0\0\x01\0\0\x99\0\0\0\0\0"  # a resolution beyond its end
    Image.new("RGB", (6, 4)).save(tmp_path / "photo.jpg", exif=exif)
    with pytest.warns(UserWarning, match="Truncated|corrupt|Skipping"), Image.open(tmp_path / "photo.jpg"):
        pass
    assert read_image(tmp_path / "photo.jpg").size == (6, 4)


def test_a_warning_of_the_program_is_still_shown_once_where_it_reads_photos():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            read_image(EXAMPLES / "cat.jpg")
            warnings.warn("a warning of the program", UserWarning, stacklevel=1)
    assert len(caught) == 1


def test_a_damaged_header_of_a_jpeg_file_is_no_image():
    with pytest.raises(ImageError, match="not an image"):
        read_image((EXAMPLES / "cat.jpg").read_bytes()[:20])
