"""Fixtures of the runtime's tests."""

from pathlib import Path

import pytest

from levit.deployment.build import build_artifact
from tests.conftest import random_checkpoint
from tests.runtime.native_library import _library, native_library  # noqa: F401  # fixtures
from tests.runtime.small_model import SMALL, write_checkpoint


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """Folder of a small checkpoint of random weights."""
    return write_checkpoint(tmp_path / "fruit")


@pytest.fixture(scope="session")
def content() -> bytes:
    """A small network of random weights, as the content of an ONNX file."""
    return build_artifact(random_checkpoint(SMALL)).SerializeToString()
