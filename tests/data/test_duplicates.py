"""Duplicates are found by content, within a data set and across its splits."""

import numpy as np
import pytest
from PIL import Image

from levit.data.duplicates import find_duplicates, hash_content
from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data, open_with_other_splits
from levit.errors import DataError, LevitWarning
from tests.data.datasets_on_disk import png, write_cifar, write_images, write_parquet
from tests.data.listed_dataset import ListedDataset


class SmallDataset(ListedDataset):
    """Images whose gray values are the arguments, named by their position."""

    def __init__(self, *values: int) -> None:
        super().__init__([LabeledImage(png(value), (0,), f"{index}") for index, value in enumerate(values)])


def test_every_duplicate_is_counted_and_named_once():
    other_splits = {"train": SmallDataset(9, 1, 1, 2), "test": SmallDataset(2, 3)}
    duplicates = find_duplicates(SmallDataset(1, 2, 1, 3, 1), other_splits, threads=2)
    assert (duplicates.num_within, duplicates.num_across) == (2, 5)  # 0, 1, 2 and 4 are in train, 3 is in test
    assert duplicates.examples == (
        ("0", "train: 1"),
        ("1", "train: 3"),
        ("3", "test: 1"),
        ("2", "0"),
        ("4", "0"),
    )
    assert (duplicates.compared_splits, duplicates.skipped_splits) == (("train", "test"), {})


def test_a_split_that_is_too_large_is_skipped_and_named():
    other_splits = {"train": SmallDataset(1, 2, 3, 4), "test": SmallDataset(1)}
    duplicates = find_duplicates(SmallDataset(1), other_splits, max_compared_images=3)
    assert (duplicates.num_across, duplicates.compared_splits) == (1, ("test",))
    assert duplicates.skipped_splits == {"train": 4}


class DamagedDataset(SmallDataset):
    """A data set that ends with an error after its images."""

    def __init__(self, error: Exception, *values: int) -> None:
        super().__init__(*values)
        self.error = error

    def __iter__(self):
        yield from super().__iter__()
        raise self.error


@pytest.mark.parametrize("error", [DataError("damaged", source="train-0.parquet"), OSError(5, "Input/output error")])
def test_another_split_that_cannot_be_read_is_not_compared_with_a_warning(error):
    other_splits = {"train": DamagedDataset(error, 1, 2), "test": SmallDataset(1)}
    with pytest.warns(LevitWarning, match=r"^train is not searched for duplicates: .*(damaged|Input/output error)$"):
        duplicates = find_duplicates(SmallDataset(1, 2), other_splits)
    assert (duplicates.num_across, duplicates.examples) == (1, (("0", "test: 0"),))
    assert (duplicates.compared_splits, duplicates.skipped_splits) == (("test",), {"train": 2})


def test_images_that_cannot_be_read_are_no_duplicates(tmp_path):
    assert hash_content(tmp_path / "missing.png") == hash_content(Image.new("L", (1, 1))) == b""
    assert hash_content(np.zeros(3, np.uint8)) == hash_content(bytes(3))
    (tmp_path / "metadata.csv").write_text("file_name,label\nmissing.png,cat\ngone.png,cat\n")
    data = open_data(tmp_path)
    duplicates = find_duplicates(data, {"train": data})
    assert (duplicates.num_within, duplicates.num_across) == (0, 0)


def test_duplicates_are_found_in_every_layout(tmp_path):
    assert find_duplicates(*open_with_other_splits(write_cifar(tmp_path / "cifar", binary=False))[:2]).num_across == 4
    (tmp_path / "shards").mkdir()
    for name in ("train", "test"):
        write_parquet(tmp_path / "shards" / f"{name}-0.parquet")
    assert find_duplicates(*open_with_other_splits(tmp_path / "shards")[:2]).num_across == 3
    write_images(tmp_path / "photos", "train/cat/1.png", "val/cat/22.png", "test/cat/333.png")
    assert find_duplicates(*open_with_other_splits(tmp_path / "photos")[:2]).num_across == 0
