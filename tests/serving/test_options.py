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


def test_a_model_without_a_name_has_that_of_its_file():
    assert parse_model("runs/my flowers") == ("my-flowers", "runs/my flowers")
    assert parse_model("models/cats.v2.onnx") == ("cats.v2", "models/cats.v2.onnx")
    assert parse_model("facebook/levit-128S") == ("levit-128S", "facebook/levit-128S")
    assert parse_model("-") == ("default", "-")
    assert parse_model("cats=-") == ("cats", "-")


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "é", "x" * 101])
def test_names_that_cannot_be_part_of_an_address_are_refused(name):
    with pytest.raises(ConfigError, match="the name of a model"):
        NamedModel(name, ModelOptions(None))
