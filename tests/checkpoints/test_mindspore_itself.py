"""MindSpore itself loads what is written here, and what it writes is read: in an environment of its own.

MindSpore 2.10 needs numpy 1 and 800 MB. `LEVIT_MINDSPORE_PYTHON` names the Python of an environment that has it.
"""

import os
import subprocess
import venv
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from levit.checkpoints.mindspore_files import read_mindspore, write_mindspore
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.writing import convert
from tests.conftest import GOLDEN

pytestmark = [pytest.mark.slow, pytest.mark.network]

ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float64": np.arange(2, dtype=np.float64),
    "float16": np.arange(3, dtype=np.float16),
    "bfloat16": np.arange(3).astype(ml_dtypes.bfloat16),
    "int64": np.arange(4).reshape(1, 4),
    "uint8": np.arange(3, dtype=np.uint8),
    "bool": np.array([True, False]),
    "scalar": np.array(2.5, np.float32),
}
PROGRAM = """
import mindspore
loaded = mindspore.load_checkpoint("written.ckpt", crc_check=False)
parameters = [{"name": name, "data": mindspore.Tensor(value)} for name, value in loaded.items()]
mindspore.save_checkpoint(parameters, "saved.ckpt")
mindspore.save_checkpoint(parameters, "checked.ckpt", crc_check=True)
mindspore.save_checkpoint(parameters, "encrypted.ckpt", enc_key=b"0123456789abcdef", enc_mode="AES-GCM")
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    """Python of an environment in which MindSpore is installed."""
    if given := os.environ.get("LEVIT_MINDSPORE_PYTHON"):
        return given
    folder = tmp_path_factory.mktemp("mindspore")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = [python, "-m", "pip", "install", "--quiet", "mindspore>=2.7", "numpy<2"]
    installed = subprocess.run(command, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"MindSpore cannot be installed: {installed.stderr.strip().splitlines()[-1:]}")
    return str(python)


def run(python: str, folder: Path) -> None:
    finished = subprocess.run([python, "-c", PROGRAM], cwd=folder, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_arrays_of_every_type_come_back(python, tmp_path):
    (tmp_path / "written.ckpt").write_bytes(b"".join(write_mindspore(ARRAYS)))
    run(python, tmp_path)
    assert (tmp_path / "saved.ckpt").read_bytes() == (tmp_path / "written.ckpt").read_bytes()
    for file in ("saved.ckpt", "checked.ckpt"):
        read = read_mindspore(tmp_path / file)
        assert list(read) == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
            assert read[name].tobytes() == array.tobytes()


def test_a_converted_checkpoint_comes_back_and_its_encryption_is_reported(python, tmp_path):
    source = GOLDEN / "tiny" / "facebook.pth"
    convert(source, tmp_path / "written.ckpt", to="mindspore")
    run(python, tmp_path)
    weights, original = read_checkpoint(tmp_path / "checked.ckpt").weights, read_checkpoint(source).weights
    assert all(np.array_equal(weights[name], original[name]) for name in original if not name.endswith("tracked"))
    with pytest.raises(Exception, match="encrypted by MindSpore"):
        read_checkpoint(tmp_path / "encrypted.ckpt")
