"""The logger `levit`: progress and notes on standard error, unless the program has configured logging.

| logger | messages |
| --- | --- |
| `levit` | engine and precision, steps of a benchmark; on the command line also every `LevitWarning` |
| `levit.training` | position, epochs and unreadable images of a training run |

Progress has the level INFO, a warning the level WARNING. `logging.getLogger("levit").setLevel(logging.ERROR)`, which is
`--quiet` on the command line, suppresses both, and the progress bars.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class StandardErrorHandler(logging.Handler):
    """Handler that writes each message as one line on standard error; those of the logger `levit` begin with `levit: `.

    Standard error is looked up for each message, because programs replace `sys.stderr`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message; where standard error is closed or cannot be written to, the program goes on."""
        stream: TextIO | None = sys.stderr
        try:
            if stream is not None:
                prefix = "levit: " if record.name == "levit" else ""
                print(f"{prefix}{record.getMessage()}", file=stream, flush=True)
        except Exception:
            self.handleError(record)


class _DefaultHandler(StandardErrorHandler):
    """Handler of a program that does not configure logging; the root logger's handlers replace it, whenever added."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, unless the handlers of the root logger get it."""
        if not logging.root.handlers:
            super().emit(record)


def get_logger(name: str = "levit") -> logging.Logger:
    """Return the logger `levit` or one below it, and let `levit` write on standard error if nothing else is configured.

    A program that adds handlers to the root logger gets the messages there, at the level that it has set. One that adds
    a handler to `levit`, or sets its level, before the first message keeps its configuration.

    Args:
        name: "levit" or "levit.training".
    """
    logger = logging.getLogger("levit")
    if not (logger.propagate and logging.root.handlers):
        if not logger.handlers:
            logger.addHandler(_DefaultHandler())
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    return logging.getLogger(name)


def set_quiet(is_quiet: bool) -> None:
    """Suppress progress and warnings, or show them on standard error, whatever libraries add to the root logger."""
    logger = logging.getLogger("levit")
    if not logger.handlers:
        logger.addHandler(StandardErrorHandler())
        logger.propagate = False
    logger.setLevel(logging.ERROR if is_quiet else logging.INFO)


def is_quiet() -> bool:
    """Return whether progress and warnings are suppressed."""
    return logging.getLogger("levit").getEffectiveLevel() > logging.WARNING
