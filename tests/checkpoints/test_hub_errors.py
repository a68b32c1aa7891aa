"""Responses of the hub, from a server on this machine: newer weights, or that a checkpoint is not there."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import levit
from levit.checkpoints.weight_lookup import find_weights
from levit.errors import CheckpointError

OLD, NEW = "0" * 40, "1" * 40  # commits
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


class Handler(BaseHTTPRequestHandler):
    """Handler of a hub that has the responses of its server by path, and nothing else, with the reason in a header."""

    def do_GET(self):
        self.server.paths.append(self.path)
        response = self.server.responses.get(self.path.partition("?")[0])
        content = b"" if response is None else json.dumps(response).encode()
        self.send_response(404 if response is None else 200)
        if response is None:
            self.send_header("X-Error-Code", self.server.error_code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815  # as the library names it

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Server of a hub, with an empty cache."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.paths, server.responses, server.error_code = [], {}, "RepoNotFound"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("responds", "commit"), [(True, NEW), (False, OLD)])
def test_a_cached_model_is_updated_if_the_hub_responds(hub, tmp_path, responds, commit):
    repository = tmp_path / "models--owner--network"
    for folder in (repository / "snapshots" / OLD, repository / "snapshots" / NEW):
        folder.mkdir(parents=True)
        for name in FILES:
            (folder / name).touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(OLD)
    if responds:
        model = {"id": "owner/network", "sha": NEW, "siblings": [{"rfilename": name} for name in FILES]}
        tree = [{"type": "file", "path": name, "size": 0, "oid": "2" * 40} for name in FILES]
        address = "/api/models/owner/network"
        hub.responses = {address: model, f"{address}/revision/main": model, f"{address}/tree/{NEW}": tree}
    assert find_weights("owner/network") == repository / "snapshots" / commit / "model.safetensors"
    assert (repository / "refs" / "main").read_text() == commit
    assert hub.paths


@pytest.mark.parametrize("revision", [None, "v9"])
def test_a_model_that_the_hub_does_not_have_is_an_error_of_one_line(hub, revision):
    with pytest.raises(CheckpointError) as caught:
        levit.read_checkpoint("owner/network", revision=revision)
    assert str(caught.value) == (
        "owner/network: no such file or folder, and no such model on the Hugging Face Hub: "
        "if it is private, run `hf auth login`"
    )
    assert hub.paths


def test_a_revision_that_the_model_does_not_have_is_an_error_of_one_line(hub):
    hub.error_code = "RevisionNotFound"
    with pytest.raises(CheckpointError) as caught:
        levit.read_checkpoint("owner/network", revision="v9")
    assert str(caught.value) == "owner/network has no revision 'v9' on the Hugging Face Hub"
    assert any(path.endswith("/revision/v9") for path in hub.paths)
