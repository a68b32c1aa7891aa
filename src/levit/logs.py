"""The logger `levit`: progress and notes on standard error, unless the program has configured this logger.

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


def get_logger(name: str = "levit") -> logging.Logger:
    """Return the logger `levit` or one below it, and let `levit` write on standard error if nothing else is configured.

    A program that adds a handler to `levit`, or sets its level, before the first message keeps its configuration.

    Args:
        name: "levit" or "levit.training".
    """
    root = logging.getLogger("levit")
    if not root.handlers:
        root.addHandler(StandardErrorHandler())
        root.propagate = False
    if root.level == logging.NOTSET:
        root.setLevel(logging.INFO)
    return logging.getLogger(name)


def set_quiet(is_quiet: bool) -> None:
    """Suppress progress and warnings, or show them."""
    get_logger().setLevel(logging.ERROR if is_quiet else logging.INFO)


def is_quiet() -> bool:
    """Return whether progress and warnings are suppressed."""
    return logging.getLogger("levit").getEffectiveLevel() > logging.WARNING
