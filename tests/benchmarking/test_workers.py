"""Worker processes: alternating rounds, and one-line errors."""

import sys

import pytest

from levit.benchmarking.workers import Worker, run_rounds
from levit.errors import EngineError

ECHO = """
import sys
from levit.benchmarking.workers import serve

def start():
    print("a library prints something at its import")
    return handle, {"hello": sys.argv[1]}

def handle(number):
    print("a library prints something")
    if number < 0:
        raise ValueError("too small")
    if number == 0:
        sys.exit("out of memory")
    return {"name": sys.argv[1], "doubled": 2 * number}

serve(start)
"""


def echo(name: str) -> Worker:
    return Worker(name, [sys.executable, "-c", ECHO, name])


def test_every_round_sends_each_request_to_all_workers():
    sent = []
    with echo("a") as first, echo("b") as second:
        assert first.info == {"hello": "a"}
        assert first.start_seconds > 0
        responses = run_rounds(
            [first, second],
            [{"number": 1}, {"number": 5}],
            2,
            lambda worker, request, _: sent.append((worker.name, request)),
        )
    one_round = [("a", {"number": 1}), ("b", {"number": 1}), ("a", {"number": 5}), ("b", {"number": 5})]
    assert sent == one_round * 2
    assert responses["b"] == [[{"name": "b", "doubled": 2}] * 2, [{"name": "b", "doubled": 10}] * 2]


def test_an_exception_at_the_start_becomes_one_line():
    code = (
        "from levit.benchmarking.workers import serve\ndef start(): raise RuntimeError('no such engine')\nserve(start)"
    )
    with pytest.raises(EngineError, match=r"^broken: no such engine$"):
        Worker("broken", [sys.executable, "-c", code])


def test_the_error_of_a_levit_function_keeps_its_source():
    code = (
        "from levit.benchmarking.workers import serve\nfrom levit.errors import DataError\n"
        "def start(): raise DataError('no such file', source='m.onnx', hint='check it')\nserve(start)"
    )
    with pytest.raises(EngineError) as caught:
        Worker("broken", [sys.executable, "-c", code])
    assert (caught.value.source, caught.value.reason) == ("broken", "m.onnx: no such file: check it")


def test_a_process_that_ends_early_is_named_with_its_exit_code():
    with pytest.raises(EngineError, match=r"^silent ended with exit code 3$"):
        Worker("silent", [sys.executable, "-c", "raise SystemExit(3)"])


def test_a_process_that_ends_early_shows_the_last_line_of_its_standard_error():
    with pytest.raises(EngineError) as caught:
        Worker("broken", [sys.executable, "-c", "raise RuntimeError('no such engine')"])
    assert str(caught.value) == "broken ended with exit code 1: RuntimeError: no such engine"


def test_an_exception_in_a_handler_becomes_one_line_and_the_worker_continues():
    with echo("a") as worker:
        assert worker.request(number=2)["doubled"] == 4
        for _ in range(2):
            with pytest.raises(EngineError, match=r"^a: too small$"):
                worker.request(number=-1)
        assert worker.request(number=3)["doubled"] == 6


def test_a_process_that_ends_during_a_request_raises_in_each_later_request():
    with echo("a") as worker:
        for _ in range(2):
            with pytest.raises(EngineError, match=r"^a ended with exit code 1: out of memory$"):
                worker.request(number=0)
