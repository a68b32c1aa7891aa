"""Files of models: regular files only, and weights in other files of the folder."""

import os

import numpy as np
import onnx
import pytest

from levit.deployment.build import build_artifact
from levit.errors import CheckpointError, EngineError
from levit.runtime.engine import ENGINES, open_engine
from levit.runtime.model_info import describe
from levit.runtime.model_resolution import find_artifact
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "model.onnx"
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}[kind](path)
    for engine in ENGINES:
        with pytest.raises(EngineError, match=f"a {kind}, not a regular file: give a file"):
            open_engine(path, engine=engine)
    for resolve in (find_artifact, describe) if kind != "folder" else ():  # a folder is a checkpoint
        with pytest.raises(CheckpointError, match=f"a {kind}, not a regular file"):
            resolve(path)


@pytest.mark.parametrize("engine", [*ENGINES])
@pytest.mark.parametrize("current", ["", "model", "elsewhere"])
def test_weights_beside_the_model_are_read_from_any_folder(tmp_path, monkeypatch, engine, current):
    pytest.importorskip(ENGINES[engine].package)
    for folder in ("model", "elsewhere"):
        (tmp_path / folder).mkdir()
    network = build_artifact(random_checkpoint(SMALL))
    expected = open_engine(network.SerializeToString(), engine=engine, precision="fp32")
    file = tmp_path / "model" / "small.onnx"
    onnx.save_model(network, file, save_as_external_data=True, location="weights.bin")
    assert (file.parent / "weights.bin").stat().st_size > file.stat().st_size
    monkeypatch.chdir(tmp_path / current)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    for path in (file, type(file)(os.path.relpath(file))):
        opened = open_engine(path, engine=engine, precision="fp32")
        np.testing.assert_allclose(opened.run_images(images), expected.run_images(images), rtol=1e-5, atol=1e-5)
        assert opened.submit(images, 2).result(timeout=60).shape == (2, 5)
