"""Agreement and heartbeats of two processes, one of which may end, stop or fail."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch.distributed import distributed_c10d

from levit.errors import LevitError
from levit.training import control_group, signals
from levit.training.collectives import all_reduce_flags
from levit.training.control_group import connection_errors, long_work, sum_in_control_group, wait_for_all
from levit.training.environment import build_accelerator
from levit.training.option_groups import RunOptions
from levit.training.signals import handle_signals
from tests.training.process_groups import FAILURE, TIMEOUT, start_group, wait, wait_until

LONG = 10.0 * TIMEOUT  # seconds; a test that waits as long for the limit of a collective fails

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo connects processes on Unix")


def run_together(processes: Any, target: Any, folder: Path) -> list[int | None]:
    """Call a function in two processes that are connected; return their exit codes."""
    return wait(start_group(processes, call_connected, (target, folder), count=2))


def call_connected(target: Any, folder: Path) -> None:
    options = RunOptions(out=str(folder), precision="fp32", report_to="none")
    accelerator = build_accelerator(options, timeout=timedelta(seconds=LONG))
    sum_in_control_group([1])  # both have connected
    try:
        target(accelerator, folder)
    except LevitError as error:
        (folder / f"error-{accelerator.process_index}").write_text(str(error))
        sys.exit(FAILURE)


def agree(accelerator: Accelerator, folder: Path) -> None:
    rank = accelerator.process_index
    assert all_reduce_flags([rank == 1, False], accelerator) == [True, False]
    assert sum_in_control_group([rank, 10]) == [1, 20]


@pytest.mark.slow
def test_two_processes_sum_values(processes, tmp_path):
    assert run_together(processes, agree, tmp_path) == [0, 0]


def kill_first(accelerator: Accelerator, folder: Path) -> None:
    if accelerator.is_main_process:
        os.kill(os.getpid(), signal.SIGKILL)
    sum_in_control_group([1])


def kill_first_at_work(accelerator: Accelerator, folder: Path) -> None:
    with long_work(accelerator):
        if accelerator.is_main_process:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("target", [kill_first, kill_first_at_work])
def test_a_process_that_is_killed_ends_the_other_at_once(processes, tmp_path, target):
    assert run_together(processes, target, tmp_path) == [-signal.SIGKILL, FAILURE]
    message = (tmp_path / "error-1").read_text()
    assert message.startswith("another of the processes that train together has ended or does not respond (")
    assert message.endswith("): see its messages, and continue with `resume`")
    assert "\n" not in message


def stop_first(accelerator: Accelerator, folder: Path) -> None:
    distributed_c10d._set_pg_timeout(timedelta(seconds=3), control_group._control_group())
    with long_work(accelerator):
        if accelerator.is_main_process:
            os.kill(os.getpid(), signal.SIGSTOP)
        # The other one reaches the end of the block.


@pytest.mark.slow
def test_a_process_that_stops_ends_the_other_within_the_limit(processes, tmp_path):
    first, second = start_group(processes, call_connected, (stop_first, tmp_path), count=2)
    assert wait([second]) == [FAILURE]
    first.kill()
    assert "ended or does not respond (" in (tmp_path / "error-1").read_text()
    assert wait([first]) == [-signal.SIGKILL]


def work_long(accelerator: Accelerator, folder: Path) -> None:
    """The first process works until it has exchanged some heartbeats: the limit of each is that of a wait."""
    heartbeats, exchange = threading.Semaphore(0), control_group._Heartbeat._exchange

    def count(heartbeat: Any) -> bool:
        goes_on = exchange(heartbeat)
        heartbeats.release()
        return goes_on

    control_group._Heartbeat._exchange = count  # this process ends with the call
    with long_work(accelerator, heartbeat_seconds=0.01):
        if accelerator.is_main_process:
            for _ in range(5):
                assert heartbeats.acquire(timeout=TIMEOUT)
            (folder / "done").touch()
    assert (folder / "done").exists()
    assert all_reduce_flags([False, True], accelerator) == [False, True]


@pytest.mark.slow
def test_heartbeats_are_exchanged_during_the_long_work_of_one_process(processes, tmp_path):
    assert run_together(processes, work_long, tmp_path) == [0, 0]


def fail_first(accelerator: Accelerator, folder: Path) -> None:
    with long_work(accelerator):
        if accelerator.is_main_process:
            raise LevitError("the disk is full")


@pytest.mark.slow
def test_an_error_in_long_work_ends_the_other_process_as_well(processes, tmp_path):
    assert run_together(processes, fail_first, tmp_path) == [FAILURE, FAILURE]
    messages = [(tmp_path / f"error-{rank}").read_text() for rank in (0, 1)]
    assert messages == ["the disk is full", "another of the processes that train together has failed: see its message"]


def signal_twice(accelerator: Accelerator, folder: Path) -> None:
    """The second process gets SIGTERM twice while it waits for the first one, which waits for the end of the second."""
    if accelerator.is_main_process:
        with pytest.raises(LevitError, match="has ended or does not respond"):
            wait_for_second(folder)
        return
    seconds, requests = [0.0], []

    def interrupt() -> None:
        wait_until(lambda: signals._num_waits > 0)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: len(requests) == 1)
        seconds[0] = 10.0
        os.kill(os.getpid(), signal.SIGTERM)

    with handle_signals(lambda: requests.append("stop"), clock=lambda: seconds[0]):
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            sum_in_control_group([1])
    (folder / "ended").touch()


def wait_for_second(folder: Path) -> None:
    wait_until((folder / "ended").exists)
    for _ in range(2):  # the first is that which the second process has left
        sum_in_control_group([1])


@pytest.mark.slow
def test_a_second_sigterm_ends_the_wait_for_another_process(processes, tmp_path):
    assert run_together(processes, signal_twice, tmp_path) == [0, 0]


def test_a_single_process_does_not_wait(accelerator):
    with long_work(accelerator):
        pass
    wait_for_all(accelerator)
    assert not torch.distributed.is_initialized()


def test_the_error_of_a_connection_is_one_short_line():
    text = "[/src/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:7607. This is typically\ncaused"
    with pytest.raises(LevitError, match=r"does not respond \(Connection closed by peer \[127.0.0.1\]:7607\): see its"):
        fail_with(text)


def test_the_address_of_a_read_error_is_left_out():
    with pytest.raises(LevitError, match=r"does not respond \(Connection reset by peer\): see its"):
        fail_with("[/src/gloo/transport/tcp/pair.cc:561] Read error [127.0.0.1]:18357: Connection reset by peer")


def fail_with(text: str) -> None:
    with connection_errors():
        raise RuntimeError(text)


def test_other_errors_are_kept():
    with pytest.raises(RuntimeError, match="shapes differ"):
        fail_with("shapes differ")
