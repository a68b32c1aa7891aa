"""Tar shards in the layout of WebDataset are read sequentially, with numbers or names as labels."""

import gzip
import io
import json
import tarfile

import pytest

from levit.data.open_data import open_data
from levit.errors import DataError, LevitWarning
from tests.data.datasets_on_disk import named_samples, names_and_labels, png, write_shard, write_tar


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
    samples = named_samples("dog", "cat", "dog")
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert (data.classes, data.is_multi_label) == (("cat", "dog"), False)
    assert [item.labels for item in data] == [(1,), (0,), (1,)]
    samples["0"]["json"] = json.dumps({"labels": ["dog", "cat"]}).encode()
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert data.is_multi_label
    assert next(iter(data)).labels == (1, 0)


@pytest.mark.parametrize(("field", "is_multi_label"), [("labels", True), ("label", True), ("label", False)])
def test_labels_in_a_list_may_be_several_even_where_each_image_has_one(tmp_path, field, is_multi_label):
    samples = named_samples(*([name] if is_multi_label else name for name in ("dog", "cat")), field=field)
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert (data.is_multi_label, [item.labels for item in data]) == (is_multi_label, [(1,), (0,)])


class CountedFile(io.FileIO):
    """File that counts the bytes that are read from any of its kind."""

    num_bytes = 0

    def read(self, size=-1):
        content = super().read(size)
        CountedFile.num_bytes += len(content)
        return content


def test_images_are_not_read_for_their_labels(tmp_path, monkeypatch):
    image = bytes(1 << 20)
    write_shard(tmp_path / "pets.tar", {"1": {"png": image}, "2": {"png": image, "cls": b"0"}})
    (tmp_path / "classes.txt").write_text("cat\n")
    monkeypatch.setattr(CountedFile, "num_bytes", 0)
    monkeypatch.setattr("tarfile.bltn_open", lambda name, mode: CountedFile(name, mode))
    data = open_data(tmp_path / "pets.tar")
    assert 0 < CountedFile.num_bytes < 20_000
    assert [(item.image == image, item.labels) for item in data] == [(True, ()), (True, (0,))]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"json": b"{"}, r"pets\.tar: 1\.json: Expecting property name"),
        ({"json": b"[]"}, r"1\.json: \[\] is not an object of names and values"),
        ({"json": b'{"label": 0.7}'}, r"1\.json: 0\.7 is not a whole number"),
        ({"json": b'{"label": {"a": 1}}'}, "is not a whole number"),
        ({"json": b'{"label": 4294967296}'}, "4294967296 is too large for a class index"),
        ({"json": b"[" * 100_000}, "too deeply nested JSON"),
        ({"json": b'{"label": ' + b"9" * 5000 + b"}"}, "Exceeds the limit"),
        ({"cls": b"cat"}, r"1\.cls: 'cat' is not a class index"),
        ({"cls": b"0.5"}, r"1\.cls: 0\.5 is not a whole number"),
        ({"cls": b"9" * 5000}, r"1\.cls: '9+… is not a class index"),
    ],
)
def test_an_invalid_label_is_an_error_that_names_the_member(tmp_path, sample, message):
    with pytest.raises(DataError, match=message) as caught:
        open_data(write_shard(tmp_path / "pets.tar", {"1": {"png": png(1)} | sample}))
    assert "\n" not in str(caught.value)


def test_numbers_below_zero_null_and_nan_are_no_labels_and_decimals_of_zero_are_ignored(tmp_path):
    labels = [b"-1", b"nan", b"0.0", b"1e0\n", "\ufeff1".encode()]
    samples = {str(number): {"png": png(number), "cls": label} for number, label in enumerate(labels)}
    samples["5"] = {"png": png(5), "json": b'{"label": null}'}
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert [item.labels for item in data] == [(), (), (0,), (1,), (1,), ()]


def test_class_names_are_equal_in_both_forms_of_unicode_and_missing_values_are_no_classes(tmp_path):
    samples = named_samples("caf\u00e9", "cafe\u0301", "nan", "None", "")
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert data.classes == ("caf\u00e9",)
    assert [item.labels for item in data] == [(0,), (0,), (), (), ()]


def test_numbers_beside_names_are_an_error(tmp_path):
    samples = {"0": {"png": png(0), "cls": b"0"}, "1": {"png": png(1), "json": b'{"label": "cat"}'}}
    with pytest.raises(DataError, match=r"labels are numbers and names \(0, 'cat'\)"):
        open_data(write_shard(tmp_path / "pets.tar", samples))


