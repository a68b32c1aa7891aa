import re
import shutil
from functools import partial

import pytest

import levit
from levit.checkpoints.download import HASH_SUFFIX
from levit.checkpoints.weight_lookup import HUB_NAMES, URLS, find_weights
from levit.errors import CheckpointError
from levit.runtime.model_info import describe
from levit.spec.variants import VARIANTS
from tests.conftest import GOLDEN

TINY = GOLDEN / "tiny"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (TINY / "transformers", "a local file or folder"),
        (str(TINY / "facebook.pth"), "a local file or folder"),
        ("https://example.org/LeViT-tiny-01234567.pth", "a URL"),
        ("LeViT-128S.pth", "a URL"),
        ("model.onnx", "an exported file"),
        (None, "the embedded model"),
    ],
)
def test_a_revision_of_a_model_that_is_not_on_the_hub_is_an_error(tmp_path, monkeypatch, model, kind):
    monkeypatch.chdir(tmp_path)
    functions = [levit.Classifier, describe]
    if model not in (None, "model.onnx"):
        convert, export = (partial(levit.convert, target="out", to="timm"), partial(levit.export, path="out.onnx"))
        functions += [levit.read_checkpoint, convert, export, levit.load_checkpoint]
    for function in functions:
        with pytest.raises(CheckpointError, match=f"{kind} has no revision 'v1': give a model ID on the") as caught:
            function(model, revision="v1")
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_revision_of_a_model_in_memory_is_an_error(tmp_path):
    checkpoint = levit.read_checkpoint(TINY / "transformers")
    for model in (checkpoint, levit.load_checkpoint(checkpoint)):
        with pytest.raises(CheckpointError, match="in memory has no revision 'v1'"):
            levit.export(model, tmp_path / "out.onnx", revision="v1")
    with pytest.raises(CheckpointError, match="in memory has no revision 'v1'"):
        levit.Classifier(checkpoint, revision="v1")
    with pytest.raises(CheckpointError, match="an opened engine has no revision 'v1'"):
        levit.Classifier(levit.Classifier().engine, revision="v1")


def test_a_local_folder_takes_precedence_over_the_hub(tmp_path, monkeypatch):
    shutil.copytree(TINY / "transformers-single", tmp_path / "facebook" / "levit-128S")
    monkeypatch.chdir(tmp_path)
    assert levit.read_checkpoint("facebook/levit-128S").architecture.num_classifiers == 1


def test_every_published_size_has_a_name_and_two_addresses():
    assert set(HUB_NAMES) == set(VARIANTS)
    assert len(URLS) == 2 * len(VARIANTS)
    assert all(HASH_SUFFIX.search(address) for address in URLS.values())


def test_the_weights_in_a_folder_are_found(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model\.safetensors or pytorch_model\.bin in this folder, which is"):
        find_weights(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=r"in this folder, only notes\.txt"):
        find_weights(tmp_path)
    (tmp_path / "LeViT-128S.pth").touch()
    (tmp_path / "folder.pth").mkdir()
    assert find_weights(tmp_path).name == "LeViT-128S.pth"
    (tmp_path / "other.pth").touch()
    with pytest.raises(CheckpointError, match=f"2 files of weights in this folder: name one, .*{re.escape('.pth')}"):
        find_weights(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert find_weights(tmp_path).name == "model.safetensors"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_in_several_files_are_an_error(tmp_path, name):
    (tmp_path / f"{name}.index.json").write_text("{}")
    (tmp_path / name.replace(".", "-00001-of-00002.")).touch()
    with pytest.raises(CheckpointError, match="in several files: save them in one"):
        find_weights(tmp_path)


def test_the_error_for_an_unknown_name_refers_to_the_list_of_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        find_weights("nowhere")
    assert str(caught.value) == "nowhere: no such file, folder or known model name: see `levit models`"


def test_the_weights_of_the_embedded_model_are_inside_the_package():
    checkpoint = levit.read_checkpoint("embedded")
    assert checkpoint.labels == levit.Classifier().labels
    assert checkpoint.architecture.num_classifiers == 2
    with pytest.raises(CheckpointError, match="embedded: a model inside the package has no revision 'main'"):
        find_weights("embedded", revision="main")
