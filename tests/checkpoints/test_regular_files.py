import os
import shutil
import socket
from pathlib import Path

import pytest

from levit.checkpoints.json_files import read_json
from levit.checkpoints.reading import read_checkpoint
from levit.errors import CheckpointError
from levit.files import check_regular_file
from tests.conftest import GOLDEN
from tests.marks import needs_links

TINY = GOLDEN / "tiny" / "transformers"
needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")


@needs_links
def test_a_link_to_a_file_is_regular(tmp_path):
    (tmp_path / "link").symlink_to(TINY / "config.json")
    check_regular_file(tmp_path / "link", CheckpointError)


@pytest.mark.parametrize(("name", "reason"), [("absent", "No such file"), ("a\0b", "null")])
def test_a_path_without_a_file_is_an_error(tmp_path, name, reason):
    with pytest.raises(CheckpointError, match=f"cannot be read .*{reason}"):
        check_regular_file(tmp_path / name, CheckpointError)


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="a folder, not a regular file"):
        check_regular_file(tmp_path, CheckpointError)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no devices in the file system")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_as_a_checkpoint_is_refused_without_being_read(device):
    with pytest.raises(CheckpointError, match=f"{device}: a device, not a regular file"):
        read_checkpoint(device)


@needs_pipes
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights"])
def test_a_pipe_as_a_checkpoint_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name}: a pipe, not a regular file"):
        read_checkpoint(tmp_path / name)


@needs_pipes
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_pipe_in_the_place_of_a_configuration_is_refused_at_once(tmp_path, name):
    shutil.copytree(TINY, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name}: a pipe"):
        read_checkpoint(tmp_path)


@needs_pipes
def test_a_pipe_in_the_place_of_the_weights_of_a_folder_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: a pipe"):
        read_checkpoint(tmp_path)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets in the file system")
def test_a_socket_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.json")
        with pytest.raises(CheckpointError, match=r"s\.json: a socket"):
            read_json(tmp_path / "s.json")
