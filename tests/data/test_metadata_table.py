"""Tables metadata.csv and metadata.jsonl give images their labels."""

import json
from contextlib import nullcontext

import pytest

from levit.data.open_data import open_data, open_with_other_splits
from levit.errors import DataError, LevitWarning
from tests.data.datasets_on_disk import names_and_labels, write_images


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_table_gives_images_their_class(tmp_path, suffix):
    write_images(tmp_path, "a.png", "deep/b.png", "c.png")
    if suffix == "csv":
        (tmp_path / "metadata.csv").write_text(
            "\ufefffile_name,label\na.png,dog\ndeep/b.png,cat\nc.png,\n", encoding="utf-8"
        )
    else:
        lines = [{"file_name": "a.png", "label": "dog"}, {"file_name": "deep/b.png", "label": "cat"}]
        (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, [*lines, {"file_name": "c.png"}])) + "\n")
    data = open_data(tmp_path)
    assert (data.classes, data.is_multi_label) == (("cat", "dog"), False)
    assert names_and_labels(data) == [("a.png", ("dog",)), ("deep/b.png", ("cat",)), ("c.png", ())]


@pytest.mark.parametrize(
    ("name", "text"),
    [("pets.csv", "file_name,label\na.png,cat\n"), ("pets.jsonl", '{"file_name": "a.png", "label": "cat"}\n')],
)
def test_a_table_of_any_name_is_given_as_the_data(tmp_path, name, text):
    write_images(tmp_path, "a.png")
    (tmp_path / name).write_text(text)
    data = open_data(tmp_path / name)
    assert (data.name, names_and_labels(data)) == (name, [("a.png", ("cat",))])


@pytest.mark.parametrize("allow_outside", [False, True])
def test_a_table_that_is_given_may_name_files_outside_its_folder_if_that_is_allowed(tmp_path, allow_outside):
    write_images(tmp_path, "a.png")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/pets.csv").write_text("file_name,label\n../a.png,cat\n")
    with nullcontext() if allow_outside else pytest.raises(DataError, match="outside"):
        assert len(open_data(tmp_path / "tables/pets.csv", allow_outside=allow_outside)) == 1


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
def test_a_column_labels_makes_a_multi_label_data_set(tmp_path, name, text):
    write_images(tmp_path, "a.png", "b.png")
    (tmp_path / name).write_text(text)
    data = open_data(tmp_path)
    assert data.is_multi_label
    assert names_and_labels(data) == [("a.png", ("sea", "sand")), ("b.png", ("sea",))]


