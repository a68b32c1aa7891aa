"""The client of Triton, in an environment of its own, against a real server."""

import subprocess
import sys

import pytest

from tests.conftest import EXAMPLES
from tests.serving.server_process import ServerProcess

pytestmark = [pytest.mark.slow, pytest.mark.network]

# Prints nothing; an assertion or an exception of the client is the error.
PROGRAM = """
import sys
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

address, photo = sys.argv[1:]
client = triton.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("fruit") and client.is_model_ready("fruit", "1") and not client.is_model_ready("cats")
assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "classification"]
assert [output["name"] for output in client.get_model_metadata("fruit", "1")["outputs"]] == ["logits", "scores"]

content = open(photo, "rb").read()

def tensor(name, values, kind, binary=True):
    tensor = triton.InferInput(name, list(values.shape), kind)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return tensor

def output(name, **options):
    return triton.InferRequestedOutput(name, **options)

image = tensor("image", np.array([content, content], object), "BYTES")
result = client.infer("fruit", [image], request_id="seven", model_version="1")
assert result.get_response()["id"] == "seven"
assert "parameters" in result.get_output("scores")  # binary, which is the default of the client
scores = result.as_numpy("scores")
assert scores.shape == (2, 5) and np.array_equal(scores[0], scores[1]) and abs(scores[0].sum() - 1) < 1e-6

in_json = client.infer("fruit", [image], outputs=[output("scores", binary_data=False)]).as_numpy("scores")
assert np.array_equal(in_json, scores)
for binary in (True, False):
    options = {"binary_data": binary, "class_count": 2}
    classes = client.infer("fruit", [image], outputs=[output("logits"), output("scores", **options)]).as_numpy("scores")
    text = classes[0][0].decode() if binary else classes[0][0]
    value, index, label = text.split(":")
    assert classes.shape == (2, 2) and int(index) == scores[0].argmax() and abs(float(value) - scores.max()) < 1e-5

pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), np.uint8)
logits = [client.infer("fruit", [tensor("pixels", pixels, "UINT8", binary)]).as_numpy("logits") for binary in (1, 0)]
assert logits[0].shape == (3, 5) and np.array_equal(*logits)
values = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
logits = [
    client.infer("fruit", [tensor("pixel_values", values, "FP32", binary)], timeout=60_000_000).as_numpy("logits")
    for binary in (True, False)
]
assert logits[0].shape == (2, 5) and np.array_equal(*logits)

for name, inputs, status in [
    ("cats", [image], "404"),
    ("fruit", [tensor("image", np.array([b"no image"], object), "BYTES")], "400"),
    ("fruit", [tensor("pixel_values", values[:, :, :5], "FP32")], "400"),
]:
    try:
        client.infer(name, inputs)
    except InferenceServerException as error:
        assert error.status() == status and error.message(), error
    else:
        raise AssertionError(name)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Interpreter of a new environment with the client and without levit."""
    folder = tmp_path_factory.mktemp("triton") / "environment"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "tritonclient[http]"]
    subprocess.run(install, check=True, capture_output=True)
    return python


@pytest.mark.skipif(sys.platform == "win32", reason="the client has no wheel for Windows")
def test_the_client_of_triton_works_as_it_is(python, server: ServerProcess):
    command = [python, "-c", PROGRAM, f"{server.host}:{server.port}", EXAMPLES / "cat.jpg"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
