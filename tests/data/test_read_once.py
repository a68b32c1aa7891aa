"""One pass gives the content of every image, the hash of the data set and the hashes for duplicates."""

import pytest

from levit.data.duplicates import find_duplicates
from levit.data.open_data import open_data
from levit.data.read_once import ReadOnceDataset
from levit.data.shared_pass import share_pass
from levit.data.subsets import without_quantization_images
from tests.data.datasets_on_disk import png, write_cifar, write_images, write_parquet


def folder(root):
    write_images(root, "cat/1.png", "cat/22.png", "dog/1.png", "dog/333.png")
    (root / "dog" / "gone.png").write_bytes(b"no image")
    return open_data(root)


def parquet(root):
    return open_data(write_parquet(root / "pets.parquet"))


def cifar(root):
    return open_data(write_cifar(root / "cifar", binary=True))


@pytest.mark.parametrize("reader", [folder, parquet, cifar])
def test_items_hash_and_duplicates_are_those_of_the_data_set(tmp_path, reader):
    data = reader(tmp_path)
    once = ReadOnceDataset(data, threads=2)
    for _ in range(2):
        items, expected = list(once), list(data)
        assert [(item.name, item.labels) for item in items] == [(item.name, item.labels) for item in expected]
    assert (len(once), once.sha256()) == (len(data), data.sha256())
    duplicates = find_duplicates(without_quantization_images(once.hashes(), 1), {"train": data})
    assert duplicates == find_duplicates(without_quantization_images(data, 1), {"train": data})


def test_after_a_pass_no_file_is_read_again(tmp_path):
    data = folder(tmp_path)
    expected = data.sha256(), find_duplicates(data, {})
    once = ReadOnceDataset(data, threads=2)
    items = list(without_quantization_images(once, 2))
    for file in tmp_path.glob("*/*.png"):
        file.unlink()
    assert (once.sha256(), find_duplicates(once.hashes(), {})) == expected
    assert [type(item.image) for item in items] == [bytes] * 3


def test_the_hash_of_a_pass_that_ended_early_is_that_of_all_files(tmp_path):
    data = folder(tmp_path)
    once = ReadOnceDataset(data)
    next(iter(once))
    assert once.sha256() == data.sha256()
    assert find_duplicates(once.hashes(), {}) == find_duplicates(data, {})


def test_a_file_that_cannot_be_read_keeps_its_path_and_is_hashed_by_its_name(tmp_path):
    write_images(tmp_path, "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,cat\ngone.png,cat\n")
    data = open_data(tmp_path)
    once = ReadOnceDataset(data)
    assert [item.image for item in once] == [png(5), tmp_path / "gone.png"]
    assert once.sha256() == data.sha256()


def test_readers_of_a_shared_pass_read_each_image_once(tmp_path):
    data = folder(tmp_path)
    expected, readings = list(ReadOnceDataset(data)), []

    class CountedDataset(ReadOnceDataset):
        def __iter__(self):
            for item in super().__iter__():
                readings.append(item.name)
                yield item

    shared = share_pass(CountedDataset(data), 3)
    assert [[*items] for items in zip(*shared, strict=True)] == [[item] * 3 for item in expected]
    assert readings == [item.name for item in expected]
    assert [(reader.name, reader.classes, len(reader), reader.sha256()) for reader in shared] == [
        (data.name, data.classes, len(data), data.sha256())
    ] * 3
