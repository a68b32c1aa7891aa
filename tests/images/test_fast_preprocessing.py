"""Fast preprocessing keeps its error budget; exact preprocessing is Pillow's to the bit."""

import io
import sys

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import levit
from levit.errors import ConfigError
from levit.images import resizing
from levit.images.decoding import read_image, read_reduced_image
from levit.images.transform import preprocess, preprocess_fast, read_and_preprocess
from levit.spec.preprocessing import Preprocessing
from tests.conftest import EXAMPLES, ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from large_photos import draw_scene

USUAL = Preprocessing.for_image_size((224, 224))
LARGE = [Preprocessing.for_image_size((384, 384)), Preprocessing(resize=(300, 200), crop=(260, 190))]


def difference(one: np.ndarray, another: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - another).mean())


def jpeg(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90, subsampling="4:2:0", **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def large() -> bytes:
    return jpeg(draw_scene(0, 2016, 1512))


@pytest.mark.parametrize("preprocessing", [USUAL, *LARGE], ids=str)
def test_photos_stay_within_the_budget(preprocessing):
    for photo in sorted(EXAMPLES.glob("*.jpg")):
        image = read_image(photo)
        assert difference(preprocess_fast(image, preprocessing), preprocess(image, preprocessing)) < 0.05


def test_every_photo_of_the_shared_data_stays_within_the_budget(shared_data):
    photos = sorted((shared_data / "photos").iterdir())
    assert len(photos) == 100
    for photo in photos:
        assert difference(read_and_preprocess(photo, USUAL), read_and_preprocess(photo, USUAL, exact=True)) < 0.05, (
            photo.name
        )


@pytest.mark.slow
def test_the_answers_stay_the_same(shared_data):
    photos = [str(photo) for photo in sorted((shared_data / "photos").iterdir())]
    for model, bound in ((shared_data / "starter", 0), (None, 0.005)):  # in int8 two labels are sometimes as likely
        fast, exact = (levit.Classifier(model, precision="fp32", preprocessing=one) for one in ("fast", "exact"))
        for one, other in zip(fast.stream(photos), exact.stream(photos), strict=True):
            first, second = other.top(2)
            assert one.top(1)[0].index == first.index or first.score - second.score < bound


@pytest.mark.parametrize("resample", [1, 2, 3, 4, 5])
def test_without_the_faster_library_pillow_does_it(monkeypatch, resample):
    image, preprocessing = read_image(EXAMPLES / "cat.jpg"), Preprocessing(resize=100, crop=(90, 80), resample=resample)
    fast = preprocess_fast(image, preprocessing)
    monkeypatch.setattr(resizing, "_has_vectors", lambda: False)
    by_pillow = preprocess_fast(image, preprocessing)
    assert difference(by_pillow, preprocess(image, preprocessing)) < 0.1  # a box begins within a pixel
    assert difference(fast, by_pillow) < 0.05


@pytest.mark.parametrize(("version", "is_known"), [("11.0.0", True), ("13.1.2", True), ("14.0.0", False)])
def test_a_pillow_that_nobody_tested_is_not_read_from_outside(monkeypatch, version, is_known):
    monkeypatch.setattr(PIL, "__version__", version)
    assert resizing._has_vectors.__wrapped__() is is_known


@settings(max_examples=60)
@given(
    height=st.integers(64, 400),
    width=st.integers(64, 400),
    resize=st.integers(48, 300),
    crop=st.tuples(st.integers(4, 300), st.integers(4, 300)),
    resample=st.integers(0, 5),
)
def test_any_size_and_filter_differs_by_rounding_alone(height, width, resize, crop, resample):
    image = read_image(EXAMPLES / "officer.jpg").crop((20, 30, 20 + width, 30 + height))
    preprocessing = Preprocessing(resize=resize, crop=crop, resample=resample)
    fast, exact = preprocess_fast(image, preprocessing), preprocess(image, preprocessing)
    assert fast.shape == exact.shape
    assert difference(fast, exact) < 0.3  # where Pillow takes the columns first, rounding differs


@pytest.mark.parametrize("size", [(1333, 2001), (2003, 1331), (1999, 1999)])
@pytest.mark.parametrize("preprocessing", [USUAL, LARGE[1]], ids=str)
def test_a_last_pixel_that_is_no_whole_one_moves_nothing(size, preprocessing):
    content = jpeg(draw_scene(3, *size))
    assert (
        difference(read_and_preprocess(content, preprocessing), read_and_preprocess(content, preprocessing, exact=True))
        < 1
    )


def test_large_files_are_reduced_within_a_budget_of_their_own(large):
    fast, exact = read_and_preprocess(large, USUAL), read_and_preprocess(large, USUAL, exact=True)
    assert 0 < difference(fast, exact) < 1
    assert [read_reduced_image(large, enough)[0].size for enough in (512, 200, 757)] == [
        (1008, 756),
        (504, 378),
        (2016, 1512),
    ]
    assert [read_reduced_image(large, enough)[1] for enough in (512, 200, None)] == [(1512, 2016)] * 3


def test_a_turned_photo_is_reduced_and_upright():
    scene = draw_scene(1, 1600, 1200)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    turned = jpeg(scene, exif=exif)
    image, whole = read_reduced_image(turned, 300)
    assert (image.size, whole) == ((300, 400), (1600, 1200))
    assert difference(read_and_preprocess(turned, USUAL), read_and_preprocess(turned, USUAL, exact=True)) < 1


def test_an_image_that_the_caller_opened_is_not_reduced(large):
    opened = Image.open(io.BytesIO(large))
    read_and_preprocess(opened, USUAL)
    assert opened.size == (2016, 1512)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(2017, 1513), pytest.param((2016, 1512), marks=pytest.mark.slow)])
