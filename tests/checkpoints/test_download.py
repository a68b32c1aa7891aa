import hashlib
import os
import urllib.error
from functools import partial

import pytest

import levit
from levit.checkpoints.download import HASH_SUFFIX, _open
from levit.checkpoints.weight_lookup import URLS, find_weights
from levit.errors import CheckpointError
from tests.conftest import GOLDEN
from tests.file_server import RedirectingHandler, running_server
from tests.marks import needs_permissions

TINY = GOLDEN / "tiny"


@pytest.fixture
def server(tmp_path):
    """Folder of a file server, its address, and the list of requested paths."""
    folder = tmp_path / "served"
    folder.mkdir()
    requests = []

    class Handler(RedirectingHandler):
        def log_message(self, format, *arguments):  # noqa: A002  # the name is the base class's
            requests.append(self.path)

    with running_server(partial(Handler, directory=folder)) as address:
        yield folder, address, requests


def serve(folder, digits=None):
    content = (TINY / "facebook.pth").read_bytes()
    digits = digits or hashlib.sha256(content).hexdigest()
    (folder / f"LeViT-tiny-{digits}.pth").write_bytes(content)
    return f"LeViT-tiny-{digits}.pth"


def test_a_file_is_downloaded_once_and_verified_by_the_hash_in_its_name(server):
    folder, address, requests = server
    name = serve(folder)
    for _ in range(2):
        checkpoint = levit.read_checkpoint(f"{address}/{name}")
        assert checkpoint.source.dialect == "facebook"
    assert requests == [f"/{name}"]


def test_a_published_name_refers_to_an_address(server, monkeypatch):
    folder, address, _ = server
    monkeypatch.setitem(URLS, "levit-128s_3rdparty_in1k", f"{address}/{serve(folder)}")
    assert levit.read_checkpoint("levit-128s_3rdparty_in1k").architecture.depths == (1, 2, 1)


def test_a_file_with_another_hash_is_an_error_and_not_cached(server, monkeypatch, tmp_path):
    folder, address, _ = server
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match=r"has the hash [0-9a-f]{8}…, not deadbeef"):
        find_weights(f"{address}/{serve(folder, 'deadbeef' * 8)}")
    assert not list((tmp_path / "cache" / "downloads").iterdir())


@pytest.mark.parametrize(
    ("path", "match"),
    [(f"missing-{'01234567' * 8}.pth", "404"), ("no-hash.pth", "does not end in a hash")],
)
def test_the_reason_of_a_failed_download_is_stated(server, path, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        find_weights(f"{server[1]}/{path}")
    assert "\n" not in str(caught.value)


def test_without_a_network_the_hint_names_the_alternatives():
    with pytest.raises(CheckpointError, match="check the network, or download it elsewhere"):
        find_weights("https://127.0.0.1:1/LeViT-tiny-01234567.pth")


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, monkeypatch, tmp_path):
    folder, address, requests = server
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "cache"))
    name = serve(folder)
    file = find_weights(f"{address}/{name}")
    file.write_bytes(file.read_bytes()[:1000])
    assert find_weights(f"{address}/{name}").read_bytes() == (folder / name).read_bytes()
    assert len(requests) == 2


def test_the_use_of_a_downloaded_file_is_marked(server, monkeypatch, tmp_path):
    folder, address, _ = server
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "cache"))
    name = serve(folder)
    file = find_weights(f"{address}/{name}")
    os.utime(file, (0, 0))
    assert find_weights(f"{address}/{name}").stat().st_mtime > 0


@needs_permissions
def test_a_cache_that_cannot_be_written_is_read_and_other_files_are_temporary(server, monkeypatch, tmp_path):
    folder, address, requests = server
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "cache"))
    name = serve(folder)
    cached = find_weights(f"{address}/{name}")
    other = (folder / name).rename(folder / f"Other-{name}").name
    cached.parent.chmod(0o500)
    assert find_weights(f"{address}/{name}") == cached
    for _ in range(2):
        assert find_weights(f"{address}/{other}").parent != cached.parent
    assert requests == [f"/{name}", f"/{other}"]


def test_without_a_cache_downloads_share_one_temporary_folder(server, monkeypatch):
    folder, address, requests = server
    monkeypatch.setenv("LEVIT_CACHE", "")
    name = serve(folder)
    assert find_weights(f"{address}/{name}") == find_weights(f"{address}/{name}")
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("LeViT-128S-96703c44.pth", "96703c44"),
        ("levit-256_3rdparty_in1k_20230117-5ae2ce7d.pth", "5ae2ce7d"),
        (f"model-{'0123456789abcdef' * 4}.safetensors", "0123456789abcdef" * 4),
        ("model-12345678.pth", "12345678"),  # there is no month 56
        ("model-20231301.pth", "20231301"),
    ],
)
def test_the_hash_in_a_name_is_recognized(name, digits):
    assert HASH_SUFFIX.search(name)[1] == digits


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
def test_a_date_is_not_a_hash(name):
    assert HASH_SUFFIX.search(name) is None
    with pytest.raises(CheckpointError, match="does not end in a hash"):
        find_weights(f"http://127.0.0.1:1/{name}")


def test_a_redirection_to_http_is_followed(server):
    folder, address, requests = server
    name = serve(folder)
    assert find_weights(f"{address}/redirect/{address}/{name}").name == name
    assert requests[-1] == f"/{name}"


@pytest.mark.parametrize("scheme", ["ftp", "file", "data"])
def test_a_redirection_to_another_scheme_is_an_error(server, scheme):
    with pytest.raises(
        CheckpointError, match=r"cannot be downloaded \(.*(not allowed|unknown url type: ftp)"
    ) as caught:
        find_weights(f"{server[1]}/redirect/{scheme}://127.0.0.1/etc/LeViT-tiny-{'01234567' * 8}.pth")
    assert "\n" not in str(caught.value)


def test_without_encryption_the_name_must_contain_the_whole_hash(server):
    folder, address, requests = server
    name = serve(folder)
    short = name[: len("LeViT-tiny-") + 8] + ".pth"
    with pytest.raises(CheckpointError, match=r"the 8 digits .* detect accidents.*: use https, or .* all 64 digits"):
        find_weights(f"{address}/{short}")
    assert requests == []
    assert find_weights(f"{address}/{name}").is_file()


def test_no_redirection_to_http_is_followed_without_the_whole_hash(server):
    with pytest.raises(urllib.error.URLError, match="unknown url type: http"):
        _open(f"{server[1]}/model-01234567.pth", allows_http=False)
    assert server[2] == []


def test_every_published_address_is_encrypted():
    assert all(address.startswith("https://") for address in URLS.values())
