"""Worker processes, measured side by side in alternating rounds.

Two engines in one process disturb each other, because the idle threads of one spin while the other computes; and the
speed of a machine drifts over minutes. So each worker is a separate process, all workers stay open, and each round
measures all of them; medians of the rounds are reported.

A worker reads requests from its standard input and writes one message for each to its standard output, as JSON lines:
`{"response": …}` or `{"error": "…"}`. Its first message describes the worker and is sent when the worker is ready.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

from levit.errors import EngineError, LevitError, first_line

Request = Mapping[str, Any]
Response = dict[str, Any]
Handler = Callable[..., Response]


def serve(start: Callable[[], tuple[Handler, Response]]) -> None:
    """Run the worker's side of the protocol until standard input ends.

    Meanwhile, output that libraries print is redirected to standard error.

    Args:
        start: function that opens the model to measure. It returns the handler, which is called with the fields of each
            request, and a description of the worker. Responses and the description are JSON objects.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as channel:
        os.dup2(2, 1)
        try:
            handler, info = start()
        except Exception as error:
            _send(channel, error=_message(error))
            return
        _send(channel, response=info)
        for line in sys.stdin:
            try:
                response = handler(**json.loads(line))
            except Exception as error:
                _send(channel, error=_message(error))
            else:
                _send(channel, response=response)


def _send(channel: TextIO, **message: Any) -> None:
    print(json.dumps(message), file=channel, flush=True)


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, LevitError) else first_line(error)


class Worker:
    """A process that runs `serve()`; a context manager, which ends it.

    Args:
        name: name of the worker, the source of its errors.
        command: the program and its arguments.
        environment: variables that differ from those of this process.

    Attributes:
        name: name of the worker.
        info: the description that the process sent when it was ready.
        start_seconds: seconds from starting the process to that description.

    Raises:
        EngineError: the process could not start; with the message of its exception, or its exit code and the last
            line of its standard error.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        start = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 (the command is this program's own)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            env={**os.environ, **(environment or {})},
        )
        try:
            self.info = self._receive()
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.perf_counter() - start

    def request(self, **fields: Any) -> Response:
        """Send a request and wait for its response.

        Raises:
            EngineError: the handler raised an exception, or the process has ended.
        """
        with suppress(OSError):  # where the process has ended, _receive() raises the error
            print(json.dumps(fields), file=self._process.stdin, flush=True)
        return self._receive()

    def __enter__(self) -> Worker:
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
            with suppress(OSError):  # a request that could no longer be sent
                if stream is not None:
                    stream.close()

    def _receive(self) -> Response:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            lines = [text.strip() for text in self._errors if text.strip()]
            raise EngineError(f"ended with exit code {code}", source=self.name, hint=lines[-1] if lines else None)
        message = json.loads(line)
        if "error" in message:
            raise EngineError(message["error"], source=self.name)
        response: Response = message["response"]
        return response


def run_rounds(
    workers: Iterable[Worker],
    requests: Iterable[Request],
    rounds: int,
    on_response: Callable[[Worker, Request, Response], None] = lambda *_: None,
) -> dict[str, list[list[Response]]]:
    """Send every request to every worker in every round.

    Args:
        workers: open workers with different names.
        requests: the requests of a round; each is sent to all workers before the next request.
        rounds: number of rounds.
        on_response: called after each response.

    Returns:
        By the worker's name: for each request, the responses of all rounds.

    Raises:
        EngineError: a handler raised an exception, or a process has ended.
    """
    workers, requests = list(workers), list(requests)
    responses: dict[str, list[list[Response]]] = {worker.name: [[] for _ in requests] for worker in workers}
    for _ in range(rounds):
        for index, request in enumerate(requests):
            for worker in workers:
                response = worker.request(**request)
                responses[worker.name][index].append(response)
                on_response(worker, request, response)
    return responses
