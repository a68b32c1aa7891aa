"""Marks of tests that need what not every system has."""

import os

import pytest

needs_links = pytest.mark.skipif(os.name == "nt", reason="Windows needs a privilege for links")
needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process instead of sending it a signal")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_permissions = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read and write everything"
)
