"""Random access to labeled images: files in place, or a copy in one file."""

import pickle

import numpy as np
import pytest

from levit.data.file_list import FileList, FileListDataset
from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data
from levit.errors import DataError, LevitWarning
from levit.training.indexed_images import estimate_copy_size, index_images, index_unlabeled_images, needs_copy
from tests.data.datasets_on_disk import png, write_parquet
from tests.data.listed_dataset import ListedDataset
from tests.training.tiny import CLASSES


def index(data, folder, *, classes=CLASSES, class_indices=(0, 1, 2), writes=True):
    return index_images(data, folder / "copy", classes=classes, class_indices=class_indices, writes=writes)


def rows(images):
    return [(images.image(number), images.labels(number), images.name(number)) for number in range(len(images))]


MULTI_LABEL = ListedDataset(
    [LabeledImage(png(1), (0, 2), "1.png"), LabeledImage(png(2), (), "2.png")], CLASSES, is_multi_label=True
)


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_images_labels_and_names_are_those_of_the_data(photos, parquet, tmp_path, kind):
    data = open_data(photos if kind == "folder" else parquet)
    images = index(data, tmp_path)
    assert rows(images) == [tuple(item) for item in data]
    assert (images.classes, images.is_multi_label) == (CLASSES, False)


def test_only_images_without_files_of_their_own_are_copied(photos, parquet, tmp_path):
    index(open_data(photos), tmp_path)
    assert list(tmp_path.iterdir()) == []
    index(open_data(parquet), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "copy.index"]
    assert [needs_copy(open_data(path)) for path in (photos, parquet)] == [False, True]


def test_the_size_of_the_copy_is_estimated(photos, parquet):
    data = open_data(parquet)
    assert estimate_copy_size(data) == sum(len(item.image) for item in data)
    assert estimate_copy_size(open_data(photos)) == 0


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_labels_become_those_of_the_network(photos, parquet, tmp_path, kind):
    data = open_data(photos if kind == "folder" else parquet)
    images = index(data, tmp_path, classes=("dog", "emu", "bear", "cat"), class_indices=(2, 3, 0))
    assert [images.labels(number) for number in range(len(images))] == [((2, 3, 0)[item.labels[0]],) for item in data]


def test_images_without_a_label_are_left_out(tmp_path):
    data = open_data(write_parquet(tmp_path / "a.parquet", labels=(1, -1, 0, None, 1)))
    with pytest.warns(LevitWarning, match="left out without a label: 2 of 5 images"):
        images = index(data, tmp_path)
    assert rows(images) == [(png(0), (1,), "0.png"), (png(2), (0,), "2.png"), (png(4), (1,), "4.png")]


def test_files_without_a_label_are_left_out(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(png(1))
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,dog\nb.png,\nc.png,cat\n")
    with pytest.warns(LevitWarning, match="left out without a label: 1 of 3 images"):
        images = index(open_data(tmp_path), tmp_path, classes=("cat", "dog"), class_indices=(0, 1))
    assert [(labels, name) for _, labels, name in rows(images)] == [((1,), "a.png"), ((0,), "c.png")]


def test_multi_label_images_without_a_label_are_kept(tmp_path):
    assert [labels for _, labels, _ in rows(index(MULTI_LABEL, tmp_path))] == [(0, 2), ()]


def test_data_without_any_label_is_an_error(tmp_path):
    data = open_data(write_parquet(tmp_path / "a.parquet", labels=(-1, -1)))
    with pytest.raises(DataError, match=r"^a\.parquet: no image has a label"):
        index(data, tmp_path)


def test_a_label_out_of_range_is_named(tmp_path):
    data = open_data(write_parquet(tmp_path / "a.parquet", labels=(1, 7)))
    with pytest.raises(DataError, match=r"^a\.parquet: 1\.png: label 7 is out of range for 2 classes"):
        index(data, tmp_path, class_indices=(0, 1))
    files = FileList(tmp_path)
    files.add("a.png", (0,))
    files.add("b.png", (3,))
    with pytest.raises(DataError, match=r"^list\.txt: b\.png: label 3 is out of range for 3 classes"):
        index(FileListDataset(name="list.txt", classes=CLASSES, files=files), tmp_path)


def test_an_error_leaves_an_earlier_copy_unchanged(parquet, tmp_path):
    before = index(open_data(parquet), tmp_path)
    with pytest.raises(DataError):
        index(open_data(write_parquet(tmp_path / "a.parquet", labels=(1, 7))), tmp_path)
    assert rows(before) == [tuple(item) for item in open_data(parquet)]


class Unread(ListedDataset):
    """Data set whose images must not be read again."""

    def __iter__(self):
        raise AssertionError("read again")


def test_a_process_that_does_not_write_has_the_same_images_without_reading_the_data(tmp_path):
    writer, unread = index(MULTI_LABEL, tmp_path), Unread(MULTI_LABEL.items, CLASSES, is_multi_label=True)
    assert rows(index(unread, tmp_path, writes=False)) == rows(writer)
    stores = [index_unlabeled_images(MULTI_LABEL, tmp_path / "unlabeled")]
    stores.append(index_unlabeled_images(unread, tmp_path / "unlabeled", writes=False))
    unlabeled, reread = ([(s.image(n), s.labels(n), s.name(n)) for n in range(len(s))] for s in stores)
    assert unlabeled == reread == [(content, (), name) for content, _, name in rows(writer)]


@pytest.mark.parametrize("kind", ["folder", "parquet"])
@pytest.mark.parametrize("is_open", [False, True])
def test_pickled_images_are_small_and_open_the_copy_again(photos, parquet, tmp_path, kind, is_open):
    images = index(open_data(photos if kind == "folder" else parquet), tmp_path).select(np.array([17, 3, 4]))
    if is_open:
        images.image(0)
    content = pickle.dumps(images)
    assert len(content) < 6_000
    if kind == "parquet":
        assert len(content) < (tmp_path / "copy").stat().st_size
    assert rows(pickle.loads(content)) == rows(images)


def test_selected_images_get_new_numbers(parquet, tmp_path):
    images = index(open_data(parquet), tmp_path)
    selected = images.select(np.array([4, 0, 7]))
    assert len(selected) == 3
    assert rows(selected) == [rows(images)[number] for number in (4, 0, 7)]
    assert rows(selected.select(np.array([2]))) == [rows(images)[7]]
    assert (selected.classes, selected.is_multi_label) == (CLASSES, False)
