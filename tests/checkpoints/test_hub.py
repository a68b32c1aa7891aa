import hashlib
import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import levit
from levit.checkpoints.download import HASH
from levit.checkpoints.hub import ADDRESSES, HUB_NAMES, find_weights
from levit.errors import CheckpointError
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


@pytest.fixture
def server(tmp_path):
    """A server of files, and the list of what was asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):  # noqa: A002  # the name is the base class's
            asked.append(self.path)

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # closing it waits for them

    with Server(("127.0.0.1", 0), partial(Handler, directory=folder)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()
        thread.join()


def serve(folder, digits=None):
    content = (TINY / "facebook.pth").read_bytes()
    digits = digits or hashlib.sha256(content).hexdigest()[:8]
    (folder / f"LeViT-tiny-{digits}.pth").write_bytes(content)
    return f"LeViT-tiny-{digits}.pth"


def test_an_address_is_fetched_once_and_checked_by_the_hash_in_its_name(server):
    folder, address, asked = server
    name = serve(folder)
    for _ in range(2):
        checkpoint = levit.read_checkpoint(f"{address}/{name}")
        assert checkpoint.source.dialect == "facebook"
    assert asked == [f"/{name}"]


def test_a_published_name_means_an_address(server, monkeypatch):
    folder, address, _ = server
    monkeypatch.setitem(ADDRESSES, "levit-128s_3rdparty_in1k", f"{address}/{serve(folder)}")
    assert levit.read_checkpoint("levit-128s_3rdparty_in1k").architecture.depths == (1, 2, 1)


def test_a_file_with_another_hash_is_refused_and_not_kept(server, monkeypatch, tmp_path):
    folder, address, _ = server
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match=r"has the hash [0-9a-f]{8}…, not deadbeef"):
        find_weights(f"{address}/{serve(folder, 'deadbeef')}")
    assert not list((tmp_path / "cache" / "downloads").iterdir())


@pytest.mark.parametrize(
    ("path", "match"),
    [("missing-01234567.pth", "404"), ("no-hash.pth", "does not end in a hash")],
)
def test_an_address_that_cannot_be_fetched_says_why(server, path, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        find_weights(f"{server[1]}/{path}")
    assert "\n" not in str(caught.value)


def test_no_network_says_what_to_do():
    with pytest.raises(CheckpointError, match="check the network, or download it elsewhere"):
        find_weights("http://127.0.0.1:1/LeViT-tiny-01234567.pth")


def test_what_is_in_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model\.safetensors or pytorch_model\.bin in this folder"):
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


def test_a_damaged_file_in_the_cache_is_fetched_again(server, monkeypatch, tmp_path):
    folder, address, asked = server
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "cache"))
    name = serve(folder)
    file = find_weights(f"{address}/{name}")
    file.write_bytes(file.read_bytes()[:1000])
    assert find_weights(f"{address}/{name}").read_bytes() == (folder / name).read_bytes()
    assert len(asked) == 2


def test_without_a_cache_downloads_share_one_temporary_folder(server, monkeypatch):
    folder, address, asked = server
    monkeypatch.setenv("LEVIT_CACHE", "")
    name = serve(folder)
    assert find_weights(f"{address}/{name}") == find_weights(f"{address}/{name}")
    assert len(asked) == 1
