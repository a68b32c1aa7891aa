"""Worker processes, observed from outside: start, signals, and end."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from levit.training.worker_processes import Deadline, killed_after
from tests.conftest import ROOT
from tests.training.process_groups import killed_at_end

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only on Linux workers are forked from a server"),
]

# Loads the first two of 50 batches, one by each of two workers, which have then started, and prints their process ids.
SCRIPT = """
import multiprocessing, os, signal, sys, time
from levit.training.data_loader import ImageDataset, LoaderSettings, validation_batches
from tests.training.image_stores import first_pixel, gray_images

if __name__ == "__main__":
    os.register_at_fork(before=lambda: print("forks", flush=True))
    dataset = ImageDataset(gray_images(*range(100)), first_pixel, on_bad_image="skip")
    batches = iter(validation_batches(dataset, LoaderSettings(num_workers=2), batch_size=2))
    next(batches), next(batches)
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
"""


@contextmanager
def start(folder: Path, continuation: str) -> Iterator[subprocess.Popen]:
    """Start the script with more lines; what is left of it at the end of the block is killed."""
    script = folder / "script.py"
    script.write_text(SCRIPT + "".join(f"    {line}\n" for line in continuation.splitlines()))
    process = subprocess.Popen(
        [sys.executable, script], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with killed_at_end(process):
        yield process


def ends(pid: str) -> bool:
    """Wait until a process has ended; False after a minute."""
    try:
        descriptor = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[list[str], str]:
    """Output lines and errors of a process that sends SIGTERM to its group, ignores it, and loads all batches."""
    continuation = """signal.signal(signal.SIGTERM, lambda *_: None)
os.killpg(0, signal.SIGTERM)
print(2 + sum(1 for _ in batches))"""
    with start(tmp_path_factory.mktemp("finished"), continuation) as process:
        output, errors = process.communicate(timeout=600)
    return output.splitlines(), errors


def test_workers_are_not_forked_from_the_training_process(finished):
    lines, errors = finished
    assert "forks" not in lines
    assert len(lines[0].split()) == 2, errors


def test_workers_ignore_a_signal_to_the_process_group(finished):
    lines, errors = finished
    assert lines[-1] == "50", errors


def test_an_error_ends_the_training_process_and_its_workers(tmp_path):
    with start(tmp_path, "def fail(batches):\n    raise RuntimeError('fails')\nfail(batches)") as process:
        output, errors = process.communicate(timeout=600)
        assert "RuntimeError: fails" in errors
        assert all(map(ends, output.split()))


def test_an_error_ends_the_training_process_although_a_worker_was_stopped(tmp_path):
    stop = "os.kill(multiprocessing.active_children()[0].pid, signal.SIGSTOP)"
    with start(tmp_path, f"def fail(batches):\n    raise RuntimeError('fails')\n{stop}\nfail(batches)") as process:
        output, errors = process.communicate(timeout=600)
        assert "RuntimeError: fails" in errors
        assert all(map(ends, output.split()))


def test_a_script_without_a_main_guard_gets_an_error_that_explains_it(colors, network, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import levit\nlevit.train(data={str(colors)!r}, model={str(network)!r}, out={str(tmp_path / 'run')!r}, "
        "epochs=1, workers=1, report_to='none')"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert "put the training under `if __name__ == '__main__':`, or set `workers` to 0" in run.stderr


def test_workers_end_with_a_killed_training_process(tmp_path):
    with start(tmp_path, "time.sleep(600)") as process:
        pids = process.stdout.readline().split()
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=600)
        assert all(map(ends, pids))


def test_a_process_is_killed_when_a_wait_takes_longer_than_its_limit():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with killed_after(600.0, [process]) as in_time:
            pass
        with killed_after(0.1, [process]) as deadline:
            process.wait(timeout=120)
    assert (in_time.has_passed, deadline.has_passed) == (False, True)
    assert process.returncode == -signal.SIGKILL


class Process:
    """A process that only knows whether it was killed."""

    is_killed = False

    def kill(self):
        self.is_killed = True


@pytest.mark.parametrize(("step", "checks"), [(0.5, 20), (3600.0, 10)])
def test_the_time_in_which_this_process_is_suspended_does_not_count(step, checks):
    now = [0.0]
    process = Process()
    deadline = Deadline(9.9, [process], clock=lambda: now[0])
    for _ in range(checks - 1):
        now[0] += step
        deadline.check()
    assert not process.is_killed
    now[0] += step
    deadline.check()
    assert process.is_killed
    assert deadline.has_passed


FORK = """
import os, subprocess, sys
from levit.training.worker_processes import _workers, killed_after

class Worker:
    def is_alive(self):
        raise AssertionError("can only test a child process")  # as of multiprocessing

worker = Worker()
with killed_after(600.0, []):  # a thread checks deadlines from now on
    child = os.fork()
    if child == 0:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            with killed_after(0.1, [process]):
                process.wait(timeout=60)
        sys.exit(process.returncode != -9)
    status = os.waitpid(child, 0)[1]
sys.exit(status)
"""


@pytest.mark.parametrize("before", ["", "_workers.add(worker)\n"])
def test_a_forked_child_has_deadlines_of_its_own_and_no_workers(before):
    """The second process would otherwise look at the workers of its parent as it ends."""
    code = FORK.replace("with killed_after(600.0", f"{before}with killed_after(600.0")
    code = code.replace("status = os.waitpid", "_workers.clear()\n    status = os.waitpid")
    command = [sys.executable, "-W", "ignore", "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=240)
    assert (process.returncode, process.stderr) == (0, "")
