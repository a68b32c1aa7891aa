"""Contenders take turns, and one that falls over is one line."""

import sys

import pytest

from levit.benchmarking.workers import Contender, take_turns
from levit.errors import EngineError

ECHO = """
import sys
from levit.benchmarking.workers import serve

def answer(number):
    print("a library says something")
    if number < 0:
        raise ValueError("too small")
    return {"name": sys.argv[1], "doubled": 2 * number}

serve(answer, {"hello": sys.argv[1]})
"""


def echo(name: str) -> Contender:
    return Contender(name, [sys.executable, "-c", ECHO, name])


def test_every_round_asks_all_of_them_in_turn():
    asked = []
    with echo("a") as first, echo("b") as second:
        assert first.greeting == {"hello": "a"}
        assert 0 < first.start_seconds < 60
        answers = take_turns(
            [first, second],
            [{"number": 1}, {"number": 5}],
            2,
            lambda one, request, _: asked.append((one.name, request)),
        )
    one_round = [("a", {"number": 1}), ("b", {"number": 1}), ("a", {"number": 5}), ("b", {"number": 5})]
    assert asked == one_round * 2
    assert answers["b"] == [[{"name": "b", "doubled": 2}] * 2, [{"name": "b", "doubled": 10}] * 2]


def test_one_that_cannot_start_says_why_in_one_line():
    with pytest.raises(EngineError) as caught:
        Contender("broken", [sys.executable, "-c", "raise RuntimeError('no such engine')"])
    assert str(caught.value) == "broken: no such engine"


def test_one_that_ends_without_a_word_is_named_with_its_exit_code():
    with pytest.raises(EngineError, match=r"^silent: ended with exit code 3$"):
        Contender("silent", [sys.executable, "-c", "raise SystemExit(3)"])


def test_one_that_falls_over_later_says_why():
    with echo("a") as contender:
        assert contender.ask(number=2)["doubled"] == 4
        for _ in range(2):
            with pytest.raises(EngineError, match=r"^a: too small$"):
                contender.ask(number=-1)
