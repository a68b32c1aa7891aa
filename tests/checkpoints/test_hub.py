import json
import re
import shutil

import pytest

import levit
from levit.checkpoints.weight_lookup import find_weights
from levit.checkpoints.writing import write_checkpoint
from levit.errors import CheckpointError
from levit.runtime.model_info import describe
from levit.spec.architecture import Architecture
from tests.conftest import EXAMPLES, GOLDEN, random_checkpoint

TINY = GOLDEN / "tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """Snapshot of the tiny network under a published name, in a folder with the layout of the hub's cache."""
    import huggingface_hub.constants as constants

    repository = tmp_path / "hub" / "models--facebook--levit-128S"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(TINY / "transformers", snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "refs" / "v1").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return snapshot


@pytest.mark.parametrize("name", ["facebook/levit-128S", "levit-128s", "LeViT-128S"])
def test_names_are_found_in_the_hub_s_cache(hub_cache, name):
    checkpoint = levit.read_checkpoint(name)
    assert checkpoint.architecture.hidden_sizes == (32, 48, 64)
    assert checkpoint.source.name == name


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_a_revision_can_be_given(hub_cache, revision):
    assert find_weights("facebook/levit-128S", revision=revision) == hub_cache / "model.safetensors"


def test_a_classifier_opens_a_name_on_the_hub(hub_cache):
    prediction = levit.Classifier("facebook/levit-128S")(EXAMPLES / "cat.jpg")
    assert len(prediction.top(5)) == 5


def test_every_function_passes_the_revision_to_the_hub(hub_cache, tmp_path):
    name, revision = "facebook/levit-128S", "0" * 40
    architecture = Architecture(
        image_size=32, hidden_sizes=(16, 24, 32), key_dim=(4, 4, 4), depths=(1, 1, 1), num_labels=10, num_classifiers=1
    )
    other_snapshot = write_checkpoint(random_checkpoint(architecture), hub_cache.with_name(revision))
    assert find_weights(name, revision=revision).parent == other_snapshot
    assert levit.read_checkpoint(name, revision=revision).architecture.num_classifiers == 1
    assert levit.load_checkpoint(name, revision=revision).num_labels == 10
    assert levit.Classifier(name, revision=revision).artifact.architecture.num_classifiers == 1
    assert levit.Classifier(name).artifact.architecture.num_classifiers == 2
    assert describe(name, revision=revision)[0].architecture.num_classifiers == 1
    converted = levit.convert(name, tmp_path / "out", to="transformers", revision=revision)
    assert levit.read_checkpoint(converted).architecture.num_classifiers == 1
    report = levit.export(name, tmp_path / "out.onnx", revision=revision)
    assert report.artifact.architecture.num_classifiers == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["README.md", "config.json", "levit_128s.pth"], r"run `hf download facebook/levit-128S levit_128s\.pth`"),
        (["a", "b", "c", "d", "e", "f"], r"only a, b, c, d, e, …: give another model"),
        ([], "which is empty: give another model"),
    ],
)
def test_the_error_for_a_model_without_weights_lists_its_files(hub_cache, monkeypatch, names, message):
    (hub_cache / "model.safetensors").unlink()
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *_, **__: names)
    with pytest.raises(CheckpointError, match=r"no model\.safetensors or pytorch_model\.bin on the hub, ") as caught:
        levit.read_checkpoint("levit-128s")
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)


def test_the_error_for_a_cached_model_without_weights_lists_its_files(hub_cache):
    (hub_cache / "model.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"in the hub's cache, only config\.json, preprocessor_config\.json: give"
    ):
        levit.read_checkpoint("levit-128s")


def test_without_a_network_the_hint_for_a_model_that_is_not_cached_names_the_alternatives(hub_cache):
    for arguments in ({"path_or_id": "timm/levit_128s.fb_dist_in1k"}, {"path_or_id": "levit-128s", "revision": "v9"}):
        with pytest.raises(CheckpointError, match="check the network") as caught:
            find_weights(**arguments)
        assert "\n" not in str(caught.value)


def test_the_configuration_in_the_hub_s_cache_is_read(hub_cache):
    config = json.loads((hub_cache / "config.json").read_text())
    assert levit.read_checkpoint("levit-128s").labels == tuple(config["id2label"].values())
