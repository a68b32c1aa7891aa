"""The contact sheet shows evenly spaced images of all splits."""

import pytest
from PIL import Image

from levit.data.open_data import open_data, open_splits
from levit.errors import DataError
from levit.reporting.contact_sheet import draw_contact_sheet
from tests.conftest import EXAMPLES


def test_images_are_evenly_spaced_and_unreadable_ones_are_white(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        Image.new("RGB", (30, 50), (12 * number, 0, 0)).save(folder / f"{number:02}.png")
    (folder / "05.png").write_text("not an image")
    draw_contact_sheet([open_data(folder)], tmp_path / "sheet.png", columns=2, rows=2, side=10)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (20, 20)
        reds = [sheet.getpixel((x, y))[0] for y in (5, 15) for x in (5, 15)]
    assert reds == [0, 255, 120, 180]


def test_every_split_and_the_center_of_narrow_images_are_shown(tmp_path):
    for split, size in (("train", (1, 60_000)), ("val", (60_000, 1))):
        (tmp_path / split / "cat").mkdir(parents=True)
        color = (0, 255, 0) if split == "train" else (255, 0, 0)
        Image.new("RGB", size, color).save(tmp_path / split / "cat" / "1.png")
    splits = open_splits(tmp_path)
    draw_contact_sheet([*splits.values()], tmp_path / "sheet.png", columns=2, rows=1, side=10)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert [sheet.getpixel((x, 5)) for x in (5, 15)] == [(0, 255, 0), (255, 0, 0)]


@pytest.mark.parametrize("name", ["sheet.xyz", "sheet", "missing/sheet.png", "sheet.mpg"])
def test_a_file_that_cannot_be_written_is_an_error_of_one_line(tmp_path, name):
    with pytest.raises(DataError, match="cannot be written as an image: give a name in an existing folder") as caught:
        draw_contact_sheet([open_data(EXAMPLES)], tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
