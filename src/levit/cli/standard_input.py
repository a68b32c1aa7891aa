"""Non-blocking reading of lines from standard input."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator

_MAX_LINES = 1024  # read ahead
_PATIENCE = 0.02  # seconds: a program that writes one line after the other is slower than its pipe


def waiting_lines() -> Iterator[str | None]:
    """Yield each line of standard input, and None where no further line comes for the moment; not one after another.

    A thread reads the lines, because only on some systems can a program ask whether a line is waiting.

    Yields:
        A line with its end, or None.
    """
    if sys.stdin is None:  # it was closed
        return
    lines: queue.Queue[str | Exception | None] = queue.Queue(_MAX_LINES)  # an exception or None is the end
    threading.Thread(target=_read, args=(lines,), name="levit-stdin", daemon=True).start()
    line = lines.get()
    while line is not None:
        if isinstance(line, Exception):
            raise line
        yield line
        try:
            line = lines.get(timeout=_PATIENCE)
        except queue.Empty:
            yield None
            line = lines.get()


def _read(lines: queue.Queue[str | Exception | None]) -> None:
    try:
        for line in sys.stdin:
            lines.put(line)
    except Exception as error:  # raised by the thread that waits for lines
        lines.put(error)
    lines.put(None)
