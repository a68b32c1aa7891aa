"""Tests of `levit.jax`, which are skipped without the extra `jax`."""

import pytest

pytest.importorskip("flax", reason="needs the extra jax: pip install 'levit[jax]'")
