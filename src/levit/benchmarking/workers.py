"""Contenders in processes of their own that take turns.

Two engines in one process disturb each other: the idle threads of one spin while the other computes. And machines
have moods: what is measured one after the other is measured in different weather. So each contender has a process, all
of them stay open, and the rounds alternate between them; the median of the rounds counts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from levit.errors import EngineError

_CLASS = re.compile(r"^[\w.]+(Error|Exception): ")  # before an exception's message

Request = Mapping[str, Any]
Answer = dict[str, Any]


def serve(answer: Callable[..., Answer], greeting: Answer | None = None) -> None:
    """The life of a contender: say that it is ready, then answer requests until there are no more.

    What libraries print goes to standard error meanwhile, because answers have standard output to themselves.

    Args:
        answer: called with the fields of each request; gives a JSON object.
        greeting: what to say first.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as channel:
        os.dup2(2, 1)
        print(json.dumps(greeting or {}), file=channel, flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(**json.loads(line))), file=channel, flush=True)


class Contender:
    """A process that serves; a context manager, which ends it.

    Args:
        name: for errors.
        command: the program and its arguments.
        environment: variables that differ from those of this process.

    Attributes:
        greeting: what the process said when it was ready.
        start_seconds: how long that took.

    Raises:
        EngineError: it ended instead; the message has the last line of its standard error.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        started = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 (the command is this program's own)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            env={**os.environ, **(environment or {})},
        )
        try:
            self.greeting = self._read()
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.perf_counter() - started

    def ask(self, **request: Any) -> Answer:
        """The answer to a request.

        Raises:
            EngineError: the process ended instead.
        """
        with suppress(OSError):  # a process that is gone has no answer either
            print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._read()

    def __enter__(self) -> Contender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):  # what could not be sent any more
                if stream is not None:
                    stream.close()

    def _read(self) -> Answer:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            said = [text.strip() for text in self._errors if text.strip()]
            why = said[-1] if said else f"ended with exit code {code}"
            raise EngineError(f"{self.name}: {_CLASS.sub('', why)}")
        answer: Answer = json.loads(line)
        return answer


def take_turns(
    contenders: Iterable[Contender],
    requests: Iterable[Request],
    rounds: int,
    on_answer: Callable[[Contender, Request, Answer], None] = lambda *_: None,
) -> dict[str, list[list[Answer]]]:
    """Ask every contender every request in every round.

    Args:
        contenders: open ones, of different names.
        requests: what to ask; in each round, one request goes to all before the next.
        rounds: how often.
        on_answer: told of each answer, for progress.

    Returns:
        By name: for each request, the answers of all rounds.
    """
    contenders, requests = list(contenders), list(requests)
    answers: dict[str, list[list[Answer]]] = {one.name: [[] for _ in requests] for one in contenders}
    for _ in range(rounds):
        for number, request in enumerate(requests):
            for contender in contenders:
                answer = contender.ask(**request)
                answers[contender.name][number].append(answer)
                on_answer(contender, request, answer)
    return answers
