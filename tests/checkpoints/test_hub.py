import json
import re
import shutil
from functools import partial

import pytest

import levit
from levit.checkpoints.download import HASH
from levit.checkpoints.hub import ADDRESSES, HUB_NAMES, find_weights
from levit.errors import CheckpointError
from levit.runtime.model_info import describe
from levit.spec.variants import VARIANTS
from tests.conftest import EXAMPLES, GOLDEN

TINY = GOLDEN / "tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A folder laid out as the hub's cache, with the tiny network under a published name."""
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
def test_a_revision_can_be_pinned(hub_cache, revision):
    assert find_weights("facebook/levit-128S", revision=revision) == hub_cache / "model.safetensors"


def test_a_name_predicts_on_the_fly(hub_cache):
    prediction = levit.Classifier("facebook/levit-128S")(EXAMPLES / "cat.jpg")
    assert len(prediction.top(5)) == 5


def test_a_revision_reaches_the_hub_from_every_function(hub_cache, tmp_path, monkeypatch):
    name, other = "facebook/levit-128S", "0" * 40
    other_snapshot = shutil.copytree(TINY / "transformers-single", hub_cache.with_name(other))
    assert find_weights(name, revision=other).parent == other_snapshot
    assert levit.read_checkpoint(name, revision=other).architecture.num_classifiers == 1
    assert levit.load_checkpoint(name, revision=other).num_labels == 10
    assert levit.Classifier(name, revision=other).artifact.architecture.num_classifiers == 1
    assert levit.Classifier(name).artifact.architecture.num_classifiers == 2
    assert describe(name, revision=other)[0].architecture.num_classifiers == 1
    converted = levit.convert(name, tmp_path / "out", to="transformers", revision=other)
    assert levit.read_checkpoint(converted).architecture.num_classifiers == 1
    monkeypatch.setattr("levit.exporting.export.verify", lambda *_, **__: 0.0)  # the golden weights amplify rounding
    report = levit.export(name, tmp_path / "out.onnx", revision=other)
    assert report.artifact.architecture.num_classifiers == 1


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (TINY / "transformers", "a local file or folder"),
        (str(TINY / "facebook.pth"), "a local file or folder"),
        ("https://example.org/LeViT-tiny-01234567.pth", "an address"),
        ("LeViT-128S.pth", "an address"),
        ("model.onnx", "an exported file"),
        (None, "the embedded model"),
    ],
)
def test_only_what_is_on_the_hub_has_a_revision(tmp_path, monkeypatch, model, kind):
    monkeypatch.chdir(tmp_path)
    uses = [levit.Classifier, describe]
    if model not in (None, "model.onnx"):
        convert, export = (partial(levit.convert, target="out", to="timm"), partial(levit.export, path="out.onnx"))
        uses += [levit.read_checkpoint, convert, export, levit.load_checkpoint]
    for use in uses:
        with pytest.raises(CheckpointError, match=f"{kind} has no revision 'v1': give a name on the hub") as caught:
            use(model, revision="v1")
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_is_in_memory_has_no_revision(tmp_path):
    checkpoint = levit.read_checkpoint(TINY / "transformers")
    for model in (checkpoint, levit.load_checkpoint(checkpoint)):
        with pytest.raises(CheckpointError, match="a checkpoint in memory has no revision 'v1'"):
            levit.export(model, tmp_path / "out.onnx", revision="v1")
    with pytest.raises(CheckpointError, match="a checkpoint in memory has no revision 'v1'"):
        levit.Classifier(checkpoint, revision="v1")
    with pytest.raises(CheckpointError, match="an opened engine has no revision 'v1'"):
        levit.Classifier(levit.Classifier().engine, revision="v1")


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["README.md", "config.json", "levit_128s.pth"], r"run `hf download facebook/levit-128S levit_128s\.pth`"),
        (["a", "b", "c", "d", "e", "f"], r"only a, b, c, d, e, …: name another model"),
        ([], "which is empty: name another model"),
    ],
)
def test_a_model_on_the_hub_without_weights_says_what_it_has(hub_cache, monkeypatch, names, advice):
    (hub_cache / "model.safetensors").unlink()
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *_, **__: names)
    with pytest.raises(CheckpointError, match=r"no model\.safetensors or pytorch_model\.bin on the hub, ") as caught:
        levit.read_checkpoint("levit-128s")
    assert re.search(advice, str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_model_in_the_hub_s_cache_without_weights_says_what_is_there(hub_cache):
    (hub_cache / "model.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"in the hub's cache, only config\.json, preprocessor_config\.json: name"
    ):
        levit.read_checkpoint("levit-128s")


def test_what_is_not_in_the_cache_says_what_to_do(hub_cache):
    for arguments in ({"path_or_id": "timm/levit_128s.fb_dist_in1k"}, {"path_or_id": "levit-128s", "revision": "v9"}):
        with pytest.raises(CheckpointError, match="check the network") as caught:
            find_weights(**arguments)
        assert "\n" not in str(caught.value)


def test_a_local_folder_comes_before_the_hub(tmp_path, monkeypatch):
    shutil.copytree(TINY / "transformers-single", tmp_path / "facebook" / "levit-128S")
    monkeypatch.chdir(tmp_path)
    assert levit.read_checkpoint("facebook/levit-128S").architecture.num_classifiers == 1


def test_every_published_size_has_a_name_and_addresses():
    assert set(HUB_NAMES) == set(VARIANTS)
    assert len(ADDRESSES) == 2 * len(VARIANTS)
    assert all(HASH.search(address) for address in ADDRESSES.values())


def test_what_is_in_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model\.safetensors or pytorch_model\.bin in this folder, which is"):
        find_weights(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=r"in this folder, only notes\.txt"):
        find_weights(tmp_path)
    (tmp_path / "LeViT-128S.pth").touch()
    assert find_weights(tmp_path).name == "LeViT-128S.pth"
    (tmp_path / "other.pth").touch()
    with pytest.raises(CheckpointError, match="2 files of weights in this folder: name one"):
        find_weights(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert find_weights(tmp_path).name == "model.safetensors"


def test_a_name_that_means_nothing_lists_those_that_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="nowhere: no such file or folder, and no name that is known"):
        find_weights("nowhere")


def test_the_cached_configuration_is_the_one_that_counts(hub_cache):
    config = json.loads((hub_cache / "config.json").read_text())
    assert levit.read_checkpoint("levit-128s").labels == tuple(config["id2label"].values())


def test_shards_are_named(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="in several files: save them in one"):
        find_weights(tmp_path)
