"""Images by number: in the files where they are, or copied into one."""

import errno
import io
import pickle

import numpy as np
import pytest
from PIL import Image

from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data
from levit.errors import DataError, LevitError, LevitWarning
from levit.images.decoding import read_image
from levit.training import indexed_images
from levit.training.indexed_images import Selection, estimate_copy_bytes, index_images
from tests.data.test_labeled_images import png, write_parquet
from tests.training.tiny import CLASSES

PLACES = (0, 1, 2)


def stored(data, tmp_path, *, classes=CLASSES, places=PLACES, writes=True):
    return index_images(data, tmp_path / "copy", classes=classes, places=places, writes=writes)


def rows(images):
    return [(images.image(index), images.labels(index), images.name(index)) for index in range(len(images))]


class Given:
    """Images of any kind in a list."""

    name, is_any_label_correct, is_grouped = "given", False, False

    def __init__(self, *items, classes=CLASSES, is_multi_label=False):
        self._items, self.classes, self.is_multi_label = items, classes, is_multi_label

    def __len__(self):
        return len(self._items)

    def __iter__(self):
        return (LabeledImage(image, labels, str(number)) for number, (image, labels) in enumerate(self._items))

    def sha256(self):
        return ""


def test_what_is_copied_is_measured_by_its_first_images(parquet, photos, monkeypatch):
    data = open_data(parquet)
    assert estimate_copy_bytes(data) == sum(len(item.image) for item in data)
    monkeypatch.setattr(indexed_images, "_MEASURED", 2)
    first = [len(item.image) for item in data][:2]
    assert estimate_copy_bytes(data) == sum(first) * len(data) // 2
    assert estimate_copy_bytes(open_data(photos)) == estimate_copy_bytes(Given()) == 0


def test_a_full_disk_is_said(tmp_path):
    class Full(Given):
        def __iter__(self):
            yield LabeledImage(png(1), (0,), "1.png")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(LevitError, match=r"cannot be written \(No space left on device\): make room for a copy of"):
        stored(Full((png(1), (0,))), tmp_path)


def test_parquet_is_copied_byte_for_byte(parquet, tmp_path):
    data = open_data(parquet)
    images = stored(data, tmp_path)
    assert rows(images) == [tuple(item) for item in data]
    assert (tmp_path / "copy").read_bytes() == b"".join(item.image for item in data)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    assert (images.classes, images.is_multi_label) == (CLASSES, False)


def test_any_image_can_be_had_in_any_order(parquet, tmp_path):
    data = list(open_data(parquet))
    images = stored(open_data(parquet), tmp_path)
    for index in np.random.default_rng(0).permutation(len(data)):
        assert images.image(int(index)) == data[index].image


def test_files_stay_where_they_are(photos, tmp_path):
    data = open_data(photos)
    images = stored(data, tmp_path)
    assert rows(images) == [tuple(item) for item in data]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_labels_become_those_of_the_network(photos, parquet, tmp_path, kind):
    data = open_data(photos if kind == "folder" else parquet)
    images = stored(data, tmp_path, classes=("dog", "emu", "bear", "cat"), places=(2, 3, 0))
    assert [images.labels(index) for index in range(len(images))] == [((2, 3, 0)[item.labels[0]],) for item in data]


def test_images_without_a_label_are_left_out(tmp_path):
    data = open_data(write_parquet(tmp_path / "a.parquet", labels=(1, -1, 0, None, 1)))
    with pytest.warns(LevitWarning, match="left out without a label: 2 of 5 images"):
        images = stored(data, tmp_path)
    assert [(images.labels(index), images.name(index)) for index in range(len(images))] == [
        ((1,), "0.png"),
        ((0,), "2.png"),
        ((1,), "4.png"),
    ]
    assert [images.image(index) for index in range(3)] == [png(0), png(2), png(4)]


