"""The base package in a new environment: its size, and prediction and export without torch."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from levit.checkpoints.transformers_configuration import config_from_architecture
from levit.spec.architecture import Architecture
from tests.conftest import EXAMPLES, ROOT, random_weights
from tests.documentation.console_commands import commands_of, run_commands, write_holiday

pytestmark = [pytest.mark.slow, pytest.mark.network]

MEGABYTE = 1_000_000


def run(*command: object, **options) -> str:
    """Run a command, and return its standard output."""
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """Copy of the files of the sdist, from which wheels are built, so that nothing in the working tree changes."""
    folder = tmp_path_factory.mktemp("sources")
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    compiled = shutil.ignore_patterns("__pycache__", "levit_native.so", "levit_native.txt")
    for name in ("pyproject.toml", *targets["sdist"]["include"]):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=compiled)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheels(sources, tmp_path_factory) -> Path:
    """Folder of the package's wheel and those of its dependencies."""
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, sources)
    (package,) = folder.glob("levit-*.whl")
    run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder, package)
    return folder


@pytest.fixture(scope="module")
def python(wheels, tmp_path_factory) -> Path:
    """Python of an environment in which only the wheels are installed."""
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


def test_the_wheel_contains_the_recipes_and_the_networks_that_they_name(wheels):
    (package,) = wheels.glob("levit-*.whl")
    names = set(zipfile.ZipFile(package).namelist())
    files = [file.relative_to(ROOT / "configs") for file in (ROOT / "configs").rglob("*.[yj]*") if file.is_file()]
    assert {f"levit/training/recipes/{file.as_posix()}" for file in files} <= names
    assert "levit/training/recipes/networks/resnet9-cifar/config.json" in names


def test_a_wheel_for_another_system_contains_its_library(sources, tmp_path):
    environment = os.environ | {"LEVIT_NATIVE_PLATFORM": "linux-aarch64"}
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, sources, env=environment)
    (package,) = tmp_path.glob("levit-*.whl")
    assert package.name.endswith("-py3-none-manylinux_2_17_aarch64.whl")
    library = zipfile.ZipFile(package).read("levit/runtime/levit_native.so")
    assert (library[:4], library[18]) == (b"\x7fELF", 183)  # EM_AARCH64


def test_the_wheels_have_at_most_130_megabytes(wheels):
    sizes = {file.name: file.stat().st_size / MEGABYTE for file in wheels.iterdir()}
    assert sum(sizes.values()) <= 130, sizes


def test_torch_is_missing_and_the_error_names_the_command_that_installs_it(python, tmp_path):
    for module in ("torch", "transformers", "torchvision", "timm"):
        missing = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
        assert missing.returncode == 1
    code = "import levit\ntry: levit.LevitModel\nexcept ImportError as error: print(error)"
    assert 'pip install "levit[torch]"' in run(python, "-c", code, cwd=tmp_path)


def test_predict_runs(python, tmp_path):
    lines = run(python, "-m", "levit", "predict", EXAMPLES, "--json", cwd=tmp_path).splitlines()
    labels = {Path(record["file"]).stem: record["labels"][0]["name"] for record in map(json.loads, lines)}
    assert len(labels) == 4
    assert labels["espresso"] == "espresso"


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_the_commands_of_the_guide_that_need_no_torch_run(python, tmp_path):
    write_holiday(tmp_path)
    for number in range(10):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40 + number, 40), "red" if name == "cat" else "blue").save(
                tmp_path / "photos" / name / f"{number}.png"
            )
    output = run_commands(commands_of("first-model.md", "Look at photos", "Split them"), python, tmp_path)
    assert [command for command, text in output.items() if not text] == ["levit embed holiday/ --out holiday.npz"]
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "sorted")) == 4
    assert (tmp_path / "divided" / "split.csv").exists()


def test_a_checkpoint_is_described_and_exported(python, checkpoint, tmp_path):
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
