"""The paper's data sets, tiny, in exactly the layouts in which they are distributed."""

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
import scipy.io

from levit.data.open_data import open_data
from levit.errors import DataError
from levit.spec.labels import imagenet_classes
from tests.data.test_labeled_images import png
from tests.data.test_layouts import rows, write

SYNSETS = [identifier for identifier, _ in imagenet_classes()]


def write_cifar(folder, *, binary, count=4):
    """Images whose red is their number; the labels count from 9 downwards."""
    folder.mkdir()
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for batch in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        pixels = np.zeros((count, 3, 1024), np.uint8)
        pixels[:, 0] = np.arange(count)[:, None]
        labels = [9 - index for index in range(count)]
        if binary:
            content = np.concatenate([np.array(labels, np.uint8)[:, None], pixels.reshape(count, -1)], axis=1).tobytes()
            (folder / f"{batch}.bin").write_bytes(content)
        else:
            values = {b"data": pixels.reshape(count, -1), b"labels": labels, b"batch_label": batch.encode()}
            (folder / batch).write_bytes(pickle.dumps(values, protocol=2))
    if binary:
        (folder / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    else:
        (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [name.encode() for name in names]}))
    return folder


@pytest.mark.parametrize("binary", [False, True])
def test_cifar_10(tmp_path, binary):
    folder = write_cifar(tmp_path / "cifar", binary=binary)
    data = open_data(folder)
    assert (data.name, len(data), data.classes[9], len(data.classes)) == ("cifar test", 4, "truck", 10)
    items = list(data)
    assert [item.labels for item in items] == [(9,), (8,), (7,), (6,)]
    assert (items[3].image.shape, items[3].image[0, 0].tolist()) == ((32, 32, 3), [3, 0, 0])
    assert len(open_data(folder, split="train")) == 20
    assert data.sha256() != open_data(folder, split="train").sha256()
    (folder / ("data_batch_3.bin" if binary else "data_batch_3")).unlink()
    with pytest.raises(DataError, match=r"data_batch_3.* is missing: unpack the archive again"):
        open_data(folder, split="train")
    with pytest.raises(DataError, match="no split 'all'"):
        open_data(folder, split="all")


class Code:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_batch_that_holds_code_is_refused(tmp_path, capsys):
    folder = write_cifar(tmp_path / "cifar", binary=False)
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": Code(), b"labels": []}))
    with pytest.raises(DataError, match=r"it holds code: builtins\.print"):
        open_data(folder)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00.", b"not a pickle"])
def test_a_damaged_batch_is_one_line(tmp_path, content):
    folder = write_cifar(tmp_path / "cifar", binary=False)
    (folder / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=r"not a (file|batch) of CIFAR-10") as caught:
        open_data(folder)
    assert "\n" not in str(caught.value)


def test_imagenets_training_folders_are_its_synsets(tmp_path):
    write(tmp_path, f"train/{SYNSETS[0]}/a.JPEG", f"train/{SYNSETS[5]}/b.JPEG")
    assert rows(open_data(tmp_path, split="train")) == [
        (f"{SYNSETS[0]}/a.JPEG", (SYNSETS[0],)),
        (f"{SYNSETS[5]}/b.JPEG", (SYNSETS[5],)),
    ]


def write_validation(folder, count=3):
    return write(folder, *(f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, count + 1)))


def test_the_flat_validation_folder_with_a_list_of_synsets(tmp_path):
    write_validation(tmp_path / "val")
    with pytest.raises(DataError, match="no labels: put the devkit"):
        open_data(tmp_path)
    (tmp_path / "imagenet_2012_validation_synset_labels.txt").write_text(
        "\n".join(SYNSETS[index] for index in (7, 0, 7))
    )
    data = open_data(tmp_path)
    assert [item.labels for item in data] == [(7,), (0,), (7,)]
    assert len(data.classes) == 1000
    write(tmp_path / "val", "ILSVRC2012_val_00000004.JPEG")
    with pytest.raises(DataError, match="there are labels for the images 1 to 3 only"):
        open_data(tmp_path)


def test_the_flat_validation_folder_with_the_devkit(tmp_path):
    write_validation(tmp_path / "val")
    devkit = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n2\n")
    kinds = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    synsets = np.array([(1, SYNSETS[900], "wing"), (2, SYNSETS[3], "tiger shark")], dtype=kinds)
    scipy.io.savemat(devkit / "meta.mat", {"synsets": synsets})
    assert [item.labels for item in open_data(tmp_path / "val")] == [(3,), (900,), (3,)]


def test_imagenet_v2_has_numbers_for_folders(tmp_path):
    for number in (0, 1, 2, 10, 999):
        write(tmp_path, f"{number}/x.jpeg")
    data = open_data(tmp_path)
    assert [(item.name, item.labels) for item in data] == [
        (f"{number}/x.jpeg", (number,)) for number in (0, 1, 2, 10, 999)
    ]
    assert data.classes == tuple(SYNSETS)


