"""Networks of transformers with damaged or malicious files are refused in one line, and code in them is never run."""

import ast
import json
import pickle
import shutil
import sys
from io import StringIO
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from levit.errors import LevitError
from levit.spec.preprocessing import Preprocessing
from tests.conftest import ROOT
from tests.training.opened_teachers import open_teacher, save_resnet
from tests.training.tiny import CLASSES

STUDENT = Preprocessing.for_image_size((32, 32))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A tiny ResNet in the layout of transformers."""
    folder = tmp_path_factory.mktemp("resnet")
    save_resnet(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(resnet, tmp_path):
    return Path(shutil.copytree(resnet, tmp_path / "teacher"))


class TouchesFile:
    """Creates a file when it is unpickled."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


def change(folder, name="config.json", **values):
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def change_weights(folder, *, drop=None, fill=None):
    file = folder / "model.safetensors"
    weights = {name: tensor for name, tensor in load_file(file).items() if drop is None or drop not in name}
    if fill is not None:
        weights["classifier.1.weight"].fill_(fill)
    save_file(weights, file, {"format": "pt"})


def cut_weights(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def dump(content, stream):
    pickle.dump(content, stream, protocol=2)  # that of torch


def replace_weights(folder, save):
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as stream:
        save({"weight": TouchesFile(folder / "code_ran")}, stream)


def name_code(folder, name, **values):
    (folder / "code.py").write_text(f"open({str(folder / 'code_ran')!r}, 'w')\n")
    change(folder, name, **values)


CLASSES_OF_CODE = {"AutoConfig": "code.Config", "AutoModelForImageClassification": "code.Model"}
FAULTS = {
    "cut weights": (cut_weights, "cannot be opened"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "cannot be opened"),
    "pickle": (lambda folder: replace_weights(folder, dump), "contains code: use a teacher with a safetensors"),
    "torch file": (lambda folder: replace_weights(folder, torch.save), "contains code: use a teacher with a safetens"),
    "other shapes": (lambda folder: change(folder, hidden_sizes=[8, 8]), "other shapes, such as"),
    "no head": (lambda folder: change_weights(folder, drop="classifier"), r"lacks 2 weights .* 'classifier\.1\.bias'"),
    "no stem": (lambda folder: change_weights(folder, drop="embedder"), "lacks [0-9]+ weights"),
    "NaN": (lambda folder: change_weights(folder, fill=float("nan")), "its logits are not finite"),
    "a gap in the labels": (lambda folder: change(folder, id2label={"0": "bear", "1": "cat", "3": "dog"}), "id2label"),
    "labels that are no names": (lambda folder: change(folder, id2label={"0": 7, "1": "cat", "2": "dog"}), "id2label"),
    "labels in a list": (lambda folder: change(folder, id2label=list(CLASSES)), "cannot be opened"),
    "a value of another type": (lambda folder: change(folder, hidden_sizes="8"), "cannot be opened"),
    "no classifier": (lambda folder: change(folder, model_type="bert"), "cannot be opened"),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "cannot be read as JSON"),
    "a processor without a size": (
        lambda folder: change(folder, "preprocessor_config.json", image_mean="x"), "lacks a valid size, mean or"
    ),
    "code of a network": (
        lambda folder: name_code(folder, "config.json", model_type="mine", auto_map=CLASSES_OF_CODE),
        "code of a teacher is never run",
    ),
    "code of an image processor": (
        lambda folder: name_code(
            folder, "preprocessor_config.json", image_processor_type="Mine",
            auto_map={"AutoImageProcessor": "code.Processor"},
        ),
        "code of a teacher is never run",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_or_malicious_teacher_is_refused_in_one_line(folder, monkeypatch, fault):
    break_it, message = FAULTS[fault]
    break_it(folder)
    monkeypatch.setattr(sys, "stdin", StringIO("y\n" * 9))
    with pytest.raises(LevitError, match=message) as caught:
        open_teacher(str(folder), CLASSES, STUDENT)
    assert "\n" not in str(caught.value)
    assert "teacher" in caught.value.source
    assert not (folder / "code_ran").exists()


def test_the_names_of_weights_in_a_file_are_not_printed(folder, capfd):
    """transformers would log all that are missing or unexpected, as they are in the file."""
    weights = load_file(folder / "model.safetensors")
    tensor = weights.pop("classifier.1.weight")
    save_file({**weights, "evil\x1b[2J\nlevit: fine": tensor}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(LevitError, match=r"lacks 1 weights or has other shapes, such as 'classifier\.1\.weight'"):
        open_teacher(str(folder), CLASSES, STUDENT)
    written = "".join(capfd.readouterr())
    assert "evil" not in written
    assert "\x1b[2J" not in written


def test_code_beside_a_network_of_transformers_is_not_run(folder, monkeypatch):
    """The file is usable without it, because its model type is one of transformers."""
    name_code(folder, "config.json", auto_map=CLASSES_OF_CODE)
    monkeypatch.setattr(sys, "stdin", StringIO("y\n" * 9))
    assert open_teacher(str(folder), CLASSES, STUDENT)(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    assert not (folder / "code_ran").exists()


def test_every_from_pretrained_of_the_package_refuses_remote_code():
    calls = [
        (file.name, node)
        for file in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("from_pretrained", "from_config")
        and not isinstance(node.func.value, ast.Call)  # not super().from_pretrained
    ]
    assert calls
    for file, call in calls:
        values = [word.value for word in call.keywords if word.arg == "trust_remote_code"]
        assert [ast.literal_eval(value) for value in values] == [False], f"{file}:{call.lineno}"
