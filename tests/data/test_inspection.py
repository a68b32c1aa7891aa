"""Every image is counted, whether or not it is usable, and the totals agree."""

import numpy as np
import pytest
from PIL import Image

from levit.data.inspection import inspect_splits
from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data, open_splits
from tests.data.datasets_on_disk import png
from tests.data.listed_dataset import ListedDataset


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
    (tmp_path / "pets/val/dog/bad.jpg").write_text("not an image")
    return tmp_path / "pets"


def test_every_image_of_every_split_is_counted(pets):
    splits = open_splits(pets)
    assert list(splits) == ["train", "validation"]
    train, validation = inspect_splits(splits)
    assert (train.num_images, train.num_bad, train.num_duplicates, train.images_per_class) == (3, 0, 0, [2, 1])
    assert train.modes == {"RGB": 1, "L": 1, "CMYK": 1}
    assert train.size_quantiles() == {"height": (20, 40, 60), "width": (10, 30, 50)}
    assert (validation.num_images, validation.num_bad, sum(validation.modes.values())) == (3, 1, 2)
    assert validation.bad_examples == [("dog/bad.jpg", "not an image of a supported format")]


def test_duplicates_across_splits_are_found_by_content(pets):
    _, validation = inspect_splits(open_splits(pets))
    assert validation.num_duplicates == 1
    assert validation.duplicate_examples == [("dog/same.png", "train: cat/1.png")]


def test_unusable_labels_and_images_and_empty_classes_are_counted():
    items = [
        LabeledImage(np.zeros((4, 4, 3), np.uint8), (0,), "array"),
        LabeledImage(png(1), (7,), "out of range"),
        LabeledImage(png(2), (), "unlabeled"),
        LabeledImage("missing.png", (1,), "missing"),
    ]
    (summary,) = inspect_splits({"mixed": ListedDataset(items, ("cat", "dog", "emu"))})
    counts = summary.num_images, summary.num_unlabeled, summary.num_out_of_range, summary.num_bad
    assert counts == (4, 1, 1, 1)
    assert summary.images_per_class == [1, 1, 0]
    assert summary.empty_classes == ["emu"]
    assert [name for name, _ in summary.bad_examples] == ["missing"]


def test_an_image_whose_decoder_fails_is_counted(monkeypatch, tmp_path):
    def decode(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to decode image")  # as the AVIF decoder does

    (tmp_path / "1.png").write_bytes(png(1))
    data = open_data(tmp_path)
    monkeypatch.setattr(Image, "open", decode)
    (summary,) = inspect_splits({"all": data})
    assert (summary.num_images, summary.num_bad) == (1, 1)
    assert summary.bad_examples == [("1.png", "damaged or incomplete (Failed to decode image)")]
