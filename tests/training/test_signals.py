"""Signals that stop a run."""

import signal
import threading

import pytest

from levit.training.signals import handle_signals


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def test_signals_that_arrive_together_request_one_stop(clock):
    times = []
    with handle_signals(lambda: times.append(clock()), clock=clock):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
            clock.seconds += 1
        clock.seconds = 3600.0
        signal.raise_signal(signal.SIGTERM)
    assert times == [0.0, 1.0, 2.0, 3600.0]


def test_a_later_ctrl_c_stops_at_once(clock):
    times = []
    with handle_signals(lambda: times.append(clock()), clock=clock):
        signal.raise_signal(signal.SIGTERM)
        clock.seconds = 10.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert times == [0.0, 10.0]


def test_the_previous_handlers_are_restored():
    previous = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with handle_signals(lambda: None):
        assert signal.getsignal(signal.SIGTERM) != previous[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == previous


def test_a_run_in_another_thread_changes_no_handlers():
    handlers = []

    def run():
        with handle_signals(lambda: None):
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    previous = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert handlers == [previous]
