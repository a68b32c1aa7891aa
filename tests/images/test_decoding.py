"""Images of every kind are decoded to upright RGB; sources that cannot be decoded raise an ImageError of one line."""

import io
import os
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from levit.errors import ImageError, printable
from levit.images.decoding import describe_source, read_image, read_reduced_image, snapshot_source, to_rgb
from tests.conftest import EXAMPLES, GOLDEN
from tests.images.image_files import encoded, png_chunk, png_file

PHOTO = EXAMPLES / "cat.jpg"


def test_sixteen_bit_gray_is_scaled_and_not_clipped():
    file = GOLDEN / "preprocess" / "images" / "edge_gray16.png"
    with Image.open(file) as stored:
        values = np.asarray(stored).astype(np.float64)
    assert values.max() > 60_000
    pixels = np.asarray(read_image(file))
    np.testing.assert_array_equal(pixels, np.repeat(np.rint(values / 257)[:, :, None], 3, axis=2))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_every_mode_of_16_bit_gray_is_scaled(mode):
    values = np.array([[0, 257, 65535]], np.uint16)
    image = Image.frombytes(mode, (3, 1), values.astype({"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]).tobytes())
    assert np.asarray(read_image(image))[0, :, 0].tolist() == [0, 1, 255]


def test_every_kind_of_source_gives_the_same_image(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    file = tmp_path / "photo.png"
    Image.fromarray(array).save(file)
    for source in (str(file), file, file.read_bytes(), Image.fromarray(array), array):
        image = read_image(source)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), array)


def test_gray_arrays_of_eight_and_sixteen_bits_become_rgb():
    gray = np.array([[0, 100, 255]], np.uint8)
    expected = np.repeat(gray[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(np.asarray(read_image(gray)), expected)
    np.testing.assert_array_equal(np.asarray(read_image(gray.astype(np.uint16) * 257)), expected)


def test_transparent_pixels_of_an_array_are_blended_with_white():
    array = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], np.uint8)
    assert np.asarray(read_image(array))[0].tolist() == [[10, 20, 30], [255, 255, 255], [204, 204, 204]]


@pytest.mark.parametrize(("mode", "color"), [("RGB", (10, 20, 30)), ("L", 40), ("P", 0)])
def test_a_transparent_color_becomes_white(mode, color):
    content = encoded(Image.new(mode, (4, 4), color), transparency=color)
    assert np.unique(np.asarray(read_image(content))).tolist() == [255]


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "CMYK", "LAB", "PA", "RGBX", "RGBa"])
def test_rare_modes_become_rgb(mode):
    assert read_image(Image.new(mode, (5, 4))).mode == "RGB"


def test_the_orientation_of_a_pil_image_is_applied_without_changing_it():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned to the right
    photo = Image.open(io.BytesIO(encoded(Image.new("RGB", (30, 20)), "JPEG", exif=exif)))
    assert read_image(photo).size == (20, 30)
    assert photo.size == (30, 20)
    assert photo.getexif()[0x0112] == 6


def test_to_rgb_ignores_the_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.open(io.BytesIO(encoded(Image.new("L", (30, 20), 7), "JPEG", exif=exif)))
    assert to_rgb(photo).size == (30, 20)
    assert to_rgb(photo).getpixel((0, 0)) == (7, 7, 7)
    assert to_rgb(Image.new("RGBA", (2, 2))).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(Image.new("I;16", (2, 2), 65535)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (0, 5)), "<Image 5x0>: the image has no pixels"),
        (Image.new("F", (4, 4)), "<Image 4x4>: floating-point pixels have no known range"),
        (Image.open(io.BytesIO(PHOTO.read_bytes()[:5000])), "<JpegImageFile .*>: damaged or incomplete"),
    ],
)
def test_to_rgb_refuses_an_unusable_image_in_one_line(image, message):
    with pytest.raises(ImageError, match=f"^{message}"):
        to_rgb(image)


def test_damaged_exif_metadata_are_ignored():
    content = encoded(Image.new("RGB", (30, 20), (9, 9, 9)), "JPEG", exif=b"Exif\0\0not valid")
    assert read_image(content).size == (30, 20)


