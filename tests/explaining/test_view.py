"""The part of an image that the network sees, against the preprocessing itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from levit.explaining.view import View
from levit.images.transform import preprocess
from levit.spec.preprocessing import Preprocessing

sides = st.integers(40, 300)


@settings(max_examples=25)
@given(sides, sides, st.sampled_from([Preprocessing.for_image_size((32, 32)), Preprocessing.for_image_size((32, 48))]))
def test_the_view_is_where_the_crop_comes_from(height, width, preprocessing):
    """The pixels of an image whose values are their own coordinates keep them in the network's input."""
    rows, columns = np.mgrid[0:height, 0:width]
    coordinates = np.stack([rows * 255 / height, columns * 255 / width, 0 * rows], axis=-1)
    seen = preprocess(Image.fromarray(np.rint(coordinates).astype(np.uint8)), preprocessing).astype(float)
    view = View.of_image((height, width), preprocessing)
    size = seen.shape[:2]
    for axis, (start, length, whole) in enumerate([(view.top, view.height, height), (view.left, view.width, width)]):
        centers = start + (np.arange(size[axis]) + 0.5) / size[axis] * length
        expected = (centers - 0.5) * 255 / whole
        actual = seen[..., axis].mean(1 - axis)
        inner = slice(3, -3)  # filters are cut off at the edges of the image
        assert np.abs(actual - expected)[inner].max() < 2 + 255 / whole


@given(sides, sides)
def test_a_value_everywhere_is_that_value_inside_and_zero_outside(height, width):
    view = View.of_image((height, width), Preprocessing.for_image_size((32, 32)))
    heat = view.to_image(np.full((5, 7), 3, np.float32), (height, width))
    assert (heat.shape, heat.dtype) == ((height, width), np.float32)
    inside = np.isclose(heat, 3)
    assert (inside | (heat == 0)).all()
    assert abs(inside.sum() - view.height * view.width) <= height + width + 1


def test_values_are_interpolated_between_the_centers_of_their_cells():
    heat = View(0, 0, 4, 8).to_image(np.float32([[0, 8]]), (4, 8))
    assert heat[0].tolist() == pytest.approx([0, 0, 1, 3, 5, 7, 8, 8])
    assert (heat == heat[0]).all()


def test_a_padded_crop_exceeds_the_image():
    view = View.of_image((20, 30), Preprocessing(resize=None, crop=(40, 40)))
    assert view == View(-10, -5, 40, 40)
    heat = view.to_image(np.ones((4, 4), np.float32), (20, 30))
    assert np.allclose(heat, 1)
