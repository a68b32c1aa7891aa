"""Options of a classifier: values of every integer type, and errors of invalid ones."""

import re

import numpy as np
import pytest

from levit.errors import ConfigError, ImageError
from tests.runtime.small_model import color_classifier


@pytest.mark.parametrize("options", [{"engine": "onnxruntime"}, {"precision": "fp32"}, {"provider": "cpu"}])
def test_options_of_an_engine_are_refused_with_an_opened_engine(options):
    with pytest.raises(ConfigError, match="an opened engine: `engine`, `precision` and `provider` do not apply"):
        color_classifier(**options)


def test_an_invalid_number_of_threads_is_refused_with_an_opened_engine():
    with pytest.raises(ConfigError, match="threads is -1"):
        color_classifier(threads=-1)


@pytest.mark.parametrize("limit", [0, -5, 2.5, "many", None])
def test_an_invalid_limit_of_pixels_is_refused(limit):
    with pytest.raises(ConfigError, match=re.escape(f"max_pixels is {limit!r}: give a whole number of at least 1")):
        color_classifier(max_pixels=limit)


def test_sizes_may_be_integers_of_numpy():
    classify = color_classifier(max_pixels=np.int64(10**6), threads=np.int64(1))
    images = [np.zeros((8, 8, 3), np.uint8)] * 5
    assert len(list(classify.stream(images, batch_size=np.int64(2)))) == 5


def test_several_images_that_are_no_list_are_refused_with_a_hint():
    for images in ({"cat.jpg"}, iter(["cat.jpg"])):
        with pytest.raises(ImageError, match=r"for several images give a list, or use `stream`$"):
            color_classifier()(images)
