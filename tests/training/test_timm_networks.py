"""Networks of timm as students, and the files that timm and transformers read."""

import json

import pytest
import timm
import torch
import transformers

import levit
from levit.data.imagenet_names import wordnet_ids
from levit.errors import CheckpointError, ConfigError
from levit.spec.labels import imagenet_classes
from levit.training.option_groups import ModelOptions
from levit.training.timm_networks import create_timm_network, is_timm_network
from tests.training.tiny import CLASSES, TIMM_NETWORK, by_class, photo, predict, trained


def test_a_timm_network_gets_a_new_head_and_keeps_its_mean_and_size(build):
    student = build(TIMM_NETWORK, from_scratch=True, image_size=64)
    assert predict(student.network, torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    assert student.preprocessing.mean == (0.5, 0.5, 0.5)
    assert (student.image_size, student.preprocessing.resize) == ((64, 64), int(64 / 0.95))
    assert build(TIMM_NETWORK, from_scratch=True).image_size == (160, 160)


@pytest.mark.parametrize(
    ("model", "expected"),
    [("timm/resnet10t", True), ("timm/levit_128s", False), ("levit-128s", False), ("someone/levit", False)],
)
def test_a_levit_of_timm_is_not_a_timm_network(model, expected):
    assert is_timm_network(model) is expected


def test_the_configuration_of_a_folder_identifies_a_timm_network(checkpoint, tmp_path):
    assert not is_timm_network(str(checkpoint))
    for name, expected in (("resnet10t", True), ("levit_128s", False)):
        (tmp_path / "config.json").write_text(json.dumps({"architecture": name}))
        assert is_timm_network(str(tmp_path)) is expected


@pytest.mark.parametrize("name", ["timm/no_such_network", "timm/resnet10t.no_such_weights"])
def test_a_network_that_timm_cannot_create_is_named_in_one_line(name):
    with pytest.raises(CheckpointError, match=f"^{name}: timm cannot create it") as caught:
        create_timm_network(ModelOptions(model=name), CLASSES)
    assert "\n" not in str(caught.value)


def test_transformers_reads_that_a_timm_network_is_multi_label(build, tmp_path):
    student = build(TIMM_NETWORK, from_scratch=True, image_size=64, is_multi_label=True)
    student.save(tmp_path, student.network.state_dict())
    network = transformers.AutoModelForImageClassification.from_pretrained(tmp_path)
    assert network.config.problem_type == "multi_label_classification"


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_timm_network_cannot_have_a_teacher(build, tmp_path, is_saved):
    model = TIMM_NETWORK
    if is_saved:
        student, model = build(TIMM_NETWORK, from_scratch=True), tmp_path / "run"
        student.save(model, student.network.state_dict())
    with pytest.raises(ConfigError, match=rf"^teacher: {model} is not a LeViT"):
        build(model, from_scratch=not is_saved, teacher="run")


def test_a_timm_network_has_no_choice_of_patch_size(build):
    with pytest.raises(ConfigError, match=r"^patch_size cannot be chosen for timm/test_resnet"):
        build(TIMM_NETWORK, from_scratch=True, patch_size=8)


@torch.no_grad()
def test_a_saved_timm_network_loads_in_timm_transformers_and_levit(build, tmp_path):
    student = build(TIMM_NETWORK, from_scratch=True, image_size=64)
    trained(student.network)
    pixels = torch.randn(2, 3, 64, 64)
    expected = predict(student.network, pixels)
    student.save(tmp_path, student.network.state_dict())
    stock = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert torch.equal(stock(pixels), expected)
    assert timm.data.resolve_data_config({}, model=stock)["input_size"] == (3, 64, 64)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["label_names"] == list(CLASSES)
    assert not {"tag", "license", "origin_url"} & config["pretrained_cfg"].keys()  # of other weights
    wrapped = transformers.AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(wrapped(pixels).logits, expected)
    assert transformers.AutoImageProcessor.from_pretrained(tmp_path)(photo(0))["pixel_values"].shape[2:] == (64, 64)
    with pytest.raises(CheckpointError, match=r"timm's test_resnet, not a LeViT: use it as `teacher`"):
        levit.read_checkpoint(tmp_path)
    again = build(tmp_path)
    assert torch.equal(predict(again.network, pixels), expected)
    assert again.preprocessing == student.preprocessing


@torch.no_grad()
def test_a_timm_network_keeps_its_head_for_the_same_labels_in_another_order(build, tmp_path):
    student = build(TIMM_NETWORK, from_scratch=True, image_size=64)
    trained(student.network)
    student.save(tmp_path, student.network.state_dict())
    again = build(tmp_path, CLASSES[::-1])
    pixels = torch.randn(2, 3, 64, 64)
    result = by_class(predict(again.network, pixels), again.classes)
    for name, logits in by_class(predict(student.network, pixels), CLASSES).items():
        assert torch.equal(result[name], logits)


@pytest.fixture
def unnamed(tmp_path, monkeypatch):
    """Builder of trained weights without label names, in a folder or under the name of a network of timm."""

    def save(num_classes, name):
        network = trained(timm.create_model("test_resnet", num_classes=num_classes))
        timm.models.save_for_hf(network, tmp_path / "unnamed", safe_serialization=True)
        create = timm.create_model
        monkeypatch.setattr(timm, "create_model", lambda _, **values: create(f"local-dir:{tmp_path}/unnamed", **values))
        return network, name or tmp_path / "unnamed"

    return save


@pytest.mark.parametrize("name", [None, TIMM_NETWORK])
@pytest.mark.parametrize("count", [3, 1000])
def test_a_network_without_label_names_gets_a_new_head_for_as_many_classes_of_other_names(build, unnamed, count, name):
    network, model = unnamed(count, name)
    classes = tuple(f"animal {number}" for number in range(count))
    student = build(model, classes)
    assert student.classes == classes
    assert torch.equal(student.network.conv1[0].weight, network.conv1[0].weight)
    assert not torch.equal(student.network.fc.weight, network.fc.weight)


@pytest.mark.parametrize("name", [None, TIMM_NETWORK])
def test_a_network_without_label_names_keeps_its_head_for_the_classes_of_imagenet(build, unnamed, name):
    network, model = unnamed(1000, name)
    identifiers = [identifier for identifier, _ in imagenet_classes()]
    student = build(model, identifiers[::-1])
    assert torch.equal(student.network.fc.weight, network.fc.weight)
    assert torch.equal(student.network.fc.bias, network.fc.bias)
    assert wordnet_ids(student.classes) == identifiers


def test_another_number_of_classes_leaves_the_new_head_as_timm_starts_it(build, unnamed, monkeypatch):
    _, model = unnamed(5, None)
    monkeypatch.setattr(timm.models.ResNet, "reset_classifier", lambda *_, **__: pytest.fail("was reset"))
    assert build(model).network.fc.out_features == len(CLASSES)


def test_a_timm_network_gets_a_new_head_for_the_same_number_of_other_classes(build, tmp_path):
    student = build(TIMM_NETWORK, from_scratch=True, image_size=64)
    student.save(tmp_path, student.network.state_dict())
    network = build(tmp_path, ("emu", "fox", "gnu")).network
    assert torch.equal(network.conv1[0].weight, student.network.conv1[0].weight)
    assert not torch.equal(network.fc.weight, student.network.fc.weight)
