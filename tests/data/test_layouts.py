"""Splits, tables of labels, lists of files, several parquet files: each in the layout that people have."""

import json

import pytest

from levit.data.labeled_images import NoSplitError
from levit.data.open_data import open_data
from levit.errors import DataError
from tests.data.test_labeled_images import png, write_parquet


def write(folder, *names):
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(len(name)))
    return folder


def rows(data):
    return [(item.name, tuple(data.classes[label] for label in item.labels)) for item in data]


def test_the_first_split_is_validation_and_any_can_be_asked_for(tmp_path):
    write(tmp_path, "train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "test/dog/4.png", "extra/dog/5.png")
    assert rows(open_data(tmp_path)) == [("cat/3.png", ("cat",))]
    for split, expected in (("validation", "cat/3.png"), ("val", "cat/3.png"), ("test", "dog/4.png")):
        assert rows(open_data(tmp_path, split=split))[0][0] == expected
    assert len(open_data(tmp_path, split="train")) == 2
    assert rows(open_data(tmp_path, split="extra")) == [("dog/5.png", ("dog",))]
    with pytest.raises(DataError, match=r"no split 'holdout' \(there: test, train, val\)"):
        open_data(tmp_path, split="holdout")


def test_a_class_may_be_called_anything_but_a_split(tmp_path):
    write(tmp_path, "tester/1.png", "trainers/2.png")
    assert open_data(tmp_path).classes == ("tester", "trainers")


@pytest.mark.parametrize("split", [None, "train"])
def test_a_class_called_train_beside_others_is_a_class(tmp_path, split):
    write(tmp_path, "bus/1.png", "car/2.png", "train/3.png")
    if split is not None:
        with pytest.raises(NoSplitError, match=r"no split 'train' \(there: none\)"):
            open_data(tmp_path, split=split)
    else:
        assert open_data(tmp_path).classes == ("bus", "car", "train")


def test_a_part_may_have_any_of_its_names(tmp_path):
    write(tmp_path, "training/cat/1.png", "valid/cat/2.png")
    assert [rows(open_data(tmp_path, split=split))[0][0] for split in ("val", "train")] == ["cat/2.png", "cat/1.png"]
    (tmp_path / "shards").mkdir()
    write_parquet(tmp_path / "shards" / "pets-train-00000.parquet")
    write_parquet(tmp_path / "shards" / "pets-validation-0.parquet", labels=(1,))
    assert [len(open_data(tmp_path / "shards", split=split)) for split in (None, "val", "training")] == [1, 1, 3]


def test_all_formats_that_are_read_are_found(tmp_path):
    write(tmp_path, "cat/1.jfif", "dog/2.JPE", "emu/3.pbm")
    assert open_data(tmp_path).classes == ("cat", "dog", "emu")


def test_a_file_that_is_not_there_is_in_the_hash_by_its_name(tmp_path):
    write(tmp_path, "a.png")
    hashes = []
    for name in ("b.png", "c.png"):
        (tmp_path / "metadata.csv").write_text(f"file_name,label\na.png,dog\n{name},cat\n")
        hashes.append(open_data(tmp_path).sha256())
    write(tmp_path, "c.png")
    assert len({*hashes, open_data(tmp_path).sha256()}) == 3


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_beside_the_images_names_their_classes(tmp_path, kind):
    write(tmp_path, "a.png", "deep/b.png", "c.png")
    if kind == "csv":
        (tmp_path / "metadata.csv").write_text("\ufefffile_name,label\na.png,dog\ndeep/b.png,cat\nc.png,\n")
    else:
        lines = [{"file_name": "a.png", "label": "dog"}, {"file_name": "deep/b.png", "label": "cat"}]
        (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, [*lines, {"file_name": "c.png"}])) + "\n")
    data = open_data(tmp_path)
    assert (data.classes, data.is_multi_label) == (("cat", "dog"), False)
    assert rows(data) == [("a.png", ("dog",)), ("deep/b.png", ("cat",)), ("c.png", ())]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,labels\na.png,sea|sand\nb.png,sea\n"),
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "labels": ["sea", "sand"]}\n\n{"file_name": "b.png", "labels": ["sea"]}\n',
        ),
    ],
)
def test_an_image_may_have_several_labels(tmp_path, name, text):
    write(tmp_path, "a.png", "b.png")
    (tmp_path / name).write_text(text)
    data = open_data(tmp_path)
    assert data.is_multi_label
    assert rows(data) == [("a.png", ("sea", "sand")), ("b.png", ("sea",))]


