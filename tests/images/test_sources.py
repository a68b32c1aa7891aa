"""Sources of images: every type gives the pixels of the file, and other objects are errors of one line."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from levit.errors import ImageError
from levit.images.decoding import describe_source, read_image, snapshot_source
from levit.images.sources import as_stored_image, is_image_source

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


@pytest.fixture
def file(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def opened_at_its_end(file):
    stream = io.BytesIO()
    stream.write(file.read_bytes())
    return stream


SOURCES = {
    "str": str,
    "Path": lambda file: file,
    "bytes": lambda file: file.read_bytes(),
    "bytearray": lambda file: bytearray(file.read_bytes()),
    "memoryview": lambda file: memoryview(file.read_bytes()),
    "BytesIO": opened_at_its_end,
    "open file": lambda file: file.open("rb"),
    "pipe": lambda file: io.BufferedReader(Unseekable(file.read_bytes())),
    "PIL image": Image.open,
    "array": lambda file: PIXELS,
    "array, channels first": lambda file: PIXELS.transpose(2, 0, 1),
    "floating-point array": lambda file: PIXELS / 255,
    "floating-point array, channels first": lambda file: (PIXELS / 255).astype(np.float16).transpose(2, 0, 1),
    "tensor, channels first": lambda file: torch.tensor(PIXELS).permute(2, 0, 1),
    "tensor, channels last": lambda file: torch.tensor(PIXELS),
    "floating-point tensor": lambda file: torch.tensor(PIXELS).permute(2, 0, 1) / 255,
    "tensor with gradient": lambda file: (torch.tensor(PIXELS).permute(2, 0, 1) / 255).requires_grad_(),
}


class Unseekable(io.RawIOBase):
    """Stream that can only be read from beginning to end."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._content.readinto(buffer)


@pytest.mark.parametrize("kind", SOURCES)
def test_every_type_gives_the_pixels_of_the_file(kind, file):
    source = SOURCES[kind](file)
    assert is_image_source(source)
    try:
        np.testing.assert_array_equal(np.asarray(read_image(source)), PIXELS)
    finally:
        getattr(source, "close", lambda: None)()


@pytest.mark.parametrize("kind", ["BytesIO", "open file"])
def test_an_open_file_can_be_read_again_and_stays_open(kind, file):
    with SOURCES[kind](file) as stream:
        for _ in range(2):
            np.testing.assert_array_equal(np.asarray(read_image(stream)), PIXELS)
        assert not stream.closed


GRAY = np.arange(10).reshape(2, 5)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GRAY.astype(np.uint8)[None], GRAY),
        (GRAY.astype(np.uint8), GRAY),
        (GRAY.astype(np.uint8)[..., None], GRAY),
        (GRAY.astype(">u2") * 257, GRAY),
        (GRAY.astype(np.uint16)[..., None] * 257, GRAY),
        (GRAY > 4, [[0] * 5, [255] * 5]),
        (np.float32([[0.0, 0.5, 1.0]]), [[0, 128, 255]]),
        (np.array([[0.0, 0.5, 1.0]], ">f8"), [[0, 128, 255]]),
    ],
    ids=lambda value: f"{value.dtype.str}{value.shape}" if isinstance(value, np.ndarray) else "",
)
def test_gray_arrays_and_tensors_are_gray_images(image, expected):
    np.testing.assert_array_equal(np.asarray(read_image(image))[..., 0], expected)
    tensor = torch.from_numpy(image.astype(image.dtype.newbyteorder("=")))
    np.testing.assert_array_equal(np.asarray(read_image(tensor))[..., 0], expected)


def test_a_tensor_in_bfloat16_is_an_image():
    tensor = torch.tensor([[0.0, 0.5, 1.0]], dtype=torch.bfloat16)
    np.testing.assert_array_equal(np.asarray(read_image(tensor))[..., 0], [[0, 128, 255]])


def test_channels_that_may_be_first_or_last_are_last_in_an_array_and_first_in_a_tensor():
    pixels = np.zeros((3, 8, 4), np.uint8)
    assert read_image(pixels).size == (8, 3)
    assert read_image(torch.from_numpy(pixels)).size == (4, 8)


def test_a_transparent_tensor_is_blended_with_white():
    tensor = torch.zeros(4, 5, 6, dtype=torch.uint8)
    assert read_image(tensor).getpixel((0, 0)) == (255, 255, 255)


FORM = "must be uint8, bool, floating-point or gray uint16, [height, width] or with 1, 3 or 4 channels"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (torch.zeros(2, 3, 8, 8), f"a tensor {FORM}, not float32 [2, 3, 8, 8]: give the images of a batch one by one"),
        (np.zeros((2, 8, 8, 3), np.uint8), f"an array {FORM}, not uint8 [2, 8, 8, 3]: give the images of a batch"),
        (torch.full((3, 8, 8), -0.1), "floating-point values must be from 0 to 1: divide by 255, and leave out"),
        (torch.full((3, 8, 8), torch.nan), "floating-point values must be from 0 to 1"),
        (np.full((8, 8, 3), 255.0), "floating-point values must be from 0 to 1"),
        (torch.zeros(5, 8, 8, dtype=torch.uint8), f"a tensor {FORM}, not uint8 [5, 8, 8]"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), f"a tensor {FORM}, not int64 [3, 8, 8]"),
        (io.StringIO("text"), 'a file in text mode: open it in binary mode, "rb"'),
        (io.BytesIO(b"no image"), "not an image of a supported format"),
        (7, "not a path, bytes, an open file, a PIL image, an array or a tensor"),
        ({"cat.jpg"}, "an array or a tensor: for several images give a list, or use `stream`"),
        ((name for name in ["cat.jpg"]), "an array or a tensor: for several images give a list, or use `stream`"),
    ],
    ids=[
        "batch",
        "array of a batch",
        "negative",
        "nan",
        "up to 255",
        "five channels",
        "int64",
        "text mode",
        "no image",
        "number",
        "set",
        "generator",
    ],
)
def test_anything_else_is_an_error(source, message):
    with pytest.raises(ImageError, match=re.escape(message)):
        read_image(source)


def test_names_of_sources(file):
    with file.open("rb") as stream:
        assert describe_source(stream) == str(file)
    assert describe_source(io.BytesIO()) == "<BytesIO>"
    assert describe_source(bytearray(4)) == describe_source(memoryview(bytes(4))) == "<4 bytes>"
    assert describe_source(torch.zeros(3, 4, 5)) == "<Tensor 3x4x5>"
    assert describe_source(Image.new("L", (7, 5))) == "<Image 5x7>"


@pytest.mark.parametrize(
    "kind",
    ["bytearray", "memoryview", "array", "floating-point array", "tensor, channels first", "tensor, channels last"],
)
def test_a_snapshot_does_not_change_with_its_source(kind, file):
    content = bytearray(file.read_bytes())
    source = memoryview(content) if kind == "memoryview" else content if kind == "bytearray" else SOURCES[kind](file)
    source = source.copy() if isinstance(source, np.ndarray) else source
    snapshot = snapshot_source(source)
    if kind in ("bytearray", "memoryview"):
        content[:] = bytes(len(content))
    else:
        source[:] = 0
    np.testing.assert_array_equal(np.asarray(read_image(snapshot)), PIXELS)


def test_a_stored_image_is_itself():
    array = np.zeros((2, 3), np.uint8)
    assert as_stored_image(array, "image") is array
