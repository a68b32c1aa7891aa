"""Packed models in the cache."""

import os

import pytest

from levit.deployment.build import build_artifact
from levit.runtime.native_models import open_packed
from tests.conftest import random_checkpoint
from tests.runtime.native_library import _library, native_library  # noqa: F401  # fixtures
from tests.runtime.small_model import SMALL

pytestmark = pytest.mark.usefixtures("native_library")


def test_the_use_of_a_packed_model_is_marked_because_the_cache_deletes_its_oldest_files(tmp_path):
    content = build_artifact(random_checkpoint(SMALL)).SerializeToString()
    open_packed(content, tmp_path, bf16=False, half_attention=False)
    (cached,) = tmp_path.iterdir()
    os.utime(cached, (0, 0))
    open_packed(content, tmp_path, bf16=False, half_attention=False)
    assert cached.stat().st_mtime > 0
