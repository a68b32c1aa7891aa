"""Parquet files in the Hugging Face image layout: images, labels, class names and splits."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from levit.data.labeled_images import LabeledImage, NoSplitError
from levit.data.open_data import open_data
from levit.data.parquet_features import read_class_names
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
        ("text", r"text\.parquet: no column of images \(it has text\)"),
        (
            "nameless",
            r"nameless\.parquet: its 2 classes have no names: write them into classes\.txt next to it, in order",
        ),
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


def replace_column(file, index, name, values):
    table = pyarrow.parquet.read_table(file)
    pyarrow.parquet.write_table(table.set_column(index, name, pyarrow.array(values)), file)
    return file


def test_what_is_no_class_index_is_an_error_that_names_the_row(tmp_path):
    for labels, message in (
        ([0, 1, 0.7], r"pets\.parquet: row 2: 0\.7 is not a whole number"),
        ([0, 2**40, 1], "row 1: 1099511627776 is too large for a class index"),
        (["cat", "dog", "cat"], "row 0: 'cat' is not a whole number"),
        ([True, False, True], "row 0: True is not a whole number"),
        ([[[1]], [], []], r"row 0: \[1\] is not a whole number"),
    ):
        file = replace_column(write_parquet(tmp_path / "pets.parquet"), 1, "label", labels)
        with pytest.raises(DataError, match=message):
            list(open_data(file))


def test_a_column_of_paths_may_be_large_text(tmp_path):
    table = pyarrow.table({"image": pyarrow.array(["1.png"], pyarrow.large_string()), "label": ["cat"]})
    pyarrow.parquet.write_table(table, tmp_path / "pets.parquet")
    assert [item.image for item in open_data(tmp_path / "pets.parquet")] == [str(tmp_path / "1.png")]


def test_null_nan_and_negative_numbers_are_no_labels_and_whole_floats_are(tmp_path):
    file = replace_column(write_parquet(tmp_path / "pets.parquet"), 1, "label", [1.0, None, -1.0])
    assert [item.labels for item in open_data(file)] == [(1,), (), ()]


def test_shards_with_their_class_names_in_another_order_are_one_data_set(tmp_path):
    write_parquet(tmp_path / "a-0.parquet", names=("cat", "dog"), labels=(0, 1, 5))
    write_parquet(tmp_path / "a-1.parquet", names=("dog", "cat"), labels=(0, 1, 5))
    data = open_data(tmp_path)
    assert data.classes == ("cat", "dog")
    assert [item.labels for item in data] == [(0,), (1,), (5,), (1,), (0,), (5,)]
    write_parquet(tmp_path / "a-2.parquet", names=("dog", "emu"))
    with pytest.raises(DataError, match=r"a-2\.parquet: other classes than in the first file \('emu'\)"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    "features",
    [
        [{"name": "image", "dtype": "image"}, {"name": "label", "dtype": {"class_label": {"names": ["cat", "dog"]}}}],
        [{"name": "label", "dtype": {"class_label": {"names": {"1": "dog", "0": "cat"}}}}],
        [{"name": "label", "sequence": {"class_label": {"names": {"1": "dog", "0": "cat"}}}}],
        {"label": {"_type": "List", "feature": {"_type": "ClassLabel", "names": ["cat", "dog"]}}},
        {"label": [{"_type": "ClassLabel", "names": ["cat", "dog"]}]},
    ],
)
def test_class_names_are_found_in_every_form_of_features(features):
    assert read_class_names(as_metadata(features), "label") == ("cat", "dog")


@pytest.mark.parametrize("features", [None, 3, [], [[]], {"label": None}, {"label": "x"}, [{"name": "label"}]])
def test_features_without_class_names_give_none(features):
    assert read_class_names(as_metadata(features), "label") == ()


@pytest.mark.parametrize("names", ["cat", 3, ["cat", None], ["cat", 3], {"0": "cat", "2": "dog"}, [""]])
def test_class_names_that_are_not_texts_are_an_error(names):
    with pytest.raises(DataError, match="features of 'label': "):
        read_class_names(as_metadata({"label": {"names": names}}), "label")


IMAGE, LABEL = {"_type": "Image"}, {"_type": "ClassLabel", "names": ["cat", "dog"]}


@pytest.mark.parametrize(
    ("columns", "features", "expected"),
    [
        (("img", "label"), {"img": IMAGE, "label": LABEL}, ("img", "label")),
        (("img", "label"), {"label": LABEL}, ("img", "label")),
        (("photo", "species"), {"photo": IMAGE, "species": LABEL}, ("photo", "species")),
        (
            ("photo", "species"),
            [{"name": "photo", "dtype": "image"}, {"name": "species"} | LABEL],
            ("photo", "species"),
        ),
        (("mask", "image", "label"), {"mask": IMAGE, "image": IMAGE, "label": LABEL}, ("image", "label")),
        (("image", "season", "label"), {"image": IMAGE, "season": LABEL, "label": LABEL}, ("image", "label")),
        (("img", "coarse_label", "fine_label"), {"coarse_label": LABEL, "fine_label": LABEL}, ("img", "fine_label")),
        (("image", "label", "species"), {"label": {"dtype": "int64"}, "species": LABEL}, ("image", "species")),
    ],
)
def test_columns_are_found_by_type_and_by_name(tmp_path, columns, features, expected):
    values = {
        name: [{"bytes": png(number), "path": None}] if "label" not in name and name not in ("species", "season")
        else [int(name == expected[1])]
        for number, name in enumerate(columns)
    }  # fmt: skip
    table = pyarrow.table(values).replace_schema_metadata(as_metadata(features))
    pyarrow.parquet.write_table(table, tmp_path / "pets.parquet")
    (item,) = open_data(tmp_path / "pets.parquet")
    assert (item.image, item.labels) == (png(columns.index(expected[0])), (1,))


@pytest.mark.parametrize(
    ("columns", "features", "message"),
    [
        (
            ("a", "b"),
            {"a": IMAGE, "b": IMAGE},
            r"several columns of images \(a, b\), and none is called image or img: rename",
        ),
        (
            ("image", "a", "b"),
            {"a": LABEL, "b": LABEL},
            r"several columns of labels \(a, b\), and none is called labels or label: rename",
        ),
        (("a", "b"), {"b": LABEL}, r"no column of images \(it has a, b\)"),
    ],
)
def test_columns_that_are_not_clear_by_name_are_an_error_that_names_them(tmp_path, columns, features, message):
    table = pyarrow.table({name: [b""] for name in columns}).replace_schema_metadata(as_metadata(features))
    pyarrow.parquet.write_table(table, tmp_path / "pets.parquet")
    with pytest.raises(DataError, match=rf"pets\.parquet: {message}"):
        open_data(tmp_path / "pets.parquet")


def as_metadata(features):
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def test_images_of_another_type_are_an_error(tmp_path):
    for images in ([{"width": 1}] * 3, [1, 2, 3]):
        file = replace_column(write_parquet(tmp_path / "pets.parquet"), 0, "image", images)
        with pytest.raises(DataError, match=r"column 'image' is .*, not the content of images"):
            open_data(file)


def test_a_path_outside_the_folder_is_refused_unless_it_is_allowed(tmp_path):
    (tmp_path / "data").mkdir()
    images = [{"bytes": None, "path": path} for path in ("../secret.png", "/etc/passwd", "a.png")]
    file = replace_column(write_parquet(tmp_path / "data" / "pets.parquet"), 0, "image", images)
    with pytest.raises(DataError, match=r"row 0: '../secret\.png' is outside"):
        list(open_data(file))
    sources = [item.image for item in open_data(file, allow_outside=True)]
    assert sources[1:] == ["/etc/passwd", str(tmp_path / "data" / "a.png")]


def test_splits_in_another_case_are_splits(tmp_path):
    for name in ("Train-0", "TRAIN-1", "Test-0"):
        write_parquet(tmp_path / f"{name}.parquet")
    assert [len(open_data(tmp_path, split=split)) for split in (None, "train", "Test")] == [3, 6, 3]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_files_are_open_only_while_they_are_read(tmp_path):
    for number in range(20):
        write_parquet(tmp_path / f"a-{number:02}.parquet")
    before = len([*Path("/proc/self/fd").iterdir()])
    data = open_data(tmp_path)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    assert len(list(data)) == 60
    assert len([*Path("/proc/self/fd").iterdir()]) == before
