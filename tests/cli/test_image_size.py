"""The image size on the command line."""

import pytest
import typer

from levit.cli.image_size import parse_image_size


@pytest.mark.parametrize(
    ("text", "size"), [("224", (224, 224)), ("256x192", (256, 192)), ("1X2", (1, 2)), ("064", (64, 64))]
)
def test_one_side_or_height_and_width_are_parsed(text, size):
    assert parse_image_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "110x", "x110", "0", "64x0", "-5", "1.5", "110x105x3", "6 4", "²", "٣"])
def test_other_text_is_wrong_usage(text):
    with pytest.raises(typer.BadParameter, match="give pixels, as 224, or height and width as 256x192"):
        parse_image_size(text)
