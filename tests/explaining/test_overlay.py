"""Pictures of explanations, and their files."""

import numpy as np
import pytest
from PIL import Image

from levit.errors import ConfigError
from levit.explaining.explanation import Explanation
from levit.explaining.overlay import colors
from levit.explaining.view import View
from levit.runtime.prediction import Label


def explanation(name: str = "tabby", *, method: str = "occlusion", values=((0, 0), (0, 2))) -> Explanation:
    """Explanation of a gray image, of which the network sees the middle."""
    return Explanation(
        source="gray.png",
        method=method,
        label=Label(name, 1, 0.5),
        is_unknown=False,
        is_class_specific=method != "rollout",
        values=np.float32(values),
        view=View(0, 50, 100, 100),
        size=(100, 200),
        image=np.full((100, 200, 3), 128, np.uint8),
    )


def test_the_overlay_has_the_size_of_the_image_and_a_caption_below():
    picture = explanation().overlay()
    assert picture.width == 200
    assert 100 < picture.height < 160
    pixels = np.asarray(picture, int)
    assert (pixels[:100, :50] < 60).all()  # darkened, because the network does not see it
    assert (pixels[:100, 150:] < 60).all()
    assert np.abs(pixels[2, 60] - 128).max() <= 2  # nothing over it
    red, _, blue = pixels[97, 145]
    assert red > 180
    assert red > blue
    assert pixels[100:].max() > 200  # letters


def test_a_long_name_fits_into_the_caption():
    short, long = explanation().overlay(), explanation("Chesapeake Bay retriever " * 5).overlay()
    assert short.size == long.size
    assert np.asarray(long)[100:, -3:].max() < 60  # no letter at the edge


def test_a_large_image_is_drawn_smaller():
    assert explanation().overlay(max_side=50).width == 50
    with pytest.raises(ConfigError, match="max_side is 0"):
        explanation().overlay(max_side=0)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_the_picture_is_written_in_the_format_of_its_suffix(tmp_path, suffix):
    file = tmp_path / f"heat.{suffix}"
    explanation().save(file)
    with Image.open(file) as picture:
        assert picture.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[suffix]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_the_map_is_written_as_an_array(tmp_path):
    explanation().save(tmp_path / "heat.npy")
    assert np.array_equal(np.load(tmp_path / "heat.npy"), explanation().heat)


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"heat.txt has the suffix '.txt': use .png"):
        explanation().save(tmp_path / "heat.txt")


def test_relative_values_begin_at_the_median():
    assert explanation(values=[[-1, 0], [0, 2], [-5, 1]]).relative.tolist() == [[0, 0], [0, 1], [0, 0.5]]
    assert explanation(values=[[-4, -3, -2]]).relative.tolist() == [[0, 0, 1]]
    assert explanation(values=[[-1, -1]]).relative.max() == 0


def test_rollout_is_labeled_as_the_same_for_every_class():
    assert explanation(method="rollout").describe() == "tabby 50.0 % (rollout, the same for every class)"


def test_brighter_colors_are_larger_values():
    brightness = colors(np.linspace(0, 1, 50, dtype=np.float32)) @ np.float32([0.2126, 0.7152, 0.0722])
    assert (np.diff(brightness) > 0).all()