def test_metadata_of_macos_and_hidden_files_are_no_samples(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    members = [
        ("./._1.png", b"Mac OS X"), ("./1.png", png(1)), ("./._1.cls", b"Mac OS X"), ("./1.cls", b"1"),
        ("./.DS_Store", b"x"), ("./.png", png(9)),
    ]  # fmt: skip
    data = open_data(write_tar(tmp_path / "pets.tar", members))
    assert [(item.image, item.labels) for item in data] == [(png(1), (1,))]


def test_labels_apart_from_their_images_are_named_in_a_warning(tmp_path):
    members = [("1.png", png(1)), ("2.png", png(2)), ("1.cls", b"0"), ("2.cls", b"1")]
    file = write_tar(tmp_path / "pets.tar", members)
    with pytest.warns(LevitWarning, match=r"pets\.tar: 2 labels without an image next to them in the archive \(1\)"):
        data = open_data(file)
    assert [item.labels for item in data] == [(), ()]


def test_a_shard_without_images_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"x\.tar: no images in it"):
        open_data(write_shard(tmp_path / "x.tar", {"0": {"txt": b"a"}}))


@pytest.mark.parametrize("content", [b"", b"not a tar file", png(0)])
def test_a_damaged_shard_is_an_error_of_one_line(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match="not a tar file, or incomplete") as caught:
        open_data(tmp_path / "x.tar")
    assert "\n" not in str(caught.value)


def shard_bytes(folder, *, suffix="", mode="w"):
    members = ((f"{number}{suffix}.png", png(number)) for number in range(4))
    return bytearray(write_tar(folder / "x.tar", members, mode).read_bytes())


@pytest.mark.parametrize("bit", [0, 100, 124, 148, 257])
def test_a_damaged_header_in_the_middle_is_an_error_that_counts_the_bytes_left(tmp_path, bit):
    content = shard_bytes(tmp_path)
    assert len(open_bytes(tmp_path, content)) == 4
    content[2048 + bit] ^= 4  # the third header
    with pytest.raises(DataError, match=r"damaged header at byte 2,048 of 10,240: 8,192 bytes were left"):
        open_bytes(tmp_path, content)


def open_bytes(folder, content):
    (folder / "x.tar").write_bytes(content)
    return open_data(folder / "x.tar")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_an_archive_without_its_end_is_an_error(tmp_path, mode):
    content = shard_bytes(tmp_path, mode=mode)
    assert len(open_bytes(tmp_path, content)) == 4
    with pytest.raises(DataError, match="not a tar file, or incomplete"):
        open_bytes(tmp_path, content[: 2048 if mode == "w" else len(content) // 2])
    with pytest.raises(DataError, match="it ends at byte 4,096 without an end marker"):
        open_bytes(tmp_path, shard_bytes(tmp_path)[:4096])


def test_an_archive_after_the_end_of_another_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"bytes after the end of the archive: it may be several archives"):
        open_bytes(tmp_path, shard_bytes(tmp_path) + shard_bytes(tmp_path, suffix="b"))


@pytest.mark.parametrize("size", [2**60, 2**87, -5])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_impossible_size_is_an_error_at_once(tmp_path, size, mode):
    member = tarfile.TarInfo("1.png")
    member.size = size
    file = tmp_path / "x.tar"
    with gzip.open(file, "wb") if mode == "w:gz" else file.open("wb") as stream:
        stream.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(DataError, match="not a tar file, or incomplete"):
        open_data(file)


@pytest.mark.parametrize(
    "headers",
    [
        {"size": str(2**90)},
        {"GNU.sparse.major": "x", "GNU.sparse.minor": "0", "GNU.sparse.map": "1,b", "GNU.sparse.size": "q"},
        {"GNU.sparse.map": "0,9", "GNU.sparse.size": str(2**40)},
    ],
)
def test_invalid_extended_headers_and_sparse_members_are_errors(tmp_path, headers):
    member = tarfile.TarInfo("1.png")
    member.pax_headers = headers
    (tmp_path / "x.tar").write_bytes(member.tobuf(tarfile.PAX_FORMAT) + bytes(10240))
    with pytest.raises(DataError, match="not a tar file, or incomplete") as caught:
        open_data(tmp_path / "x.tar")
    assert "\n" not in str(caught.value)
