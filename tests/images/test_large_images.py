"""Photos with more pixels than the limit, which are decoded at reduced size, and MPO files of phones."""

import numpy as np
import pytest
from PIL import Image

from levit.errors import ImageError
from levit.images.decoding import read_image, read_reduced_image
from levit.images.transform import read_and_preprocess
from levit.runtime.classifier import Classifier
from levit.spec.image_files import is_image
from levit.spec.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(resize=32, crop=(32, 32))


@pytest.fixture
def photo(tmp_path):
    """Photo of 800x640 pixels, whose left half is red."""
    image = Image.new("RGB", (800, 640), "blue")
    image.paste("red", (0, 0, 400, 640))
    return image


def test_a_jpeg_file_may_have_four_times_as_many_pixels_as_the_limit(photo, tmp_path):
    photo.save(tmp_path / "photo.jpg")
    pixels = read_and_preprocess(tmp_path / "photo.jpg", PREPROCESSING, max_pixels=800 * 640 // 4)
    expected = read_and_preprocess(tmp_path / "photo.jpg", PREPROCESSING)
    np.testing.assert_array_equal(pixels, expected)
    with pytest.raises(ImageError, match="more than the limit"):
        read_and_preprocess(tmp_path / "photo.jpg", PREPROCESSING, max_pixels=800 * 640 // 4 - 1)


@pytest.mark.parametrize("options", [{"exact": True}, {}])
@pytest.mark.parametrize(("name", "settings"), [("photo.jpg", {"progressive": True}), ("photo.png", {})])
def test_other_files_and_exact_preprocessing_have_the_limit_itself(photo, tmp_path, name, settings, options):
    photo.save(tmp_path / name, **settings)
    with pytest.raises(ImageError, match="512,000 pixels are more than the limit of 511,999: make it smaller"):
        read_and_preprocess(tmp_path / name, PREPROCESSING, max_pixels=800 * 640 - 1, **options)
    assert read_and_preprocess(tmp_path / name, PREPROCESSING, max_pixels=800 * 640, **options).shape == (32, 32, 3)


def test_a_full_size_image_has_the_limit_itself(photo, tmp_path):
    photo.save(tmp_path / "photo.jpg")
    with pytest.raises(ImageError, match="more than the limit"):
        read_image(tmp_path / "photo.jpg", max_pixels=800 * 640 - 1)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(12_000, 9_000), (16_320, 12_240)], ids=["108 megapixels", "200 megapixels"])
def test_photos_of_phones_are_classified(size, tmp_path):
    Image.new("L", size, 128).save(tmp_path / "phone.jpg")
    classify = Classifier()
    gray = classify(Image.new("L", (64, 64), 128))
    np.testing.assert_allclose(classify(tmp_path / "phone.jpg").logits, gray.logits, atol=1e-3)
    assert read_reduced_image(tmp_path / "phone.jpg", 64)[1] == size[::-1]


def test_the_first_photo_of_an_mpo_file_is_read(photo, tmp_path):
    other = Image.new("RGB", photo.size, "lime")
    photo.save(tmp_path / "stereo.mpo", "MPO", save_all=True, append_images=[other])
    assert is_image("stereo.MPO")
    for side in (None, 64):
        image, full_size = read_reduced_image(tmp_path / "stereo.mpo", side)
        assert full_size == (640, 800)
        assert image.getpixel((5, 5))[0] > 240
        assert image.getpixel((image.width - 5, 5))[2] > 240
    assert image.size == (100, 80)
