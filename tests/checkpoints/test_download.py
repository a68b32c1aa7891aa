import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import levit
from levit.checkpoints.download import HASH
from levit.checkpoints.hub import ADDRESSES, find_weights
from levit.errors import CheckpointError
from tests.conftest import GOLDEN

TINY = GOLDEN / "tiny"


@pytest.fixture
def server(tmp_path):
    """A server of files, and the list of what was asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):  # noqa: A002  # the name is the base class's
            asked.append(self.path)

        def do_GET(self):
            _, is_redirect, target = self.path.partition("/redirect/")
            if not is_redirect:
                super().do_GET()
                return
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()

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


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("LeViT-128S-96703c44.pth", "96703c44"),
        ("levit-256_3rdparty_in1k_20230117-5ae2ce7d.pth", "5ae2ce7d"),
        (f"model-{'0123456789abcdef' * 4}.safetensors", "0123456789abcdef" * 4),
        ("model-12345678.pth", "12345678"),  # no month is the 56th
        ("model-20231301.pth", "20231301"),
    ],
)
def test_a_hash_in_a_name_is_found(name, digits):
    assert HASH.search(name)[1] == digits


@pytest.mark.parametrize(
    "name",
    [
        "levit-256_3rdparty_in1k_20230201.pth",
        "levit-256-20230201.pth",
        "levit-19991231.safetensors",
        "LeViT-128S.pth",
        "model-0123456.pth",
        "model-0123456789abcdefg.pth",
    ],
)
def test_a_date_is_no_hash(name):
    assert HASH.search(name) is None
    with pytest.raises(CheckpointError, match="does not end in a hash"):
        find_weights(f"http://127.0.0.1:1/{name}")


def test_a_server_may_send_on_to_another_address(server):
    folder, address, asked = server
    name = serve(folder)
    assert find_weights(f"{address}/redirect/{address}/{name}").name == name
    assert asked[-1] == f"/{name}"


@pytest.mark.parametrize("scheme", ["ftp", "file", "data"])
def test_a_server_may_not_send_on_to_anything_but_http(server, scheme):
    with pytest.raises(CheckpointError, match=r"cannot be fetched \(.*(not allowed|unknown url type: ftp)") as caught:
        find_weights(f"{server[1]}/redirect/{scheme}://127.0.0.1/etc/LeViT-tiny-01234567.pth")
    assert "\n" not in str(caught.value)
