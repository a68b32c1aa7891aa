"""The base package alone, in a fresh environment: small, without torch, and it works."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from levit.checkpoints.transformers_configuration import config_from_architecture
from levit.spec.architecture import Architecture
from tests.conftest import EXAMPLES, ROOT, random_weights

MEGABYTE = 1_000_000


def run(*command: object, **options) -> str:
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """The package and everything that it needs, as pip downloads it."""
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    (package,) = folder.glob("levit-*.whl")
    run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder, package)
    return folder


@pytest.fixture(scope="module")
def python(wheels, tmp_path_factory) -> Path:
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", environment)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    (package,) = wheels.glob("levit-*.whl")
    run(python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels, package)
    return python


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("checkpoint")
    architecture = Architecture(image_size=64, num_labels=4, num_classifiers=1)
    save_file(random_weights(architecture), folder / "model.safetensors")
    config = config_from_architecture(architecture) | {"model_type": "levit"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.slow
def test_downloads_at_most_130_megabytes(wheels):
    sizes = {file.name: file.stat().st_size / MEGABYTE for file in wheels.iterdir()}
    assert sum(sizes.values()) <= 130, sizes


@pytest.mark.slow
def test_has_no_torch_and_says_how_to_get_it(python, tmp_path):
    for module in ("torch", "transformers", "torchvision", "timm"):
        missing = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
        assert missing.returncode == 1
    code = "import levit\ntry: levit.LevitModel\nexcept ImportError as error: print(error)"
    assert 'pip install "levit[torch]"' in run(python, "-c", code, cwd=tmp_path)


@pytest.mark.slow
def test_predicts(python, tmp_path):
    lines = run(python, "-m", "levit", "predict", EXAMPLES, "--json", cwd=tmp_path).splitlines()
    answers = {Path(record["file"]).stem: record["labels"][0]["name"] for record in map(json.loads, lines)}
    assert len(answers) == 4
    assert answers["espresso"] == "espresso"


@pytest.mark.slow
def test_describes_and_exports_a_checkpoint(python, checkpoint, tmp_path):
    described = json.loads(run(python, "-m", "levit", "info", checkpoint, "--json", cwd=tmp_path))
    assert described["input"] == [3, 64, 64]
    exported = json.loads(run(python, "-m", "levit", "export", checkpoint, "x.onnx", "--json", cwd=tmp_path))
    assert exported["max_difference"] < 1e-4
    command = ("predict", EXAMPLES / "cat.jpg", "--json", "--model")
    from_file, from_checkpoint = (
        json.loads(run(python, "-m", "levit", *command, model, cwd=tmp_path)) for model in ("x.onnx", checkpoint)
    )
    assert from_file == from_checkpoint
    assert len(from_file["labels"]) == 4
