"""Metadata that are read without onnx are those that onnx reads."""

from contextlib import suppress

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from levit.deployment.build import build_artifact
from levit.errors import EngineError
from levit.runtime.model_resolution import find_artifact
from levit.runtime.onnx_metadata import read_metadata
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL

TEXT = st.text(st.characters(codec="utf-8"))


def read_by_onnx(model: onnx.ModelProto) -> dict[str, str]:
    return {pair.key: pair.value for pair in model.metadata_props}


def test_the_metadata_are_read_from_a_file_or_from_its_content(tmp_path):
    model = build_artifact(random_checkpoint(SMALL))
    (tmp_path / "small.onnx").write_bytes(model.SerializeToString())
    assert read_metadata(tmp_path / "small.onnx") == read_metadata(model.SerializeToString()) == read_by_onnx(model)
    embedded = find_artifact(None)
    assert read_metadata(embedded) == read_by_onnx(onnx.load(embedded))


@given(st.dictionaries(TEXT, TEXT))
def test_keys_and_values_may_be_any_text(metadata):
    model = onnx.ModelProto(ir_version=8)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    assert read_metadata(model.SerializeToString()) == metadata


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_file_is_an_error_or_has_the_metadata_that_onnx_reads(data):
    model = onnx.ModelProto(ir_version=8, producer_name="levit")
    model.metadata_props.add(key="levit.precision", value='"int8"')
    content = bytearray(model.SerializeToString())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(EngineError):
        metadata = read_metadata(bytes(content))
        with suppress(DecodeError):
            assert metadata == read_by_onnx(onnx.load_from_string(bytes(content)))


def test_an_empty_file_has_no_metadata(tmp_path):
    (tmp_path / "empty.onnx").touch()
    assert read_metadata(tmp_path / "empty.onnx") == read_metadata(b"") == read_by_onnx(onnx.load_from_string(b""))


def test_other_files_are_errors_of_one_line(tmp_path):
    for model, message in [
        (tmp_path / "missing.onnx", "missing.onnx cannot be read"),
        (b"nonsense", "the model: not an ONNX file"),
    ]:
        with pytest.raises(EngineError, match=message) as caught:
            read_metadata(model)
        assert "\n" not in str(caught.value)