def test_the_first_frame_of_an_animation_is_decoded():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_image(content).getpixel((0, 0)) == (255, 0, 0)


REFUSED = {
    "web address": ("https://example.com/cat.jpg", "URLs are not downloaded: download the image and give the file"),
    "bucket": ("s3://bucket/cat.jpg", "URLs are not downloaded"),
    "path of Windows": ("C://Users//me//cat.jpg", "no such file"),
    "address of two letters": ("s3://cat.jpg", "URLs are not downloaded"),
    "integers": (np.zeros((8, 8, 3), np.int32), r"must be uint8, .* not int32 \[8, 8, 3\]"),
    "two channels": (np.zeros((8, 8, 2), np.uint8), r"not uint8 \[8, 8, 2\]"),
    "a batch": (np.zeros((1, 8, 8, 3), np.uint8), r"not uint8 \[1, 8, 8, 3\]"),
    "deep colors": (np.zeros((8, 8, 3), np.uint16), r"not uint16 \[8, 8, 3\]"),
    "a row": (np.zeros(8, np.uint8), r"not uint8 \[8\]"),
    "a number": (7, "not a path, bytes, an open file, a PIL image, an array or a tensor"),
    "none": (None, "not a path, bytes, an open file, a PIL image, an array or a tensor"),
    "bytearray": (bytearray(b"abc"), "not an image of a supported format"),
    "a stream": (io.BytesIO(b"abc"), "not an image of a supported format"),
    "float pixels": (Image.new("F", (4, 4)), "floating-point pixels have no known range: convert it to 8 bits"),
    "empty image": (Image.new("RGB", (0, 5)), "the image has no pixels"),
    "empty array": (np.zeros((0, 5, 3), np.uint8), "the image has no pixels"),
    "missing file": ("no/such/photo.jpg", "no such file"),
    "impossible name": ("a\0b.jpg", "damaged or incomplete"),
    "no bytes": (b"", "not an image of a supported format"),
    "text": (b"Dear diary,\n\ntoday I saw a cat.", "not an image of a supported format"),
    "half a PNG": (encoded(Image.new("RGB", (64, 64)))[:60], "damaged or incomplete"),
    "half a JPEG": (PHOTO.read_bytes()[:5000], "damaged or incomplete"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_invalid_source_is_refused_in_one_line_that_starts_with_its_name(case):
    source, message = REFUSED[case]
    with pytest.raises(ImageError, match=message) as caught:
        read_image(source)
    assert caught.value.source == describe_source(source)
    assert str(caught.value).startswith(f"{printable(describe_source(source))}: ")
    assert "\n" not in str(caught.value)


def test_errors_of_damaged_files_name_their_path(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "half.jpg").write_bytes(PHOTO.read_bytes()[: PHOTO.stat().st_size // 2])
    for name, reason in (("empty.jpg", "not an image"), ("half.jpg", "damaged"), ("", "a folder, not an image")):
        with pytest.raises(ImageError) as caught:
            read_image(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: {reason}")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files where Linux lists them")
def test_no_file_stays_open_after_decoding_or_while_an_error_is_kept(tmp_path):
    (tmp_path / "half.jpg").write_bytes(PHOTO.read_bytes()[: PHOTO.stat().st_size // 2])
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    read_image(tmp_path / "moving.gif")  # Pillow opens other files on first use
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    kept = []
    for _ in range(3):
        kept.append(read_image(tmp_path / "moving.gif"))
        for problem, limit in (("half.jpg", 10**8), ("moving.gif", 10)):
            with pytest.raises(ImageError) as caught:
                read_image(tmp_path / problem, max_pixels=limit)
            kept.append(caught.value)
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (
            12_000,
            10_000,
            "120,000,000 pixels are more than the limit of 100,000,000: make it smaller, or raise `max_pixels`",
        ),
        (30_000, 30_000, "more pixels than the limit of 100,000,000: make it smaller, or raise `max_pixels`"),
        (9_500, 10_000, "damaged or incomplete"),  # below the limit, so it is decoded
    ],
)
def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(width, height, message):
    content = png_file(width, height, png_chunk(b"IDAT", zlib.compress(b"0")))
    with pytest.raises(ImageError) as caught:
        read_image(content)
    assert str(caught.value).startswith(f"<{len(content)} bytes>: {message}")


@pytest.mark.parametrize("source", [PHOTO, Image.new("L", (11, 10)), np.zeros((11, 10), np.uint8)], ids=type)
def test_the_pixel_limit_applies_to_every_kind_of_source(source):
    with pytest.raises(ImageError, match=r"more than the limit of 109: make it smaller, or raise `max_pixels`"):
        read_image(source, max_pixels=109)


def test_an_image_of_exactly_the_pixel_limit_is_decoded():
    assert read_image(np.zeros((11, 10), np.uint8), max_pixels=110).size == (10, 11)


def test_a_source_is_described_by_its_path_or_its_type_and_size():
    assert describe_source("a/b.jpg") == "a/b.jpg"
    assert describe_source(Path("a/b.jpg")) == str(Path("a/b.jpg"))
    assert describe_source(b"1234") == "<4 bytes>"
    assert describe_source(Image.new("RGB", (640, 480))) == "<Image 480x640>"
    assert describe_source(np.zeros((480, 640, 3), np.uint8)) == "<ndarray 480x640x3>"
    assert describe_source(7) == "<int>"


def decoded_by_threads(source, count: int = 8) -> list:
    """The result of decoding one source in several threads at once: an image, or an error."""
    results: list = []
    barrier = threading.Barrier(count)

    def decode() -> None:
        barrier.wait()
        try:
            results.append(np.asarray(read_image(source)))
        except ImageError as error:
            results.append(error)

    threads = [threading.Thread(target=decode) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP"])
def test_one_pil_image_is_read_by_several_threads_at_once(kind):
    with Image.open(PHOTO) as photo:
        content = encoded(photo.convert("RGB").resize((300, 200)), kind)
    expected = np.asarray(read_image(content))
    for _ in range(5):
        with Image.open(io.BytesIO(content)) as image:
            for actual in decoded_by_threads(image):
                np.testing.assert_array_equal(actual, expected)


def test_a_damaged_pil_image_is_an_error_in_every_thread():
    with Image.open(io.BytesIO(PHOTO.read_bytes()[:9000])) as image:
        results = decoded_by_threads(image)
        assert len(results) == 8
        assert all(isinstance(result, ImageError) for result in results)


def test_a_snapshot_is_not_changed_with_its_source():
    array = np.zeros((4, 6, 3), np.uint8)
    image = Image.fromarray(array)
    snapshots = snapshot_source(array), snapshot_source(image)
    array[:] = 9
    image.paste((9, 9, 9), (0, 0, 6, 4))
    assert [np.asarray(read_image(snapshot)).max() for snapshot in snapshots] == [0, 0]


def test_a_snapshot_has_the_limit_of_pixels_of_its_reader():
    image = Image.new("RGB", (30, 20))
    assert snapshot_source(image, max_pixels=600) is not image
    assert snapshot_source(image, max_pixels=599) is image  # reading it raises the error


def test_a_snapshot_of_an_opened_photo_is_upright_and_of_a_damaged_one_raises_its_error():
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(encoded(Image.new("RGB", (30, 20)), "JPEG", exif=exif))) as photo:
        assert read_image(snapshot_source(photo)).size == (20, 30)
        assert photo.size == (30, 20)
    with Image.open(io.BytesIO(PHOTO.read_bytes()[:5000])) as damaged:
        assert snapshot_source(damaged) is damaged
        with pytest.raises(ImageError, match=r"^<JpegImageFile .*: damaged or incomplete"):
            read_image(snapshot_source(damaged))
    assert snapshot_source("photo.jpg") == "photo.jpg"


def test_the_result_never_shares_its_pixels_with_the_source():
    image = Image.new("RGB", (6, 4))
    read_image(image).paste((9, 9, 9), (0, 0, 6, 4))
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert read_reduced_image(image, 2)[0] is image
