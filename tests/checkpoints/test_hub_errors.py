"""Responses of the hub that a checkpoint is not there, from a server on this machine."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import levit
from levit.errors import CheckpointError


class NotFound(BaseHTTPRequestHandler):
    """Handler of a hub that has nothing, with the header that states the reason."""

    def do_GET(self):
        self.server.paths.append(self.path)
        self.send_response(404)
        self.send_header("X-Error-Code", self.server.error_code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815  # as the library names it

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Server of a hub, with an empty cache."""
    with ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as server:
        server.paths = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("revision", [None, "v9"])
def test_a_model_that_the_hub_does_not_have_is_an_error_of_one_line(hub, revision):
    hub.error_code = "RepoNotFound"
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
