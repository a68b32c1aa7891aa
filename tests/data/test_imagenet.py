"""ImageNet's folders and validation images, ImageNet-V2 and ImageNet-ReaL in their original layouts."""

import json

import numpy as np
import pytest
import scipy.io

from levit.data.open_data import open_data
from levit.errors import DataError
from levit.spec.labels import imagenet_classes
from tests.data.datasets_on_disk import names_and_labels, write_images

WORDNET_IDS = [identifier for identifier, _ in imagenet_classes()]


def write_validation(folder, count=3):
    return write_images(folder, *(f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, count + 1)))


def test_training_folders_are_named_by_wordnet_ids(tmp_path):
    write_images(tmp_path, f"train/{WORDNET_IDS[0]}/a.JPEG", f"train/{WORDNET_IDS[5]}/b.JPEG")
    assert names_and_labels(open_data(tmp_path, split="train")) == [
        (f"{WORDNET_IDS[0]}/a.JPEG", (WORDNET_IDS[0],)),
        (f"{WORDNET_IDS[5]}/b.JPEG", (WORDNET_IDS[5],)),
    ]


def test_the_flat_validation_folder_with_a_list_of_synsets(tmp_path):
    write_validation(tmp_path / "val")
    with pytest.raises(DataError, match="no labels: put the devkit"):
        open_data(tmp_path)
    labels = "\n".join(WORDNET_IDS[index] for index in (7, 0, 7))
    (tmp_path / "imagenet_2012_validation_synset_labels.txt").write_text(labels)
    data = open_data(tmp_path)
    assert [item.labels for item in data] == [(7,), (0,), (7,)]
    assert len(data.classes) == 1000
    write_images(tmp_path / "val", "ILSVRC2012_val_00000004.JPEG")
    with pytest.raises(DataError, match="there are labels for the images 1 to 3 only"):
        open_data(tmp_path)


def test_the_flat_validation_folder_with_the_devkit(tmp_path):
    write_validation(tmp_path / "val")
    devkit = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n2\n")
    kinds = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    synsets = np.array([(1, WORDNET_IDS[900], "wing"), (2, WORDNET_IDS[3], "tiger shark")], dtype=kinds)
    scipy.io.savemat(devkit / "meta.mat", {"synsets": synsets})
    assert [item.labels for item in open_data(tmp_path / "val")] == [(3,), (900,), (3,)]


def test_the_folders_of_imagenet_v2_are_class_indices(tmp_path):
    numbers = (0, 1, 2, 10, 999)
    write_images(tmp_path, *(f"{number}/x.jpeg" for number in numbers))
    data = open_data(tmp_path)
    assert [(item.name, item.labels) for item in data] == [(f"{number}/x.jpeg", (number,)) for number in numbers]
    assert data.classes == tuple(WORDNET_IDS)


def test_an_image_of_imagenet_real_has_any_number_of_labels(tmp_path):
    write_validation(tmp_path / "val")
    (tmp_path / "real.json").write_text(json.dumps([[1, 2], [], [999]]))
    data = open_data(tmp_path / "real.json")
    assert [item.labels for item in data] == [(1, 2), (), (999,)]
    assert data.is_any_label_correct
    assert not data.is_multi_label
    (tmp_path / "real.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="a list of lists of numbers"):
        open_data(tmp_path / "real.json")
    (tmp_path / "real.json").write_text("[[1]]")
    with pytest.raises(DataError, match="there are labels for the images 1 to 1 only"):
        open_data(tmp_path / "real.json")


@pytest.mark.parametrize("folder", ["", "val/", "ILSVRC2012_img_val/"])
def test_the_images_of_imagenet_real_may_be_in_folders_of_classes(tmp_path, folder):
    write_images(tmp_path, *(f"{folder}{WORDNET_IDS[9 - n]}/ILSVRC2012_val_{n:08}.JPEG" for n in (1, 2)))
    write_images(tmp_path, f"train/{WORDNET_IDS[0]}/n01440764_1.JPEG" if folder else "notes.txt")
    (tmp_path / "real.json").write_text("[[1, 2], [3]]")
    assert [item.labels for item in open_data(tmp_path / "real.json")] == [(3,), (1, 2)]


def test_an_unknown_synset_is_an_error_that_names_it(tmp_path):
    write_validation(tmp_path / "val")
    (tmp_path / "synset_labels.txt").write_text(f"{WORDNET_IDS[3]}\nn99999999\n")
    with pytest.raises(DataError, match=r"synset_labels\.txt: label 2 \('n99999999'\) is not a class of ImageNet"):
        open_data(tmp_path)


@pytest.mark.parametrize("labels", ["[[0.5]]", '[["cat"]]', "[[null, [1]]]", "[[4294967296]]", "[" * 100_000])
def test_invalid_labels_of_imagenet_real_are_an_error_of_one_line(tmp_path, labels):
    write_validation(tmp_path / "val", 1)
    (tmp_path / "real.json").write_text(labels)
    with pytest.raises(DataError, match=r"real\.json(: image 1: | cannot be read)") as caught:
        open_data(tmp_path / "real.json")
    assert "\n" not in str(caught.value)
