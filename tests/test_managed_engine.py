"""Engines in forked processes, in threads that outlive the program, and while they are closed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from levit.errors import EngineError
from levit.managed_engine import ManagedEngine, ProcessGuard, schedule
from levit.runtime.native_library import find_library
from tests.marks import needs_fork
from tests.processes import run_python

FORK = """
import os, signal, sys
import levit

engine, action = sys.argv[1:]
photos = ["examples/cat.jpg"] * 20
classify = levit.Classifier("tests/golden/tiny/transformers", engine=engine)
stream = classify.stream(photos, batch_size=2)
if action != "unused":
    next(stream)
child = os.fork()
if child == 0:
    signal.alarm(60)  # ends a child that hangs
    try:
        if action == "new":
            classify = levit.Classifier("tests/golden/tiny/transformers", engine=engine)
        if action == "single":
            classify(photos[0])
        elif action == "same stream":
            list(stream)
        else:
            list(classify.stream(photos))
        print("predicted", flush=True)
    except levit.EngineError as error:
        print(error, flush=True)
    os._exit(0)
status = os.waitpid(child, 0)[1]
assert len(list(classify.stream(photos))) == 20  # the parent still works
sys.exit(status)
"""


@needs_fork
@pytest.mark.parametrize(
    ("engine", "action"),
    [
        pytest.param("openvino", "single", marks=pytest.mark.slow),
        ("openvino", "stream"),
        pytest.param("openvino", "same stream", marks=pytest.mark.slow),
        pytest.param("onnxruntime", "stream", marks=pytest.mark.slow),
        pytest.param("torch", "single", marks=pytest.mark.slow),
    ],
)
def test_a_used_classifier_raises_an_error_in_a_forked_process(engine, action):
    pytest.importorskip(engine)
    process = run_python(FORK, engine, action)
    assert (process.returncode, process.stderr) == (0, "")
    assert "was used before this process was forked" in process.stdout
    assert 'start processes by the method "spawn"' in process.stdout


@needs_fork
@pytest.mark.parametrize(("engine", "action"), [("openvino", "unused"), ("onnxruntime", "new")])
def test_a_forked_process_predicts_where_it_can(engine, action):
    pytest.importorskip(engine)
    process = run_python(FORK, engine, action)
    assert (process.returncode, process.stdout, process.stderr) == (0, "predicted\n", "")


@needs_fork
def test_openvino_refuses_new_engines_in_a_forked_process():
    process = run_python(FORK, "openvino", "new")
    assert (process.returncode, process.stderr) == (0, "")
    assert "OpenVINO was used before this process was forked" in process.stdout


CLOSE = """
import os, signal, sys, threading
import numpy as np
from levit.managed_engine import ManagedEngine, ProcessGuard
from levit.runtime.opened_model import ModelOptions

class WaitingEngine(ManagedEngine):
    def run(self):
        with self._computing(), self._changed:
            started.set()
            may_end.wait()

started, may_end = threading.Event(), threading.Event()
images = np.zeros((2, 112, 112, 3), np.uint8)
if sys.argv[1] == "computing":
    engine = WaitingEngine(ProcessGuard("this engine"))
    threading.Thread(target=engine.run, daemon=True).start()
    started.wait()
else:
    engine = ModelOptions(None, engine=sys.argv[1], threads=3).open().engine
    for _ in range(3):  # the native engine shares an image between its threads from the third on
        engine.run_images(images)
    engine.submit(images, 2).result()
child = os.fork()
if child == 0:
    signal.alarm(60)  # ends a child that hangs
    with engine:
        engine.close()
    print("closed", flush=True)
    os._exit(0)
may_end.set()
sys.exit(os.waitpid(child, 0)[1])
"""


@needs_fork
@pytest.mark.parametrize("engine", ["computing", "native", "openvino"])
def test_closing_a_used_engine_in_a_forked_process_waits_for_no_thread(engine):
    if engine == "openvino":
        pytest.importorskip(engine)
    if engine == "native" and find_library() is None:
        pytest.skip("needs a C++ compiler: pip install ziglang")
    process = run_python(CLOSE, engine)
    assert (process.returncode, process.stdout, process.stderr) == (0, "closed\n", "")


THREAD = """
import sys, threading
import levit

engine, method, is_daemon = sys.argv[1:]
classify = levit.Classifier("tests/golden/tiny/transformers", engine=engine)
started = threading.Event()

def predict():
    try:
        while True:
            if method == "single":
                classify("examples/cat.jpg")
            else:
                list(classify.stream(["examples/cat.jpg"] * 20, batch_size=2))
            started.set()
    except levit.EngineError as error:
        print(error)

threading.Thread(target=predict, daemon=is_daemon == "daemon").start()
started.wait(120)
"""


@pytest.mark.parametrize(
    ("engine", "method", "kind"),
    [
        pytest.param("openvino", "stream", "daemon", marks=pytest.mark.slow),
        pytest.param("openvino", "single", "daemon", marks=pytest.mark.slow),
        ("openvino", "stream", "thread"),
        pytest.param("onnxruntime", "single", "daemon", marks=pytest.mark.slow),
        pytest.param("torch", "stream", "thread", marks=pytest.mark.slow),
    ],
)
def test_a_thread_that_outlives_the_program_ends_without_a_crash(engine, method, kind):
    pytest.importorskip(engine)
    process = run_python(THREAD, engine, method, kind)
    assert (process.returncode, process.stderr) == (0, "")
    if kind == "thread":
        assert "the program is ending" in process.stdout


def test_a_guard_lets_one_process_pass():
    guard = ProcessGuard("a library")
    guard.check()
    guard.check()


def test_a_child_cannot_use_a_library_that_a_thread_of_its_parent_was_calling():
    guard = ProcessGuard("a library")
    with guard.preparing():
        pass
    guard.note_fork()  # as in a child that is forked now
    guard.check()
    guard = ProcessGuard("a library")
    with guard.preparing():
        guard.note_fork()
    with pytest.raises(EngineError, match="a library was used before this process was forked"), guard.preparing():
        pass
    with pytest.raises(EngineError, match="a library was used before this process was forked"):
        guard.check()


class WaitingEngine(ManagedEngine):
    """Engine whose computation ends when a test allows it."""

    def __init__(self) -> None:
        super().__init__()
        self.has_started, self.may_end, self.is_released = threading.Event(), threading.Event(), threading.Event()

    def run(self) -> str:
        with self._computing():
            self.has_started.set()
            assert self.may_end.wait(60)
            assert not self.is_released.is_set()
            return "logits"

    def _release(self) -> None:
        self.is_released.set()


def test_closing_waits_for_computations_in_progress():
    engine = WaitingEngine()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(engine.run)
        assert engine.has_started.wait(60)
        closing = pool.submit(engine.close)
        for _ in range(60_000):
            if engine._refusal is not None or engine.is_released.wait(0.001):
                break
        assert engine._refusal is not None
        assert not engine.is_released.is_set()
        with pytest.raises(EngineError, match="the engine is closed: open a new one"):
            engine.run()
        engine.may_end.set()
        assert running.result(timeout=60) == "logits"
        closing.result(timeout=60)
    assert engine.is_released.is_set()


def test_an_executor_that_was_shut_down_is_an_error():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(EngineError, match="no thread can be started"):
        schedule(pool, print)
