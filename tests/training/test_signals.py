"""Signals that stop a run."""

import signal
import subprocess
import sys
import threading

import pytest

from levit.training.signals import handle_signals, interruptible_wait


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def test_each_signal_requests_a_stop_and_neither_a_repeated_one_nor_a_later_sigterm_raises(clock):
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


def test_a_later_sigterm_ends_a_wait_for_other_processes(clock):
    with handle_signals(lambda: None, clock=clock), interruptible_wait():
        signal.raise_signal(signal.SIGTERM)
        clock.seconds = 10.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_the_previous_handlers_are_restored():
    previous = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    descriptor = signal.set_wakeup_fd(-1)
    threads = threading.active_count()
    with handle_signals(lambda: None):
        assert signal.getsignal(signal.SIGTERM) != previous[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == previous
    assert signal.set_wakeup_fd(descriptor) == -1
    assert threading.active_count() == threads


# Locks a mutex twice, which no signal interrupts, as in a library that waits for another process. The first signal
# comes when the process waits (glibc then writes 2 into the mutex), the second one when the time of the first was read.
BLOCKED = """
import ctypes, os, signal, threading
from levit.training.signals import handle_signals

seconds, times = [0.0], []

def clock():
    times.append(seconds[0])
    return times[-1]

def interrupt():
    while mutex.raw[0] != 2:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    while not times:
        pass
    seconds[0] = 10.0
    os.kill(os.getpid(), signal.SIGTERM)

mutex = ctypes.create_string_buffer(256)
with handle_signals(lambda: None, clock=clock, blocked_seconds=0.2):
    threading.Thread(target=interrupt, daemon=True).start()
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a mutex of glibc whose bytes are zero is unlocked")
def test_a_later_signal_ends_a_process_that_is_blocked():
    run = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 128 + signal.SIGTERM
    assert run.stderr == "levit: ended by a second signal without saving: a call of a library did not return\n"


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