def test_a_list_of_mmpretrain_is_read_with_its_names(tmp_path):
    write(tmp_path, "val/x y.png", "val/z.png")
    (tmp_path / "meta").mkdir()
    listed = tmp_path / "meta" / "val.txt"
    listed.write_text("x y.png 1\nz.png 0\n")
    with pytest.raises(DataError, match=r"its 2 classes have no names: write them into classes\.txt"):
        open_data(listed)
    listed.rename(tmp_path / "meta" / "labels.txt")  # which is no list of names for itself
    with pytest.raises(DataError, match=r"its 2 classes have no names: write them into classes\.txt"):
        open_data(tmp_path / "meta" / "labels.txt")
    (tmp_path / "meta" / "labels.txt").rename(listed)
    (tmp_path / "meta" / "classes.txt").write_text("cat\ndog\n")
    data = open_data(listed)
    assert rows(data) == [("x y.png", ("dog",)), ("z.png", ("cat",))]
    assert all(item.image.is_file() for item in data)
    listed.write_text("z.png 999\n")
    (tmp_path / "meta" / "classes.txt").unlink()
    assert open_data(listed).classes[999] == "n15075141"


def test_several_parquet_files_are_one(tmp_path):
    for name in ("train-00000-of-00001", "validation-00000-of-00002", "validation-00001-of-00002"):
        write_parquet(tmp_path / f"{name}.parquet", labels=(0, 1) if "1-of" in name else (1,))
    data = open_data(tmp_path)
    assert (data.name, len(data), [item.labels for item in data]) == (tmp_path.name, 3, [(1,), (0,), (1,)])
    assert len(open_data(tmp_path, split="train")) == 1
    assert data.sha256() != open_data(tmp_path, split="train").sha256()
    with pytest.raises(DataError, match=r"no split 'test' \(there: train, validation\)"):
        open_data(tmp_path, split="test")


def test_a_negative_label_is_none(tmp_path):
    data = open_data(write_parquet(tmp_path / "pets.parquet", labels=(1, -1)))
    assert [item.labels for item in data] == [(1,), ()]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.csv", "file_name,label\n", "no rows"),
        ("metadata.csv", "name,label\na.png,dog\n", "row 1 names no file: it needs a column file_name"),
        ("metadata.jsonl", '{"file_name": \n', "cannot be read"),
        ("metadata.jsonl", '["a.png"]\n', r"cannot be read \(no object of names and values: \[.a.png.\]"),
        ("list.txt", "\n", "no lines"),
        ("list.txt", "a.png dog\n", "line 1 is no path and number: 'a.png dog'"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(tmp_path, name, text, message):
    write(tmp_path, "a.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path / name if name.endswith("txt") else tmp_path)
    assert "\n" not in str(caught.value)


def test_names_of_classes_may_begin_with_a_byte_order_mark_and_must_be_utf8(tmp_path):
    write(tmp_path, "1.png")
    (tmp_path / "list.txt").write_text("\ufeff1.png 0\n", encoding="utf-8")
    (tmp_path / "classes.txt").write_text("\ufeffcat\n", encoding="utf-8")
    assert rows(open_data(tmp_path / "list.txt")) == [("1.png", ("cat",))]
    (tmp_path / "classes.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"classes\.txt: cannot be read"):
        open_data(tmp_path / "list.txt")


def test_one_label_in_a_list_of_labels_may_be_a_number(tmp_path):
    write(tmp_path, "a.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "labels": 3}\n')
    assert rows(open_data(tmp_path)) == [("a.png", ("3",))]


def test_a_file_has_no_splits(tmp_path):
    with pytest.raises(DataError, match="a file has no splits: leave out split 'train'"):
        open_data(write_parquet(tmp_path / "pets.parquet"), split="train")
