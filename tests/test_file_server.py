"""The file server of the tests."""

import threading

import pytest

from tests.file_server import RedirectingHandler, running_server


def test_the_server_ends_after_an_error():
    threads = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), running_server(RedirectingHandler):
        1 / 0  # noqa: B018
    assert set(threading.enumerate()) <= threads
