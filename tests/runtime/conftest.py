"""Fixtures of the runtime's tests."""

from pathlib import Path

import pytest

from tests.runtime.small_model import write_checkpoint


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """Folder of a small checkpoint of random weights."""
    return write_checkpoint(tmp_path / "fruit")
