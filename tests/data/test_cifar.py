"""CIFAR-10 and CIFAR-100 in both versions of their authors; damaged files and pickles that contain code are refused."""

import pickle

import pytest

from levit.data.open_data import open_data
from levit.errors import DataError
from tests.data.datasets_on_disk import write_cifar, write_cifar_100


@pytest.mark.parametrize("binary", [False, True])
def test_both_versions_give_images_and_labels(tmp_path, binary):
    folder = write_cifar(tmp_path / "cifar", binary=binary)
    data = open_data(folder)
    assert (data.name, len(data), data.classes[9], len(data.classes)) == ("cifar test", 4, "truck", 10)
    items = list(data)
    assert [item.labels for item in items] == [(9,), (8,), (7,), (6,)]
    assert (items[3].image.shape, items[3].image[0, 0].tolist()) == ((32, 32, 3), [3, 0, 0])
    assert len(open_data(folder, split="train")) == 20
    assert data.sha256() != open_data(folder, split="train").sha256()


@pytest.mark.parametrize("binary", [False, True])
def test_the_classes_of_cifar_100_are_the_fine_ones(tmp_path, binary):
    data = open_data(write_cifar_100(tmp_path / "cifar", binary=binary))
    assert (data.name, data.classes) == ("cifar test", ("apple", "bear", "bee"))
    items = list(data)
    assert [item.labels for item in items] == [(2,), (0,)]
    assert [item.image[0, 0].tolist() for item in items] == [[1, 1, 1], [2, 2, 2]]


@pytest.mark.parametrize("split", ["train", "TRAIN", "training"])
def test_a_split_is_found_by_any_of_its_names(tmp_path, split):
    assert open_data(write_cifar_100(tmp_path / "cifar", binary=True), split=split).name == "cifar train"


@pytest.mark.parametrize("binary", [False, True])
def test_a_missing_file_or_split_is_an_error(tmp_path, binary):
    folder = write_cifar(tmp_path / "cifar", binary=binary)
    (folder / ("data_batch_3.bin" if binary else "data_batch_3")).unlink()
    with pytest.raises(DataError, match=r"data_batch_3.* is missing: unpack the archive again"):
        open_data(folder, split="train")
    with pytest.raises(DataError, match=r"no split 'all' \(available: train, test\)"):
        open_data(folder, split="all")


class Code:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_pickle_that_contains_code_is_refused(tmp_path, capsys):
    folder = write_cifar(tmp_path / "cifar", binary=False)
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": Code(), b"labels": []}))
    with pytest.raises(DataError, match=r"it contains code: builtins\.print"):
        open_data(folder)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00.", b"not a pickle"])
def test_a_damaged_file_is_an_error_of_one_line(tmp_path, content):
    folder = write_cifar(tmp_path / "cifar", binary=False)
    (folder / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=r"not a (file|batch) of CIFAR") as caught:
        open_data(folder)
    assert "\n" not in str(caught.value)


def test_a_truncated_binary_file_is_an_error(tmp_path):
    file = write_cifar(tmp_path / "cifar", binary=True) / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="not a whole number of images: unpack the archive again"):
        open_data(file.parent)


@pytest.mark.parametrize("labels", [3, None, [0, 1, 2, "cat"], [0, 1, 2, 2**70], {"a": 1}, [0]])
def test_invalid_labels_are_an_error_of_one_line(tmp_path, labels):
    folder = write_cifar(tmp_path / "cifar", binary=False)
    values = pickle.loads((folder / "test_batch").read_bytes(), encoding="bytes") | {b"labels": labels}
    (folder / "test_batch").write_bytes(pickle.dumps(values))
    with pytest.raises(DataError, match=r"test_batch: (not a batch of CIFAR|labels: )"):
        open_data(folder)
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": 3}))
    with pytest.raises(DataError, match=r"batches\.meta: its class names are not strings"):
        open_data(folder, split="train")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x02}r\xff\xff\xff\xff.", "memo index 4294967295"),  # for which pickle would allocate 64 GB
        # An array of 2**40 numbers: its type is a string while a pickle is read.
        (b"\x80\x02cnumpy\nndarray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.", "'str' object is not callable"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\x00\x00.", "expected 281474976710655 bytes"),
        (b"\x80\x02" + b"(" * 100_000, "pickle exhausted before seeing STOP"),
    ],
)
def test_a_pickle_that_claims_much_memory_is_refused_before_it_is_allocated(tmp_path, content, reason):
    folder = write_cifar(tmp_path / "cifar", binary=False)
    (folder / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=rf"not a file of CIFAR \({reason}") as caught:
        open_data(folder)
    assert "\n" not in str(caught.value)
