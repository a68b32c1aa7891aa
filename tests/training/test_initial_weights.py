"""Initial weights where the user names no model."""

import socket
import threading

import pytest

from levit.checkpoints.hub import is_reachable
from levit.errors import CheckpointError
from levit.training import initial_weights
from levit.training.initial_weights import choose_initial_weights


@pytest.fixture
def silent_server():
    """A server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def hub(monkeypatch):
    """Set the address of the hub, with connections allowed."""

    def use(address):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", address)

    return use


def test_without_a_network_the_embedded_weights_are_the_start(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert choose_initial_weights("levit-128s") == "embedded"


def test_weights_in_the_cache_need_no_network(monkeypatch):
    monkeypatch.setattr("levit.training.initial_weights.is_cached", lambda model: model == "levit-128s")
    assert choose_initial_weights("levit-128s") == "levit-128s"
    assert choose_initial_weights("levit-256") == "embedded"


@pytest.fixture
def reachable_hub(monkeypatch):
    """A hub that responds to requests for the model of the published size."""
    asked = []
    monkeypatch.setattr(initial_weights, "is_cached", lambda model: False)
    monkeypatch.setattr(initial_weights, "is_reachable", lambda hub_id: asked.append(hub_id) or True)
    return asked


def test_weights_of_a_hub_that_responds_are_downloaded(reachable_hub, monkeypatch):
    downloaded = []
    monkeypatch.setattr(initial_weights, "find_weights", downloaded.append)
    assert choose_initial_weights("levit-256") == "levit-256"
    assert (reachable_hub, downloaded) == (["facebook/levit-256"], ["levit-256"])


def test_the_embedded_weights_are_the_start_where_the_download_fails(reachable_hub, monkeypatch):
    def fail(model):
        raise CheckpointError("the connection was lost", source=model)

    monkeypatch.setattr(initial_weights, "find_weights", fail)
    assert choose_initial_weights("levit-256") == "embedded"
    assert reachable_hub == ["facebook/levit-256"]


def test_a_hub_that_does_not_respond_is_given_up_after_the_given_time(hub, silent_server):
    hub(silent_server)
    waits = threading.Thread(target=is_reachable, args=("owner/name",), kwargs={"seconds": 0.2}, daemon=True)
    waits.start()
    waits.join(60)  # a download would go on for minutes
    assert not waits.is_alive()
    assert not is_reachable("owner/name", seconds=0.2)


def test_a_hub_that_responds_is_reachable(hub):
    content = b'{"id": "owner/name", "modelId": "owner/name", "tags": [], "siblings": []}'
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
                connection.sendall(head.encode() + content)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        hub(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert is_reachable("owner/name", seconds=60)
        thread.join(60)


def test_a_hub_without_the_model_is_not_reachable_for_it(hub):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        hub(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert not is_reachable("owner/name", seconds=60)
