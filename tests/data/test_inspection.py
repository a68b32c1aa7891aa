"""What `levit data` counts: everything, whatever is wrong with it, and the totals reconcile."""

import numpy as np
import pytest
from PIL import Image

from levit.data.inspection import draw_contact_sheet, inspect
from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data, open_splits
from levit.errors import DataError
from tests.conftest import EXAMPLES
from tests.data.test_labeled_images import png


@pytest.fixture
def pets(tmp_path):
    def write(name, image):
        file = tmp_path / "pets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)

    write("train/cat/1.png", Image.new("RGB", (30, 20), "red"))
    write("train/cat/2.png", Image.new("L", (10, 40), 9))
    write("train/dog/3.jpg", Image.new("CMYK", (50, 60)))
    write("val/cat/4.png", Image.new("RGB", (30, 20), "blue"))
    (tmp_path / "pets/val/dog").mkdir()
    (tmp_path / "pets/val/dog/same.png").write_bytes((tmp_path / "pets/train/cat/1.png").read_bytes())
    (tmp_path / "pets/val/dog/bad.jpg").write_text("no image")
    return tmp_path / "pets"


def test_every_part_is_counted_and_the_totals_reconcile(pets):
    parts = open_splits(pets)
    assert list(parts) == ["train", "validation"]
    train, validation = inspect(parts)
    assert (train.images, train.bad, train.duplicates, train.per_class) == (3, 0, 0, [2, 1])
    assert train.modes == {"RGB": 1, "L": 1, "CMYK": 1}
    assert train.size_quantiles() == {"height": (20, 40, 60), "width": (10, 30, 50)}
    assert (validation.images, validation.bad, sum(validation.modes.values())) == (3, 1, 2)
    assert validation.bad_named == [("dog/bad.jpg", "not an image, or of a format that Pillow cannot read")]


def test_what_is_in_two_parts_is_found_by_its_content(pets):
    _, validation = inspect(open_splits(pets))
    assert validation.duplicates == 1
    assert validation.duplicates_named == [("dog/same.png", "train: cat/1.png")]


class Odd:
    name, classes, is_multi_label, is_any_label_correct = "odd", ("cat", "dog", "emu"), False, False

    def __iter__(self):
        images = [
            LabeledImage(np.zeros((4, 4, 3), np.uint8), (0,), "array"),
            LabeledImage(png(1), (7,), "strange"),
            LabeledImage(png(2), (), "unknown"),
            LabeledImage("missing.png", (1,), "missing"),
        ]
        return iter(images)


def test_labels_that_are_no_class_and_classes_without_images_are_named():
    (summary,) = inspect({"odd": Odd()})
    assert (summary.images, summary.unlabeled, summary.out_of_range, summary.bad) == (4, 1, 1, 1)
    assert summary.per_class == [1, 1, 0]
    assert summary.empty_classes == ["emu"]
    assert summary.bad_named == [("missing", "No such file or directory")]


def test_the_contact_sheet_shows_images_from_all_over_the_data(tmp_path):
    for number in range(20):
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (30, 50), (12 * number, 0, 0)).save(folder / f"{number:02}.png")
    (folder / "05.png").write_text("no image")
    draw_contact_sheet([open_data(folder)], tmp_path / "sheet.png", columns=2, rows=2, side=10)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (20, 20)
        reds = [sheet.getpixel((x, y))[0] for y in (5, 15) for x in (5, 15)]
    assert reds == [0, 255, 120, 180]  # the second cannot be read, and stays white


def test_the_contact_sheet_shows_every_part_and_the_middle_of_a_thin_line(tmp_path):
    for part, size in (("train", (1, 60_000)), ("val", (60_000, 1))):
        (tmp_path / part / "cat").mkdir(parents=True)
        Image.new("RGB", size, (0, 255, 0) if part == "train" else (255, 0, 0)).save(tmp_path / part / "cat" / "1.png")
    parts = open_splits(tmp_path)
    draw_contact_sheet([*parts.values()], tmp_path / "sheet.png", columns=2, rows=1, side=10)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert [sheet.getpixel((x, 5)) for x in (5, 15)] == [(0, 255, 0), (255, 0, 0)]


def test_an_image_whose_decoder_fails_is_counted(monkeypatch, tmp_path):
    def fail(*_: object) -> None:
        raise RuntimeError("Failed to decode image")  # as that of AVIF does

    (tmp_path / "1.png").write_bytes(png(1))
    data = open_data(tmp_path)
    monkeypatch.setattr(Image, "open", fail)
    (summary,) = inspect({"all": data})
    assert (summary.images, summary.bad) == (1, 1)


def test_a_part_that_is_there_but_empty_is_an_error(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "val" / "cat").mkdir(parents=True)
    (tmp_path / "val" / "cat" / "1.png").write_bytes(png(1))
    with pytest.raises(Exception, match="train: no images in it"):
        open_splits(tmp_path)


@pytest.mark.parametrize("name", ["sheet.xyz", "sheet", "missing/sheet.png", "sheet.mpg"])
def test_a_contact_sheet_that_cannot_be_is_one_line(tmp_path, name):
    with pytest.raises(DataError, match="give a name in a folder that is there") as caught:
        draw_contact_sheet([open_data(EXAMPLES)], tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