def test_files_without_a_label_are_left_out(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(png(1))
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,dog\nb.png,\nc.png,cat\n")
    with pytest.warns(LevitWarning, match="left out without a label: 1 of 3 images"):
        images = stored(open_data(tmp_path), tmp_path, classes=("cat", "dog"), places=(0, 1))
    assert [(images.labels(index), images.name(index)) for index in range(len(images))] == [
        ((1,), "a.png"),
        ((0,), "c.png"),
    ]


def test_of_several_labels_none_is_an_answer(tmp_path):
    given = Given((png(1), (0, 2)), (png(2), ()), is_multi_label=True)
    assert [labels for _, labels, _ in rows(stored(given, tmp_path))] == [(0, 2), ()]


def test_no_label_at_all_is_an_error(tmp_path):
    data = open_data(write_parquet(tmp_path / "a.parquet", labels=(-1, -1)))
    with pytest.raises(DataError, match=r"^a\.parquet: no image has a label"):
        stored(data, tmp_path)


def test_a_label_out_of_range_is_named(tmp_path):
    data = open_data(write_parquet(tmp_path / "a.parquet", labels=(1, 7)))
    with pytest.raises(DataError, match=r"^a\.parquet: 1\.png: label 7 is none of 2 classes"):
        stored(data, tmp_path, places=(0, 1))
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 3\n")
    (tmp_path / "classes.txt").write_text("bear\ncat\ndog\nemu\n")
    with pytest.raises(DataError, match=r"^list\.txt: b\.png: label 3 is none of 3 classes"):
        stored(open_data(tmp_path / "list.txt"), tmp_path)


def test_an_error_leaves_an_earlier_copy_whole(parquet, tmp_path):
    before = stored(open_data(parquet), tmp_path)
    with pytest.raises(DataError):
        stored(open_data(write_parquet(tmp_path / "a.parquet", labels=(1, 7))), tmp_path, places=(0, 1))
    assert rows(before) == [tuple(item) for item in open_data(parquet)]


def test_a_process_that_does_not_write_reads_what_another_wrote(parquet, tmp_path):
    writer = stored(open_data(parquet), tmp_path)
    (tmp_path / "copy").chmod(0o400)
    reader = stored(open_data(parquet), tmp_path, writes=False)
    assert rows(reader) == rows(writer)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize("kind", ["folder", "parquet"])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_worker_gets_numbers_and_names_and_opens_the_copy_itself(photos, parquet, tmp_path, kind, is_open):
    images = stored(open_data(photos if kind == "folder" else parquet), tmp_path)
    chosen = Selection(images, np.array([17, 3, 4]))
    if is_open:
        chosen.image(0)
    sent = pickle.dumps(chosen)
    assert len(sent) < 6_000 < (tmp_path / "copy").stat().st_size if kind == "parquet" else len(sent) < 6_000
    assert rows(pickle.loads(sent)) == rows(chosen)


def test_a_selection_is_some_of_the_images_under_new_numbers(parquet, tmp_path):
    images = stored(open_data(parquet), tmp_path)
    chosen = Selection(images, np.array([4, 0]))
    assert len(chosen) == 2
    assert rows(chosen) == [rows(images)[4], rows(images)[0]]
    assert (chosen.classes, chosen.is_multi_label) == (CLASSES, False)


def test_images_of_every_kind_can_be_copied(tmp_path, picture):
    file = tmp_path / "one.png"
    picture.save(file)
    images = stored(Given((file, (0,)), (str(file), (1,)), (picture, (2,)), (np.asarray(picture), (0,))), tmp_path)
    assert images.image(0) == images.image(1) == file.read_bytes()
    for index in range(4):
        found = read_image(images.image(index))
        np.testing.assert_array_equal(np.asarray(found), np.asarray(picture))
    assert Image.open(io.BytesIO(images.image(2))).format == "PNG"


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(DataError, match=r"^0: cannot be read \(No such file"):
        stored(Given((tmp_path / "gone.png", (0,))), tmp_path)


def test_an_empty_image_is_one_that_cannot_be_read_later(tmp_path):
    images = stored(Given((b"", (0,)), (png(1), (1,)), (b"", (2,))), tmp_path)
    assert [images.image(index) for index in range(3)] == [b"", png(1), b""]
