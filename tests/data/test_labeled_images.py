"""Every reader fulfills the contract of LabeledDataset."""

from os import PathLike

import numpy as np
import pytest
import scipy.io

from levit.data.open_data import open_data
from levit.data.record_values import label_indices
from levit.data.subsets import Subset
from levit.images.decoding import read_image
from tests.data.datasets_on_disk import (
    named_samples,
    write_annotation_list,
    write_cifar,
    write_coco,
    write_images,
    write_parquet,
    write_real_labels,
    write_shard,
)


def image_folder(root):
    return open_data(write_images(root, "cat/1.png", "dog/2.png", "dog/3.png"))


def unlabeled_folder(root):
    return open_data(write_images(root, "1.png", "2.png", "3.png"))


def metadata_table(root):
    (root / "metadata.csv").write_text("file_name,labels\n1.png,cat|dog\n2.png,cat\n3.png,\n")
    return open_data(write_images(root, "1.png", "2.png", "3.png"))


def annotation_list(root):
    return open_data(write_annotation_list(root, 0, 1, 1))


def coco(root):
    return open_data(write_coco(root, 1, 0, 1))


def imagenet_real(root):
    return open_data(write_real_labels(root, [0, 7], [1], []))


def flowers(root):
    write_images(root, *(f"jpg/image_{number:05}.jpg" for number in (1, 2, 3)))
    scipy.io.savemat(root / "imagelabels.mat", {"labels": [[1, 2, 2]]})
    scipy.io.savemat(root / "setid.mat", {"trnid": [[1]], "valid": [[1, 2, 3]], "tstid": [[1]]})
    return open_data(root)


def cifar(root):
    return open_data(write_cifar(root / "cifar", binary=True, count=3))


def parquet(root):
    return open_data(write_parquet(root / "pets.parquet"))


def tar_shards(root):
    return open_data(write_shard(root / "pets.tar", named_samples("cat", "dog", "dog")))


def subset(root):
    data = open_data(write_parquet(root / "pets.parquet", labels=(0, 1, 1, 0)))
    return Subset(data, np.array([0, 1, 3]))


READERS = [
    image_folder, unlabeled_folder, metadata_table, annotation_list, coco, imagenet_real, flowers, cifar, parquet,
    tar_shards, subset,
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_fulfills_the_contract_of_a_labeled_data_set(tmp_path, reader):
    data = reader(tmp_path)
    assert isinstance(data.name, str)
    assert isinstance(data.classes, tuple)
    assert all(isinstance(name, str) for name in data.classes)
    flags = data.is_multi_label, data.is_any_label_correct
    assert all(isinstance(flag, bool) for flag in flags)
    items = list(data)
    assert len(items) == len(data) == 3
    assert len({item.name for item in items}) == 3
    for item in items:
        assert isinstance(item.image, PathLike | bytes | np.ndarray)
        assert all(type(label) is int and 0 <= label < len(data.classes) for label in item.labels)
        assert read_image(item.image).mode == "RGB"
    if not data.is_multi_label and not data.is_any_label_correct:
        assert all(len(item.labels) <= 1 for item in items)


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_gives_the_same_images_and_hash_every_time(tmp_path, reader):
    data = reader(tmp_path)
    iterations = [[(item.name, item.labels, read_image(item.image).tobytes()) for item in data] for _ in range(2)]
    assert iterations[0] == iterations[1]
    next(iter(data))  # an iteration that is not finished does not affect the next one
    assert [item.name for item in data] == [name for name, _, _ in iterations[0]]
    assert data.sha256() == data.sha256()
    assert len(bytes.fromhex(data.sha256())) == 32


def test_a_label_column_contains_an_index_a_list_or_none():
    assert label_indices([0, 3, -1]) == (0, 3)
    assert label_indices(np.int64(2)) == (2,)
    assert label_indices([]) == label_indices(None) == label_indices(-1) == ()
