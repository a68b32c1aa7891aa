"""Packed models, and the errors of files that are not packed, in the cache."""

import os
from contextlib import nullcontext
from pathlib import Path

import onnx
import pytest

from levit.deployment.build import build_artifact
from levit.runtime import native_check, native_models
from levit.runtime.native_format import OtherFormError, WrongLogitsError
from levit.runtime.native_library import find_library
from levit.runtime.native_models import find_refusal, open_packed
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL

pytestmark = pytest.mark.usefixtures("native_library")


@pytest.fixture
def model() -> onnx.ModelProto:
    return build_artifact(random_checkpoint(SMALL))


@pytest.fixture
def checks(monkeypatch) -> list[str]:
    """A list to which each check of a packed model adds an entry."""
    done, check = list[str](), native_check.check_packed

    def check_and_count(packed, network):
        done.append("checked")
        check(packed, network)

    monkeypatch.setattr(native_check, "check_packed", check_and_count)
    return done


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_use_of_a_cached_file_is_marked_because_the_cache_deletes_its_oldest_ones(tmp_path, model, is_refused):
    content = with_node(model, "stage1.block1.mlp.up", name="renamed" if is_refused else "stage1.block1.mlp.up")
    for _ in range(2):
        with pytest.raises(OtherFormError) if is_refused else nullcontext():
            open_packed(content, tmp_path)
        (cached,) = (tmp_path / "native").iterdir()
        assert cached.stat().st_mtime > 0
        os.utime(cached, (0, 0))


def test_another_version_and_other_instructions_are_verified_again(tmp_path, model, checks, monkeypatch):
    content = model.SerializeToString()
    for _ in range(2):
        open_packed(content, tmp_path)
    assert len(checks) == 1
    monkeypatch.setattr(native_models, "chosen_instruction_set", lambda: "another")
    open_packed(content, tmp_path)
    assert len(checks) == 2
    monkeypatch.setattr(native_models, "__version__", "another")
    open_packed(content, tmp_path)
    assert len(checks) == 3


def test_other_code_and_another_library_are_verified_again(tmp_path, model, checks, monkeypatch):
    stamped: list[Path] = []
    monkeypatch.setattr(native_models, "code_stamp", lambda *files: stamped.extend(files) or str(len(checks)))
    content = model.SerializeToString()
    for number in (1, 2):
        open_packed(content, tmp_path)
        assert len(checks) == number
    assert set(stamped) == {Path(native_models.__file__).parent, *native_models._CODE, find_library()}


def with_node(model: onnx.ModelProto, present: str, **values: str) -> bytes:
    """Content of the model, in which one node has another name or operation."""
    (node,) = [node for node in model.graph.node if node.name == present]
    for field, value in values.items():
        setattr(node, field, value)
    return model.SerializeToString()


def test_a_network_with_wrong_logits_is_refused_without_another_check(tmp_path, model, checks):
    content = with_node(model, "stage1.block1.attention.softmax", op_type="LogSoftmax")
    assert find_refusal(content, tmp_path) is None
    reasons = set()
    for _ in range(2):
        with pytest.raises(WrongLogitsError, match="its logits of a random image differ") as caught:
            open_packed(content, tmp_path)
        reasons.add(caught.value.reason)
    refusal = find_refusal(content, tmp_path)
    assert refusal is not None
    assert reasons == {refusal.reason}
    assert len(checks) == 1


def test_a_network_of_another_form_is_refused_without_being_packed_again(tmp_path, model, monkeypatch):
    content = with_node(model, "stage1.block1.mlp.up", name="renamed")
    for _ in range(2):
        with pytest.raises(OtherFormError, match=r"the layer stage1\.block1\.mlp\.up has another form"):
            open_packed(content, tmp_path)
        monkeypatch.setattr("levit.runtime.native_packing.pack", lambda *_, **__: pytest.fail("it was packed"))
    (refusal,) = (tmp_path / "native").iterdir()
    refusal.write_text("damaged")
    assert find_refusal(content, tmp_path) is None


def test_a_network_is_tried_again_with_another_version_of_onnx(tmp_path, model, checks, monkeypatch):
    content = with_node(model, "stage1.block1.attention.softmax", op_type="LogSoftmax")
    for name in ("1.0", "1.0", "2.0"):
        monkeypatch.setattr(native_models, "_onnx_version", lambda name=name: name)
        with pytest.raises(WrongLogitsError):
            open_packed(content, tmp_path)
    assert len(checks) == 2
