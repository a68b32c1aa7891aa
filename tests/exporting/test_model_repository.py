"""Folders for other servers, as their documentation describes them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import levit
from levit.errors import ExportError
from levit.exporting.model_repository import write_model_repository
from tests.conftest import EXAMPLES, random_checkpoint
from tests.runtime.small_model import LABELS, SMALL, write_checkpoint


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return levit.export(write_checkpoint(folder / "fruit"), folder / "fruit.onnx").path


def test_triton_loads_a_numbered_version_with_a_configuration_and_labels(exported, tmp_path):
    """docs.nvidia.com/deeplearning/triton-inference-server: Model Repository, Model Configuration."""
    folder = tmp_path / "fruit"
    write_model_repository(exported, folder, "triton")
    assert sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()) == [
        "fruit/1/model.onnx", "fruit/config.pbtxt", "fruit/labels.txt",
    ]  # fmt: skip
    assert (folder / "fruit" / "labels.txt").read_text(encoding="utf-8").splitlines() == list(LABELS)
    configuration = "".join((folder / "fruit" / "config.pbtxt").read_text().split())
    assert configuration == (
        'name:"fruit"platform:"onnxruntime_onnx"max_batch_size:16'
        'input[{name:"pixel_values"data_type:TYPE_FP32dims:[3,32,32]}]'
        'output[{name:"logits"data_type:TYPE_FP32dims:[5]label_filename:"labels.txt"}]dynamic_batching{}'
    )


def test_the_configuration_has_the_channels_of_the_network(tmp_path):
    checkpoint = random_checkpoint(replace(SMALL, num_channels=4))
    exported = levit.export(checkpoint, tmp_path / "four.onnx").path
    write_model_repository(exported, tmp_path / "four", "triton")
    assert "dims: [ 4, 32, 32 ]" in (tmp_path / "four" / "four" / "config.pbtxt").read_text()


def test_the_configuration_fits_the_network(exported, tmp_path):
    """Names and shapes of the configuration are those of the file, with a free first dimension for batches."""
    import onnx

    graph = onnx.load(exported).graph
    tensors = {
        tensor.name: [size.dim_value for size in tensor.type.tensor_type.shape.dim]
        for tensor in (*graph.input, *graph.output)
    }
    assert tensors == {"pixel_values": [0, 3, 32, 32], "logits": [0, 5]}


def test_openvino_model_server_finds_the_model_relative_to_its_configuration(exported, tmp_path):
    """docs.openvino.ai: Model Server Parameters, and Preparing a Model Repository."""
    folder = tmp_path / "fruit"
    write_model_repository(exported, folder, "openvino-model-server")
    (entry,) = json.loads((folder / "config.json").read_text())["model_config_list"]
    assert entry == {"config": {"name": "fruit", "base_path": "fruit"}}
    shutil.move(folder, tmp_path / "moved")
    version = tmp_path / "moved" / entry["config"]["base_path"] / "1" / "model.onnx"
    photo = EXAMPLES / "cat.jpg"
    assert np.array_equal(levit.Classifier(version)(photo).logits, levit.Classifier(exported)(photo).logits)


def test_a_folder_that_exists_is_left_as_it_is(exported, tmp_path):
    (tmp_path / "fruit").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        write_model_repository(exported, tmp_path / "fruit", "triton")
    with pytest.raises(ExportError, match="cannot be the name of a model"):
        write_model_repository(exported, tmp_path / "fruit salad", "triton")
    assert list(tmp_path.iterdir()) == [tmp_path / "fruit"]
