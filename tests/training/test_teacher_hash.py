"""Hash of the teachers of a run: a function of their weights, whatever computes them."""

import hashlib

import pytest
import torch

import levit
from levit.training.teacher_opening import hash_teacher_of_run
from tests.training.opened_teachers import STUDENT, open_teacher, opened, save_timm_network
from tests.training.tiny import CLASSES, save_levit


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """Folders of a LeViT of one head, another of two heads, and a network of timm."""
    folder = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(0)
    kind = levit.LevitForImageClassificationWithTeacher
    return {
        "one": save_levit(folder / "one", CLASSES),
        "two": save_levit(folder / "two", CLASSES[::-1], kind=kind, image_size=48),
        "timm": save_timm_network(folder / "timm"),
    }


def hash_of(teachers, names, engine):
    with opened(",".join(str(teachers[name]) for name in names), teacher_engine=engine) as teacher:
        return hash_teacher_of_run(teacher)


@pytest.mark.parametrize("names", [("one",), ("two",), ("timm",), ("one", "two"), ("two", "timm")], ids="+".join)
def test_torch_and_openvino_give_the_same_hash(teachers, names):
    assert hash_of(teachers, names, "torch") == hash_of(teachers, names, "openvino") != ""


def test_the_hash_of_several_teachers_depends_on_each_of_them_and_on_their_order(teachers):
    groups = [("one",), ("timm",), ("one", "two"), ("two", "one"), ("one", "timm")]
    assert len({hash_of(teachers, names, "torch") for names in groups}) == len(groups)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_the_hash_of_a_network_of_timm_is_that_of_earlier_versions(teachers, engine):
    """Otherwise their runs could not be resumed."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in open_teacher(str(teachers["timm"]), CLASSES, STUDENT).network.state_dict().items():
        digest.update(f"network.{name}".encode() + tensor.numpy().tobytes())
    assert hash_of(teachers, ["timm"], engine) == digest.hexdigest()