def test_labels_may_be_a_number(tmp_path):
    write_images(tmp_path, "a.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "labels": 3}\n')
    assert names_and_labels(open_data(tmp_path)) == [("a.png", ("3",))]


def test_a_missing_file_is_in_the_hash_by_its_name(tmp_path):
    write_images(tmp_path, "a.png")
    hashes = []
    for name in ("b.png", "c.png"):
        (tmp_path / "metadata.csv").write_text(f"file_name,label\na.png,dog\n{name},cat\n")
        hashes.append(open_data(tmp_path).sha256())
    write_images(tmp_path, "c.png")
    assert len({*hashes, open_data(tmp_path).sha256()}) == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.csv", "file_name,label\n", "no rows"),
        ("metadata.csv", "name,label\na.png,dog\n", "row 1 names no file: it needs a column file_name"),
        ("metadata.csv", "file_name,label\na.png,dog, small\n", r"row 1 has 3 values for 2 columns: \['a\.png'"),
        ("metadata.csv", 'file_name,label\n"a.png,dog\n', "cannot be read"),
        ("metadata.csv", "file_name,label\na\0.png,dog\n", "null character|cannot be read"),
        ("metadata.jsonl", '{"file_name": \n', "cannot be read"),
        ("metadata.jsonl", '{"file_name": 3}\n', "row 1: 3 is not a file name"),
        ("metadata.jsonl", '{"file_name": "a\\u0000.png"}\n', "row 1: 'a.*' contains a null character"),
        ("metadata.jsonl", '{"file_name": "a\\ud800.png"}\n', "row 1: .* is not valid Unicode"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": {"a": 1}}\n', "row 1: .* is not a whole number"),
        ("metadata.jsonl", '{"file_name": "a.png", "labels": [["a"]]}\n', "row 1: .* is not a whole number"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": "\\udc80\\ud800"}\n', "is not valid Unicode"),
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "label": ' + "9" * 5000 + "}\n",
            "cannot be read .Exceeds the limit",
        ),
        ("metadata.jsonl", "[" * 100_000 + "\n", "cannot be read .too deeply nested JSON"),
        ("metadata.jsonl", '["a.png"]\n', r"cannot be read \(not an object of names and values: \[.a.png.\]"),
    ],
)
def test_an_invalid_table_is_an_error_of_one_line(tmp_path, name, text, message):
    write_images(tmp_path, "a.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path)
    assert "\n" not in str(caught.value)


def test_spaces_case_of_columns_and_backslashes_are_read(tmp_path):
    write_images(tmp_path, "deep/a.png", "b.png")
    (tmp_path / "metadata.csv").write_text("File_Name, Label\ndeep\\a.png, dog \nb.png, cat\n\n")
    data = open_data(tmp_path)
    assert names_and_labels(data) == [("deep/a.png", ("dog",)), ("b.png", ("cat",))]
    assert all(item.image.is_file() for item in data)


def test_missing_values_are_no_classes_and_both_forms_of_unicode_are_one(tmp_path):
    labels = ["nan", "None", "", "caf\u00e9", "cafe\u0301", "none"]
    rows = [f"{number}.png,{label}" for number, label in enumerate(labels)]
    (tmp_path / "metadata.csv").write_text("file_name,label\n" + "\n".join(rows), encoding="utf-8")
    data = open_data(tmp_path)
    assert data.classes == ("caf\u00e9", "none")
    assert [item.labels for item in data] == [(), (), (), (0,), (0,), (1,)]


def test_a_table_beside_the_folders_of_splits_gives_their_images_labels(tmp_path):
    write_images(tmp_path, "train/cat/1.png", "train/cat/2.png", "test/3.png")
    (tmp_path / "metadata.csv").write_text(
        "file_name,label\ntrain/cat/1.png,red\ntrain/cat/2.png,blue\ntest/3.png,red\n"
    )
    data = open_data(tmp_path, split="train")
    assert (data.name, data.classes) == ("train", ("blue", "red"))
    assert names_and_labels(data) == [("train/cat/1.png", ("red",)), ("train/cat/2.png", ("blue",))]
    assert names_and_labels(open_data(tmp_path)) == [("test/3.png", ("red",))]
    write_images(tmp_path, "val/cat/4.png")
    assert names_and_labels(open_data(tmp_path)) == [("cat/4.png", ("cat",))]  # without a row, its own folders count


@pytest.mark.parametrize("spelling", ["{root}/{name}", "{link}/{name}", "./{name}", "val/../{name}", "../data/{name}"])
def test_every_spelling_of_a_name_belongs_to_its_split(tmp_path, monkeypatch, spelling):
    root = write_images(tmp_path / "data", "train/1.png", "val/2.png")
    (tmp_path / "link").symlink_to(root)
    names = [spelling.format(root=root, link=tmp_path / "link", name=name) for name in ("train/1.png", "val/2.png")]
    (root / "metadata.csv").write_text(f"file_name,label\n{names[0]},red\n{names[1]},blue\n")
    monkeypatch.chdir(tmp_path)
    data = open_data("link" if "{link}" in spelling else "data", split="train")
    assert (data.classes, names_and_labels(data)) == (("blue", "red"), [("train/1.png", ("red",))])


def test_backslashes_are_separators_on_windows_even_where_such_a_file_exists(tmp_path, monkeypatch):
    write_images(tmp_path, "train/1.png", "val/2.png", "train\\1.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\ntrain\\1.png,red\nval\\2.png,blue\n")
    monkeypatch.setattr("levit.data.record_values.os.sep", "\\")
    assert names_and_labels(open_data(tmp_path, split="train")) == [("train/1.png", ("red",))]


@pytest.mark.parametrize("name", ["../secret.png", "deep/../../secret.png", "/etc/passwd", "..\\secret.png"])
def test_a_file_outside_the_folder_is_refused_unless_it_is_allowed(tmp_path, name):
    root = write_images(tmp_path / "data", "a.png")
    (root / "metadata.csv").write_text(f"file_name,label\n{name},dog\n")
    with pytest.raises(DataError, match=r"metadata\.csv: row 1: .* is outside .*: .*set `allow_outside`"):
        open_data(root)
    with pytest.warns(LevitWarning, match=r"data: 1 image is not in metadata\.csv, and not read \(a\.png\)"):
        assert len(open_data(root, allow_outside=True)) == 1
    (root / "metadata.csv").write_text(f"file_name,label\n{root / 'a.png'},dog\ndeep/../a.png,dog\n")
    assert len(open_data(root)) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,label\na.png,sea\nb.png,sea\n./a.png,sand\n"),
        ("metadata.csv", "file_name,labels\na.png,sea\nb.png,sea\na.png,sea|sand\n"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": "sea"}\n' * 2 + '{"file_name": "a.png"}\n'),
    ],
)
def test_an_image_that_is_listed_with_different_labels_is_an_error_that_names_it(tmp_path, name, text):
    write_images(tmp_path, "a.png", "b.png")
    (tmp_path / name).write_text(text)
    message = r"^[^\n]*: row 3: 'a\.png' is listed before with another label: list it once; a metadata\.csv separates"
    with pytest.raises(DataError, match=message):
        open_data(tmp_path)


def test_a_repeated_row_is_another_image_with_the_same_labels(tmp_path):
    write_images(tmp_path, "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,labels\na.png,sea|sand\na.png,sand|sea\n")
    assert [item.labels for item in open_data(tmp_path)] == [(1, 0), (0, 1)]


def test_images_that_are_not_in_the_table_are_counted_in_one_line(tmp_path):
    write_images(tmp_path, "a.png", "deep/b.png", "deep/c.png", "d.png", ".hidden/e.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\n./a.png,dog\ndeep//b.png,cat\n")
    with pytest.warns(LevitWarning) as caught:
        data = open_data(tmp_path)
    message = f"{tmp_path}: 2 images are not in metadata.csv, and not read (d.png)"
    assert [str(warning.message) for warning in caught] == [message]
    assert len(data) == 2


def test_images_of_other_splits_are_not_missed_in_a_table(tmp_path):
    write_images(tmp_path, "train/1.png", "test/2.png", "test/3.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\ntrain/1.png,red\ntest/2.png,blue\n")
    assert len(open_data(tmp_path, split="train")) == 1
    message = r"test: 1 image is not in metadata\.csv, and not read \(test/3\.png\)"
    with pytest.warns(LevitWarning, match=message) as caught:
        data, others, _ = open_with_other_splits(tmp_path, split="test")
    assert (len(data), [*others], len(caught)) == (1, ["train"], 1)
