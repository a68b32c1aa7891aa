"""Tests of `levit.jax`, which need the extra `jax`."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("flax") else ["test_*.py"]
