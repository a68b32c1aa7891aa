"""Files of models: regular files only, and weights in other files of the folder."""

import os

import numpy as np
import onnx
import pytest

from levit.deployment.build import build_artifact
from levit.errors import CheckpointError, EngineError
from levit.exporting.artifact_files import record_accuracy
from levit.runtime.engine import ENGINES, open_engine
from levit.runtime.external_data import check_external_data
from levit.runtime.model_info import describe
from levit.runtime.model_resolution import find_artifact
from levit.spec.artifact import Accuracy
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL

ACCURACY = Accuracy(top1=0.5, top5=1.0, images=2, data="photos", sha256="0" * 64, engine="openvino", precision="fp32")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)


@pytest.fixture(params=[*ENGINES, "native"])
def engine(request) -> str:
    """Name of each engine that opens ONNX files."""
    if request.param == "native":
        request.getfixturevalue("native_library")
    else:
        pytest.importorskip(ENGINES[request.param].package)
    return request.param


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "model.onnx"
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}[kind](path)
    for engine in (*ENGINES, "native"):
        for form in (path, str(path)):
            with pytest.raises(EngineError, match=f"a {kind}, not a regular file: give a file"):
                open_engine(form, engine=engine)
    for resolve in (find_artifact, describe) if kind != "folder" else ():  # a folder is a checkpoint
        with pytest.raises(CheckpointError, match=f"a {kind}, not a regular file"):
            resolve(path)


@pytest.mark.parametrize("current", ["", "model", "elsewhere"])
def test_weights_beside_the_model_are_read_from_any_folder(tmp_path, monkeypatch, engine, current):
    for folder in ("model", "elsewhere"):
        (tmp_path / folder).mkdir()
    network = build_artifact(random_checkpoint(SMALL))
    expected = open_engine(network.SerializeToString(), engine=engine, precision="fp32")
    file = tmp_path / "model" / "small.onnx"
    onnx.save_model(network, file, save_as_external_data=True, location="weights.bin")
    assert (file.parent / "weights.bin").stat().st_size > file.stat().st_size
    monkeypatch.chdir(tmp_path / current)
    for path in (file, type(file)(os.path.relpath(file))):
        opened = open_engine(path, engine=engine, precision="fp32")
        np.testing.assert_allclose(opened.run_images(IMAGES), expected.run_images(IMAGES), rtol=1e-5, atol=1e-5)
        assert opened.submit(IMAGES, 2).result(timeout=60).shape == (2, 5)


def write_with_external_data(file, location):
    """Write a network whose weights are in a file of another name, which exists."""
    file.parent.mkdir(exist_ok=True)
    network = build_artifact(random_checkpoint(SMALL))
    onnx.save_model(network, file, save_as_external_data=True, location="weights.bin")
    target = file.parent / location
    target.parent.mkdir(exist_ok=True)
    (file.parent / "weights.bin").rename(target)
    model = onnx.load(file, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
    file.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../weights.bin", "below/../../weights.bin", "{folder}/weights.bin"])
def test_weights_outside_the_folder_of_the_model_are_refused(tmp_path, engine, location):
    location, file = location.format(folder=tmp_path), tmp_path / "model" / "small.onnx"
    (tmp_path / "model" / "below").mkdir(parents=True)
    write_with_external_data(file, location)
    for path in (file, str(file)):
        with pytest.raises(EngineError, match=r"small\.onnx: its weights are outside its folder \(.*\.bin\): save"):
            open_engine(path, engine=engine)
    with pytest.raises(CheckpointError, match=r"small\.onnx: its weights are outside its folder"):
        record_accuracy(file, ACCURACY)


def test_weights_in_a_folder_below_the_model_are_read(tmp_path, engine):
    write_with_external_data(tmp_path / "model" / "small.onnx", "below/weights.bin")
    assert open_engine(tmp_path / "model" / "small.onnx", engine=engine).metadata["levit.precision"] == '"fp32"'


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_weights_that_are_no_regular_file_are_refused_at_once(tmp_path, engine):
    file = tmp_path / "model" / "small.onnx"
    write_with_external_data(file, "weights.bin")
    (file.parent / "weights.bin").unlink()
    with pytest.raises(EngineError, match=r"its file of weights weights\.bin cannot be read \(No such file"):
        open_engine(file, engine=engine)
    os.mkfifo(file.parent / "weights.bin")
    with pytest.raises(EngineError, match=r"its file of weights weights\.bin: a pipe, not a regular file"):
        open_engine(file, engine=engine)


def test_the_content_of_a_file_has_no_folder_with_weights(tmp_path, engine):
    write_with_external_data(tmp_path / "model" / "small.onnx", "weights.bin")
    content = (tmp_path / "model" / "small.onnx").read_bytes()
    with pytest.raises(EngineError, match=r"the model: its weights are in another file \(weights\.bin\)"):
        open_engine(content, engine=engine)


def test_weights_in_another_file_may_change_so_such_a_model_is_not_cached(tmp_path, native_library):
    file, cache = tmp_path / "model" / "small.onnx", tmp_path / "cache"
    write_with_external_data(file, "weights.bin")
    first = open_engine(file, engine="native", precision="fp32", cache_dir=cache).run_images(IMAGES)
    weights = np.fromfile(file.parent / "weights.bin", np.float32)
    (weights / 2).tofile(file.parent / "weights.bin")
    second = open_engine(file, engine="native", precision="fp32", cache_dir=cache).run_images(IMAGES)
    assert not np.allclose(first, second)
    (file.parent / "weights.bin").unlink()
    with pytest.raises(EngineError, match=r"its file of weights weights\.bin cannot be read"):
        open_engine(file, engine="native", precision="fp32", cache_dir=cache)
    assert not cache.exists()


def test_weights_in_a_graph_inside_of_a_node_are_found(tmp_path):
    tensor = onnx.TensorProto(name="w", data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/hostname")
    body = onnx.helper.make_graph([], "body", [], [], [tensor])
    node = onnx.helper.make_node("If", ["condition"], ["y"], then_branch=body, else_branch=body)
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "outer", [], []))
    with pytest.raises(EngineError, match=r"its weights are in another file \(/etc/hostname\)"):
        check_external_data(model.SerializeToString())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_accuracy_is_not_recorded_in_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(CheckpointError, match="a pipe, not a regular file"):
        record_accuracy(str(tmp_path / "model.onnx"), ACCURACY)
