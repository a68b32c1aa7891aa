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
from levit.checkpoints.writing import convert, write_checkpoint
from levit.deployment.reference import run_reference
from levit.errors import CheckpointError
from levit.spec.architecture import Architecture
from tests.conftest import EXAMPLES, GOLDEN, random_checkpoint, relative

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
    with pytest.raises(CheckpointError, match="encrypted by MindSpore"):
        read_checkpoint(tmp_path / "encrypted.ckpt")


TRAINING = """
import sys
import mindspore
import numpy as np
from mindspore import Tensor, nn

sys.path.insert(0, sys.argv[1])
import mindspore_network

expected = np.load(f"{sys.argv[3]}/expected.npz")
network = mindspore_network.load(sys.argv[2]).set_train()
labels, loss = Tensor(expected["train6/y"], mindspore.int32), nn.CrossEntropyLoss()

def forward(images):
    logits, distilled = network(images)
    return loss(logits, labels) + loss(distilled, labels), logits, distilled

parameters = network.trainable_params()
compute = mindspore.value_and_grad(forward, None, parameters, has_aux=True)
(value, logits, distilled), gradients = compute(Tensor(np.load(f"{sys.argv[3]}/input_train6.npy")))
arrays = {parameter.name: gradient.asnumpy() for parameter, gradient in zip(parameters, gradients)}
np.savez("results.npz", logits=logits.asnumpy(), distilled=distilled.asnumpy(), **arrays)
"""


@pytest.mark.parametrize("values", [{}, {"num_classifiers": 1, "depths": (1, 1, 2)}])
def test_the_example_computes_the_logits_of_the_reference(python, tmp_path, values):
    """The program needs MindSpore alone: it runs in an environment without this package."""
    checkpoint = random_checkpoint(variant_architecture(**values))
    write_checkpoint(checkpoint, tmp_path / "network", to="transformers")
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    command = [python, EXAMPLES / "mindspore_network.py", "network", "images.npy", "logits.npy"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    expected = run_reference(checkpoint.weights, checkpoint.architecture, images)["logits"]
    assert relative(np.load(tmp_path / "logits.npy"), expected) < 1e-4


def test_the_example_has_the_gradients_of_facebook_in_training(python, tmp_path):
    """Of the attention biases and of queries, keys and values, too, which other networks in MindSpore lack."""
    folder = GOLDEN / "tiny"
    command = [python, "-c", TRAINING, EXAMPLES, folder / "transformers", folder]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    expected, results = np.load(folder / "expected.npz"), np.load(tmp_path / "results.npz")
    assert relative(results["logits"], expected["train6/cls_logits_f64"]) < 1e-3
    assert relative(results["distilled"], expected["train6/distillation_logits_f64"]) < 1e-3
    for name, facebook in {
        "levit.encoder.stages.0.layers.0.module.attention_biases": "blocks.0.m.attention_biases",
        "levit.encoder.stages.0.layers.0.module.queries_keys_values.linear.weight": "blocks.0.m.qkv.c.weight",
        "levit.encoder.stages.1.layers.4.attention_biases": "blocks.8.attention_biases",
        "levit.patch_embeddings.embedding_layer_1.convolution.weight": "patch_embed.0.c.weight",
        "classifier_distill.linear.weight": "head_dist.l.weight",
    }.items():
        assert relative(results[name], expected[f"train6/grad_f64/{facebook}"]) < 1e-3, name


def variant_architecture(**values) -> Architecture:
    """A small network of stock transformers: three stages, images of 64 pixels."""
    defaults = {
        "image_size": 64, "hidden_sizes": (16, 24, 32), "depths": (1, 1, 1), "num_attention_heads": (2, 3, 4),
        "key_dim": (8, 8, 8), "mlp_ratio": (2, 2, 2), "attention_ratio": (2, 2, 2), "num_labels": 5,
    }  # fmt: skip
    return Architecture(**defaults | values)
