"""The contact sheet shows evenly spaced images of all splits and classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from levit.data.open_data import open_data, open_splits
from levit.errors import DataError
from levit.reporting.contact_sheet import choose_images, draw_contact_sheet
from tests.conftest import EXAMPLES


def test_images_are_evenly_spaced_and_unreadable_ones_are_white(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        Image.new("RGB", (30, 50), (12 * number, 0, 0)).save(folder / f"{number:02}.png")
    (folder / "05.png").write_text("not an image")
    draw_contact_sheet([open_data(folder)], tmp_path / "sheet.png", columns=2, rows=2, side=10)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (20, 56)  # 18 pixels below each row are for names
        reds = [sheet.getpixel((x, y))[0] for y in (5, 33) for x in (5, 15)]
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


@given(labels=st.lists(st.sampled_from([(), (0,), (1,), (2, 0)]), min_size=1, max_size=60), count=st.integers(1, 50))
def test_every_class_is_chosen_and_no_image_twice(labels, count):
    chosen = choose_images(labels, count)
    assert len({*chosen}) == len(chosen) == min(max(count, len({*labels})), len(labels))
    assert {labels[index] for index in chosen} == {*labels}


def test_images_are_from_all_of_a_set_of_95():
    chosen = choose_images([(index // 32,) for index in range(95)], 48)
    assert len(chosen) == 48
    assert [sum(index // 32 == label for index in chosen) for label in range(3)] == [16, 16, 16]
    assert max(chosen) >= 90
    assert max(np.diff(chosen)) <= 2


def test_more_classes_than_thumbnails_make_the_sheet_larger_and_each_has_its_name(tmp_path):
    for number in range(9):
        (tmp_path / "data" / f"class {number}").mkdir(parents=True)
        Image.new("RGB", (30, 30), (20 * number, 0, 0)).save(tmp_path / "data" / f"class {number}" / "1.png")
    draw_contact_sheet([open_data(tmp_path / "data")], tmp_path / "sheet.png", columns=2, rows=1, side=60)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (180, 3 * 78)
        reds = [sheet.getpixel((60 * column + 30, 78 * row + 30))[0] for row in range(3) for column in range(3)]
        captions = [np.asarray(sheet.crop((60 * column, 60, 60 * column + 60, 78))) for column in range(3)]
    assert reds == [20 * number for number in range(9)]
    assert all((caption < 128).any() for caption in captions)
    assert not np.array_equal(captions[0], captions[1])


@pytest.mark.parametrize("name", ["sheet.xyz", "sheet", "missing/sheet.png", "sheet.mpg"])
def test_a_file_that_cannot_be_written_is_an_error_of_one_line(tmp_path, name):
    with pytest.raises(DataError, match="cannot be written as an image: give a name in an existing folder") as caught:
        draw_contact_sheet([open_data(EXAMPLES)], tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
