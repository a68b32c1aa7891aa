"""Hash of the teachers of a run: a function of their weights."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import levit
from levit.training.option_groups import TeacherOptions
from levit.training.teacher_opening import hash_teachers, load_teachers
from tests.training.opened_teachers import save_timm_network
from tests.training.tiny import CLASSES, save_levit


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """A LeViT of one head, another of two heads as a folder and as an ONNX file, and a network of timm."""
    folder = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(0)
    kind = levit.LevitForImageClassificationWithTeacher
    two = save_levit(folder / "two", CLASSES[::-1], kind=kind, image_size=48)
    levit.export(two, folder / "two.onnx")
    return {
        "one": save_levit(folder / "one", CLASSES),
        "two": two,
        "onnx": folder / "two.onnx",
        "timm": save_timm_network(folder / "timm"),
    }


def hash_of(*paths, **options):
    return hash_teachers(load_teachers(TeacherOptions(teacher=",".join(map(str, paths)), **options)))


def test_it_does_not_depend_on_the_engine_or_the_path(teachers, tmp_path):
    copy = shutil.copytree(teachers["one"], tmp_path / "copy")
    hashes = {hash_of(path, teacher_engine=engine) for path in (teachers["one"], copy) for engine in ("torch", "auto")}
    assert len(hashes) == 1


def test_it_depends_on_every_weight(teachers, tmp_path):
    copy = shutil.copytree(teachers["one"], tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    weights["classifier.linear.bias"][0] += 1e-6
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert hash_of(copy) != hash_of(teachers["one"])


def test_that_of_several_teachers_depends_on_each_of_them_and_on_their_order(teachers):
    groups = [("one",), ("timm",), ("onnx",), ("one", "two"), ("two", "one"), ("one", "timm"), ("one", "onnx")]
    hashes = [hash_of(*(teachers[name] for name in names)) for names in groups]
    assert len({*hashes, ""}) == len(groups) + 1


def test_without_a_teacher_it_is_empty():
    assert hash_teachers([]) == ""
