"""A signal asks to stop, however often it is told; a later Ctrl-C does not ask."""

import signal
import threading

import pytest

from levit.training import signals
from levit.training.signals import heed_signals


@pytest.fixture
def now(monkeypatch):
    """A clock that is set by hand."""
    seconds = [0.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: seconds[0])
    return seconds


def test_what_everybody_tells_is_one_wish(now):
    asked = []
    with heed_signals(lambda: asked.append(now[0])):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
            now[0] += 1
        now[0] = 3600.0
        signal.raise_signal(signal.SIGTERM)
    assert asked == [0.0, 1.0, 2.0, 3600.0]


def test_a_later_ctrl_c_stops_at_once(now):
    asked = []
    with heed_signals(lambda: asked.append(now[0])):
        signal.raise_signal(signal.SIGTERM)
        now[0] = 10.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert asked == [0.0, 10.0]


def test_afterwards_signals_mean_what_they_meant():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with heed_signals(lambda: None):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_run_in_another_thread_leaves_signals_alone():
    found = []

    def run():
        with heed_signals(lambda: None):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert found == [before]
