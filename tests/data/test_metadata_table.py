"""Tables metadata.csv and metadata.jsonl give images their labels."""

import json

import pytest

from levit.data.open_data import open_data
from levit.errors import DataError
from tests.data.datasets_on_disk import names_and_labels, write_images


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_table_gives_images_their_class(tmp_path, suffix):
    write_images(tmp_path, "a.png", "deep/b.png", "c.png")
    if suffix == "csv":
        (tmp_path / "metadata.csv").write_text("\ufefffile_name,label\na.png,dog\ndeep/b.png,cat\nc.png,\n")
    else:
        lines = [{"file_name": "a.png", "label": "dog"}, {"file_name": "deep/b.png", "label": "cat"}]
        (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, [*lines, {"file_name": "c.png"}])) + "\n")
    data = open_data(tmp_path)
    assert (data.classes, data.is_multi_label) == (("cat", "dog"), False)
    assert names_and_labels(data) == [("a.png", ("dog",)), ("deep/b.png", ("cat",)), ("c.png", ())]


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
        ("metadata.jsonl", '{"file_name": \n', "cannot be read"),
        ("metadata.jsonl", '["a.png"]\n', r"cannot be read \(not an object of names and values: \[.a.png.\]"),
    ],
)
def test_an_invalid_table_is_an_error_of_one_line(tmp_path, name, text, message):
    write_images(tmp_path, "a.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path)
    assert "\n" not in str(caught.value)
