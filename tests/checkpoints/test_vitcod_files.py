"""ViTCoD's files of masks."""

import numpy as np
import pytest

import levit
from levit.checkpoints.vitcod_files import read_vitcod_masks, write_vitcod_masks
from levit.spec.variants import find_variant
from tests.conftest import random_weights

ARCHITECTURE = find_variant("levit-128s").architecture(image_size=64, num_labels=2)


@pytest.fixture(scope="module")
def masks():
    from dataclasses import replace

    weights = random_weights(replace(ARCHITECTURE, has_attention_masks=True))
    return {name: array for name, array in weights.items() if name.endswith("attention_mask")}


def test_files_have_the_names_shapes_and_meaning_of_vitcod(masks, tmp_path):
    paths = write_vitcod_masks(tmp_path / "masks", masks, ARCHITECTURE)
    assert {path.name: np.load(path).shape for path in paths} == {
        "mask_dpt0.npy": (2, 4, 16, 16), "mask_subsample0.npy": (1, 8, 4, 16),
        "mask_dpt1.npy": (3, 6, 4, 4), "mask_subsample1.npy": (1, 16, 1, 4),
        "mask_dpt2.npy": (4, 8, 1, 1),
    }  # fmt: skip
    removed = np.load(tmp_path / "masks" / "mask_dpt1.npy")[2]
    np.testing.assert_array_equal(~removed, masks["levit.encoder.stages.1.layers.4.module.attention_mask"])


def test_masks_are_read_as_they_were_written(masks, tmp_path):
    write_vitcod_masks(tmp_path, masks, ARCHITECTURE)
    read = read_vitcod_masks(tmp_path, ARCHITECTURE)
    assert read.keys() == masks.keys()
    assert all(np.array_equal(read[name], mask) for name, mask in masks.items())


def write_shape(path, shape):
    """Write the header of an array without its numbers."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|b1", "fortran_order": False, "shape": shape})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "mask_dpt1.npy cannot be read (No such file or directory)"),
        (lambda path: path.write_bytes(b"damaged"), "mask_dpt1.npy: not a NumPy array"),
        (lambda path: np.save(path, np.zeros((3, 6, 4, 4))), "mask_dpt1.npy is not an array of bool"),
        (lambda path: np.save(path, np.zeros((2, 6, 4, 4), bool)), "mask_dpt1.npy is of shape [2, 6, 4, 4], not [3, "),
        (lambda path: write_shape(path, (3, 6, 1 << 30, 1 << 30)), "mask_dpt1.npy: not a NumPy array (Unable to"),
        (lambda path: write_shape(path, (1 << 70,)), "mask_dpt1.npy: not a NumPy array (Python int too large"),
        (lambda path: np.save(path, np.array([{}], object)), "mask_dpt1.npy: not a NumPy array"),
    ],
)
def test_other_files_are_refused_in_one_line(masks, tmp_path, change, message):
    write_vitcod_masks(tmp_path, masks, ARCHITECTURE)
    change(tmp_path / "mask_dpt1.npy")
    with pytest.raises(levit.CheckpointError) as error:
        read_vitcod_masks(tmp_path, ARCHITECTURE)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
