"""Images that are there twice, in one part of the data or in two."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from levit.data.duplicates import find_duplicates, hash_content
from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data, open_splits, open_with_other_splits
from tests.data.test_distributions import write_cifar
from tests.data.test_labeled_images import png, write_parquet
from tests.data.test_layouts import write


class Few:
    name, classes, is_multi_label, is_any_label_correct, is_grouped = "few", ("cat",), False, False, False

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self):
        return (LabeledImage(png(number), (0,), f"{place}") for place, number in enumerate(self.numbers))


def test_every_copy_is_counted_and_named_once():
    found = find_duplicates(Few(1, 2, 1, 3, 1), {"train": Few(9, 1, 1, 2), "test": Few(2, 3)}, threads=2)
    assert (found.num_within, found.num_across) == (2, 5)  # 0, 2 and 4 are in train, and 1; 3 is in test
    assert found.examples == (
        ("0", "train: 1"),
        ("1", "train: 3"),
        ("3", "test: 1"),
        ("2", "0"),
        ("4", "0"),
    )
    assert (found.compared_splits, found.skipped_splits) == (("train", "test"), {})


def test_a_split_that_is_too_large_is_skipped_and_named():
    found = find_duplicates(Few(1), {"train": Few(1, 2, 3, 4), "test": Few(1)}, max_compared_images=3)
    assert (found.num_across, found.compared_splits, found.skipped_splits) == (1, ("test",), {"train": 4})


def test_what_cannot_be_read_is_like_nothing_else(tmp_path):
    assert hash_content(tmp_path / "missing.png") == hash_content(Image.new("L", (1, 1))) == b""
    assert hash_content(np.zeros(3, np.uint8)) == hash_content(bytes(3))


@pytest.mark.parametrize("split", [None, "val", "validation", "test", "train"])
def test_the_other_parts_are_all_but_the_one_that_is_opened(tmp_path, split):
    write(tmp_path, "train/cat/1.png", "val/cat/22.png", "test/cat/333.png")
    data, others = open_with_other_splits(tmp_path, split=split)
    assert data.sha256() == open_data(tmp_path, split=split).sha256()
    chosen = {None: "validation", "val": "validation"}.get(split, split)
    assert list(others) == [name for name in ("train", "validation", "test") if name != chosen]
    assert find_duplicates(data, others).num_across == 0


def test_they_are_found_in_other_layouts_too(tmp_path):
    data, others = open_with_other_splits(write_cifar(tmp_path / "cifar", binary=False))
    assert (data.name, list(others), list(open_splits(tmp_path / "cifar"))) == (
        "cifar test",
        ["train"],
        ["train", "test"],
    )
    assert find_duplicates(data, others).num_across == 4
    (tmp_path / "shards").mkdir()
    for name in ("train", "test"):
        write_parquet(tmp_path / "shards" / f"{name}-0.parquet")
    data, others = open_with_other_splits(tmp_path / "shards")
    assert list(others) == ["train"]
    assert find_duplicates(data, others).num_across == len(data)
    assert open_with_other_splits(tmp_path / "shards" / "test-0.parquet")[1] == {}


def test_a_part_that_cannot_be_opened_is_no_reason_to_fail(tmp_path):
    write(tmp_path, "val/cat/1.png")
    (tmp_path / "train").mkdir()
    data, others = open_with_other_splits(tmp_path)
    assert (len(data), others) == (1, {})


def test_archives_beside_what_they_were_unpacked_to_are_passed_over(tmp_path):
    write(tmp_path, "train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "val/dog/4.png")
    with tarfile.open(tmp_path / "ILSVRC2012_img_val.tar", "w") as archive:
        archive.add(tmp_path / "val" / "cat" / "3.png", "3.png")
    data, others = open_with_other_splits(tmp_path)
    assert (data.classes, len(data), [*others]) == (("cat", "dog"), 2, ["train"])


def test_what_a_mac_keeps_beside_images_is_none(tmp_path):
    write(tmp_path, "cat/1.png", "dog/2.png")
    (tmp_path / "cat" / "._1.png").write_bytes(b"Mac OS X")
    assert [item.name for item in open_data(tmp_path)] == ["cat/1.png", "dog/2.png"]


def test_an_empty_folder_is_a_class_without_images(tmp_path):
    write(tmp_path, "cat/1.png", "dog/2.png")
    (tmp_path / "bird").mkdir()
    (tmp_path / "emu").mkdir()
    (tmp_path / "emu" / ".keep").write_text("")
    (tmp_path / ".hidden").mkdir()
    data = open_data(tmp_path)
    assert data.classes == ("bird", "cat", "dog", "emu")
    assert [item.labels for item in data] == [(1,), (2,)]
