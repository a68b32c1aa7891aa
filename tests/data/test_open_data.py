"""The layout of a path determines its reader; the other splits of a data set are found."""

import os
import sys

import numpy as np
import pyarrow.parquet
import pytest

from levit.data.duplicates import find_duplicates
from levit.data.inspection import inspect_splits
from levit.data.labeled_images import NoSplitError
from levit.data.open_data import open_data, open_splits, open_with_other_splits
from levit.errors import DataError
from levit.reporting.embeddings_file import Embeddings, write_embeddings
from tests.data.datasets_on_disk import (
    named_samples,
    png,
    write_cifar,
    write_images,
    write_parquet,
    write_shard,
    write_tar,
)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "no such file or folder"),
        ("empty", "no images in it"),
        ("notes.md", "not labeled data: give a folder"),
    ],
)
def test_a_path_without_labeled_data_is_an_error_of_one_line(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path / name)
    assert caught.value.source == str(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_has_no_splits(tmp_path):
    with pytest.raises(NoSplitError, match="a file has no splits: leave out split 'train'"):
        open_data(write_parquet(tmp_path / "pets.parquet"), split="train")


def test_a_hub_name_without_a_network_is_an_error_of_one_line():
    with pytest.raises(DataError, match="absent/flowers: no such file or folder, and not available from the hub"):
        open_data("absent/flowers")


@pytest.mark.parametrize(
    ("package", "name", "message"),
    [
        ("pyarrow", "pets.parquet", r'reading parquet needs pyarrow: pip install "levit\[evaluation\]"'),
        ("scipy.io", "flowers", r'reading \.mat files needs scipy: pip install "levit\[evaluation\]"'),
        ("datasets", "absent/flowers", r'data set of this name needs datasets: pip install "levit\[datasets\]"'),
    ],
)
def test_a_missing_optional_package_is_an_error_of_one_line_that_says_what_to_install(
    monkeypatch, tmp_path, package, name, message
):
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path / "pets.parquet")
    for file in ("flowers/imagelabels.mat", "flowers/setid.mat"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=message) as caught:
        open_data(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x.parquet", "data/x.parquet"])
@pytest.mark.parametrize("image", ["data/1.png", "1.png"])
def test_a_parquet_file_without_images_beside_images_is_not_the_data(tmp_path, name, image):
    write_images(tmp_path, image)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write_embeddings(Embeddings([image], np.float32([[1, 2]]), "LeViT-128S"), tmp_path / name)
    assert [item.name for item in open_data(tmp_path)] == [image]
    (tmp_path / image).unlink()
    with pytest.raises(DataError, match=r"no column of images \(it has file, features\)"):
        open_data(tmp_path)


def test_labels_in_a_parquet_file_are_not_ignored(tmp_path):
    write_images(tmp_path, "1.png")
    table = pyarrow.table({"file_name": ["1.png"], "label": ["cat"]})
    pyarrow.parquet.write_table(table, tmp_path / "metadata.parquet")
    with pytest.raises(DataError, match=r"no column of images \(it has file_name, label\)"):
        open_data(tmp_path)


def test_a_parquet_file_of_images_beside_other_images_is_the_data(tmp_path):
    write_images(tmp_path, "assets/logo.png")
    write_parquet(tmp_path / "pets.parquet")
    assert (len(open_data(tmp_path)), open_data(tmp_path).classes) == (3, ("cat", "dog"))


@pytest.mark.parametrize("split", [None, "val", "validation", "test", "train"])
def test_the_other_splits_are_all_but_the_opened_one(tmp_path, split):
    write_images(tmp_path, "train/cat/1.png", "val/cat/22.png", "test/cat/333.png")
    data, other_splits, name = open_with_other_splits(tmp_path, split=split)
    assert data.sha256() == open_data(tmp_path, split=split).sha256()
    opened = {None: "validation", "val": "validation"}.get(split, split)
    assert name == opened
    assert list(other_splits) == [other for other in ("train", "validation", "test") if other != opened]


def test_other_splits_are_found_in_every_layout(tmp_path):
    data, other_splits, _ = open_with_other_splits(write_cifar(tmp_path / "cifar", binary=False))
    assert (data.name, list(other_splits)) == ("cifar test", ["train"])
    assert list(open_splits(tmp_path / "cifar")) == ["train", "test"]
    (tmp_path / "shards").mkdir()
    for name in ("train", "test"):
        write_parquet(tmp_path / "shards" / f"{name}-0.parquet")
    assert list(open_with_other_splits(tmp_path / "shards")[1]) == ["train"]
    assert open_with_other_splits(tmp_path / "shards" / "test-0.parquet")[1] == {}


def test_the_split_of_tar_shards_is_known_by_their_names(tmp_path):
    for name in ("named/train-0.tar", "named/dev-0.tar", "folders/train/0.tar", "none/0.tar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_tar(tmp_path / name, [("1.png", png(1)), ("1.json", b'{"label": "cat"}')])
    names = [open_with_other_splits(tmp_path / folder)[2] for folder in ("named", "folders", "none")]
    assert names == ["validation", "train", None]


def test_another_split_that_cannot_be_opened_is_left_out(tmp_path):
    write_images(tmp_path, "val/cat/1.png")
    (tmp_path / "train").mkdir()
    data, other_splits, _ = open_with_other_splits(tmp_path)
    assert (len(data), other_splits) == (1, {})


def test_an_empty_split_is_an_error(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "val" / "cat").mkdir(parents=True)
    (tmp_path / "val" / "cat" / "1.png").write_bytes(png(1))
    with pytest.raises(DataError, match="train: no images in it"):
        open_splits(tmp_path)


def write_shards(file, *labels):
    """Write a parquet file or a tar shard of cats and dogs."""
    if file.suffix == ".tar":
        write_shard(file, named_samples(*labels))
    else:
        write_parquet(file, labels=tuple(map(("cat", "dog").index, labels)))


@pytest.mark.parametrize("suffix", ["parquet", "tar"])
def test_shards_in_folders_of_splits_are_the_splits(tmp_path, suffix):
    for split, labels in (("train", ("cat", "dog")), ("val", ("dog",))):
        (tmp_path / split).mkdir()
        write_shards(tmp_path / split / f"0000.{suffix}", *labels)
    assert {name: len(data) for name, data in open_splits(tmp_path).items()} == {"train": 2, "validation": 1}
    assert open_data(tmp_path).sha256() == open_data(tmp_path, split="val").sha256()
    with pytest.raises(NoSplitError, match=r"no split 'test' \(available: train, val\)"):
        open_data(tmp_path, split="test")


@pytest.mark.parametrize("suffix", ["parquet", "tar"])
@pytest.mark.parametrize("names", [("plain_text",), ("data", "assets")])
def test_shards_may_be_in_the_only_subfolder_or_in_data(tmp_path, suffix, names):
    for name in names:
        (tmp_path / name).mkdir()
    for split, labels in (("train", ("cat", "dog")), ("test", ("dog",))):
        write_shards(tmp_path / names[0] / f"{split}-00000-of-00001.{suffix}", *labels)
    assert {name: len(data) for name, data in open_splits(tmp_path).items()} == {"train": 2, "test": 1}


@pytest.mark.parametrize("suffix", ["parquet", "tar"])
def test_shards_that_are_not_found_are_in_the_error(tmp_path, suffix):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"0.{suffix}").touch()
    message = rf"no images in it \(.*\): not read: 2 \.{suffix} files \(one/0\.{suffix}\); give their folder"
    with pytest.raises(DataError, match=message):
        open_data(tmp_path)


def test_archives_next_to_their_unpacked_folders_are_ignored(tmp_path):
    write_images(tmp_path, "train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "val/dog/4.png")
    write_tar(tmp_path / "ILSVRC2012_img_val.tar", [("3.png", png(3))])
    data, other_splits, _ = open_with_other_splits(tmp_path)
    assert (data.classes, len(data), [*other_splits]) == (("cat", "dog"), 2, ["train"])


def test_an_archive_next_to_the_flat_images_of_imagenet_is_ignored(tmp_path):
    write_images(tmp_path / "val", "ILSVRC2012_val_00000001.JPEG")
    write_tar(tmp_path / "val" / "ILSVRC2012_img_val.tar", [("ILSVRC2012_val_00000001.JPEG", png(3))])
    (tmp_path / "val" / "synset_labels.txt").write_text("n01440764\n")
    for folder in (tmp_path, tmp_path / "val"):
        assert [item.labels for item in open_data(folder)] == [(0,)]


def test_metadata_files_of_macos_are_not_read_as_archives(tmp_path):
    write_parquet(tmp_path / "train-0.parquet")
    for name in ("._train-0.parquet", "._photos.tar"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert len(open_data(tmp_path)) == len(open_data(tmp_path / "train-0.parquet"))
    write_images(tmp_path / "photos", "cat/1.png")
    (tmp_path / "photos" / "._cat.tar").write_bytes(b"\0\5\x16\7")
    assert open_data(tmp_path / "photos").classes == ("cat",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("suffix", ["json", "txt", "tar", "parquet"])
def test_a_pipe_is_refused_instead_of_waiting_for_its_other_end(tmp_path, suffix):
    os.mkfifo(tmp_path / f"x.{suffix}")
    with pytest.raises(DataError, match="not a regular file"):
        open_data(tmp_path / f"x.{suffix}")
    if suffix in ("tar", "parquet"):
        with pytest.raises(DataError, match="not a regular file"):
            open_data(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_in_a_table_is_an_unreadable_image(tmp_path):
    os.mkfifo(tmp_path / "1.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\n1.png,cat\n")
    data = open_data(tmp_path)
    assert len(data.sha256()) == 64
    assert find_duplicates(data, {}).num_within == 0
    assert inspect_splits({"all": data})[0].bad_examples == [("1.png", "not a regular file")]


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_a_path_that_no_file_can_have_is_an_error_of_one_line(path):
    with pytest.raises(DataError, match=r"null character|cannot be read|no such file") as caught:
        open_data(path)
    assert "\n" not in str(caught.value)