def test_imagenet_real_has_many_labels_for_an_image_or_none(tmp_path):
    write_validation(tmp_path / "val")
    (tmp_path / "real.json").write_text(json.dumps([[1, 2], [], [999]]))
    data = open_data(tmp_path / "real.json")
    assert [item.labels for item in data] == [(1, 2), (), (999,)]
    assert data.is_any_label_correct
    assert not data.is_multi_label
    (tmp_path / "real.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="a list of lists of numbers"):
        open_data(tmp_path / "real.json")


def test_flowers_102(tmp_path):
    write(tmp_path, *(f"jpg/image_{number:05}.jpg" for number in range(1, 6)))
    scipy.io.savemat(tmp_path / "imagelabels.mat", {"labels": [[77, 1, 102, 1, 2]]})
    scipy.io.savemat(tmp_path / "setid.mat", {"trnid": [[1, 2]], "valid": [[5]], "tstid": [[4, 3]]})
    data = open_data(tmp_path)
    assert (data.name, len(data.classes)) == ("Flowers-102 test", 102)
    assert rows(data) == [("jpg/image_00004.jpg", ("1",)), ("jpg/image_00003.jpg", ("102",))]
    assert [item.labels for item in open_data(tmp_path, split="validation")] == [(1,)]
    with pytest.raises(DataError, match=r"no split 'all' \(there: train, validation, test\)"):
        open_data(tmp_path, split="all")


def test_stanford_cars(tmp_path):
    write(tmp_path, "cars_train/00001.jpg", "cars_test/00001.jpg", "cars_test/00002.jpg")
    (tmp_path / "devkit").mkdir()
    names = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], object)
    scipy.io.savemat(tmp_path / "devkit/cars_meta.mat", {"class_names": names})
    kinds = [("class", object), ("fname", object)]
    scipy.io.savemat(
        tmp_path / "devkit/cars_train_annos.mat", {"annotations": np.array([(2, "00001.jpg")], dtype=kinds)}
    )
    with pytest.raises(DataError, match=r"cars_test_annos_withlabels\.mat is missing"):
        open_data(tmp_path)
    scipy.io.savemat(
        tmp_path / "cars_test_annos_withlabels.mat",
        {"annotations": np.array([(1, "00001.jpg"), (2, "00002.jpg")], dtype=kinds)},
    )
    assert rows(open_data(tmp_path)) == [("cars_test/00001.jpg", (names[0],)), ("cars_test/00002.jpg", (names[1],))]
    assert rows(open_data(tmp_path, split="train")) == [("cars_train/00001.jpg", (names[1],))]


@pytest.mark.parametrize(("names", "expected"), [(("daisy", "rose"), "rose"), (("daisy", "daisy"), "9"), (None, "9")])
def test_inaturalist(tmp_path, names, expected):
    write(tmp_path, "train_val2018/Plantae/a.jpg")
    categories = [{"id": number} | ({"name": names[place]} if names else {}) for place, number in enumerate((4, 9))]
    values = {
        "images": [{"id": 17, "file_name": "train_val2018/Plantae/a.jpg"}, {"id": 18, "file_name": "b.jpg"}],
        "annotations": [{"id": 1, "image_id": 17, "category_id": 9}],
        "categories": categories,
    }
    (tmp_path / "val2018.json").write_text(json.dumps(values))
    data = open_data(tmp_path / "val2018.json")
    assert rows(data) == [("train_val2018/Plantae/a.jpg", (expected,)), ("b.jpg", ())]
    values["annotations"][0]["category_id"] = 5
    (tmp_path / "val2018.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match="an annotation is of category 5, which is not listed"):
        open_data(tmp_path / "val2018.json")
    (tmp_path / "val2018.json").write_text("{}")
    with pytest.raises(DataError, match="not a list of images, annotations and categories"):
        open_data(tmp_path / "val2018.json")


def write_shard(file, samples):
    with tarfile.open(file, "w") as archive:
        for key, parts in samples.items():
            for ending, content in parts.items():
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file


def test_webdataset_shards_are_streamed(tmp_path):
    write_shard(tmp_path / "a-0.tar", {"0": {"cls": b"1", "png": png(1)}, "deep/1": {"png": png(2), "cls": b"0\n"}})
    write_shard(tmp_path / "a-1.tar", {"2": {"png": png(3)}, "3": {"txt": b"no image"}})
    with pytest.raises(DataError, match=r"its 2 classes have no names: write them into classes\.txt"):
        open_data(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    data = open_data(tmp_path)
    assert (data.name, len(data), data.classes) == (tmp_path.name, 3, ("cat", "dog"))
    assert rows(data) == [("a-0.tar/0", ("dog",)), ("a-0.tar/deep/1", ("cat",)), ("a-1.tar/2", ())]
    assert [item.image for item in data] == [png(1), png(2), png(3)]
    assert len(open_data(tmp_path / "a-0.tar")) == 2


def test_webdataset_shards_may_name_their_classes(tmp_path):
    samples = {str(index): {"png": png(1), "json": json.dumps({"label": name}).encode()} for index, name in
               enumerate(("dog", "cat", "dog"))}  # fmt: skip
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert (data.classes, data.is_multi_label) == (("cat", "dog"), False)
    assert [item.labels for item in data] == [(1,), (0,), (1,)]
    samples["0"]["json"] = json.dumps({"labels": ["dog", "cat"]}).encode()
    data = open_data(write_shard(tmp_path / "pets.tar", samples))
    assert data.is_multi_label
    assert next(iter(data)).labels == (1, 0)


@pytest.mark.parametrize("content", [b"", b"no tar file", png(0)])
def test_a_broken_shard_is_one_line(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match="not a tar file, or incomplete") as caught:
        open_data(tmp_path / "x.tar")
    assert "\n" not in str(caught.value)


def test_a_name_of_the_hub_without_a_network_is_one_line():
    with pytest.raises(DataError, match="nobody/flowers: no such file or folder, and not to be had from the hub"):
        open_data("nobody/flowers")
