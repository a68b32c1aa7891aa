"""Locks that threads of the parent hold are free in a forked child."""

import ast
import threading

from levit.fork_safe_lock import ForkSafeLock
from tests.conftest import ROOT
from tests.marks import needs_fork
from tests.processes import run_python

HELD = """
import os, signal, sys, threading
from contextlib import ExitStack
from PIL import Image
import levit.runtime.features, levit.runtime.telemetry
from levit.checkpoints import pickles
from levit.images.decoding import read_image
from levit.fork_safe_lock import _locks

may_end, are_held = threading.Event(), threading.Event()

def hold():
    with ExitStack() as stack:
        for lock in list(_locks):
            stack.enter_context(lock)
        are_held.set()
        may_end.wait()

threading.Thread(target=hold, daemon=True).start()
are_held.wait()
assert len(_locks) > 60
child = os.fork()
if child == 0:
    signal.alarm(60)  # ends a child that hangs
    with levit.runtime.telemetry.telemetry_disabled():
        print(read_image("examples/cat.jpg").size, read_image(Image.open("examples/cat.jpg")).size, flush=True)
    os._exit(0)
status = os.waitpid(child, 0)[1]
may_end.set()
sys.exit(status)
"""

KEPT = """
import os, sys
from levit.fork_safe_lock import ForkSafeLock

lock = ForkSafeLock()
with lock:
    child = os.fork()
if child == 0:
    with lock:
        os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


def outcome(code: str) -> tuple[int, str, str]:
    process = run_python(code)
    return process.returncode, process.stdout, process.stderr


@needs_fork
def test_a_child_reads_images_whatever_locks_the_threads_of_its_parent_held():
    assert outcome(HELD) == (0, "(451, 300) (451, 300)\n", "")


@needs_fork
def test_the_thread_that_forks_keeps_its_lock_in_the_child():
    assert outcome(KEPT) == (0, "", "")


def test_one_thread_at_a_time_has_the_lock():
    lock, has_entered = ForkSafeLock(), threading.Event()

    def enter():
        with lock:
            has_entered.set()

    with lock, lock:
        thread = threading.Thread(target=enter)
        thread.start()
        assert not has_entered.wait(0.05)
    thread.join(60)
    assert has_entered.is_set()


def test_every_lock_of_a_module_is_safe():
    """A module's lock exists in a child too, and another one would be held there forever."""
    unsafe = []
    for file in (ROOT / "src" / "levit").rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            value = getattr(node, "value", None) if isinstance(node, ast.Assign | ast.AnnAssign) else None
            calls = [call.func for call in ast.walk(value) if isinstance(call, ast.Call)] if value else []
            names = {ast.unparse(call).rpartition(".")[2] for call in calls}
            if names & {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"}:
                unsafe.append(f"{file.name}:{node.lineno}")
    assert unsafe == []
