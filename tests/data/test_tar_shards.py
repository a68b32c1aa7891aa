"""Tar shards in the layout of WebDataset are read sequentially, with numbers or names as labels."""

import io
import json
import tarfile

import pytest

from levit.data.open_data import open_data
from levit.errors import DataError
from tests.data.datasets_on_disk import names_and_labels, png


def write_shard(file, samples):
    with tarfile.open(file, "w") as archive:
        for key, sample in samples.items():
            for suffix, content in sample.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file


def test_the_samples_of_all_shards_are_one_data_set(tmp_path):
    write_shard(tmp_path / "a-0.tar", {"0": {"cls": b"1", "png": png(1)}, "deep/1": {"png": png(2), "cls": b"0\n"}})
    write_shard(tmp_path / "a-1.tar", {"2": {"png": png(3)}, "3": {"txt": b"not an image"}})
    with pytest.raises(DataError, match=r"its 2 classes have no names: write them into classes\.txt"):
        open_data(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    data = open_data(tmp_path)
    assert (data.name, len(data), data.classes) == (tmp_path.name, 3, ("cat", "dog"))
    assert names_and_labels(data) == [("a-0.tar/0", ("dog",)), ("a-0.tar/deep/1", ("cat",)), ("a-1.tar/2", ())]
    assert [item.image for item in data] == [png(1), png(2), png(3)]
    assert len(open_data(tmp_path / "a-0.tar")) == 2


def test_labels_may_be_class_names(tmp_path):
    samples = {
        str(index): {"png": png(1), "json": json.dumps({"label": name}).encode()}
        for index, name in enumerate(("dog", "cat", "dog"))
    }
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert (data.classes, data.is_multi_label) == (("cat", "dog"), False)
    assert [item.labels for item in data] == [(1,), (0,), (1,)]
    samples["0"]["json"] = json.dumps({"labels": ["dog", "cat"]}).encode()
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert data.is_multi_label
    assert next(iter(data)).labels == (1, 0)


def test_invalid_labels_are_no_labels(tmp_path):
    samples = {
        "0": {"png": png(1), "json": b"{"},
        "1": {"png": png(2), "cls": b"cat"},
        "2": {"png": png(3), "json": b"[]"},
    }
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert (data.classes, [item.labels for item in data]) == ((), [(), (), ()])


def test_a_shard_without_images_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"x\.tar: no images in it"):
        open_data(write_shard(tmp_path / "x.tar", {"0": {"txt": b"a"}}))


@pytest.mark.parametrize("content", [b"", b"not a tar file", png(0)])
def test_a_damaged_shard_is_an_error_of_one_line(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match="not a tar file, or incomplete") as caught:
        open_data(tmp_path / "x.tar")
    assert "\n" not in str(caught.value)
