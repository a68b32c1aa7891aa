"""Heads of a student whose checkpoint has labels and no heads."""

import pytest
import torch
from safetensors.torch import load_file, save_file

import levit
from tests.training.tiny import CLASSES, save_levit


@pytest.fixture
def headless(tmp_path):
    """A trained LeViT without heads, whose configuration names the classes."""
    folder = save_levit(tmp_path / "headless", CLASSES)
    weights = load_file(folder / "model.safetensors")
    backbone = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    save_file(backbone, folder / "model.safetensors", {"format": "pt"})
    checkpoint = levit.read_checkpoint(folder)
    assert (checkpoint.labels, checkpoint.architecture.num_classifiers) == (CLASSES, 0)
    return folder


@pytest.mark.parametrize("new_heads", ["random", "linear-probe"])
def test_the_heads_of_a_checkpoint_without_heads_are_new_whatever_its_labels(build, headless, new_heads):
    student = build(headless, CLASSES[::-1], new_heads=new_heads)
    assert student.has_new_heads
    assert student.classes == CLASSES[::-1]
    weights = load_file(headless / "model.safetensors")
    state = student.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights.items())
