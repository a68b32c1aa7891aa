"""Parquet files in the Hugging Face image layout: images, labels, class names and splits."""

import pyarrow
import pyarrow.parquet
import pytest

from levit.data.labeled_images import LabeledImage, NoSplitError
from levit.data.open_data import open_data
from levit.errors import DataError
from tests.data.datasets_on_disk import png, write_parquet


def test_rows_are_images_with_labels_and_names(tmp_path):
    data = open_data(write_parquet(tmp_path / "pets.parquet"))
    assert (data.name, data.classes, len(data)) == ("pets.parquet", ("cat", "dog"), 3)
    assert list(data) == [LabeledImage(png(index), (label,), f"{index}.png") for index, label in enumerate((1, 0, 1))]
    assert len(data.sha256()) == 64


@pytest.mark.parametrize("column", ["label", "labels"])
def test_a_column_of_lists_makes_a_multi_label_data_set(tmp_path, column):
    single = open_data(write_parquet(tmp_path / "single.parquet", column=column))
    multi = open_data(write_parquet(tmp_path / "multi.parquet", labels=((1, 0), (), (0,)), column=column))
    assert (single.is_multi_label, [item.labels for item in single]) == (False, [(1,), (0,), (1,)])
    assert (multi.is_multi_label, [item.labels for item in multi]) == (True, [(1, 0), (), (0,)])


def test_a_negative_label_is_no_label(tmp_path):
    data = open_data(write_parquet(tmp_path / "pets.parquet", labels=(1, -1)))
    assert [item.labels for item in data] == [(1,), ()]


def test_a_row_may_have_a_path_instead_of_bytes_or_neither(tmp_path):
    (tmp_path / "there.png").write_bytes(png(7))
    table = pyarrow.parquet.read_table(write_parquet(tmp_path / "pets.parquet"))
    path = str(tmp_path / "there.png")
    images = [{"bytes": png(1), "path": "1.png"}, {"bytes": None, "path": path}, {"bytes": None, "path": None}]
    table = table.set_column(0, "image", [images])
    pyarrow.parquet.write_table(table, tmp_path / "pets.parquet")
    items = [(item.name, item.image) for item in open_data(tmp_path / "pets.parquet")]
    assert items == [("1.png", png(1)), (path, path), ("row 2", b"")]


def test_the_files_of_a_split_are_one_data_set(tmp_path):
    for name in ("train-00000-of-00001", "validation-00000-of-00002", "validation-00001-of-00002"):
        write_parquet(tmp_path / f"{name}.parquet", labels=(0, 1) if "1-of" in name else (1,))
    data = open_data(tmp_path)
    assert (data.name, len(data), [item.labels for item in data]) == (tmp_path.name, 3, [(1,), (0,), (1,)])
    assert len(open_data(tmp_path, split="train")) == 1
    assert data.sha256() != open_data(tmp_path, split="train").sha256()
    with pytest.raises(NoSplitError, match=r"no split 'test' \(available: train, validation\)"):
        open_data(tmp_path, split="test")


def test_the_split_is_found_in_the_file_names(tmp_path):
    write_parquet(tmp_path / "pets-train-00000.parquet")
    write_parquet(tmp_path / "pets-validation-0.parquet", labels=(1,))
    assert [len(open_data(tmp_path, split=split)) for split in (None, "val", "training")] == [1, 1, 3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"broken\.parquet: not a parquet file"),
        ("text", r"text\.parquet: no column 'image' \(it has text\)"),
        ("nameless", r"nameless\.parquet: its labels have no names: write it with datasets and a ClassLabel column"),
    ],
)
def test_an_unusable_file_is_an_error_of_one_line(tmp_path, name, message):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "text.parquet")
    write_parquet(tmp_path / "nameless.parquet", names=None)
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path / f"{name}.parquet")
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_an_error_when_its_rows_are_read(tmp_path):
    file = write_parquet(tmp_path / "pets.parquet")
    content = bytearray(file.read_bytes())
    content[4:200] = bytes(196)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"pets\.parquet: damaged \(") as caught:
        list(open_data(file))
    assert "\n" not in str(caught.value)
