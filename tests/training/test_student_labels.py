"""Labels of students whose classes are those of ImageNet."""

import json

import pytest
import torch

import levit
from tests.training.tiny import TIMM_NETWORK, predict, save_levit, trained

PIXELS = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_classes_of_imagenet_match_labels_by_their_synonyms(build, tmp_path):
    folder = save_levit(tmp_path / "fish", ("goldfish, Carassius auratus", "tench, Tinca tinca"))
    student = build(folder, ("n01440764", "n01443537"))
    assert student.classes == ("goldfish, Carassius auratus", "tench, Tinca tinca")
    assert torch.equal(predict(student.network, PIXELS), predict(levit.load_checkpoint(str(folder)), PIXELS))


IDS = ("n02012849", "n01440764", "n03126707")  # out of their order


NAMES = ("crane (bird)", "tench", "crane (machine)")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["levit-128s", TIMM_NETWORK])
def test_labels_that_are_wordnet_ids_are_saved_as_names_and_match_the_ids_again(build, model, tmp_path):
    student = build(model, IDS, from_scratch=True, image_size=32)
    assert student.classes == NAMES
    trained(student.network)
    student.save(tmp_path, student.network.state_dict())
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config.get("label_names") or list(config["id2label"].values())) == list(NAMES)
    for classes in (IDS, IDS[::-1], NAMES, ("tench, Tinca tinca", "n03126707-crane", "Crane_(bird)")):
        again = build(tmp_path, classes)
        assert again.classes == NAMES
        assert torch.equal(predict(again.network, PIXELS), predict(student.network, PIXELS))
    other = build(tmp_path, ("n02012849", "n01440764", "n02123045"))
    assert other.classes == ("crane (bird)", "tench", "tabby")
    assert not torch.equal(predict(other.network, PIXELS), predict(student.network, PIXELS))


def test_kept_heads_of_wordnet_ids_get_names(build, tmp_path):
    """A run of an earlier version saved the ids; so does a checkpoint of another library."""
    folder = save_levit(tmp_path / "ids", IDS)
    student = build(folder, IDS[::-1])
    assert student.classes == tuple(student.network.config.id2label.values()) == NAMES
    assert torch.equal(predict(student.network, PIXELS), predict(levit.load_checkpoint(str(folder)), PIXELS))
