"""Columns of tables: separators, case, a column of splits, and no column of labels."""

import json

import pytest

from levit.data.labeled_images import NoSplitError
from levit.data.open_data import open_data, open_splits, open_with_other_splits
from levit.errors import LevitWarning
from tests.data.datasets_on_disk import names_and_labels, write_images

NAMES = ("1.png", "2.png", "3.png", "4.png")


@pytest.fixture
def photos(tmp_path):
    return write_images(tmp_path, *NAMES)


@pytest.mark.parametrize("separator", [";", "\t", " ; "])
def test_values_may_be_separated_by_semicolons_or_tabs(photos, separator):
    (photos / "pets.csv").write_text(f"file_name{separator}label\n1.png{separator}cat, small\n2.png{separator}dog\n")
    assert names_and_labels(open_data(photos / "pets.csv")) == [("1.png", ("cat, small",)), ("2.png", ("dog",))]


def test_the_case_of_columns_does_not_matter_in_json(photos):
    (photos / "pets.jsonl").write_text(json.dumps({"File_Name": "1.png", "Label": "cat"}))
    assert names_and_labels(open_data(photos / "pets.jsonl")) == [("1.png", ("cat",))]


@pytest.mark.parametrize(
    ("name", "text"),
    [("pets.csv", "file_name,class\n1.png,cat\n"), ("pets.jsonl", '{"file_name": "1.png", "class": "cat"}\n')],
)
def test_a_table_with_other_columns_than_those_of_labels_is_a_warning_that_names_them(photos, name, text):
    (photos / name).write_text(text)
    with pytest.warns(LevitWarning, match=r"no column label or labels, so .* none \(it has file_name, class\)"):
        assert open_data(photos / name).classes == ()
    (photos / name).write_text("file_name\n1.png\n" if name.endswith("csv") else '{"file_name": "1.png"}\n')
    assert len(open_data(photos / name)) == 1


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "pets.csv"])
def test_a_column_of_splits_divides_the_images(photos, name):
    values = [("cat", "Train"), ("dog", "train"), ("dog", "val"), ("emu", "")]
    rows = [
        {"file_name": file, "label": label, "split": split} for file, (label, split) in zip(NAMES, values, strict=True)
    ]
    lines = ["file_name,label,split", *(",".join(row.values()) for row in rows)]
    text = "\n".join(lines if name.endswith("csv") else map(json.dumps, rows))
    (photos / name).write_text(text)
    source = photos / name if name == "pets.csv" else photos
    sizes = {split: len(data) for split, data in open_splits(source).items()}
    assert sizes == {"train": 2, "validation": 1}
    train = open_data(source, split="training")
    assert names_and_labels(train) == [("1.png", ("cat",)), ("2.png", ("dog",))]
    assert (train.classes, open_data(source).classes) == (("cat", "dog", "emu"), ("cat", "dog", "emu"))
    assert names_and_labels(open_data(source)) == [("3.png", ("dog",))]
    assert [*open_with_other_splits(source)[1]] == ["train"]
    with pytest.raises(NoSplitError, match=r"no split 'test' \(available: train, validation\)"):
        open_data(source, split="test")


def test_other_values_than_splits_are_read_together_unless_one_is_requested(photos):
    (photos / "metadata.csv").write_text("file_name,label,split\n1.png,cat,a\n2.png,dog,b\n3.png,cat,\n4.png,dog,a\n")
    assert [len(open_data(photos, split=split)) for split in (None, "a", "b")] == [4, 2, 1]


def test_folders_of_splits_take_precedence_over_a_column(tmp_path):
    write_images(tmp_path, "train/1.png", "val/2.png")
    (tmp_path / "metadata.csv").write_text("file_name,label,split\ntrain/1.png,cat,val\nval/2.png,dog,val\n")
    assert names_and_labels(open_data(tmp_path, split="train")) == [("train/1.png", ("cat",))]
    assert names_and_labels(open_data(tmp_path)) == [("val/2.png", ("dog",))]


def test_a_table_without_a_column_of_splits_has_none(photos):
    (photos / "pets.csv").write_text("file_name,label\n1.png,cat\n")
    with pytest.raises(NoSplitError, match=r"pets\.csv: it has no column split: leave out split 'train'"):
        open_data(photos / "pets.csv", split="train")
