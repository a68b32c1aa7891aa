"""Errors of environment variables and libraries name them and the way out."""

import pytest

from levit.errors import ConfigError, EngineError
from levit.runtime import native_library as library_module
from levit.runtime.engine import open_engine
from levit.runtime.model_resolution import find_artifact
from levit.runtime.native_library import (
    INSTRUCTIONS_VARIABLE,
    LIBRARY_VARIABLE,
    chosen_instruction_set,
    instruction_sets,
    load_library,
)

pytestmark = pytest.mark.usefixtures("native_library")


@pytest.mark.parametrize("engine", ["auto", "native"])
def test_an_unknown_instruction_set_in_the_environment_is_an_error(monkeypatch, tmp_path, engine):
    monkeypatch.setenv(INSTRUCTIONS_VARIABLE, "abacus")
    with pytest.raises(ConfigError) as caught:
        open_engine(find_artifact(None), engine=engine, cache_dir=tmp_path)
    names = ", ".join(instruction_sets())
    assert str(caught.value) == (f"LEVIT_NATIVE_INSTRUCTIONS is 'abacus': use one of {names}, which this processor has")


def test_the_instruction_set_of_the_environment_is_chosen(monkeypatch):
    assert chosen_instruction_set() == instruction_sets()[0]
    monkeypatch.setenv(INSTRUCTIONS_VARIABLE, "portable")
    assert chosen_instruction_set() == "portable"


def test_a_library_that_does_not_exist_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(LIBRARY_VARIABLE, str(tmp_path / "missing.so"))
    with pytest.raises(EngineError) as caught:
        load_library()
    missing = f"LEVIT_NATIVE_LIBRARY names {tmp_path / 'missing.so'}, which is not a file"
    assert str(caught.value) == f"engine native is not installed ({missing}): use `engine` openvino"


def test_the_reason_why_the_installation_has_no_library_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv(LIBRARY_VARIABLE)
    monkeypatch.setattr(library_module, "__file__", str(tmp_path / "native_library.py"))
    with pytest.raises(EngineError) as caught:
        load_library()
    assert caught.value.reason == "engine native is not installed (this installation has no native library)"
    (tmp_path / "levit_native.txt").write_text("it could not be compiled: error: no space\n")
    with pytest.raises(EngineError) as caught:
        load_library()
    assert caught.value.reason == "engine native is not installed (it could not be compiled: error: no space)"


def test_a_library_of_another_version_has_a_hint(monkeypatch, native_library):
    monkeypatch.setattr(library_module, "FORMAT_VERSION", 99)
    with pytest.raises(EngineError, match="of model files, not 99: install levit again, or correct LEVIT_NATIVE_LIB"):
        library_module._load.__wrapped__(native_library)