def test_a_turned_photo_moves_by_no_part_of_a_pixel(orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = jpeg(draw_scene(4, *size), exif=exif)
    assert difference(read_and_preprocess(content, USUAL), read_and_preprocess(content, USUAL, exact=True)) < 0.5


@pytest.mark.parametrize("resample", [0, 4])
def test_a_filter_that_jumps_is_given_the_whole_image(large, resample):
    preprocessing = Preprocessing(resize=100, crop=(90, 80), resample=resample)
    np.testing.assert_array_equal(
        read_and_preprocess(large, preprocessing), read_and_preprocess(large, preprocessing, exact=True)
    )


@settings(max_examples=30)
@given(width=st.integers(100, 400), ratio=st.floats(0.3, 6), seed=st.integers(0, 9))
def test_images_of_any_shape_stay_within_the_budget(width, ratio, seed):
    image = draw_scene(seed, width, int(width * ratio))
    assert difference(preprocess_fast(image, USUAL), preprocess(image, USUAL)) < 0.05


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_gray_and_printers_colors_are_reduced_too(mode):
    content = jpeg(draw_scene(2, 1600, 1200).convert(mode))
    assert difference(read_and_preprocess(content, USUAL), read_and_preprocess(content, USUAL, exact=True)) < 1


def test_a_truncated_large_file_is_an_error_as_before(large):
    for exact in (False, True):
        with pytest.raises(levit.LevitError, match="damaged or incomplete"):
            read_and_preprocess(large[: len(large) // 2], USUAL, exact=exact)


def test_exact_is_pillow_to_the_bit(large):
    content = levit.Classifier(preprocessing="exact")._prepare(large)
    with Image.open(io.BytesIO(large)) as image:
        expected = image.convert("RGB").resize((85, 64), Image.Resampling.BICUBIC).crop((10, 0, 74, 64))
    np.testing.assert_array_equal(content, np.asarray(expected))


def test_another_kind_of_preprocessing_is_refused():
    with pytest.raises(ConfigError, match="preprocessing is 'quick': use fast or exact"):
        levit.Classifier(preprocessing="quick")
