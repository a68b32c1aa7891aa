"""Packed images: image files one after another in one file."""

import errno
import io
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data
from levit.errors import DataError, LevitError, LevitWarning
from levit.images.decoding import read_image
from levit.training.packed_images import PackedImages, estimate_packed_size, pack_images
from tests.data.datasets_on_disk import png
from tests.data.listed_dataset import ListedDataset


def items_of(*images):
    return [LabeledImage(image, (0,), str(number)) for number, image in enumerate(images)]


def test_image_files_are_copied_byte_for_byte(parquet, tmp_path):
    items = list(open_data(parquet))
    images = pack_images(items, tmp_path / "copy")
    assert [(images.image(n), images.labels(n), images.name(n)) for n in range(len(images))] == list(map(tuple, items))
    assert (tmp_path / "copy").read_bytes() == b"".join(item.image for item in items)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "copy.index"]


def test_images_can_be_read_in_any_order(parquet, tmp_path):
    items = list(open_data(parquet))
    images = pack_images(items, tmp_path / "copy")
    for index in np.random.default_rng(0).permutation(len(items)):
        assert images.image(int(index)) == items[index].image


def test_images_that_are_not_files_become_png_files(tmp_path, picture):
    file = tmp_path / "one.png"
    picture.save(file)
    images = pack_images(items_of(file, str(file), picture, np.asarray(picture)), tmp_path / "copy")
    assert images.image(0) == images.image(1) == file.read_bytes()
    for index in range(4):
        np.testing.assert_array_equal(np.asarray(read_image(images.image(index))), np.asarray(picture))
    assert Image.open(io.BytesIO(images.image(2))).format == "PNG"


def test_empty_files_are_kept(tmp_path):
    images = pack_images(items_of(b"", png(1), b""), tmp_path / "copy")
    assert [images.image(index) for index in range(3)] == [b"", png(1), b""]


def test_missing_files_are_empty_and_a_warning_names_the_first_one(tmp_path):
    items = items_of(png(1), tmp_path / "missing.png", png(2))
    with pytest.warns(LevitWarning, match=r"^1 cannot be read \(.+\)$"):
        images = pack_images(items, tmp_path / "copy")
    assert [images.image(index) for index in range(3)] == [png(1), b"", png(2)]
    assert estimate_packed_size(items) == len(png(1)) + len(png(2))
    with pytest.warns(LevitWarning, match=r"^0 cannot be read \(.+\), and 1 more$"):
        images = pack_images(items_of(tmp_path / "missing.png", tmp_path / "lost.png"), tmp_path / "copy")
    assert [images.image(index) for index in range(2)] == [b"", b""]


def test_a_view_has_the_bytes_of_an_image(tmp_path):
    images = pack_images(items_of(png(1), b"", png(2)), tmp_path / "copy")
    assert [bytes(images.view(index)) for index in range(3)] == [png(1), b"", png(2)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.warns(LevitWarning, match=r"^0 cannot be read \(not a regular file\)$"):
        pack_images(items_of(tmp_path / "pipe.png"), tmp_path / "copy")


def test_a_full_disk_is_an_error_with_a_hint(tmp_path):
    def items():
        yield LabeledImage(png(1), (0,), "1.png")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(LevitError, match=r"cannot be written \(No space left on device\): make room for a copy of"):
        pack_images(items(), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_another_process_reads_the_copy_and_not_the_data(parquet, tmp_path):
    items = list(open_data(parquet))
    pack_images(items, tmp_path / "copy")
    for name in ("copy", "copy.index"):
        (tmp_path / name).chmod(0o400)
    images = PackedImages(tmp_path / "copy")
    assert [(images.image(n), images.labels(n), images.name(n)) for n in range(len(images))] == list(map(tuple, items))


def test_a_copy_that_this_process_cannot_see_is_named(tmp_path):
    images = PackedImages(tmp_path / "copy")
    with pytest.raises(DataError, match=r"copy\.index: missing on the machine of this process: give an `out`"):
        len(images)


def test_a_new_copy_replaces_an_earlier_one_with_its_index(tmp_path):
    pack_images(items_of(png(1), png(2)), tmp_path / "copy")
    pack_images([LabeledImage(png(3), (4, 5), "c")], tmp_path / "copy")
    images = PackedImages(tmp_path / "copy")
    assert [(images.image(n), images.labels(n), images.name(n)) for n in range(len(images))] == [(png(3), (4, 5), "c")]


def test_an_interrupted_copy_leaves_neither_file(tmp_path):
    def items():
        yield LabeledImage(png(1), (0,), "1.png")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_images(items(), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


LABELS = st.lists(st.integers(0, 2**40), max_size=3).map(tuple)
NAMES = st.text(st.characters(codec=None), max_size=8)  # of file systems, names may have lone surrogates


@given(st.lists(st.builds(LabeledImage, st.binary(max_size=9), LABELS, NAMES), max_size=5))
def test_any_labels_and_names_are_kept(items):
    with tempfile.TemporaryDirectory() as folder:
        images = pack_images([LabeledImage(b"first", (), "first"), *items], Path(folder, "copy"))
        images = pickle.loads(pickle.dumps(images))
        assert len(images) == 1 + len(items)
        for number, item in enumerate(items, start=1):
            assert (images.image(number), images.labels(number), images.name(number)) == tuple(item)


def test_the_size_is_estimated_from_the_first_images(parquet, tmp_path):
    data = open_data(parquet)
    assert estimate_packed_size(data) == sum(len(item.image) for item in data)
    smaller_at_the_end = [bytes(1000)] * 100 + [b" "] * 50
    assert estimate_packed_size(ListedDataset(items_of(*smaller_at_the_end))) == 150_000
    assert estimate_packed_size(ListedDataset([])) == 0
