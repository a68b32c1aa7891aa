"""Options of the service, API keys, and names of models."""

import pytest

from levit.errors import ConfigError
from levit.runtime.opened_model import ModelOptions
from levit.serving.options import ServiceOptions
from levit.serving.security import read_api_keys
from levit.serving.served_model import NamedModel, parse_model


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.2", False), ("example.org", False)],
)  # fmt: skip
def test_addresses_of_this_machine_are_recognized(host, is_loopback):
    assert ServiceOptions(host=host).is_loopback is is_loopback


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"timeout": float("inf")}, {"drain": -1}, {"capacity": 0}, {"max_body": 0}, {"port": 65_536}],
    ids=str,
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        ServiceOptions(**options)


def test_keys_come_from_a_file_and_from_the_environment(tmp_path):
    file = tmp_path / "keys.txt"
    file.write_text("# of the page\nfirst key\n\n  second key  \n")
    assert read_api_keys(str(file), {"LEVIT_API_KEY": "third key"}) == ("third key", "first key", "second key")
    assert read_api_keys(None, {}) == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"# nothing\n", "has no API key"), (b"short\n", "fewer than 8 characters"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_file_without_usable_keys_is_refused(tmp_path, content, message):
    (tmp_path / "keys.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_api_keys(str(tmp_path / "keys.txt"), {})


def test_spaces_and_a_byte_order_mark_are_no_part_of_a_key(tmp_path):
    (tmp_path / "keys.txt").write_bytes("\ufefffirst key\r\n".encode())
    assert read_api_keys(str(tmp_path / "keys.txt"), {"LEVIT_API_KEY": " third key\n"}) == ("third key", "first key")
    for file in (None, str(tmp_path / "keys.txt")):
        message = "LEVIT_API_KEY: an API key has fewer than 8 characters"
        with pytest.raises(ConfigError, match=message):  # and not a service without a key
            read_api_keys(file, {"LEVIT_API_KEY": " "})


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("*", "*"),
        ("https://a.example", "https://a.example"),
        ("https://A.example/", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80/", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("moz-extension://0a-1b", "moz-extension://0a-1b"),
    ],
)
def test_origins_have_the_form_in_which_browsers_send_them(given, origin):
    assert ServiceOptions(origins=(given,)).origins == (origin,)


@pytest.mark.parametrize(
    "origin", ["", "a.example", "https://", "https://a.example/x", "https://a.example//", "https://é.example", "null"]
)
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(ConfigError, match=r"origins is .*: give SCHEME://HOST or SCHEME://HOST:PORT"):
        ServiceOptions(origins=(origin,))


def test_a_model_without_a_name_has_that_of_its_file():
    assert parse_model("runs/my flowers") == ("my-flowers", "runs/my flowers")
    assert parse_model("models/cats.v2.onnx") == ("cats.v2", "models/cats.v2.onnx")
    for file in ("model.xml", "model.ONNX", "model.msgpack", "model.pth.tar"):
        assert parse_model(f"runs/{file}") == ("model", f"runs/{file}")
    assert parse_model("facebook/levit-128S") == ("levit-128S", "facebook/levit-128S")
    assert parse_model("école.onnx") == ("cole", "école.onnx")
    assert parse_model("-") == ("default", "-")
    assert parse_model("cats=-") == ("cats", "-")


def test_the_folder_of_the_program_is_a_model_with_the_name_of_the_folder(tmp_path, monkeypatch):
    (tmp_path / "flowers" / "old").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "flowers" / "old")
    assert parse_model(".") == ("old", ".")
    assert parse_model("..") == ("flowers", "..")


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "é", "x" * 101])
def test_names_that_cannot_be_part_of_an_address_are_refused(name):
    with pytest.raises(ConfigError, match=r"the name of a model is .*: give NAME=MODEL, with a name of letters"):
        NamedModel(name, ModelOptions(None))
