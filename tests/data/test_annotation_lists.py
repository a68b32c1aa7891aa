"""Annotation files of mmpretrain, with class names from a list next to them or from ImageNet."""

import pytest

from levit.data.open_data import open_data
from levit.errors import DataError
from tests.data.datasets_on_disk import names_and_labels, write_images


def test_images_are_in_the_folder_of_the_split_and_class_names_next_to_the_file(tmp_path):
    write_images(tmp_path, "val/x y.png", "val/z.png")
    (tmp_path / "meta").mkdir()
    annotations = tmp_path / "meta" / "val.txt"
    annotations.write_text("x y.png 1\nz.png 0\n")
    with pytest.raises(DataError, match=r"its 2 classes have no names: write them into classes\.txt next to it"):
        open_data(annotations)
    (tmp_path / "meta" / "classes.txt").write_text("cat\ndog\n")
    data = open_data(annotations)
    assert names_and_labels(data) == [("x y.png", ("dog",)), ("z.png", ("cat",))]
    assert all(item.image.is_file() for item in data)


def test_annotations_called_labels_txt_are_not_the_class_names(tmp_path):
    (tmp_path / "labels.txt").write_text("x.png 1\nz.png 0\n")
    with pytest.raises(DataError, match=r"its 2 classes have no names: write them into classes\.txt"):
        open_data(tmp_path / "labels.txt")


def test_a_thousand_classes_without_names_are_those_of_imagenet(tmp_path):
    (tmp_path / "val.txt").write_text("z.png 999\n")
    assert open_data(tmp_path / "val.txt").classes[999] == "n15075141"


def test_fewer_names_than_classes_are_an_error(tmp_path):
    (tmp_path / "list.txt").write_text("1.png 2\n")
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n")
    with pytest.raises(DataError, match=r"classes\.txt: 2 names for 3 classes"):
        open_data(tmp_path / "list.txt")


def test_files_may_begin_with_a_byte_order_mark_and_must_be_utf8(tmp_path):
    write_images(tmp_path, "1.png")
    (tmp_path / "list.txt").write_text("\ufeff1.png 0\n", encoding="utf-8")
    (tmp_path / "classes.txt").write_text("\ufeffcat\n", encoding="utf-8")
    assert names_and_labels(open_data(tmp_path / "list.txt")) == [("1.png", ("cat",))]
    (tmp_path / "classes.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"classes\.txt cannot be read"):
        open_data(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n", "no lines"),
        (b"a.png dog\n", "line 1 is not a path and a class index: 'a.png dog'"),
        (b"\x89PNG", "cannot be read"),
        (b"a.png 4294967296\n", "line 1 is not a path and a class index"),
        (b"a.png " + b"9" * 5000, "line 1 is not a path and a class index"),
        (b"a.png 0.5\n", "line 1 is not a path and a class index"),
        (b"a\0.png 0\n", "line 1: .* contains a null character"),
        (b"../a.png 0\n", "line 1: .* is outside"),
    ],
)
def test_an_invalid_file_is_an_error_of_one_line(tmp_path, content, message):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path / "list.txt")
    assert "\n" not in str(caught.value)


def test_an_image_that_is_listed_with_different_labels_is_an_error_that_names_it(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "list.txt").write_text("a.png 1\na.png 1\n")
    assert [item.labels for item in open_data(tmp_path / "list.txt")] == [(1,), (1,)]
    (tmp_path / "list.txt").write_text("a.png 1\nb.png 0\n./a.png 0\n")
    with pytest.raises(
        DataError, match=r"list\.txt: line 3: 'a\.png' is listed before with another label: list it once"
    ):
        open_data(tmp_path / "list.txt")


def test_labels_below_zero_are_no_labels_and_tabs_separate_too(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "list.txt").write_text("a.png -1\nb c.png\t1\nd.png 0.0\n")
    data = open_data(tmp_path / "list.txt")
    assert names_and_labels(data) == [("a.png", ()), ("b c.png", ("dog",)), ("d.png", ("cat",))]
    (tmp_path / "list.txt").write_text("../a.png 0\n")
    assert len(open_data(tmp_path / "list.txt", allow_outside=True)) == 1
