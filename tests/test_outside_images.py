"""Images outside the folder of a table are refused by everything that reads labeled images, unless they are allowed."""

import warnings

import pytest

import levit
from levit.data.inspection import inspect_splits
from levit.data.open_data import open_splits
from levit.errors import DataError, LevitError
from levit.training.datasets import open_training_data
from levit.training.option_groups import DataOptions
from tests.data.datasets_on_disk import write_images
from tests.runtime.small_model import write_checkpoint


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A table of two images outside its folder, and a model of their classes."""
    root = tmp_path_factory.mktemp("outside")
    write_images(root, "1.png", "2.png")
    (root / "data").mkdir()
    (root / "data" / "metadata.csv").write_text("file_name,label\n../1.png,apple\n../2.png,pear\n")
    (root / "broken").mkdir()
    (root / "broken" / "metadata.csv").write_text("file_name,label\n../gone.png,apple\n../lost.png,pear\n")
    levit.export(write_checkpoint(root / "fruit"), root / "fruit.onnx")
    return root


def evaluate(root, **options):
    return levit.evaluate(root / "fruit.onnx", root / "data", **options).num_evaluated


def evaluate_multi_label(root, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", levit.LevitWarning)  # trained for one label per image
        return levit.evaluate_multi_label(root / "fruit.onnx", root / "data", **options).num_evaluated


def calibrate(root, **options):
    return levit.calibrate(root / "fruit.onnx", root / "data", **options).images


def train(root, **options):
    return len(open_training_data(DataOptions(data=str(root / "data"), **options)).train)


def sparsify(root, **options):
    return levit.sparsify(root / "fruit", root / "data", root / "sparse", sparsity=0.4, **options).images


def evaluate_a_sparse_network(root, **options):
    result = levit.sparsify(
        root / "fruit", root, root / "sparse", sparsity=0.4, evaluation=root / "data", images=1, **options
    )
    return result.accuracies.masked.images


def inspect(root, **options):
    return inspect_splits(open_splits(root / "data", **options))[0].num_images


@pytest.mark.parametrize(
    "read", [evaluate, evaluate_multi_label, calibrate, train, sparsify, evaluate_a_sparse_network, inspect]
)
def test_images_outside_the_folder_are_read_only_if_they_are_allowed(root, read):
    with pytest.raises(DataError, match=r"row 1: '\.\./1\.png' is outside .*: .*set `allow_outside`"):
        read(root)
    assert read(root, allow_outside=True) == 2


def test_quantization_images_outside_the_folder_are_read_only_if_they_are_allowed(root, tmp_path):
    """They are missing, so that nothing is quantized."""
    arguments = {"weights": "int8", "quantization_data": root / "broken"}
    with pytest.raises(DataError, match=r"row 1: '\.\./gone\.png' is outside"):
        levit.export(root / "fruit", tmp_path / "x.onnx", **arguments)
    with pytest.raises(LevitError, match=r"gone\.png: no such file"):
        levit.export(root / "fruit", tmp_path / "x.onnx", **arguments, allow_outside=True)
