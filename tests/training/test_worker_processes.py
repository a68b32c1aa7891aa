"""The processes that prepare images, from the outside."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they come from no server"),
]

SCRIPT = """
import multiprocessing, os, signal, sys, time
from levit.training.data_loader import validation_batches
from tests.training.test_data_loader import prepared

if __name__ == "__main__":
    os.register_at_fork(before=lambda: print("forks", flush=True))
    batches = iter(
        validation_batches(
            prepared(*range(100), substitutes=False), 3, 100, batch_size=2, process=0, processes=1, workers=2,
            pinned=False,
        )
    )
    next(batches)
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
"""


def started(folder: Path, rest: str) -> subprocess.Popen:
    script = folder / "script.py"
    script.write_text(SCRIPT + "".join(f"    {line}\n" for line in rest.splitlines()))
    return subprocess.Popen(
        [sys.executable, script], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def is_running(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_they_are_no_fork_of_the_process_that_trains(tmp_path):
    output, errors = started(tmp_path, "print(1 + sum(1 for _ in batches))").communicate(timeout=120)
    processes, batches = output.splitlines()
    assert (len(processes.split()), batches) == (2, "50"), errors


def test_an_error_ends_the_process_that_trains_and_them(tmp_path):
    process = started(tmp_path, "def fails(batches):\n    raise RuntimeError('fails')\nfails(batches)")
    output, errors = process.communicate(timeout=120)
    assert "RuntimeError: fails" in errors
    assert not any(map(is_running, output.split()))


def test_a_script_that_trains_when_it_is_imported_is_told_so(colors, network, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import levit\nlevit.train(data={str(colors)!r}, model={str(network)!r}, out={str(tmp_path / 'run')!r}, "
        "epochs=1, workers=1, report_to='none')"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert "put the training under `if __name__ == '__main__':`, or choose workers=0" in run.stderr


def test_a_signal_to_all_leaves_them_at_work(tmp_path):
    rest = """signal.signal(signal.SIGTERM, lambda *_: None)
os.killpg(0, signal.SIGTERM)
time.sleep(1)
print(1 + sum(1 for _ in batches))"""
    output, errors = started(tmp_path, rest).communicate(timeout=120)
    assert output.splitlines()[-1] == "50", errors


def test_they_end_with_the_process_that_trains(tmp_path):
    process = started(tmp_path, "time.sleep(600)")
    names = process.stdout.readline().split()
    assert len(names) == 2
    assert all(map(is_running, names))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until = time.monotonic() + 30
    while any(map(is_running, names)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(is_running, names))
