"""Flowers-102 and Stanford Cars in their original layouts."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.io

from levit.data.open_data import open_data, open_with_other_splits
from levit.errors import DataError
from tests.conftest import ROOT
from tests.data.datasets_on_disk import names_and_labels, write_images


def test_flowers_102(tmp_path):
    write_images(tmp_path, *(f"jpg/image_{number:05}.jpg" for number in range(1, 6)))
    scipy.io.savemat(tmp_path / "imagelabels.mat", {"labels": [[77, 1, 102, 1, 2]]})
    scipy.io.savemat(tmp_path / "setid.mat", {"trnid": [[1, 2]], "valid": [[5]], "tstid": [[4, 3]]})
    data = open_data(tmp_path, split="Test")
    assert (data.name, len(data.classes)) == ("Flowers-102 test", 102)
    assert names_and_labels(data) == [("jpg/image_00004.jpg", ("1",)), ("jpg/image_00003.jpg", ("102",))]
    for split in ("validation", "val", None):  # the default is that of every data set
        assert [item.labels for item in open_data(tmp_path, split=split)] == [(1,)]
    data, other_splits, _ = open_with_other_splits(tmp_path)
    assert (data.name, [*other_splits]) == ("Flowers-102 validation", ["train", "test"])
    with pytest.raises(DataError, match=r"no split 'all' \(available: train, validation, test\)"):
        open_data(tmp_path, split="all")
    (tmp_path / "setid.mat").write_bytes(b"not a .mat file")
    with pytest.raises(DataError, match=r"setid\.mat: not a \.mat file \(") as caught:
        open_data(tmp_path)
    assert "\n" not in str(caught.value)


def test_one_process_reads_the_files_of_all_splits(tmp_path):
    scipy.io.savemat(tmp_path / "imagelabels.mat", {"labels": [[1, 2, 3]]})
    scipy.io.savemat(tmp_path / "setid.mat", {"trnid": [[1]], "valid": [[2]], "tstid": [[3]]})
    program = """
import subprocess, sys
from levit.data.open_data import open_splits

started = []
sys.addaudithook(lambda event, arguments: started.append(arguments) if event == "subprocess.Popen" else None)
print({name: [item.labels for item in data] for name, data in open_splits(sys.argv[1]).items()}, len(started))
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert output == "{'train': [(0,)], 'validation': [(1,)], 'test': [(2,)]} 1\n"


def test_a_changed_file_is_read_again(tmp_path):
    scipy.io.savemat(tmp_path / "setid.mat", {"tstid": [[1, 2]]})
    for labels in ([[1, 2]], [[3, 2, 1]]):
        scipy.io.savemat(tmp_path / "imagelabels.mat", {"labels": labels})
        assert [item.labels[0] + 1 for item in open_data(tmp_path, split="test")] == labels[0][:2]


def test_stanford_cars(tmp_path):
    write_images(tmp_path, "cars_train/00001.jpg", "cars_test/00001.jpg", "cars_test/00002.jpg")
    (tmp_path / "devkit").mkdir()
    names = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], object)
    scipy.io.savemat(tmp_path / "devkit/cars_meta.mat", {"class_names": names})
    kinds = [("class", object), ("fname", object)]

    def write_annotations(file, *rows):
        scipy.io.savemat(tmp_path / file, {"annotations": np.array([*rows], dtype=kinds)})

    write_annotations("devkit/cars_train_annos.mat", (2, "00001.jpg"))
    with pytest.raises(DataError, match=r"cars_test_annos_withlabels\.mat is missing"):
        open_data(tmp_path)
    write_annotations("cars_test_annos_withlabels.mat", (1, "00001.jpg"), (2, "00002.jpg"))
    expected = [("cars_test/00001.jpg", (names[0],)), ("cars_test/00002.jpg", (names[1],))]
    assert names_and_labels(open_data(tmp_path)) == expected
    assert names_and_labels(open_data(tmp_path, split="Training")) == [("cars_train/00001.jpg", (names[1],))]
    with pytest.raises(DataError, match=r"no split 'validation' \(available: train, test\)"):
        open_data(tmp_path, split="validation")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"labels": [[0, 1, 2]]}, "its labels are not those of Flowers-102"),
        ({"labels": [[2**40]]}, "its labels are not those of Flowers-102"),
        ({"labels": [[0.5]]}, r"its variables are not those of this data set \(0\.5 is not a whole number\)"),
        ({"labels": "text"}, "its variables are not those of this data set"),
        ({"other": [[1]]}, "its variables are not those of this data set"),
    ],
)
def test_invalid_variables_are_an_error_of_one_line(tmp_path, variables, message):
    scipy.io.savemat(tmp_path / "imagelabels.mat", variables)
    scipy.io.savemat(tmp_path / "setid.mat", {"valid": [[1]]})
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path)
    assert caught.value.source == str(tmp_path / "imagelabels.mat")
    assert "\n" not in str(caught.value)


def test_a_number_without_a_label_is_an_error(tmp_path):
    scipy.io.savemat(tmp_path / "imagelabels.mat", {"labels": [[1, 2]]})
    scipy.io.savemat(tmp_path / "setid.mat", {"valid": [[3]]})
    with pytest.raises(DataError, match=r"setid\.mat: there are labels for the images 1 to 2 only"):
        open_data(tmp_path)
